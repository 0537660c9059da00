//! A table in memory, for tests and the village.

use super::{Batch, CURSOR_MIN, Cursor, Key, Table, TableError};
use std::collections::BTreeMap;

/// An ordered map as a [`Table`]. Cursors are a hash of the item under a fixed key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemTable {
    groups: BTreeMap<(u8, Vec<u8>), BTreeMap<(Cursor, Vec<u8>), Vec<u8>>>,
}

impl MemTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Do all writes of a batch.
    pub fn commit(&mut self, batch: Batch) {
        for (key, value) in batch.writes {
            let at = (cursor(&key.item), key.item);
            match value {
                Some(v) => {
                    self.groups.entry((key.table, key.group)).or_default().insert(at, v);
                }
                None => {
                    let group = (key.table, key.group);
                    if let Some(items) = self.groups.get_mut(&group) {
                        items.remove(&at);
                        if items.is_empty() {
                            self.groups.remove(&group);
                        }
                    }
                }
            }
        }
    }

    /// Everything in it, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &[u8])> {
        self.groups.iter().flat_map(|((table, group), items)| {
            items.iter().map(move |((_, item), value)| {
                (Key { table: *table, group: group.clone(), item: item.clone() }, value.as_slice())
            })
        })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.groups.values().map(BTreeMap::len).sum()
    }

    /// True when nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

fn cursor(item: &[u8]) -> Cursor {
    // FNV-1a and a finalizer: stable, cheap, spread well enough for an offset.
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    for b in item {
        h = (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
    }
    h ^= h >> 32;
    // The top bit stays free: offsets are signed for the kernel.
    (h & (u64::MAX >> 1)).max(CURSOR_MIN + 1)
}

impl Table for MemTable {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, TableError> {
        let at = (cursor(&key.item), key.item.clone());
        Ok(self.groups.get(&(key.table, key.group.clone())).and_then(|g| g.get(&at)).cloned())
    }

    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        let Some(items) = self.groups.get(&(table, group.to_vec())) else { return Ok(Vec::new()) };
        let from = after.map_or(0, |c| c.saturating_add(1));
        let mut out: Vec<(Cursor, Vec<u8>)> = Vec::new();
        for ((c, _), value) in items.range((from, Vec::new())..) {
            if out.len() >= limit && out.last().is_some_and(|(last, _)| last != c) {
                break;
            }
            out.push((*c, value.clone()));
        }
        Ok(out)
    }
}
