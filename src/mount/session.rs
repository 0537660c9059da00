//! Mounting, watching and unmounting.

use super::adapter::FuseAdapter;
use super::convert::Owner;
use super::shared::Shared;
use super::{attach, invalidate, mountpoint};
use crate::drive::Files;
use fuser::{BackgroundSession, Config, Session, SessionACL};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Read-ahead of the kernel in KiB, where we may set it: one full request.
const READ_AHEAD_KIB: u32 = 1024;
/// How often an unmount looks whether it can go on.
const POLL: Duration = Duration::from_millis(20);
/// After a lazy unmount, how long requests under way may still take.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How to mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// Let other users in, root among them (an ordinary user then needs `user_allow_other`
    /// in /etc/fuse.conf).
    pub allow_other: bool,
    /// Refuse every change.
    pub read_only: bool,
    /// Do not note when files were read.
    pub no_atime: bool,
    /// Run no programs from it.
    pub no_exec: bool,
    /// Mount over a directory that has entries, hiding them.
    pub over_non_empty: bool,
    /// Show everything as this user's and this group's, and make things the drive's owner's.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Threads that read kernel requests; one is best on few cores.
    pub threads: usize,
}

impl Default for MountOptions {
    fn default() -> Self {
        MountOptions {
            allow_other: false,
            read_only: false,
            no_atime: false,
            no_exec: false,
            over_non_empty: false,
            uid: None,
            gid: None,
            threads: 1,
        }
    }
}

/// Why a mount did not come about, or would not end.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("{} is not empty: what is there would be hidden by the mount", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("{source_name} is already mounted at {}", dir.display())]
    AlreadyMounted { dir: PathBuf, source_name: String },
    #[error("{} holds a dead mount that is not kith's ({what}); unmount it first", dir.display())]
    DeadForeign { dir: PathBuf, what: String },
    #[error("{}: {source}", dir.display())]
    Directory { dir: PathBuf, source: std::io::Error },
    #[error("this kernel has no FUSE: /dev/fuse is absent (try `modprobe fuse`)")]
    NoFuse,
    #[error("fusermount3 is not installed; it comes with the package fuse3")]
    NoHelper,
    #[error("fusermount3 refused to mount at {}: {said}", dir.display())]
    Helper { dir: PathBuf, said: String },
    #[error("the kernel refused to mount at {}: {source}", dir.display())]
    Kernel { dir: PathBuf, source: std::io::Error },
    #[error("{} would not unmount: {source}", dir.display())]
    Unmount { dir: PathBuf, source: std::io::Error },
}

/// A living mount. Dropping it detaches it at once and waits for nothing.
pub struct MountHandle {
    dir: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    probing: Arc<AtomicBool>,
}

impl std::fmt::Debug for MountHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MountHandle").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Mounts `files` at `dir`, made if absent, as source `kith:NAME`, type `fuse.kith`.
///
/// Clears a dead kith mount found there. Requests that may wait run on `runtime`, which must
/// be driven by threads of its own. Blocks for some milliseconds: not for an async thread.
pub fn mount<F: Files>(
    dir: &Path,
    name: &str,
    files: Arc<F>,
    options: &MountOptions,
    runtime: tokio::runtime::Handle,
) -> Result<MountHandle, MountError> {
    let dir = mountpoint::prepare(dir, options.over_non_empty)?;
    let shared = Arc::new(Shared::new(Owner::of_mount(options.uid, options.gid)));
    let adapter = FuseAdapter::new(files.clone(), runtime.clone(), shared.clone());
    let session = start(&dir, name, adapter, options)?;
    let notifier = session.notifier();
    let handle = MountHandle { dir, shared: shared.clone(), session: Some(session), probing: Arc::default() };
    invalidate::spawn(files, shared, notifier, runtime)
        .map_err(|source| MountError::Kernel { dir: handle.dir.clone(), source })?;
    widen_read_ahead(&handle.dir);
    Ok(handle)
}

/// Attaches a FUSE filesystem and starts its loop.
pub(super) fn start<A: fuser::Filesystem>(
    dir: &Path,
    name: &str,
    adapter: A,
    options: &MountOptions,
) -> Result<BackgroundSession, MountError> {
    let device = attach::attach(dir, &mountpoint::source_name(name), options)?;
    let mut config = Config::default();
    config.n_threads = Some(options.threads.max(1));
    // The kernel itself keeps others out unless `allow_other`.
    Session::from_fd(adapter, device, SessionACL::All, config).and_then(Session::spawn).map_err(|source| {
        let _ = mountpoint::unmount(dir, true);
        MountError::Kernel { dir: dir.into(), source }
    })
}

/// Lets the kernel read ahead by a full request instead of 128 KiB. Only root may; the drive
/// reads ahead for everybody else.
pub(super) fn widen_read_ahead(dir: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let widened = std::fs::metadata(dir).and_then(|m| {
        let (major, minor) = (rustix::fs::major(m.dev()), rustix::fs::minor(m.dev()));
        let path = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
        std::fs::write(path, READ_AHEAD_KIB.to_string())
    });
    if let Err(error) = widened {
        tracing::debug!(%error, "the kernel's read-ahead stays as it is");
    }
}

impl MountHandle {
    /// Where it is mounted, links resolved.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Requests that the loop has taken so far: rises while it lives and is asked.
    pub fn heartbeat(&self) -> u64 {
        self.shared.heartbeat()
    }

    /// Requests being worked on.
    pub fn in_flight(&self) -> usize {
        self.shared.flight.count()
    }

    /// Asks the mount for its statfs and says whether the loop answered within `within`; this
    /// is what the watchdog should be fed from. While an earlier probe hangs, the answer is no
    /// at once. Blocks: not for an async thread.
    pub fn probe(&self, within: Duration) -> bool {
        if self.shared.has_ended() || self.probing.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (answer, answered) = mpsc::channel();
        let (dir, probing) = (self.dir.clone(), self.probing.clone());
        let before = self.heartbeat();
        // A thread of its own, since a hung mount would hold it for ever.
        let started = thread::Builder::new().name("kith-probe".into()).spawn(move || {
            let asked = rustix::fs::statvfs(&dir).is_ok();
            probing.store(false, Ordering::Release);
            let _ = answer.send(asked);
        });
        if started.is_err() {
            self.probing.store(false, Ordering::Release);
            return false;
        }
        answered.recv_timeout(within).unwrap_or(false) && self.heartbeat() != before
    }

    /// Whether the mount is gone, by us or by `fusermount3 -u`.
    pub fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }

    /// Resolves when the mount is gone, by us or by `fusermount3 -u`. The future holds nothing
    /// of the handle.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = self.shared.clone();
        async move { shared.ended().await }
    }

    /// Unmounts: waits up to `wait` for programs to let go and for requests to end, then
    /// detaches: the directory is free at once, and whoever still has a file open keeps it
    /// until he closes it. True if nothing was left in use. Blocks: not for an async thread.
    pub fn unmount(mut self, wait: Duration) -> Result<bool, MountError> {
        self.try_unmount(wait)
    }

    /// The same; after an error it is mounted still and may be tried again.
    pub fn try_unmount(&mut self, wait: Duration) -> Result<bool, MountError> {
        let end = Instant::now() + wait;
        let clean = self.let_go(end)?;
        let last =
            if clean { end.max(Instant::now() + LAST_REQUESTS) } else { Instant::now() + LAST_REQUESTS };
        while Instant::now() < last && !(self.loop_ended() && self.in_flight() == 0) {
            if !clean && self.in_flight() == 0 {
                break;
            }
            thread::sleep(POLL);
        }
        if self.loop_ended()
            && let Some(session) = self.session.take()
            && let Err(error) = session.join()
        {
            tracing::warn!(%error, "the loop of the mount ended badly");
        }
        self.shared.end();
        Ok(clean)
    }

    /// Takes the mount off its directory; false if it had to be detached while in use.
    fn let_go(&self, end: Instant) -> Result<bool, MountError> {
        loop {
            if self.loop_ended() {
                return Ok(true);
            }
            match mountpoint::unmount(&self.dir, false) {
                Ok(()) => return Ok(true),
                Err(_) if Instant::now() < end => thread::sleep(POLL),
                Err(error) => {
                    tracing::info!(dir = %self.dir.display(), %error, "still in use: detaching");
                    return match mountpoint::unmount(&self.dir, true) {
                        Ok(()) => Ok(false),
                        Err(source) => Err(MountError::Unmount { dir: self.dir.clone(), source }),
                    };
                }
            }
        }
    }

    fn loop_ended(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.guard.is_finished())
    }
}

impl Drop for MountHandle {
    fn drop(&mut self) {
        if !self.loop_ended()
            && !self.shared.has_ended()
            && let Err(error) = mountpoint::unmount(&self.dir, true)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "the mount stays behind");
        }
        self.shared.end();
    }
}
