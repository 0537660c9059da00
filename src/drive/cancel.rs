//! What no friend has had need not be told: versions that were overtaken, and files that came
//! and went.

use super::api::Result;
use super::records;
use super::shared::{Core, Shared, index_error, tree_error};
use crate::tree::{Change, Inode, ObjectId, OpId, Operation, TimeNs, queues};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// Objects that came and went and wait to be taken back; then they are.
const GONE_MAX: usize = 4096;
/// Directories of which later times are remembered.
const DIR_TIMES_MAX: usize = 16 << 10;

impl Shared {
    /// If a version is pending, waits for its upload, and nothing else speaks of it: what it
    /// was based on.
    pub fn replaceable(&self, core: &Core, version: OpId) -> Option<Option<OpId>> {
        let pending = core.pending.get(&version.n).filter(|_| version.log == self.log)?;
        let Change::SetContent { base, .. } = &pending.op.change else { return None };
        let used = core.drafted.contains(&version.n)
            || !self.uploads.lock().waits(version.n)
            || core.pending.range(version.n + 1..).any(|(_, p)| speaks_of(&p.op, version));
        (!used).then_some(*base)
    }

    /// Take pending operations back; the journal says so already.
    pub fn forget(&self, core: &mut Core, numbers: &[u64]) -> Result<()> {
        self.own_changed.store(true, Ordering::Relaxed);
        if self.short.load(Ordering::Relaxed) {
            // What was taken back gives its room to those who wait for it.
            self.full.notify_one();
        }
        let step = core.fold.forget(&*self.index, numbers).map_err(tree_error)?;
        self.index.commit(step.batch).map_err(index_error)?;
        let mut uploads = self.uploads.lock();
        for n in numbers {
            core.pending.remove(n);
            uploads.cancel(*n);
        }
        Ok(())
    }

    /// An object has neither a name nor a handle. If it was made here and no friend knows of
    /// it, nobody will: see [`Shared::take_back_gone`].
    pub fn cancel_gone(&self, object: ObjectId) {
        let mut core = self.core.lock();
        if object.log == self.log && core.pending.contains_key(&object.n) {
            core.gone.insert(object);
            if core.gone.len() >= GONE_MAX {
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
        let (numbers, dirs) = self.taken_back(core, gone);
        if numbers.is_empty() {
            return;
        }
        // That something came and went is forgotten; when it did shows in the directory.
        let times = self.times_of(&dirs);
        let cancelled = self.journal.append(records::CANCELLED, &records::encode(&numbers));
        // Before the tree shows earlier ones.
        self.keep_times(times);
        let done = cancelled.map_err(|e| self.fail(&e)).and_then(|_| self.forget(core, &numbers));
        if let Err(e) = done {
            self.note(format!("taking back operations: {e}"));
        }
    }

    /// Operations on these objects that may be taken back, and the directories they changed.
    fn taken_back(&self, core: &Core, gone: BTreeSet<ObjectId>) -> (Vec<u64>, BTreeSet<ObjectId>) {
        let is_gone = |o: &ObjectId| matches!(self.view().inode(*o), Ok(Some(inode)) if !inode.is_live());
        let mut of: BTreeMap<ObjectId, Vec<u64>> =
            gone.into_iter().filter(is_gone).map(|object| (object, Vec::new())).collect();
        let Some(first) = of.keys().map(|object| object.n).min() else { return Default::default() };
        let mut told = BTreeSet::new();
        for (n, pending) in core.pending.range(first..) {
            for object in queues(self.log, &pending.op) {
                let Some(numbers) = of.get_mut(&object) else { continue };
                numbers.push(*n);
                if core.drafted.contains(n) || !only_about(&pending.op, self.log, object) {
                    told.insert(object);
                }
            }
        }
        // Without its first operation here a friend may know it.
        of.retain(|object, numbers| !told.contains(object) && numbers.contains(&object.n));
        let numbers: BTreeSet<u64> = of.into_values().flatten().collect();
        let changes = numbers.iter().filter_map(|n| core.pending.get(n)).map(|p| &p.op.change);
        let dirs = changes.flat_map(dirs_of).collect();
        (numbers.into_iter().collect(), dirs)
    }

    fn times_of(&self, dirs: &BTreeSet<ObjectId>) -> Vec<(ObjectId, TimeNs, TimeNs)> {
        let inodes = dirs.iter().filter_map(|dir| self.view().inode(*dir).ok().flatten());
        let live = inodes.filter(Inode::is_live);
        live.map(|i| {
            let (mtime, ctime) = self.later_times(i.object).unwrap_or_default();
            (i.object, i.attrs.mtime.max(mtime), i.attrs.ctime.max(ctime))
        })
        .collect()
    }

    /// Directories show these times, and no earlier ones, as long as this process lives: what
    /// came and went is no news for friends, and after a start the directory is what it was
    /// at the earlier time.
    fn keep_times(&self, times: Vec<(ObjectId, TimeNs, TimeNs)>) {
        let mut kept = self.dir_times.lock();
        if kept.len() + times.len() > DIR_TIMES_MAX {
            kept.clear();
        }
        kept.extend(times.into_iter().map(|(object, mtime, ctime)| (object, (mtime, ctime))));
    }

    /// Times of a directory that are later than the tree's, of what came and went in it.
    pub fn later_times(&self, object: ObjectId) -> Option<(TimeNs, TimeNs)> {
        self.dir_times.lock().get(&object).copied()
    }
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
