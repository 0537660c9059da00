//! What follows from the inodes that a step changed, net: the sums over the tree, and the list of
//! conflicts. Every operation would touch them, so they are no part of what operations read and write.

use super::super::overlay::Changed;
use super::super::state::{Inode, Totals, conflict_key, decode, encode, single, tables};
use super::super::{ObjectId, Overlay, ROOT, TableError};

/// Bring them in line with an overlay's inodes.
pub(in super::super) fn recount(over: &mut Overlay<'_>) -> Result<(), TableError> {
    let (mut came, mut went) = (Totals::NONE, Totals::NONE);
    let mut conflicts: Vec<(ObjectId, bool)> = Vec::new();
    for Changed { key, old, new } in over.changes() {
        if key.table != tables::INODE {
            continue;
        }
        let read = |bytes: &Vec<u8>| decode::<Inode>("an inode", bytes);
        let (old, new) = (old.as_ref().map(read).transpose()?, new.map(read).transpose()?);
        let (was, is) = (in_conflict(old.as_ref()), in_conflict(new.as_ref()));
        if was != is {
            conflicts.extend(old.as_ref().or(new.as_ref()).map(|inode| (inode.object, is)));
        }
        went.add(old.as_ref());
        came.add(new.as_ref());
    }
    for (object, is) in conflicts {
        over.put(conflict_key(&object), is.then(|| encode(&object)))?;
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

fn in_conflict(inode: Option<&Inode>) -> bool {
    inode.is_some_and(|inode| inode.is_live() && inode.displaced.is_some())
}

impl Totals {
    const NONE: Totals = Totals { objects: 0, dirs: 0, bytes: 0 };

    fn add(&mut self, inode: Option<&Inode>) {
        // The root is counted from the beginning, with or without a record.
        if let Some(inode) = inode.filter(|inode| inode.is_live() && inode.object != ROOT) {
            self.objects = self.objects.saturating_add(1);
            self.dirs = self.dirs.saturating_add(u64::from(inode.is_dir()));
            self.bytes = self.bytes.saturating_add(if inode.is_file() { inode.size } else { 0 });
        }
    }
}
