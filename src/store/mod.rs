//! This machine's disk: journal, sealed segments, own copies of entries, small state files,
//! and the one place that names sled.
//!
//! Everything here is sealed under a [`LocalKey`](crate::keys::LocalKey), survives a power
//! cut as its type says, and reports damage instead of hiding it. `docs/format.md` gives the
//! formats byte by byte.
#![forbid(unsafe_code)]

mod entries;
mod error;
mod journal;
mod sealed_file;
mod segments;
mod sled_index;
#[cfg(test)]
mod testing;

pub use entries::{EntryLog, EntryLogOpened};
pub use error::{Damage, StoreError};
pub use journal::{Before, Journal, JournalOpened, JournalOptions, JournalStatus, Lsn, Record, Work};
pub use sealed_file::{SealedFile, Stored};
pub use segments::{Place, Segments, SegmentsOptions, SegmentsUse};
pub use sled_index::SledIndexes;
