//! What no friend has had need not be told: versions that were overtaken, and files that came
//! and went.

use super::api::Result;
use super::records;
use super::shared::{Core, Shared, index_error};
use crate::tree::{Change, Inode, ObjectId, OpId, Operation, TimeNs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// Objects that came and went and wait to be taken back; then they are.
const GONE_MAX: usize = 4096;
/// To take an operation back all pending ones after it are made again: where there are more of them
/// than that, minutes of writing or days without friends, it stays. Unless this disk is full.
const TAKE_BACK_MAX: u64 = 16 << 10;
/// Directories of which later times are remembered.
const DIR_TIMES_MAX: usize = 16 << 10;
/// Numbers in one record of the journal, which takes 4 MiB.
const CANCELLED_AT_ONCE: usize = 100_000;

impl Shared {
    /// If a version is pending, waits for its upload, and nothing else speaks of it: what it
    /// was based on.
    pub fn replaceable(&self, core: &Core, version: OpId) -> Option<Option<OpId>> {
        let pending = core.pending.get(version.n).filter(|_| version.log == self.log)?;
        let Change::SetContent { object, base, .. } = &pending.op.change else { return None };
        let used = core.drafted.contains(&version.n)
            || core.next_n - version.n > TAKE_BACK_MAX
            || !self.uploads.lock().waits(version.n)
            || core.pending.on(object).any(|p| speaks_of(&p.op, version));
        (!used).then_some(*base)
    }

    /// Take pending operations back; the journal says so already.
    pub fn forget(&self, core: &mut Core, numbers: &[u64]) -> Result<()> {
        self.own_changed.store(true, Ordering::Relaxed);
        if self.short.load(Ordering::Relaxed) {
            // What was taken back gives its room to those who wait for it.
            self.full.notify_one();
        }
        let step = core.fold.forget(&*self.index, numbers).map_err(|e| self.stop_tree(e))?;
        self.index.commit(step.batch).map_err(|e| self.stop(index_error(e)))?;
        let mut uploads = self.uploads.lock();
        for n in numbers {
            core.pending.remove(*n);
            uploads.cancel(*n);
        }
        Ok(())
    }

    /// An object has neither a name nor a handle. If it was made here and no friend knows of
    /// it, nobody will: see [`Shared::take_back_gone`].
    pub fn cancel_gone(&self, object: ObjectId) {
        let mut core = self.core.lock();
        if object.log == self.log && core.pending.contains(object.n) {
            core.gone.insert(object);
            // Not at every one beyond: a full journal takes nothing back for a while.
            if core.gone.len().is_multiple_of(GONE_MAX) {
                self.take_back(&mut core);
            }
        }
    }

    /// Take back all operations on objects that came and went here. Many at once: each time the
    /// pending operations after the first of them are made again.
    pub fn take_back_gone(&self) {
        let mut core = self.core.lock();
        if !core.gone.is_empty() {
            self.take_back(&mut core);
        }
    }

    fn take_back(&self, core: &mut Core) {
        let gone = std::mem::take(&mut core.gone);
        let (numbers, dirs) = self.taken_back(core, gone.clone());
        if numbers.is_empty() {
            return;
        }
        if let Err(e) = self.index_takes(true).and_then(|()| self.tell_cancelled(&numbers)) {
            // Another time: they are taken back as soon as the journal takes the record.
            core.gone.extend(gone);
            return self.note(format!("taking back operations: {e}"));
        }
        // That something came and went is forgotten; when it did shows in the directory.
        let times = self.times_of(&dirs);
        self.keep_times(&times, false);
        if let Err(e) = self.forget(core, &numbers) {
            self.note(format!("taking back operations: {e}"));
        }
        self.keep_times(&times, true);
    }

    /// Urgent: on a full disk it is what makes room.
    fn tell_cancelled(&self, numbers: &[u64]) -> Result<()> {
        for some in numbers.chunks(CANCELLED_AT_ONCE) {
            let record = records::encode(&some.to_vec());
            self.journal.append_urgent(records::CANCELLED, &[&record]).map_err(|e| self.fail(&e))?;
        }
        Ok(())
    }

    /// Operations on these objects that may be taken back, and the directories they changed.
    fn taken_back(&self, core: &Core, gone: BTreeSet<ObjectId>) -> (Vec<u64>, BTreeSet<ObjectId>) {
        // One that was opened again by way of /proc comes back here at its last close.
        let open = |inode: &Inode| self.live(inode.ino).is_some_and(|l| l.state.lock().opens > 0);
        let oldest = match self.short.load(Ordering::Relaxed) {
            true => 0,
            false => core.next_n.saturating_sub(TAKE_BACK_MAX),
        };
        let is_gone = |object: &ObjectId| {
            if object.n < oldest {
                return false;
            }
            let inode = self.view().inode(*object).ok().flatten();
            inode.is_some_and(|inode| !inode.is_live() && !open(&inode))
        };
        let mut of: BTreeMap<ObjectId, Vec<u64>> =
            gone.into_iter().filter(is_gone).map(|object| (object, Vec::new())).collect();
        let mut told = BTreeSet::new();
        for (object, numbers) in &mut of {
            for pending in core.pending.on(object) {
                numbers.push(pending.op.n);
                if core.drafted.contains(&pending.op.n) || !only_about(&pending.op, self.log, *object) {
                    told.insert(*object);
                }
            }
        }
        // Without its first operation here a friend may know it.
        of.retain(|object, numbers| !told.contains(object) && numbers.contains(&object.n));
        let numbers: BTreeSet<u64> = of.into_values().flatten().collect();
        let changes = numbers.iter().filter_map(|n| core.pending.get(*n)).map(|p| &p.op.change);
        let dirs = changes.flat_map(dirs_of).collect();
        (numbers.into_iter().collect(), dirs)
    }

    fn times_of(&self, dirs: &BTreeSet<ObjectId>) -> Vec<(ObjectId, TimeNs, TimeNs)> {
        let inodes = dirs.iter().filter_map(|dir| self.view().inode(*dir).ok().flatten());
        let live = inodes.filter(Inode::is_live);
        live.map(|i| {
            let (mtime, ctime) = self.later_times(&i).unwrap_or_default();
            (i.object, i.attrs.mtime.max(mtime), i.attrs.ctime.max(ctime))
        })
        .collect()
    }

    /// Directories show these times, and no earlier ones, as long as this process lives: what
    /// came and went is no news for friends, and after a start the directory is what it was
    /// at the earlier time. `forgotten`: the tree is at the earlier time now.
    fn keep_times(&self, times: &[(ObjectId, TimeNs, TimeNs)], forgotten: bool) {
        for &(object, mtime, ctime) in times {
            let inode = if forgotten { self.view().inode(object).ok().flatten() } else { None };
            let of = inode.map(|inode| inode.attrs.mtime);
            let mut kept = self.dir_times.lock();
            kept.insert(object, LaterTimes { mtime, ctime, of });
            if kept.len() > DIR_TIMES_MAX {
                kept.pop_first();
            }
        }
    }

    /// Times of a directory that are later than the tree's, of what came and went in it. None
    /// once the tree says another time, which is then somebody's will.
    pub fn later_times(&self, dir: &Inode) -> Option<(TimeNs, TimeNs)> {
        let kept = self.dir_times.lock();
        let later = kept.get(&dir.object)?;
        later.of.is_none_or(|of| of == dir.attrs.mtime).then_some((later.mtime, later.ctime))
    }
}

/// Times that a directory shows instead of the tree's.
pub struct LaterTimes {
    mtime: TimeNs,
    ctime: TimeNs,
    /// The tree's modification time that they take the place of; None: any.
    of: Option<TimeNs>,
}

/// Directories whose entries an operation changes.
fn dirs_of(change: &Change) -> Vec<ObjectId> {
    match change {
        Change::Create { parent, .. } | Change::Link { parent, .. } | Change::Unlink { parent, .. } => {
            vec![*parent]
        }
        Change::Rename { from_parent, to_parent, .. } => vec![*from_parent, *to_parent],
        _ => Vec::new(),
    }
}

/// Whether an operation names a version as what its author saw.
fn speaks_of(op: &Operation, version: OpId) -> bool {
    match &op.change {
        Change::SetContent { base, .. } => *base == Some(version),
        Change::Unlink { seen, .. } => seen.version == Some(version),
        Change::Rename { replaced, .. } => replaced.is_some_and(|s| s.version == Some(version)),
        _ => false,
    }
}

/// Whether an operation does nothing to any other object.
fn only_about(op: &Operation, log: crate::keys::LogId, object: ObjectId) -> bool {
    match &op.change {
        Change::Create { .. } => OpId { log, n: op.n } == object,
        Change::SetContent { .. }
        | Change::SetAttrs { .. }
        | Change::SetXattr { .. }
        | Change::Link { .. } => true,
        Change::Unlink { seen, .. } => seen.object == object,
        Change::Rename { object: moved, replaced, .. } => *moved == object && replaced.is_none(),
        _ => false,
    }
}
