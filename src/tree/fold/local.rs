//! The pending tail: operations of this device that no entry carries yet.

use super::super::state::encode;
use super::super::{Author, Overlay, Table, Vector, apply_over};
use super::record::{HeadRecord, Pending};
use super::{DRAFT_MAX, Draft, ENTRY_OPS_MAX, Fold, FoldError, OP_MAX, Operation, Step};
use crate::keys::EntryHash;
use crate::wire::{Head, VECTOR_MAX};

impl Fold {
    /// Add an operation of this device after everything else. Its number must be one this
    /// log never used.
    pub fn local(&mut self, table: &dyn Table, op: Operation) -> Result<Step, FoldError> {
        if self.places.contains_key(&op.n) {
            return Err(FoldError::Twice(op.n));
        }
        let bytes = encode(&op).len();
        if bytes > OP_MAX {
            return Err(FoldError::TooLong { n: op.n, bytes });
        }
        let mut over = Overlay::new(table);
        apply_over(&mut over, Author { log: self.log, label: &self.label }, &op)?;
        let (at, n) = (self.counters.next, op.n);
        self.footprints.remember(at, over.take_footprint());
        Pending { at, op, undo: over.take_undo() }.put(&mut over)?;
        self.counters.next += 1;
        self.counters.number = self.counters.number.max(n);
        self.tail.insert(at, n);
        self.places.insert(n, at);
        self.finish(over)
    }

    /// Take pending operations back for good: they never happened. (For what was created and
    /// removed again before it left the machine; the caller sees that the rest makes sense.)
    pub fn forget(&mut self, table: &dyn Table, numbers: &[u64]) -> Result<Step, FoldError> {
        let mut places = Vec::new();
        for n in numbers {
            places.push(*self.places.get(n).ok_or(FoldError::NotPending(*n))?);
        }
        let mut over = Overlay::new(table);
        if let Some(&first) = places.iter().min() {
            self.rewind_tail(&mut over, first)?;
            self.remove_from_tail(&mut over, &places)?;
            self.replay_tail(&mut over, first)?;
        }
        self.finish(over)
    }

    pub(super) fn remove_from_tail(
        &mut self,
        over: &mut Overlay<'_>,
        places: &[u64],
    ) -> Result<(), FoldError> {
        if !places.is_empty() {
            self.turns.tail_changed();
        }
        for at in places {
            if let Some(n) = self.tail.remove(at) {
                self.places.remove(&n);
            }
            self.footprints.remove(*at);
            Pending::remove(over, *at)?;
        }
        Ok(())
    }

    /// The next entry of this log, with these pending operations (see
    /// [`super::super::Queues::publishable`]) in their order, as many as fit.
    pub fn draft(&self, table: &dyn Table, chosen: &[u64]) -> Result<Draft, FoldError> {
        let mut places = Vec::new();
        for n in chosen {
            places.push(*self.places.get(n).ok_or(FoldError::NotPending(*n))?);
        }
        places.sort_unstable();
        places.dedup();
        let mut operations = Vec::new();
        let mut bytes = 0;
        for at in places.into_iter().take(ENTRY_OPS_MAX) {
            let op = Pending::read(table, at)?.op;
            bytes += encode(&op).len();
            if bytes > DRAFT_MAX && !operations.is_empty() {
                break;
            }
            operations.push(op);
        }
        let own = self.own_head();
        let heads: Vec<Head> = self.news(own).take(VECTOR_MAX).map(HeadRecord::head).collect();
        let seen = self.news(own).take(VECTOR_MAX).chain(own).map(|h| h.lamport).max();
        Ok(Draft {
            log: self.log,
            seq: own.map_or(0, |h| h.seq) + 1,
            previous: own.map_or(EntryHash([0; 32]), |h| h.hash),
            lamport: seen.unwrap_or(0).saturating_add(1),
            vector: Vector { heads, ..Vector::default() },
            label: self.label.clone(),
            operations,
        })
    }

    /// Heads this log has not told of yet.
    fn news<'a>(&'a self, own: Option<&'a HeadRecord>) -> impl Iterator<Item = &'a HeadRecord> {
        self.heads.values().filter(move |h| !h.told && own.is_none_or(|own| own.hash != h.hash))
    }

    /// The head this log is continued from: of a forked one the longest branch.
    pub(super) fn own_head(&self) -> Option<&HeadRecord> {
        let own = self.heads.range((self.log, EntryHash([0; 32]))..=(self.log, EntryHash([255; 32])));
        own.map(|(_, head)| head).max_by_key(|head| (head.seq, head.hash))
    }
}
