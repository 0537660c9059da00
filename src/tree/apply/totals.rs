//! The sums over the tree follow from what a step changed, net.

use super::super::overlay::Changed;
use super::super::state::{Inode, Totals, decode, encode, single, tables};
use super::super::{Overlay, ROOT, TableError};

/// Bring the totals in line with an overlay's inodes.
pub(in super::super) fn recount(over: &mut Overlay<'_>) -> Result<(), TableError> {
    let (mut came, mut went) = (Totals::NONE, Totals::NONE);
    for Changed { key, old, new } in over.changes() {
        if key.table == tables::INODE {
            went.add(old.as_ref())?;
            came.add(new)?;
        }
    }
    if came == went {
        return Ok(());
    }
    let was = over.view().totals()?;
    let sum = |was: u64, came: u64, went: u64| was.saturating_add(came).saturating_sub(went);
    let now = Totals {
        objects: sum(was.objects, came.objects, went.objects),
        dirs: sum(was.dirs, came.dirs, went.dirs),
        bytes: sum(was.bytes, came.bytes, went.bytes),
    };
    over.put(single(tables::TOTALS), Some(encode(&now)))
}

impl Totals {
    const NONE: Totals = Totals { objects: 0, dirs: 0, bytes: 0 };

    fn add(&mut self, inode: Option<&Vec<u8>>) -> Result<(), TableError> {
        let Some(bytes) = inode else { return Ok(()) };
        let inode: Inode = decode("an inode", bytes)?;
        // The root is counted from the beginning, with or without a record.
        if inode.is_live() && inode.object != ROOT {
            self.objects = self.objects.saturating_add(1);
            self.dirs = self.dirs.saturating_add(u64::from(inode.is_dir()));
            self.bytes = self.bytes.saturating_add(if inode.is_file() { inode.size } else { 0 });
        }
        Ok(())
    }
}
