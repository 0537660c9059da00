//! Writes not yet committed, over a table: one step of the fold, with what it takes back.

use super::state::{decode, tables};
use super::{Batch, Key, Place, Table, TableError, View, Xattr};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

type Values = BTreeMap<Key, Option<Vec<u8>>>;

/// A table with changes on top of it that become one [`Batch`].
pub struct Overlay<'a> {
    base: &'a dyn Table,
    writes: Values,
    /// What the base has under the keys read or written (None: nothing): each is asked once,
    /// since a real base decrypts.
    before: RefCell<Values>,
    /// Values since the last [`Overlay::mark`], as they were then.
    undo: Values,
    /// What was read and written since then.
    footprint: RefCell<Footprint>,
}

/// What a change reads (which includes what it writes) and what it writes: sorted hashes of
/// keys, and of groups that are read or changed as a whole. Two changes whose footprints do
/// not meet do the same in either order; a collision only makes them seem to meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    pub reads: Vec<u64>,
    pub writes: Vec<u64>,
}

fn hash_of(table: u8, group: &[u8], item: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (table, group, item).hash(&mut hasher);
    hasher.finish()
}

/// One value that differs from the base.
pub(super) struct Changed<'o> {
    pub key: &'o Key,
    pub old: Option<Vec<u8>>,
    pub new: Option<&'o Vec<u8>>,
}

impl<'a> Overlay<'a> {
    /// Nothing written yet.
    pub fn new(base: &'a dyn Table) -> Self {
        Overlay {
            base,
            writes: Values::new(),
            before: RefCell::default(),
            undo: Values::new(),
            footprint: RefCell::default(),
        }
    }

    /// The state as written so far.
    pub fn view(&self) -> View<'_> {
        View(self)
    }

    /// Write (None: remove).
    pub fn put(&mut self, key: Key, value: Option<Vec<u8>>) -> Result<(), TableError> {
        let old = self.get(&key)?;
        if old != value {
            if key.table < tables::LOCAL {
                let writes = &mut self.footprint.get_mut().writes;
                writes.push(hash_of(key.table, &key.group, Some(&key.item)));
                writes.push(hash_of(key.table, &key.group, None));
                if !self.undo.contains_key(&key) {
                    self.undo.insert(key.clone(), old);
                }
            }
            self.writes.insert(key, value);
        }
        Ok(())
    }

    /// Write what the base is known not to have, without asking it. Never of the state itself.
    pub(super) fn put_new(&mut self, key: Key, value: Vec<u8>) {
        debug_assert!(key.table >= tables::LOCAL);
        self.writes.insert(key, Some(value));
    }

    /// From here on changes to the state belong to a new undo.
    pub fn mark(&mut self) {
        self.undo.clear();
        *self.footprint.get_mut() = Footprint::default();
    }

    /// What was read and written of the state since the last [`Overlay::mark`].
    pub(super) fn take_footprint(&mut self) -> Footprint {
        let mut footprint = std::mem::take(self.footprint.get_mut());
        for hashes in [&mut footprint.reads, &mut footprint.writes] {
            hashes.sort_unstable();
            hashes.dedup();
            hashes.shrink_to_fit();
        }
        footprint
    }

    /// What gives back the state of the last [`Overlay::mark`].
    pub fn take_undo(&mut self) -> Batch {
        Batch { writes: std::mem::take(&mut self.undo).into_iter().collect() }
    }

    /// Write all of a batch.
    pub fn put_all(&mut self, batch: Batch) -> Result<(), TableError> {
        batch.writes.into_iter().try_for_each(|(key, value)| self.put(key, value))
    }

    /// Everything that differs from the base, in key order.
    pub fn into_batch(self) -> Batch {
        let Overlay { writes, before, .. } = self;
        let before = before.into_inner();
        let changed = |(k, v): &(Key, Option<Vec<u8>>)| before.get(k) != Some(v);
        Batch { writes: writes.into_iter().filter(changed).collect() }
    }

    /// Values of state tables that differ from the base.
    pub(super) fn changes(&self) -> impl Iterator<Item = Changed<'_>> {
        self.writes.iter().take_while(|(key, _)| key.table < tables::LOCAL).filter_map(|(key, new)| {
            let before = self.before.borrow();
            let old = before.get(key).and_then(Option::as_ref);
            (old != new.as_ref()).then(|| Changed { key, old: old.cloned(), new: new.as_ref() })
        })
    }
}

/// The item under which a value of a group lies, for the tables whose groups are read whole
/// while operations are applied.
fn item_of(table: u8, value: &[u8]) -> Result<Vec<u8>, TableError> {
    match table {
        tables::NAME => {
            let place: Place = decode("a name", value)?;
            let mut item = super::id_bytes(&place.parent);
            item.extend_from_slice(&place.name);
            Ok(item)
        }
        tables::XATTR => Ok(decode::<Xattr>("an extended attribute", value)?.name),
        tables::PACKED => {
            Ok(decode::<super::PackedChunk>("a packed chunk", value)?.chunk.as_bytes().to_vec())
        }
        other => Err(TableError(format!("table {other} cannot be scanned over uncommitted writes"))),
    }
}

impl Table for Overlay<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, TableError> {
        if key.table < tables::LOCAL {
            let hash = hash_of(key.table, &key.group, Some(&key.item));
            self.footprint.borrow_mut().reads.push(hash);
        }
        if let Some(value) = self.writes.get(key) {
            return Ok(value.clone());
        }
        if let Some(value) = self.before.borrow().get(key) {
            return Ok(value.clone());
        }
        let value = self.base.get(key)?;
        self.before.borrow_mut().insert(key.clone(), value.clone());
        Ok(value)
    }

    /// Small groups only, whole, in no order: cursors mean nothing here.
    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<super::Cursor>,
        limit: usize,
    ) -> Result<Vec<(super::Cursor, Vec<u8>)>, TableError> {
        self.footprint.borrow_mut().reads.push(hash_of(table, group, None));
        let first = Key { table, group: group.to_vec(), item: Vec::new() };
        let written =
            || self.writes.range(&first..).take_while(|(k, _)| k.table == table && k.group == group);
        if written().next().is_none() {
            return self.base.scan(table, group, after, limit);
        }
        let mut out = Vec::new();
        if after.is_some() {
            return Ok(out);
        }
        let mut from = None;
        loop {
            let page = self.base.scan(table, group, from, limit)?;
            let more = page.len() >= limit;
            from = page.last().map(|(c, _)| *c);
            for (cursor, value) in page {
                let key = Key { table, group: group.to_vec(), item: item_of(table, &value)? };
                if !self.writes.contains_key(&key) {
                    out.push((cursor, value));
                }
            }
            if !more {
                break;
            }
        }
        out.extend(written().filter_map(|(_, v)| v.clone()).map(|v| (super::CURSOR_MIN + 1, v)));
        Ok(out)
    }
}
