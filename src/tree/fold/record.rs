//! What the fold keeps in its tables.

use super::super::state::{decode, encode, entry_key, ordinal_key, tables};
use super::super::{Batch, Key, Opened, Operation, Overlay, Table, TableError, TimeNs, View};
use crate::content::CatalogueRecord;
use crate::keys::{EntryHash, LogId};
use crate::wire::Head;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An entry's place in the total order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct OrderKey {
    pub lamport: u64,
    pub log: LogId,
    pub hash: EntryHash,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// This device's log.
    pub log: Option<LogId>,
    /// Entries applied: their records are numbered from 0.
    pub applied: u64,
    /// The last of them, and since when it stands there.
    pub last: Option<OrderKey>,
    pub since: TimeNs,
    /// The next place in the tail.
    pub next: u64,
    /// The largest operation number this log used.
    pub number: u64,
}

/// Head of a log, or of a branch of a forked one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct HeadRecord {
    pub log: LogId,
    pub seq: u64,
    pub hash: EntryHash,
    pub lamport: u64,
    /// An entry of this device's log has said that it saw this.
    pub told: bool,
}

impl HeadRecord {
    pub fn head(&self) -> Head {
        Head { log: self.log, seq: self.seq, hash: self.hash }
    }
    fn key(&self) -> Key {
        let item = [&self.log.0[..], &self.hash.0[..]].concat();
        Key { table: tables::HEAD, group: Vec::new(), item }
    }
    pub fn put(&self, over: &mut Overlay<'_>) -> Result<(), TableError> {
        over.put(self.key(), Some(encode(self)))
    }
    pub fn remove(&self, over: &mut Overlay<'_>) -> Result<(), TableError> {
        over.put(self.key(), None)
    }
}

/// What is known of an entry that was taken in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Known {
    pub log: LogId,
    pub seq: u64,
    /// The counter it should have had: one more than the largest it had seen.
    pub lamport: u64,
    /// Its own counter was another, or it does not fit its chain: it has no effect.
    pub ignored: bool,
}

impl Known {
    pub fn read(table: &dyn Table, hash: &EntryHash) -> Result<Option<Known>, TableError> {
        View(table).record(&entry_key(tables::ENTRY, hash), "an entry")
    }
    pub fn put(&self, over: &mut Overlay<'_>, hash: &EntryHash) -> Result<(), TableError> {
        over.put(entry_key(tables::ENTRY, hash), Some(encode(self)))
    }
}

/// What replaying an entry needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Body {
    pub label: String,
    pub operations: Vec<Operation>,
    pub catalogue: Vec<CatalogueRecord>,
}

impl Body {
    pub fn read(table: &dyn Table, hash: &EntryHash) -> Result<Body, TableError> {
        let body = View(table).record(&entry_key(tables::BODY, hash), "an entry's body")?;
        body.ok_or_else(|| TableError("an entry's body is missing".into()))
    }
    pub fn put(&self, over: &mut Overlay<'_>, hash: &EntryHash) -> Result<(), TableError> {
        over.put(entry_key(tables::BODY, hash), Some(encode(self)))
    }
}

/// An entry whose dependencies are missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Waiting {
    pub entry: Opened,
    pub missing: BTreeSet<EntryHash>,
}

impl Waiting {
    pub fn key(hash: &EntryHash) -> Key {
        Key { table: tables::WAITING, group: Vec::new(), item: hash.0.to_vec() }
    }
}

/// A pending operation's record.
pub struct Pending {
    /// Place in the tail.
    pub at: u64,
    pub op: Operation,
    pub undo: Batch,
}

impl Pending {
    pub fn read(table: &dyn Table, at: u64) -> Result<Pending, TableError> {
        let bytes = table.get(&ordinal_key(tables::PENDING, at))?;
        Pending::parse(&bytes.ok_or_else(|| TableError(format!("pending operation at {at} is missing")))?)
    }
    /// All of them, in no order.
    pub fn all(table: &dyn Table) -> Result<Vec<Pending>, TableError> {
        let mut out = Vec::new();
        let mut after = None;
        loop {
            let page = table.scan(tables::PENDING, &[], after, 256)?;
            let more = page.len() >= 256;
            after = page.last().map(|(cursor, _)| *cursor);
            for (_, bytes) in page {
                out.push(Pending::parse(&bytes)?);
            }
            if !more {
                return Ok(out);
            }
        }
    }
    fn parse(bytes: &[u8]) -> Result<Pending, TableError> {
        let damaged = |_| TableError("a pending operation is damaged".into());
        let ((at, op), undo) = postcard::take_from_bytes(bytes).map_err(damaged)?;
        Ok(Pending { at, op, undo: read_undo(undo)? })
    }
    pub fn put(&self, over: &mut Overlay<'_>) -> Result<(), TableError> {
        let mut bytes = encode(&(self.at, &self.op));
        write_undo(&mut bytes, &self.undo);
        over.put(ordinal_key(tables::PENDING, self.at), Some(bytes))
    }
    pub fn remove(over: &mut Overlay<'_>, at: u64) -> Result<(), TableError> {
        over.put(ordinal_key(tables::PENDING, at), None)
    }
}

/// Keys and previous values, each as length and bytes. (serde would go byte by byte.)
fn write_undo(out: &mut Vec<u8>, undo: &Batch) {
    for (key, value) in &undo.writes {
        write_value(out, key, value.as_deref());
    }
}

pub(super) fn write_value(out: &mut Vec<u8>, key: &Key, value: Option<&[u8]>) {
    out.push(key.table);
    out.push(u8::from(value.is_some()));
    let parts = [Some(&key.group[..]), Some(&key.item[..]), value];
    for part in parts.into_iter().flatten() {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes()[..4]);
        out.extend_from_slice(part);
    }
}

pub(super) fn read_undo(mut bytes: &[u8]) -> Result<Batch, TableError> {
    let mut out = Batch::default();
    while let Some(([table, some], rest)) = bytes.split_first_chunk() {
        bytes = rest;
        let mut part = || {
            let (len, rest) = bytes.split_first_chunk::<4>()?;
            let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            bytes = rest;
            Some(part.to_vec())
        };
        let damaged = || TableError("an undo record is damaged".into());
        let group = part().ok_or_else(damaged)?;
        let item = part().ok_or_else(damaged)?;
        let value = if *some == 1 { Some(part().ok_or_else(damaged)?) } else { None };
        out.writes.push((Key { table: *table, group, item }, value));
    }
    if bytes.is_empty() { Ok(out) } else { Err(TableError("an undo record is cut short".into())) }
}

pub fn read_waiting(table: &dyn Table, hash: &EntryHash) -> Result<Option<Waiting>, TableError> {
    table.get(&Waiting::key(hash))?.map(|bytes| decode("a waiting entry", &bytes)).transpose()
}
