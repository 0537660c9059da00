//! An index in memory, and the one rule by which keys are blinded and ordered.

use super::{Found, Index, Indexes, Opened};
use crate::keys::{Purpose, derive};
use crate::tree::{Batch, CURSOR_MIN, Cursor, Key, Table, TableError, cursor_of_number, tables};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a blinded key: table, group, item.
pub const BLINDED_LEN: usize = 1 + PART_LEN + PART_LEN;
/// Bytes that stand for a group, and for an item.
const PART_LEN: usize = 16;

/// A key as an index stores it: nobody without the blinder's key can tell what it names.
pub type Blinded = [u8; BLINDED_LEN];

/// Turns keys into blinded ones and gives the order inside a group.
///
/// A group is 16 bytes of its keyed hash; where it has a number ([`tables::group_number`]), that
/// number and 8 bytes of the hash: so things made together lie together, and what an index shows
/// to somebody without the key is how many there are.
///
/// An item is its cursor and 8 more bytes of its keyed hash. The cursor is the first 8 bytes,
/// big-endian, of the hash, or the item's number where it has one ([`tables::item_number`]); its
/// top bit is kept clear so that it is also a good `off_t`, and it lies above [`CURSOR_MIN`].
#[derive(Clone)]
pub struct Blinder {
    group: [u8; 32],
    item: [u8; 32],
}

fn first_8(hash: &blake3::Hash) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    [a, b, c, d, e, f, g, h]
}

impl Blinder {
    /// A blinder under an index key.
    pub fn new(key: &[u8; 32]) -> Blinder {
        let part = |name: &[u8]| *derive(Purpose::IndexBlind, key, &[name]);
        Blinder { group: part(b"group"), item: part(b"item") }
    }
    /// The stored form of a key.
    pub fn key(&self, key: &Key) -> Blinded {
        let hash = blake3::keyed_hash(&self.item, &key.item);
        let cursor = match tables::item_number(key.table, &key.item) {
            Some(number) => cursor_of_number(number),
            None => settle(u64::from_be_bytes(first_8(&hash))),
        };
        let mut out = self.prefix(key.table, &key.group, cursor);
        out[BLINDED_LEN - 8..].copy_from_slice(&hash.as_bytes()[8..16]);
        out
    }
    /// The first possible key of a group at a cursor.
    pub fn prefix(&self, table: u8, group: &[u8], cursor: Cursor) -> Blinded {
        let mut out = [0; BLINDED_LEN];
        out[0] = table;
        let hash = blake3::keyed_hash(&self.group, group);
        match tables::group_number(table, group) {
            Some(number) => {
                out[1..9].copy_from_slice(&number.to_be_bytes());
                out[9..1 + PART_LEN].copy_from_slice(&first_8(&hash));
            }
            None => out[1..1 + PART_LEN].copy_from_slice(&hash.as_bytes()[..PART_LEN]),
        }
        out[1 + PART_LEN..1 + PART_LEN + 8].copy_from_slice(&cursor.to_be_bytes());
        out
    }
    /// The keys of a group strictly after a cursor: the first and the last there may be.
    pub fn range(&self, table: u8, group: &[u8], after: Option<Cursor>) -> (Blinded, Blinded) {
        let from = after.map_or(0, |c| c.saturating_add(1));
        let mut last = self.prefix(table, group, u64::MAX);
        last[BLINDED_LEN - 8..].fill(0xff);
        (self.prefix(table, group, from), last)
    }
}

/// The cursor inside a blinded key.
pub fn cursor_of(key: &Blinded) -> Cursor {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&key[1 + PART_LEN..1 + PART_LEN + 8]);
    u64::from_be_bytes(bytes)
}

/// A raw hash made into a cursor: 63 bits, and not a reserved one.
fn settle(raw: u64) -> Cursor {
    let cursor = raw & (u64::MAX >> 1);
    if cursor <= CURSOR_MIN { cursor + CURSOR_MIN + 1 } else { cursor }
}

/// Takes `limit` items in cursor order, then those that share the last one's cursor.
pub fn take_page(items: impl Iterator<Item = (Blinded, Vec<u8>)>, limit: usize) -> Vec<(Cursor, Vec<u8>)> {
    let mut page: Vec<(Cursor, Vec<u8>)> = Vec::new();
    for (key, value) in items {
        let cursor = cursor_of(&key);
        if page.len() >= limit.max(1) && page.last().is_some_and(|(last, _)| *last != cursor) {
            break;
        }
        page.push((cursor, value));
    }
    page
}

/// Indexes that live as long as the process: each one opened is new and empty.
#[derive(Default)]
pub struct MemIndexes;

/// One of them.
pub struct MemIndex {
    blinder: Blinder,
    map: RwLock<BTreeMap<Blinded, Vec<u8>>>,
}

impl MemIndex {
    /// An empty index whose order comes from `key`.
    pub fn new(key: &[u8; 32]) -> MemIndex {
        MemIndex { blinder: Blinder::new(key), map: RwLock::default() }
    }
}

impl Indexes for MemIndexes {
    fn open(&self, _dir: &Path, key: &[u8; 32]) -> Result<Opened, TableError> {
        Ok(Opened { index: Arc::new(MemIndex::new(key)), found: Found::Nothing })
    }
}

impl Table for MemIndex {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.map.read().get(&self.blinder.key(key)).cloned())
    }
    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        let map = self.map.read();
        let (first, last) = self.blinder.range(table, group, after);
        let range = map.range(first..=last);
        Ok(take_page(range.map(|(k, v)| (*k, v.clone())), limit))
    }
}

impl Index for MemIndex {
    fn commit(&self, batch: Batch) -> Result<(), TableError> {
        let keyed: Vec<_> = batch.writes.into_iter().map(|(k, v)| (self.blinder.key(&k), v)).collect();
        let mut map = self.map.write();
        for (key, value) in keyed {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }
    fn flush(&self) -> Result<(), TableError> {
        Ok(())
    }
    fn close(&self) -> Result<(), TableError> {
        Ok(())
    }
}
