//! The mounts of this node: which drive is where.

use super::api::{Outcome, Request, Trouble};
use crate::drive::Drive;
use crate::keys::DriveId;
use crate::mount::{self, MountError, MountHandle};

pub use crate::mount::MountOptions;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a busy mount is waited for before it is detached.
const UNMOUNT_WAIT: Duration = Duration::from_secs(5);
/// How long a mount may take to answer the watchdog.
const PROBE: Duration = Duration::from_secs(10);
/// How often an unmount looks whether a probe has ended.
const POLL: Duration = Duration::from_millis(50);

/// What an unmount did.
#[derive(Default)]
pub struct Unmounted {
    /// Off their directories.
    pub dirs: Vec<PathBuf>,
    /// Of these, the ones that programs still use.
    pub busy: Vec<PathBuf>,
}

struct Mounted {
    drive: DriveId,
    name: String,
    handle: Arc<MountHandle>,
}

/// Mounts by directory.
#[derive(Default)]
pub struct Mounts {
    inside: Mutex<BTreeMap<PathBuf, Mounted>>,
}

/// How a request wants it mounted.
pub fn options(request: &Request) -> MountOptions {
    let Request::Mount { read_only, allow_other, nonempty, noatime, noexec, uid, gid, .. } = *request else {
        return MountOptions::default();
    };
    MountOptions {
        read_only,
        allow_other,
        over_non_empty: nonempty,
        no_atime: noatime,
        no_exec: noexec,
        uid,
        gid,
        ..MountOptions::default()
    }
}

fn trouble(dir: &Path, e: &MountError) -> Trouble {
    let fix = match e {
        MountError::NotEmpty(_) => "choose an empty directory, or use --nonempty to hide what is there",
        MountError::NoFuse => "load the kernel's FUSE module, or run kith without mounting",
        MountError::NoHelper => "install the package fuse3, or run as root",
        MountError::Helper { .. } => {
            "see the helper's words; --allow-other needs user_allow_other in /etc/fuse.conf"
        }
        MountError::AlreadyMounted { .. } => "use it there, or unmount it first: kith unmount DIR",
        _ => "choose another directory",
    };
    Trouble::new(format!("cannot mount at {}", dir.display()), e, fix)
}

impl Mounts {
    /// Mount a drive and wait until the kernel answers.
    pub async fn mount(
        &self,
        drive: Arc<Drive>,
        name: &str,
        dir: &Path,
        options: MountOptions,
    ) -> Outcome<()> {
        let id = drive.id();
        if let Some(there) = self.inside.lock().get(dir) {
            let why = format!("'{}' is mounted there", there.name);
            return Err(Trouble::new(
                format!("cannot mount at {}", dir.display()),
                why,
                "use it, or unmount it first: kith unmount DIR",
            ));
        }
        let (at, label) = (dir.to_path_buf(), name.to_string());
        let runtime = tokio::runtime::Handle::current();
        let handle = tokio::task::spawn_blocking(move || mount::mount(&at, &label, drive, &options, runtime))
            .await
            .map_err(|e| Trouble::new(format!("cannot mount at {}", dir.display()), e, "see the log"))?
            .map_err(|e| trouble(dir, &e))?;
        // Without links, as the kernel names it: that is how it will be asked for.
        let real = handle.dir().to_path_buf();
        let mounted = Mounted { drive: id, name: name.into(), handle: Arc::new(handle) };
        self.inside.lock().insert(real, mounted);
        Ok(())
    }

    /// Where a drive is mounted.
    pub fn of(&self, drive: &DriveId) -> Option<PathBuf> {
        self.inside.lock().iter().find(|(_, m)| m.drive == *drive).map(|(dir, _)| dir.clone())
    }

    /// The drive a path lies in, and the path inside it.
    pub fn find(&self, path: &Path) -> Option<(DriveId, PathBuf)> {
        let inside = self.inside.lock();
        let (dir, mounted) = inside.iter().rev().find(|(dir, _)| path.starts_with(dir))?;
        Some((mounted.drive, path.strip_prefix(dir).ok()?.to_path_buf()))
    }

    /// Unmount one directory, or all. Of several, one that fails does not keep the others.
    pub async fn unmount(&self, dir: Option<&Path>) -> Outcome<Unmounted> {
        let taken: Vec<(PathBuf, Mounted)> = {
            let mut inside = self.inside.lock();
            match dir {
                None => std::mem::take(&mut *inside).into_iter().collect(),
                Some(dir) => match inside.remove_entry(dir) {
                    Some(found) => vec![found],
                    None => {
                        return Err(Trouble::new(
                            format!("{} is not unmounted", dir.display()),
                            "no drive of this node is mounted there",
                            "kith status lists the mounts",
                        ));
                    }
                },
            }
        };
        let mut done = Unmounted::default();
        let mut result = Ok(());
        for (dir, mounted) in taken {
            match self.take_off(dir.clone(), mounted).await {
                Ok(clean) => {
                    done.busy.extend((!clean).then(|| dir.clone()));
                    done.dirs.push(dir);
                }
                Err((why, fix)) => {
                    result = Err(Trouble::new(format!("{} is not unmounted", dir.display()), why, fix));
                }
            }
        }
        result.map(|()| done)
    }

    /// True if nothing used it any more.
    async fn take_off(&self, dir: PathBuf, mut mounted: Mounted) -> Result<bool, (String, &'static str)> {
        // A probe of the watchdog holds the handle for as long as it waits for its answer.
        let end = tokio::time::Instant::now() + PROBE + UNMOUNT_WAIT;
        let mut handle = loop {
            match Arc::try_unwrap(mounted.handle) {
                Ok(handle) => break handle,
                Err(shared) if tokio::time::Instant::now() < end => {
                    mounted.handle = shared;
                    tokio::time::sleep(POLL).await;
                }
                Err(shared) => {
                    mounted.handle = shared;
                    self.inside.lock().insert(dir, mounted);
                    return Err(("it is being asked whether it still answers".into(), "try again"));
                }
            }
        };
        let tried = tokio::task::spawn_blocking(move || {
            let done = handle.try_unmount(UNMOUNT_WAIT);
            (handle, done)
        });
        match tried.await {
            Ok((_, Ok(clean))) => Ok(clean),
            Ok((handle, Err(e))) => {
                // It is mounted still: known, watched, and taken off at the next try or the end.
                let handle = Arc::new(handle);
                self.inside.lock().insert(dir, Mounted { drive: mounted.drive, name: mounted.name, handle });
                Err((e.to_string(), "close the programs that use it, then again: kith unmount DIR"))
            }
            Err(e) => Err((e.to_string(), "see the log; then: fusermount3 -uz DIR")),
        }
    }

    /// Forget mounts that somebody else ended (`fusermount3 -u`, the file manager's eject).
    pub fn sweep(&self) {
        self.inside.lock().retain(|_, m| !m.handle.has_ended());
    }

    /// The mounts that do not answer; the watchdog is fed while there are none.
    pub async fn silent(&self) -> Vec<PathBuf> {
        let asked: Vec<_> = self
            .inside
            .lock()
            .iter()
            .map(|(dir, m)| {
                let handle = m.handle.clone();
                let answers = move || handle.probe(PROBE) || handle.has_ended();
                (dir.clone(), tokio::task::spawn_blocking(answers))
            })
            .collect();
        let mut silent = Vec::new();
        for (dir, answer) in asked {
            if !matches!(answer.await, Ok(true)) {
                silent.push(dir);
            }
        }
        silent
    }
}
