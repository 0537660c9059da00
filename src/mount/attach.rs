//! Getting a FUSE connection mounted at a directory: directly as root, through the set-uid
//! fusermount3 as anybody else.
//!
//! fuser can mount by itself, but as root mounts the type `fuse` instead of `fuse.kith`. Where
//! /dev/fuse is closed to an ordinary user (0600) fusermount3 cannot help him either: it opens
//! the device with his rights, and says "Permission denied".

use super::mountpoint::{FS_TYPE, helper};
use super::session::{MountError, MountOptions};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};
use std::ffi::CString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

const DEVICE: &str = "/dev/fuse";
/// Where fusermount3 finds the number of the socket it answers on.
const SOCKET_VAR: &str = "_FUSE_COMMFD";

/// Mounts at `dir` and returns the connection to the kernel.
pub(super) fn attach(dir: &Path, source: &str, options: &MountOptions) -> Result<OwnedFd, MountError> {
    if rustix::process::geteuid().is_root() {
        match attach_directly(dir, source, options) {
            // Root without the capability, as in many containers.
            Err(e) if e.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {}
            outcome => return outcome.map_err(|source| no_device(dir, source)),
        }
    }
    attach_by_helper(dir, source, options)
}

fn no_device(dir: &Path, source: io::Error) -> MountError {
    match source.kind() {
        io::ErrorKind::NotFound => MountError::NoFuse,
        _ => MountError::Kernel { dir: dir.into(), source },
    }
}

fn attach_directly(dir: &Path, source: &str, options: &MountOptions) -> io::Result<OwnedFd> {
    let device = rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut data = format!(
        "fd={},rootmode={:o},user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        std::fs::metadata(dir)?.mode(),
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    if options.allow_other {
        data.push_str(",allow_other");
    }
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOATIME, options.no_atime);
    flags.set(MountFlags::NOEXEC, options.no_exec);
    let data = CString::new(data)?;
    rustix::mount::mount(source, dir, FS_TYPE, flags, data.as_c_str())?;
    Ok(device)
}

/// The words of [`MountOptions`] that fusermount3 knows.
fn helper_options(source: &str, options: &MountOptions) -> String {
    let mut words = format!("fsname={source},subtype=kith,default_permissions,nosuid,nodev");
    let flags = [
        (options.allow_other, ",allow_other"),
        (options.read_only, ",ro"),
        (options.no_atime, ",noatime"),
        (options.no_exec, ",noexec"),
    ];
    words.extend(flags.iter().filter(|(on, _)| *on).map(|(_, word)| *word));
    words
}

fn attach_by_helper(dir: &Path, source: &str, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let failed = |source| MountError::Kernel { dir: dir.into(), source };
    // Not close-on-exec: the helper inherits its end. Ours is closed in it at once.
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)
        .map_err(|e| failed(e.into()))?;
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let output = Command::new(helper())
        .arg("-o")
        .arg(helper_options(source, options))
        .arg("--")
        .arg(dir)
        .env(SOCKET_VAR, theirs.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => MountError::NoHelper,
            _ => failed(e),
        })?;
    drop(theirs);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(MountError::Helper { dir: dir.into(), said });
    }
    receive(&ours).map_err(failed)
}

/// Takes the one file descriptor that fusermount3 sends.
fn receive(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .ok_or_else(|| io::Error::other("fusermount3 sent no connection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_mount_asks_for_nothing_that_fuse_conf_must_allow() {
        let words = helper_options("kith:family", &MountOptions::default());
        assert_eq!(words, "fsname=kith:family,subtype=kith,default_permissions,nosuid,nodev");
        let open = MountOptions { allow_other: true, read_only: true, ..MountOptions::default() };
        assert!(helper_options("kith:family", &open).ends_with(",allow_other,ro"));
    }
}
