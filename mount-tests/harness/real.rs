//! A drive of a real node, mounted: what cases are run on besides the filesystem in memory.

use crate::lab::Lab;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// A node without friends, and its mounted drive; ends with its last user.
pub struct RealMount {
    dir: PathBuf,
    _lab: Lab,
}

/// The one that tests share while any of them uses it.
static SHARED: Mutex<Weak<RealMount>> = Mutex::new(Weak::new());
static CASES: AtomicUsize = AtomicUsize::new(0);

impl RealMount {
    pub fn shared() -> Arc<RealMount> {
        let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(mount) = shared.upgrade() {
            return mount;
        }
        let lab = Lab::grid(0);
        let dir = lab.mount_dir("you");
        let mut words = vec!["mount", "--drive", "family", dir.to_str().expect("UTF-8")];
        if rustix::process::geteuid().is_root() {
            words.push("--allow-other");
        }
        lab.kith("you", &words).ok();
        let mount = Arc::new(RealMount { dir, _lab: lab });
        *shared = Arc::downgrade(&mount);
        mount
    }

    /// A new, empty directory of the mount.
    pub fn case_dir(&self) -> PathBuf {
        let dir = self.dir.join(format!("case {}", CASES.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir).expect("the mount takes directories");
        dir
    }
}
