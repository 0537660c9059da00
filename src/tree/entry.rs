//! Entries: signed, sealed batches of operations; one link in a writer's log.

use super::Operation;
use crate::content::CatalogueRecord;
use crate::keys::{DriveId, EntryHash, Epoch, Hash, LogId};
use crate::wire::Head;
use serde::{Deserialize, Serialize};

/// The signed part of an entry, in clear.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    pub drive: DriveId,
    pub log: LogId,
    /// 1 for a log's first entry.
    pub seq: u64,
    /// Hash of the log's previous entry; zeros for the first.
    pub previous: EntryHash,
    /// One more than the largest among the entries its author had seen.
    pub lamport: u64,
    /// Epoch whose keys seal the three bodies.
    pub epoch: Epoch,
    /// BLAKE3 of each sealed body.
    pub vector: Hash,
    pub operations: Hash,
    pub catalogue: Hash,
}

/// What an author had seen: heads of logs, news since its own previous entry.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Vector {
    pub heads: Vec<Head>,
    /// Records of the admin log it knew, and the hash of the last.
    pub admin_len: u32,
    pub admin_head: Hash0,
}
/// A hash, or zeros where there is nothing to hash.
pub type Hash0 = [u8; 32];

/// An entry that was verified and opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    pub hash: EntryHash,
    pub header: Header,
    pub vector: Vector,
    /// The author's device label; empty (with no operations) when opened with verify power.
    pub label: String,
    pub operations: Vec<Operation>,
    pub catalogue: Vec<CatalogueRecord>,
}
