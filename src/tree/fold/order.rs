//! Rewind and replay.

use super::super::{Author, Batch, Overlay, apply_catalogue, apply_over};
use super::record::{Applied, Body, OrderKey, Pending};
use super::{Fold, FoldError};
use std::collections::BTreeSet;

impl Fold {
    /// Take back the pending operations from place `from` on.
    pub(super) fn rewind_tail(&self, over: &mut Overlay<'_>, from: u64) -> Result<(), FoldError> {
        for (&at, _) in self.tail.range(from..).rev() {
            let pending = Pending::read(over, at)?;
            over.put_all(pending.undo)?;
        }
        Ok(())
    }

    /// Do them again, on top of what is there now.
    pub(super) fn replay_tail(&mut self, over: &mut Overlay<'_>, from: u64) -> Result<(), FoldError> {
        let places: Vec<u64> = self.tail.range(from..).map(|(at, _)| *at).collect();
        for at in places {
            let mut pending = Pending::read(over, at)?;
            over.mark();
            apply_over(over, Author { log: self.log, label: &self.label }, &pending.op)?;
            self.footprints.remember(at, over.take_footprint());
            pending.undo = over.take_undo();
            pending.put(over)?;
        }
        Ok(())
    }

    /// Take back applied entries that stand after `first`; they are added to `again`.
    pub(super) fn rewind_to(
        &mut self,
        over: &mut Overlay<'_>,
        first: OrderKey,
        again: &mut BTreeSet<OrderKey>,
    ) -> Result<(), FoldError> {
        while let Some(last) = self.counters.last.filter(|last| *last > first) {
            let applied = Applied::read(over, self.counters.applied - 1)?;
            debug_assert_eq!(applied.order, last);
            over.put_all(applied.undo)?;
            again.insert(last);
            self.counters.applied -= 1;
            self.counters.last = match self.counters.applied {
                0 => None,
                n => Some(Applied::read(over, n - 1)?.order),
            };
        }
        Ok(())
    }

    /// Apply an entry after all others, and record it.
    pub(super) fn append(&mut self, over: &mut Overlay<'_>, order: OrderKey) -> Result<(), FoldError> {
        let undo = apply_entry(over, order)?;
        self.record(over, Applied { order, undo })
    }

    pub(super) fn record(&mut self, over: &mut Overlay<'_>, applied: Applied) -> Result<(), FoldError> {
        applied.put(over, self.counters.applied)?;
        self.counters.last = Some(applied.order);
        self.counters.applied += 1;
        Ok(())
    }
}

/// Do what an entry says; what takes it back.
pub(super) fn apply_entry(over: &mut Overlay<'_>, order: OrderKey) -> Result<Batch, FoldError> {
    let body = Body::read(over, &order.hash)?;
    over.mark();
    for op in &body.operations {
        apply_over(over, Author { log: order.log, label: &body.label }, op)?;
    }
    for record in &body.catalogue {
        apply_catalogue(over, record)?;
    }
    Ok(over.take_undo())
}
