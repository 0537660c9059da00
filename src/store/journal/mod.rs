//! The journal: what exists nowhere else, in the order it was written.

use super::{Damage, StoreError};
use crate::keys::LocalKey;
use crate::world::World;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The number of a record, from 1, never used twice in one journal.
pub type Lsn = u64;

/// How a journal uses its disk and memory.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Bytes of one file; a multiple of 4096.
    pub file_len: u64,
    /// Bytes that may wait in memory before [`Journal::append_wait`] waits;
    /// [`Journal::append`] refuses at twice this.
    pub buffer: usize,
    /// All files together; beyond it the journal is full.
    pub max_len: u64,
    /// Bytes kept aside for a full disk (0: none).
    pub reserve: u64,
    /// Fill files with zeros before use: overwriting syncs twice as fast as appending.
    pub prewrite: bool,
    /// A change is synced at the latest this long after it was made.
    pub sync_after: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            file_len: 32 << 20,
            buffer: 16 << 20,
            max_len: 8 << 30,
            reserve: 64 << 20,
            prewrite: true,
            sync_after: Duration::from_millis(900),
        }
    }
}

/// A record as it is read back.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub lsn: Lsn,
    pub kind: u8,
    pub payload: &'a [u8],
}

/// A journal and what was found when it was opened.
pub struct JournalOpened<S> {
    pub journal: Journal,
    /// What the replay made.
    pub state: S,
    /// Records replayed.
    pub records: u64,
    /// Bytes of unsynced, torn frames that were cut off the end.
    pub torn: u64,
    /// Not empty: records are missing at these places. All readable ones were replayed, the
    /// journal goes on, and the files as found are in `aside`.
    pub damage: Vec<Damage>,
    pub aside: Option<PathBuf>,
    /// True when there was no journal.
    pub new: bool,
}

/// How a journal is doing.
#[derive(Clone, Debug, Default)]
pub struct JournalStatus {
    /// The last record accepted.
    pub last: Lsn,
    /// The last record that a power cut cannot take.
    pub durable: Lsn,
    /// Everything up to here was trimmed.
    pub trimmed: Lsn,
    /// Bytes waiting in memory.
    pub buffered: usize,
    /// Bytes of files in use.
    pub disk: u64,
    /// No room: only urgent records are taken until something is trimmed or freed.
    pub full: bool,
    /// The journal has failed for good, with this.
    pub failed: Option<StoreError>,
}

/// An open journal; clones are the same one.
#[derive(Clone)]
pub struct Journal {}

impl Journal {
    /// Open or make the journal in `dir`, giving every record not trimmed, in order, to
    /// `replay`. Must be called inside a tokio runtime: the journal writes from a task.
    pub async fn open<S: Send + 'static>(
        world: &World,
        dir: &Path,
        key: &LocalKey,
        options: JournalOptions,
        state: S,
        replay: impl FnMut(&mut S, Record<'_>) + Send + 'static,
    ) -> Result<JournalOpened<S>, StoreError> {
        todo!()
    }
    /// Accept a record: it is in memory, and on the disk within `sync_after`, or when
    /// [`Journal::sync`] returns. Never blocks.
    pub fn append(&self, kind: u8, payload: &[u8]) -> Result<Lsn, StoreError> {
        todo!()
    }
    /// [`Journal::append`] of a payload in parts.
    pub fn append_parts(&self, kind: u8, parts: &[&[u8]]) -> Result<Lsn, StoreError> {
        todo!()
    }
    /// [`Journal::append_parts`] that is also taken while the journal is full: for records
    /// that make room.
    pub fn append_urgent(&self, kind: u8, parts: &[&[u8]]) -> Result<Lsn, StoreError> {
        todo!()
    }
    /// [`Journal::append_parts`] that waits for room in memory: for bulk data.
    pub async fn append_wait(&self, kind: u8, parts: &[&[u8]]) -> Result<Lsn, StoreError> {
        todo!()
    }
    /// Returns when every record up to `lsn` survives a power cut. One fdatasync serves all
    /// who wait.
    pub async fn sync(&self, lsn: Lsn) -> Result<(), StoreError> {
        todo!()
    }
    /// [`Journal::sync`] of everything accepted so far.
    pub async fn sync_all(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// Records up to `lsn` are no longer needed. Their files are used again, once that is
    /// itself durable.
    pub fn trim(&self, lsn: Lsn) {
        todo!()
    }
    /// Delete the reserve, so that folding and trimming find room on a full disk. It comes
    /// back by itself when there is room.
    pub async fn release_reserve(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// How it is doing.
    pub fn status(&self) -> JournalStatus {
        todo!()
    }
    /// Sync everything and stop the task; later appends answer Closed.
    pub async fn close(&self) -> Result<(), StoreError> {
        todo!()
    }
}
