//! Rewind and replay.

use super::super::{Author, Overlay, TimeNs, apply_catalogue, apply_over};
use super::applied::{Applied, stood};
use super::record::{Body, OrderKey, Pending};
use super::{Fold, FoldError};
use std::collections::BTreeSet;

/// What claims to be from further ahead than this is not believed.
const CLOCKS_DIFFER: TimeNs = 86_400_000_000_000;

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
        self.turns.tail_changed();
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
            let ordinal = self.counters.applied - 1;
            let applied = Applied::read(over, ordinal)?;
            debug_assert_eq!(applied.order, last);
            applied.remove(over, ordinal)?;
            over.put_all(applied.undo)?;
            again.insert(last);
            self.counters.applied = ordinal;
            let before = ordinal.checked_sub(1).map(|n| stood(over, n)).transpose()?;
            self.counters.last = before.map(|stood| stood.order);
            self.counters.since = before.map_or(0, |stood| stood.since);
            self.turns.rewound();
        }
        Ok(())
    }

    /// Apply an entry after all others, and record it.
    pub(super) fn append(&mut self, over: &mut Overlay<'_>, order: OrderKey) -> Result<(), FoldError> {
        let done = apply_entry(over, order)?;
        self.record(over, done);
        Ok(())
    }

    /// An entry was applied after all others. `since` is its claim here.
    pub(super) fn record(&mut self, over: &mut Overlay<'_>, mut applied: Applied) {
        // The one in front of it says more then.
        let believed = applied.since <= self.now.saturating_add(CLOCKS_DIFFER);
        let claim = if believed { applied.since } else { TimeNs::MIN };
        // Each has a moment of its own.
        applied.since = claim.max(self.counters.since.saturating_add(1));
        applied.put(over, self.counters.applied);
        self.counters.last = Some(applied.order);
        self.counters.since = applied.since;
        self.counters.applied += 1;
    }
}

/// When an entry was made, as it says. (Without operations: at the beginning of time, which is to say
/// when the entry before it was.)
pub(super) fn claimed(body: &Body) -> TimeNs {
    body.operations.iter().map(|op| op.time).max().unwrap_or(TimeNs::MIN)
}

/// Do what an entry says; what takes it back, and when it claims to be from.
pub(super) fn apply_entry(over: &mut Overlay<'_>, order: OrderKey) -> Result<Applied, FoldError> {
    let body = Body::read(over, &order.hash)?;
    over.mark();
    for op in &body.operations {
        apply_over(over, Author { log: order.log, label: &body.label }, op)?;
    }
    for record in &body.catalogue {
        apply_catalogue(over, record)?;
    }
    Ok(Applied { order, since: claimed(&body), undo: over.take_undo() })
}
