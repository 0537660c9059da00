//! A table in memory, for tests and the village.

use super::{Batch, CURSOR_MIN, Cursor, Key, Table, TableError, cursor_of_number, tables};
use std::collections::BTreeMap;

/// An ordered map as a [`Table`]. Cursors are the item's number where it has one,
/// else a hash of it under a fixed key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemTable {
    /// table, length of group, group, cursor, item -> value.
    values: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Do all writes of a batch.
    pub fn commit(&mut self, batch: Batch) {
        for (key, value) in batch.writes {
            match value {
                Some(value) => self.values.insert(flat(&key), value),
                None => self.values.remove(&flat(&key)),
            };
        }
    }

    /// Everything in it, group by group.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &[u8])> {
        self.values.iter().filter_map(|(flat, value)| Some((key_of(flat)?, value.as_slice())))
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True when nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

const LEN: usize = size_of::<u32>();
const CURSOR: usize = size_of::<Cursor>();

fn prefix(table: u8, group: &[u8], room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + LEN + group.len() + room);
    out.push(table);
    out.extend_from_slice(&(group.len() as u32).to_be_bytes());
    out.extend_from_slice(group);
    out
}

fn flat(key: &Key) -> Vec<u8> {
    let mut out = prefix(key.table, &key.group, CURSOR + key.item.len());
    let cursor = match tables::item_number(key.table, &key.item) {
        Some(number) => cursor_of_number(number),
        None => hashed(&key.item),
    };
    out.extend_from_slice(&cursor.to_be_bytes());
    out.extend_from_slice(&key.item);
    out
}

fn key_of(flat: &[u8]) -> Option<Key> {
    let (table, rest) = flat.split_first()?;
    let (len, rest) = rest.split_first_chunk::<LEN>()?;
    let (group, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    let item = rest.get(CURSOR..)?;
    Some(Key { table: *table, group: group.to_vec(), item: item.to_vec() })
}

fn hashed(item: &[u8]) -> Cursor {
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
        Ok(self.values.get(&flat(key)).cloned())
    }

    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        let prefix = prefix(table, group, CURSOR);
        let mut from = prefix.clone();
        from.extend_from_slice(&after.map_or(0, |c| c.saturating_add(1)).to_be_bytes());
        let mut out: Vec<(Cursor, Vec<u8>)> = Vec::new();
        for (flat, value) in self.values.range(from..) {
            let Some(rest) = flat.strip_prefix(&prefix[..]) else { break };
            let Some(cursor) = rest.first_chunk::<CURSOR>() else { break };
            let cursor = Cursor::from_be_bytes(*cursor);
            if out.len() >= limit && out.last().is_some_and(|(last, _)| *last != cursor) {
                break;
            }
            out.push((cursor, value.clone()));
        }
        Ok(out)
    }
}
