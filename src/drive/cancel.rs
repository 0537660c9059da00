//! What no friend has had need not be told: versions that were overtaken, and files that came
//! and went.

use super::api::Result;
use super::records;
use super::shared::{Core, Shared, index_error, tree_error};
use crate::tree::{Change, ObjectId, OpId, Operation, queues};
use std::sync::atomic::Ordering;

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
    /// it, nobody will: all its operations are taken back.
    pub fn cancel_gone(&self, object: ObjectId) {
        if object.log != self.log {
            return;
        }
        let mut core = self.core.lock();
        if !matches!(self.view().inode(object), Ok(Some(inode)) if !inode.is_live()) {
            return;
        }
        if !core.pending.contains_key(&object.n) {
            return;
        }
        let touching =
            core.pending.range(object.n..).filter(|(_, p)| queues(self.log, &p.op).contains(&object));
        let numbers: Vec<u64> = touching.clone().map(|(n, _)| *n).collect();
        let sole = touching.clone().all(|(_, p)| only_about(&p.op, self.log, object));
        if !sole || numbers.iter().any(|n| core.drafted.contains(n)) {
            return;
        }
        if self.journal.append(records::CANCELLED, &records::encode(&numbers)).is_ok()
            && let Err(e) = self.forget(&mut core, &numbers)
        {
            self.note(format!("taking back operations: {e}"));
        }
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
