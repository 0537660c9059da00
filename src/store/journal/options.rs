//! How a journal uses its disk and memory.

use super::frame::{BLOCK, MAX_RECORD};
use std::time::Duration;

/// A frame is closed when its body would be longer than this (or an eighth of a file).
const FRAME_TARGET: usize = 1 << 20;

/// How a journal uses its disk and memory.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Bytes of one file; made a multiple of 4096, at least 64 KiB. A record may have at
    /// most a quarter of it.
    pub file_len: u64,
    /// Bytes that may wait in memory before [`super::Journal::append_wait`] waits;
    /// [`super::Journal::append`] refuses at twice this. At most a quarter of a file.
    pub buffer: usize,
    /// All files together; beyond it the journal is full.
    pub max_len: u64,
    /// Bytes kept aside for a full disk (0: none).
    pub reserve: u64,
    /// Fill files with zeros before use: overwriting syncs twice as fast as appending.
    pub prewrite: bool,
    /// Opening gives no records: somebody knows them all. Only the last frame is opened, and
    /// the others are looked at if something is wrong.
    pub skim: bool,
    /// A change is synced at the latest this long after it was made.
    pub sync_after: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            file_len: 32 << 20,
            buffer: 8 << 20,
            max_len: 8 << 30,
            reserve: 64 << 20,
            prewrite: true,
            skim: false,
            sync_after: Duration::from_millis(900),
        }
    }
}

impl JournalOptions {
    /// The same with what its fields are held to.
    pub(super) fn settled(mut self) -> JournalOptions {
        self.file_len = self.file_len.max(16 * BLOCK).next_multiple_of(BLOCK);
        self.buffer = self.buffer.min((self.file_len / 4) as usize);
        self
    }
    /// The largest payload.
    pub(super) fn max_record(&self) -> usize {
        MAX_RECORD.min((self.file_len / 4) as usize)
    }
    /// A frame is closed when its body would be longer.
    pub(super) fn frame_target(&self) -> usize {
        FRAME_TARGET.min((self.file_len / 8) as usize).min(self.buffer / 2)
    }
}
