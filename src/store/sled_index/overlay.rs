//! Recent writes, in memory, over what sled has.

use crate::world::Blinded;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// What one entry costs besides key and value.
const OVERHEAD: usize = 64;

pub(super) type Writes = BTreeMap<Blinded, Option<Vec<u8>>>;

/// Two layers: what comes in, over what is on its way to sled.
#[derive(Default)]
pub(super) struct Overlay {
    active: Writes,
    active_bytes: usize,
    moving: Option<Arc<Writes>>,
    moving_bytes: usize,
}

fn cost(value: &Option<Vec<u8>>) -> usize {
    OVERHEAD + size_of::<Blinded>() + value.as_ref().map_or(0, Vec::len)
}

impl Overlay {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.active_bytes + self.moving_bytes
    }
    pub(super) fn active_bytes(&self) -> usize {
        self.active_bytes
    }
    pub(super) fn put(&mut self, key: Blinded, value: Option<Vec<u8>>) {
        self.active_bytes += cost(&value);
        if let Some(old) = self.active.insert(key, value) {
            self.active_bytes -= cost(&old);
        }
    }
    /// `None`: nothing is known here. `Some(None)`: removed.
    pub(super) fn get(&self, key: &Blinded) -> Option<Option<&Vec<u8>>> {
        let found = self.active.get(key).or_else(|| self.moving.as_ref()?.get(key));
        found.map(Option::as_ref)
    }
    /// The writes from one key to another, both included, newer over older.
    pub(super) fn range(
        &self,
        (first, last): (Blinded, Blinded),
    ) -> impl Iterator<Item = (&Blinded, Option<&Vec<u8>>)> {
        let range = (Bound::Included(first), Bound::Included(last));
        let older = self.moving.iter().flat_map(move |m| m.range(range));
        Merge { newer: self.active.range(range).peekable(), older: older.peekable() }
            .map(|(k, v)| (k, v.as_ref()))
    }
    /// Begins to move what came in. Nothing to move, or a move under way: `None`.
    pub(super) fn start(&mut self) -> Option<Arc<Writes>> {
        if self.active.is_empty() || self.moving.is_some() {
            return None;
        }
        let moving = Arc::new(std::mem::take(&mut self.active));
        (self.moving_bytes, self.active_bytes) = (self.active_bytes, 0);
        self.moving = Some(moving.clone());
        Some(moving)
    }
    /// What was moving is in sled.
    pub(super) fn finish(&mut self) {
        self.moving = None;
        self.moving_bytes = 0;
    }
}

/// Two ordered sequences as one; where both have a key, the newer wins.
struct Merge<A: Iterator, B: Iterator> {
    newer: std::iter::Peekable<A>,
    older: std::iter::Peekable<B>,
}

impl<K: Ord, V, A: Iterator<Item = (K, V)>, B: Iterator<Item = (K, V)>> Iterator for Merge<A, B> {
    type Item = (K, V);
    fn next(&mut self) -> Option<(K, V)> {
        match (self.newer.peek(), self.older.peek()) {
            (Some((a, _)), Some((b, _))) if a == b => {
                self.older.next();
                self.newer.next()
            }
            (Some((a, _)), Some((b, _))) if b < a => self.older.next(),
            (Some(_), _) => self.newer.next(),
            (None, _) => self.older.next(),
        }
    }
}
