//! What tests do behind a node's back: to what friends keep, and to what is remembered here.

use super::Lab;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All share files a friend holds.
pub fn shares(lab: &Lab, friend: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut todo = vec![lab.path(friend).join("state/lent")];
    while let Some(dir) = todo.pop() {
        for e in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let meta = e.metadata().unwrap();
            if meta.is_dir() {
                todo.push(e.path());
            } else if meta.len() > 50_000 {
                out.push(e.path());
            }
        }
    }
    out
}

/// Forget a file's bytes everywhere but at friends: in the node, and in the kernel's cache.
pub fn forget(lab: &Lab, file: &Path) {
    forget_at(lab, "you", file);
}

pub fn forget_at(lab: &Lab, node: &str, file: &Path) {
    // The node drops its own copies only once friends have confirmed the last word on them.
    std::thread::sleep(Duration::from_secs(1));
    lab.kith(node, &["drop-caches"]).ok();
    let open = std::fs::File::open(file).unwrap();
    rustix::fs::fadvise(&open, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    drop(open);
    // Root can do so for certain; an ordinary user's test relies on the advice.
    let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
}
