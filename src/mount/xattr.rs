//! Extended attributes: sizes, flags, and names that are answered here.

use super::convert::Owner;
use super::errno::logged;
use crate::drive::{Attr, Caller, Error, Files, Ino, Result, SetAttr};
use crate::tree::{ACL_ACCESS, ACL_DEFAULT};
use fuser::{Errno, ReplyXattr};

/// setxattr(2): fail if it is there.
const XATTR_CREATE: i32 = 1;
/// setxattr(2): fail if it is not there.
const XATTR_REPLACE: i32 = 2;

const SET_GID: u16 = 0o2000;

/// Names that a kith mount does not have. The kernel asks for `security.capability` before
/// writes; the answer costs nothing. File capabilities and SELinux labels mean something only to
/// the machine that set them.
fn is_foreign(name: &[u8]) -> bool {
    name.starts_with(b"system.") && !is_acl(name) || name == CAPABILITY || name == b"security.selinux"
}

/// The one of them that is merely absent, to whoever asks, as the kernel does.
const CAPABILITY: &[u8] = b"security.capability";

/// What to say of a foreign name. `ls -l` asks for labels of each file as long as they are said
/// to be absent from this one, and no more on this filesystem once they are said to be
/// unsupported: a request less per file.
fn foreign(name: &[u8]) -> Error {
    if name == CAPABILITY { Error::NoAttr } else { Error::Unsupported }
}

fn is_acl(name: &[u8]) -> bool {
    name == ACL_ACCESS || name == ACL_DEFAULT
}

/// Whether the name belongs to a namespace of attributes that are kept, and has a rest.
fn check(name: &[u8]) -> Result<()> {
    if is_acl(name) {
        return Ok(());
    }
    for namespace in [&b"user."[..], b"trusted.", b"security."] {
        if let Some(rest) = name.strip_prefix(namespace) {
            return if rest.is_empty() { Err(Error::Invalid("an attribute without a name")) } else { Ok(()) };
        }
    }
    Err(Error::Unsupported)
}

pub(super) fn get<F: Files>(files: &F, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
    if is_foreign(name) {
        return Err(foreign(name));
    }
    check(name)?;
    files.getxattr(ino, name)
}

pub(super) fn set<F: Files>(
    files: &F,
    owner: &Owner,
    ino: Ino,
    (name, value): (&[u8], &[u8]),
    flags: i32,
    caller: Caller,
) -> Result<()> {
    if is_foreign(name) {
        return Err(Error::Unsupported);
    }
    check(name)?;
    if name == ACL_ACCESS {
        kill_sgid(files, owner, ino, caller)?;
    }
    let (create, replace) = (flags & XATTR_CREATE != 0, flags & XATTR_REPLACE != 0);
    files.setxattr(ino, name, value, create, replace, caller)
}

/// Whose access list is set by somebody outside its group loses set-gid, as with chmod(2). The
/// kernel has a flag to ask for this, but fuser has no room for it in the request.
fn kill_sgid<F: Files>(files: &F, owner: &Owner, ino: Ino, caller: Caller) -> Result<()> {
    let attr = files.getattr(ino)?;
    if attr.mode & SET_GID == 0 || caller.uid == 0 || in_group(owner, &attr, caller) {
        return Ok(());
    }
    let set = SetAttr { mode: Some(attr.mode & !SET_GID), ..SetAttr::default() };
    files.setattr(ino, set, caller).map(|_| ())
}

/// Whether the caller is in the group that a file is shown with. FUSE tells the caller's first
/// group; the others stand in /proc, for as long as it waits for its answer.
fn in_group(owner: &Owner, attr: &Attr, caller: Caller) -> bool {
    let (_, gid) = owner.ids(attr);
    caller.gid == gid
        || std::fs::read_to_string(format!("/proc/{}/status", caller.pid))
            .is_ok_and(|status| groups(&status).any(|group| group == gid))
}

fn groups(status: &str) -> impl Iterator<Item = u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or("");
    line.split_whitespace().filter_map(|group| group.parse().ok())
}

pub(super) fn remove<F: Files>(files: &F, ino: Ino, name: &[u8], caller: Caller) -> Result<()> {
    if is_foreign(name) {
        return Err(Error::NoAttr);
    }
    check(name)?;
    match files.removexattr(ino, name, caller) {
        // Without a list the mode says all there is: nothing was to be done.
        Err(Error::NoAttr) if is_acl(name) => Ok(()),
        done => done,
    }
}

/// The names, each ended by a NUL.
pub(super) fn list<F: Files>(files: &F, ino: Ino) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for name in files.listxattr(ino)? {
        all.extend_from_slice(&name);
        all.push(0);
    }
    Ok(all)
}

/// The size if the caller offers no room, the value if it fits.
pub(super) fn sized(reply: ReplyXattr, room: u32, value: Result<Vec<u8>>) {
    match value {
        Ok(value) if room == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > room as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(e) => reply.error(logged(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_process() {
        let status = "Name:\tsh\nGid:\t5\t5\t5\t5\nGroups:\t4 24 1000 \nNStgid:\t9\n";
        assert_eq!(groups(status).collect::<Vec<_>>(), [4, 24, 1000]);
        assert_eq!(groups("Name:\tsh\n").count(), 0);
    }
}
