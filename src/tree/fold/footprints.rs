//! What the pending operations read and write, to see whether one may go before others.

use super::super::overlay::Footprint;
use std::collections::{BTreeMap, BTreeSet};

/// Pending operations whose footprints are remembered (some hundred bytes each).
const FOOTPRINTS_MAX: usize = 128 << 10;

/// The footprints of operations, by their places in the tail, and the places by what is in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Footprints {
    of: BTreeMap<u64, Footprint>,
    /// (What, place), of all but the places that were added since somebody looked: most operations
    /// leave before anybody does.
    reads: BTreeSet<(u64, u64)>,
    writes: BTreeSet<(u64, u64)>,
    added: BTreeSet<u64>,
    /// Places of which it is not known what is done there.
    unknown: BTreeSet<u64>,
}

impl Footprints {
    /// Nobody knows what the operation at a place does.
    pub(super) fn unknown(&mut self, at: u64) {
        self.unknown.insert(at);
    }

    /// Remember what the operation at a place reads and writes, while there is room.
    pub(super) fn remember(&mut self, at: u64, footprint: Footprint) {
        self.remove(at);
        if self.of.len() >= FOOTPRINTS_MAX {
            self.unknown.insert(at);
            return;
        }
        self.of.insert(at, footprint);
        self.added.insert(at);
    }

    /// There is no operation at a place any more.
    pub(super) fn remove(&mut self, at: u64) -> Option<Footprint> {
        self.unknown.remove(&at);
        let footprint = self.of.remove(&at)?;
        if self.added.remove(&at) {
            return Some(footprint);
        }
        for what in &footprint.reads {
            self.reads.remove(&(*what, at));
        }
        for what in &footprint.writes {
            self.writes.remove(&(*what, at));
        }
        Some(footprint)
    }

    /// Whether the operations at these places (sorted) may be put before all others: what stands
    /// before them and stays behind has nothing to do with them. They leave in any case.
    pub(super) fn overtake(&mut self, places: &[u64]) -> bool {
        let mut free = true;
        // One after the other they leave: what stands before the next then is what stays behind.
        for &at in places {
            let footprint = self.remove(at);
            let unknown = self.unknown.first().is_some_and(|first| *first < at);
            let alone = !unknown && self.of.first_key_value().is_none_or(|(first, _)| *first > at);
            if alone || !free {
                continue;
            }
            self.look();
            free = !unknown && footprint.is_some_and(|own| !self.before(&own, at));
        }
        free
    }

    /// Whether something has to do with any of the operations, or may have.
    pub(super) fn meet(&mut self, other: &Footprint) -> bool {
        self.look();
        !self.unknown.is_empty() || self.before(other, u64::MAX)
    }

    /// Finds what was added by what it does, too.
    fn look(&mut self) {
        for at in std::mem::take(&mut self.added) {
            let Some(footprint) = self.of.get(&at) else { continue };
            self.reads.extend(footprint.reads.iter().map(|what| (*what, at)));
            self.writes.extend(footprint.writes.iter().map(|what| (*what, at)));
        }
    }

    /// Whether something has to do with an operation that stands before a place.
    fn before(&self, own: &Footprint, at: u64) -> bool {
        own.reads.iter().any(|what| before(&self.writes, *what, at))
            || own.writes.iter().any(|what| before(&self.reads, *what, at))
    }
}

/// Whether there is an earlier place with this.
fn before(set: &BTreeSet<(u64, u64)>, what: u64, at: u64) -> bool {
    set.range((what, 0)..(what, at)).next().is_some()
}
