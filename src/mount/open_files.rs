//! Which inodes are open, and whether the kernel's pages of them may be kept.
//!
//! Pages of a file that changed elsewhere must go. If nobody has it open, they are dropped at
//! once. If somebody has, dropping would wait for his reads, which may wait for friends; so
//! only the attributes are dropped (a new size takes the pages with it, in the kernel), and
//! the next open drops the rest.

use crate::drive::Ino;
use parking_lot::Mutex;
use std::collections::HashMap;

#[derive(Default)]
struct Pages {
    handles: u32,
    /// [`crate::drive::Files::content_epoch`] at the last open.
    epoch: u64,
    /// Changed elsewhere while open.
    stale: bool,
}

/// One entry for each inode that was opened and not yet forgotten by the kernel.
#[derive(Default)]
pub(super) struct OpenFiles(Mutex<HashMap<Ino, Pages>>);

impl OpenFiles {
    /// Notes a new handle; true if the kernel may keep the pages it has.
    pub(super) fn opened(&self, ino: Ino, epoch: u64) -> bool {
        let mut table = self.0.lock();
        let known = table.contains_key(&ino);
        let pages = table.entry(ino).or_default();
        let keep = known && !pages.stale && pages.epoch == epoch;
        pages.handles += 1;
        pages.epoch = epoch;
        pages.stale = false;
        keep
    }

    /// Notes that a handle is gone.
    pub(super) fn closed(&self, ino: Ino) {
        if let Some(pages) = self.0.lock().get_mut(&ino) {
            pages.handles = pages.handles.saturating_sub(1);
        }
    }

    /// The kernel dropped the inode, and with it every page.
    pub(super) fn forgotten(&self, ino: Ino) {
        let mut table = self.0.lock();
        if table.get(&ino).is_some_and(|pages| pages.handles == 0) {
            table.remove(&ino);
        }
    }

    /// The content changed elsewhere; true if it is open here, so that its pages must wait.
    pub(super) fn changed(&self, ino: Ino) -> bool {
        let mut table = self.0.lock();
        let Some(pages) = table.get_mut(&ino).filter(|pages| pages.handles > 0) else { return false };
        pages.stale = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_kept_only_while_nothing_changed_elsewhere() {
        let open = OpenFiles::default();
        assert!(!open.opened(5, 1), "nothing is known of a first open");
        open.closed(5);
        assert!(open.opened(5, 1));
        assert!(open.changed(5), "open: the pages must wait");
        open.closed(5);
        assert!(!open.changed(5), "closed: the pages can go at once");
        assert!(!open.opened(5, 1), "stale since it was open");
        assert!(open.opened(5, 1));
        assert!(!open.opened(5, 2), "another epoch");
    }

    #[test]
    fn a_forgotten_inode_leaves_nothing() {
        let open = OpenFiles::default();
        open.opened(5, 1);
        open.forgotten(5);
        assert_eq!(open.0.lock().len(), 1, "still open");
        open.closed(5);
        open.forgotten(5);
        assert_eq!(open.0.lock().len(), 0);
    }
}
