//! What was done here and no entry tells yet.

use crate::keys::{ChunkId, LogId};
use crate::tree::{Change, ObjectId, Operation, Queues};
use std::collections::{BTreeMap, BTreeSet};

/// A pending operation and what it needs.
#[derive(Clone)]
pub struct Pending {
    pub op: Operation,
    /// Chunks sealed for it.
    pub chunks: Vec<ChunkId>,
}

/// All of them by number, and by what they are about.
pub struct PendingOps {
    ops: BTreeMap<u64, Pending>,
    queues: Queues,
    /// Those that tell where chunks lie.
    places: BTreeSet<u64>,
}

impl PendingOps {
    /// None yet, of the device that writes `log`.
    pub fn new(log: LogId) -> PendingOps {
        PendingOps { ops: BTreeMap::new(), queues: Queues::new(log), places: BTreeSet::new() }
    }

    /// Those pending before stay as they are.
    pub fn insert(&mut self, pending: Pending) {
        let n = pending.op.n;
        if self.ops.contains_key(&n) {
            return;
        }
        self.queues.insert(&pending.op);
        if matches!(pending.op.change, Change::PackContents { .. }) {
            self.places.insert(n);
        }
        self.ops.insert(n, pending);
    }

    pub fn remove(&mut self, n: u64) {
        let Some(pending) = self.ops.remove(&n) else { return };
        self.places.remove(&n);
        let ops = &self.ops;
        self.queues.remove(&pending.op, |n| ops.get(&n).map(|p| &p.op));
    }

    pub fn get(&self, n: u64) -> Option<&Pending> {
        self.ops.get(&n)
    }
    pub fn contains(&self, n: u64) -> bool {
        self.ops.contains_key(&n)
    }
    pub fn len(&self) -> usize {
        self.ops.len()
    }
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
    /// All, in their order.
    pub fn all(&self) -> impl Iterator<Item = &Pending> {
        self.ops.values()
    }
    /// Those numbered `n` and above.
    pub fn from(&self, n: u64) -> impl Iterator<Item = &Pending> {
        self.ops.range(n..).map(|(_, pending)| pending)
    }
    /// What is pending on a directory or an inode, in its order.
    pub fn on<'a>(&'a self, object: &ObjectId) -> impl DoubleEndedIterator<Item = &'a Pending> + 'a {
        self.queues.on(object).filter_map(|n| self.ops.get(&n))
    }
    /// Those that tell where chunks lie.
    pub fn places(&self) -> Vec<u64> {
        self.places.iter().copied().collect()
    }
    /// See [`Queues::publishable`].
    pub fn publishable(&self, most: usize, unready: impl Fn(&Operation) -> bool) -> Vec<u64> {
        self.queues.publishable(most, |n| self.ops.get(&n).map(|p| &p.op), unready)
    }
}
