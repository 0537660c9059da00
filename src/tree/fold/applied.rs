//! Records of applied entries: their places in the order, and what takes them back.
//!
//! What an entry changed of names, inodes and contents is kept by what it changed, so that the state
//! of any moment can be read without rewinding ([`super::super::Moment`]); the rest in one record.

use super::super::state::{Before, Stood, before_key, encode, id_bytes, is_kept, ordinal_key, tables};
use super::super::{Batch, Key, Overlay, Table, TableError, TimeNs, View};
use super::record::{OrderKey, read_undo, write_value};
use std::collections::BTreeSet;

/// An applied entry.
pub struct Applied {
    pub order: OrderKey,
    /// When it was made, as far as that is believed: see [`Stood`].
    pub since: TimeNs,
    /// Previous values of what it changed.
    pub undo: Batch,
}

impl Applied {
    pub fn read(table: &dyn Table, ordinal: u64) -> Result<Applied, TableError> {
        let stood = stood(table, ordinal)?;
        let bytes = table.get(&ordinal_key(tables::APPLIED, ordinal))?;
        let bytes =
            bytes.ok_or_else(|| TableError(format!("the record of applied entry {ordinal} is missing")))?;
        let (kept, rest) = postcard::take_from_bytes::<Vec<Kept>>(&bytes)
            .map_err(|_| TableError(format!("the record of applied entry {ordinal} is damaged")))?;
        let mut undo = read_undo(rest)?;
        for Kept { table: number, group, item } in kept {
            let key = Key { table: number, group, item };
            let before: Option<Before> = View(table).record(&before_key(&key, ordinal), "a former value")?;
            let before = before.ok_or_else(|| TableError("a former value is missing".into()))?;
            undo.writes.push((key, before.value.map(serde_bytes::ByteBuf::into_vec)));
        }
        Ok(Applied { order: stood.order, since: stood.since, undo })
    }

    /// Nothing was recorded under this ordinal, or it was removed.
    pub fn put(&self, over: &mut Overlay<'_>, ordinal: u64) {
        let made = self.made();
        let (mut kept, mut rest) = (Vec::new(), Vec::new());
        for (key, value) in &self.undo.writes {
            if !is_kept(key.table) || made.contains(&key.group) {
                write_value(&mut rest, key, value.as_deref());
                continue;
            }
            let before = Before {
                entry: ordinal,
                item: key.item.clone(),
                value: value.clone().map(serde_bytes::ByteBuf::from),
            };
            over.put_new(before_key(key, ordinal), encode(&before));
            kept.push(Kept { table: key.table, group: key.group.clone(), item: key.item.clone() });
        }
        let mut bytes = encode(&kept);
        bytes.extend(rest);
        over.put_new(ordinal_key(tables::APPLIED, ordinal), bytes);
        over.put_new(
            ordinal_key(tables::STOOD, ordinal),
            encode(&Stood { order: self.order, since: self.since }),
        );
    }

    /// Objects that the entry made, as groups: nobody gets at them before, so that nothing is to be
    /// kept of how they were not there.
    fn made(&self) -> BTreeSet<Vec<u8>> {
        let inodes =
            self.undo.writes.iter().filter(|(key, value)| key.table == tables::INODE && value.is_none());
        let root = id_bytes(&super::super::ROOT);
        inodes.map(|(key, _)| key.group.clone()).filter(|group| *group != root).collect()
    }

    pub fn remove(&self, over: &mut Overlay<'_>, ordinal: u64) -> Result<(), TableError> {
        let made = self.made();
        for (key, _) in &self.undo.writes {
            if is_kept(key.table) && !made.contains(&key.group) {
                over.put(before_key(key, ordinal), None)?;
            }
        }
        over.put(ordinal_key(tables::APPLIED, ordinal), None)?;
        over.put(ordinal_key(tables::STOOD, ordinal), None)
    }
}

/// A key of which a [`Before`] has the value.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    table: u8,
    #[serde(with = "serde_bytes")]
    group: Vec<u8>,
    #[serde(with = "serde_bytes")]
    item: Vec<u8>,
}

/// Which entry stands at a place of the order.
pub fn stood(table: &dyn Table, ordinal: u64) -> Result<Stood, TableError> {
    let stood: Option<Stood> =
        View(table).record(&ordinal_key(tables::STOOD, ordinal), "an applied entry")?;
    stood.ok_or_else(|| TableError(format!("the place of applied entry {ordinal} is missing")))
}
