//! Own copies of a drive's entries since the last local checkpoint.

use super::{Damage, Lsn, StoreError};
use crate::keys::{DriveId, LocalKey};
use crate::world::World;
use std::path::Path;

/// Entries as found at opening.
pub struct EntryLogOpened<S> {
    pub log: EntryLog,
    pub state: S,
    pub entries: u64,
    /// Not empty: entries are missing and must be fetched from holders again.
    pub damage: Vec<Damage>,
}

/// All entries of one drive, as signed, in the order in which this device took them in.
#[derive(Clone)]
pub struct EntryLog {}

impl EntryLog {
    /// Open `dir/<drive>`, giving each entry's bytes to `replay`.
    pub async fn open<S: Send + 'static>(
        world: &World,
        dir: &Path,
        drive: &DriveId,
        key: &LocalKey,
        state: S,
        replay: impl FnMut(&mut S, Lsn, &[u8]) + Send + 'static,
    ) -> Result<EntryLogOpened<S>, StoreError> {
        todo!()
    }
    /// Add an entry; durable after [`EntryLog::sync`], or within a second.
    pub async fn append(&self, entry: &[u8]) -> Result<Lsn, StoreError> {
        todo!()
    }
    pub async fn sync(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// Entries up to `lsn` are inside a checkpoint that is durable: forget them.
    pub fn checkpointed(&self, lsn: Lsn) {
        todo!()
    }
    pub async fn close(&self) -> Result<(), StoreError> {
        todo!()
    }
}
