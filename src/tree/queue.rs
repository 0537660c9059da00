//! Which pending operations may be published before others.

use super::{Change, ObjectId, OpId, Operation};
use crate::keys::LogId;
use std::collections::{BTreeMap, BTreeSet};

/// The queues an operation stands in: the directories and inodes it touches. Operations in
/// one queue are published in their order.
pub fn queues(log: LogId, op: &Operation) -> Vec<ObjectId> {
    let own = OpId { log, n: op.n };
    let mut out = match &op.change {
        Change::Create { parent, .. } => vec![own, *parent],
        Change::SetContent { object, .. }
        | Change::SetAttrs { object, .. }
        | Change::SetXattr { object, .. } => vec![*object],
        Change::Link { object, parent, .. } => vec![*object, *parent],
        Change::Unlink { parent, seen, .. } => vec![*parent, seen.object],
        Change::Rmdir { parent, object, .. } => vec![*parent, *object],
        Change::Rename { object, from_parent, to_parent, replaced, .. } => {
            let mut all = vec![*object, *from_parent, *to_parent];
            all.extend(replaced.map(|seen| seen.object));
            all
        }
        Change::Exchange { a, a_parent, b, b_parent, .. } => vec![*a, *a_parent, *b, *b_parent],
        Change::PackContents { .. }
        | Change::DropPack { .. }
        | Change::ParkLog { .. }
        | Change::SetRules { .. } => Vec::new(),
    };
    out.sort_unstable();
    out.dedup();
    out
}

/// Which pending operations stand where. What may be published is found from the fronts of the
/// queues: those that wait behind others are not looked at, however many they are.
#[derive(Clone, Debug)]
pub struct Queues {
    log: LogId,
    of: BTreeMap<ObjectId, BTreeSet<u64>>,
    /// First in each of their queues.
    fronts: BTreeSet<u64>,
}

impl Queues {
    /// Empty ones.
    pub fn new(log: LogId) -> Queues {
        Queues { log, of: BTreeMap::new(), fronts: BTreeSet::new() }
    }

    /// The operations on a directory or an inode, in their order.
    pub fn on(&self, object: &ObjectId) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.of.get(object).into_iter().flatten().copied()
    }

    /// An operation becomes pending.
    pub fn insert(&mut self, op: &Operation) {
        let mut first = true;
        for queue in queues(self.log, op) {
            let standing = self.of.entry(queue).or_default();
            standing.insert(op.n);
            if standing.first() == Some(&op.n) {
                // Whoever was first there stands behind it now.
                standing.range(op.n + 1..).next().map(|next| self.fronts.remove(next));
            } else {
                first = false;
            }
        }
        if first {
            self.fronts.insert(op.n);
        }
    }

    /// An operation is pending no more. `ops`: those that are, by number.
    pub fn remove<'a>(&mut self, op: &Operation, ops: impl Fn(u64) -> Option<&'a Operation>) {
        self.fronts.remove(&op.n);
        let mut next = BTreeSet::new();
        for queue in queues(self.log, op) {
            let Some(standing) = self.of.get_mut(&queue) else { continue };
            standing.remove(&op.n);
            match standing.first() {
                Some(first) => drop(next.insert(*first)),
                None => drop(self.of.remove(&queue)),
            }
        }
        for n in next {
            if ops(n).is_some_and(|op| self.is_next(op, &BTreeMap::new())) {
                self.fronts.insert(n);
            }
        }
    }

    /// Whether an operation is the next in each of its queues, where all up to those in `past` are
    /// gone.
    fn is_next(&self, op: &Operation, past: &BTreeMap<ObjectId, u64>) -> bool {
        queues(self.log, op).iter().all(|queue| self.next(queue, past.get(queue).copied()) == Some(op.n))
    }

    fn next(&self, queue: &ObjectId, past: Option<u64>) -> Option<u64> {
        self.of.get(queue)?.range(past.map_or(0, |n| n + 1)..).next().copied()
    }

    /// The first `most` operations, in their order, that may be published now: those not unready
    /// themselves (their content is not placed yet) that stand behind no operation left behind in
    /// any of their queues.
    pub fn publishable<'a>(
        &self,
        most: usize,
        ops: impl Fn(u64) -> Option<&'a Operation>,
        unready: impl Fn(&Operation) -> bool,
    ) -> Vec<u64> {
        let (mut out, mut past) = (Vec::new(), BTreeMap::new());
        let mut fronts = self.fronts.iter().copied().peekable();
        // Those that stand behind chosen ones only.
        let mut behind = BTreeSet::new();
        while out.len() < most {
            let front = fronts.next_if(|n| behind.first().is_none_or(|b| n < b));
            let Some(n) = front.or_else(|| behind.pop_first()) else { break };
            let Some(op) = ops(n).filter(|op| !unready(op)) else { continue };
            out.push(n);
            let own = queues(self.log, op);
            past.extend(own.iter().map(|queue| (*queue, n)));
            let next = own.iter().filter_map(|queue| self.next(queue, Some(n)));
            behind.extend(next.filter(|n| ops(*n).is_some_and(|op| self.is_next(op, &past))));
        }
        out
    }
}
