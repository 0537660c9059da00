//! Own copies of a drive's entries since the last local checkpoint.
//!
//! The file format is that of the journal, under keys of its own ([`Kind::EntryFile`], named
//! by the drive): one directory per drive, one record per entry, kind 1, the payload being
//! the signed entry as it was received or made.

use super::{Damage, Journal, JournalOptions, Lsn, StoreError};
use crate::keys::{DriveId, Kind, LocalKey};
use crate::world::World;
use std::path::Path;
use std::time::Duration;

/// The kind of an entry's record.
const ENTRY: u8 = 1;

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
pub struct EntryLog {
    journal: Journal,
}

impl EntryLog {
    /// Open `dir/<drive>`, giving each entry's number and bytes to `replay`, one at a time.
    /// `skim`: what it holds is known already; of all but the last only the heads are read, and
    /// nothing is given.
    pub async fn open<S: Send + 'static>(
        world: &World,
        dir: &Path,
        drive: &DriveId,
        key: &LocalKey,
        skim: bool,
        state: S,
        mut replay: impl FnMut(&mut S, Lsn, &[u8]) + Send + 'static,
    ) -> Result<EntryLogOpened<S>, StoreError> {
        let options = JournalOptions {
            file_len: 8 << 20,
            buffer: 2 << 20,
            max_len: u64::MAX,
            reserve: 0,
            prewrite: false,
            skim,
            sync_after: Duration::from_millis(900),
        };
        let name = drive.to_string();
        let opened = Journal::open_as(
            world,
            &dir.join(&name),
            key,
            Kind::EntryFile,
            &name,
            options,
            state,
            move |state, record| {
                if record.kind == ENTRY && !skim {
                    replay(state, record.lsn, record.payload);
                }
            },
        )
        .await?;
        Ok(EntryLogOpened {
            log: EntryLog { journal: opened.journal },
            state: opened.state,
            entries: opened.records,
            damage: opened.damage,
        })
    }
    /// Add an entry (at most 2 MiB); durable after [`EntryLog::sync`], or within a second.
    pub async fn append(&self, entry: &[u8]) -> Result<Lsn, StoreError> {
        self.journal.append_wait(ENTRY, &[entry]).await
    }
    /// Everything added so far survives a power cut when this returns.
    pub async fn sync(&self) -> Result<(), StoreError> {
        self.journal.sync_all().await
    }
    /// Entries up to `lsn` are inside a checkpoint that is durable: forget them. Only what is
    /// durable itself can be forgotten.
    pub fn checkpointed(&self, lsn: Lsn) {
        self.journal.trim(lsn);
    }
    /// Sync and stop.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.journal.close().await
    }
}

#[cfg(test)]
mod tests;
