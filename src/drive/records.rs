//! Records of the drive's journal: what exists nowhere else.
//!
//! Data comes in groups: parts ([`SEALED`], [`DATA`]), then one [`COMMIT`] that makes them
//! count. A group is the difference between the file at one moment and the group before, so
//! that what a crash leaves of a file is what it was at some moment.

use crate::content::{Coding, Content, SharePlace};
use crate::keys::{ChunkId, Epoch, Hash, PackId};
use crate::tree::{ObjectId, OpId, Operation, TimeNs};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A pending operation: [`Operation`].
pub const OP: u8 = 1;
/// Bytes of a file: [`DataHead`], then the bytes.
pub const DATA: u8 = 2;
/// A chunk in the own segments: [`SealedPart`].
pub const SEALED: u8 = 3;
/// End of a group, from before groups were counted: [`UncountedCommit`]. Read, not written.
pub const COMMIT_UNCOUNTED: u8 = 4;
/// A file settled: [`Settled`]; its groups so far are part of the operation's content.
pub const SETTLED: u8 = 5;
/// As [`SETTLED`], told again by a compaction: the groups stay.
pub const PENDING: u8 = 6;
/// A file's groups are void: [`ObjectId`].
pub const DISCARDED: u8 = 7;
/// A pack is about to be uploaded: [`PackIntent`].
pub const PACK: u8 = 8;
/// A holder has a share: [`Placed`].
pub const PLACED: u8 = 9;
/// A pack needs no more attention: [`PackId`].
pub const PACK_DONE: u8 = 10;
/// Pending operations that will never be published: their numbers.
pub const CANCELLED: u8 = 11;
/// Enough households have this device's entries up to this one: its number.
pub const ENTRIES_SAFE: u8 = 12;
/// End of a group: [`Commit`].
pub const COMMIT: u8 = 13;
/// Pending operations that count together: several [`Operation`]s.
pub const OPS: u8 = 14;

#[derive(Serialize, Deserialize)]
pub struct DataHead {
    pub object: ObjectId,
    pub offset: u64,
}

#[derive(Serialize, Deserialize)]
pub struct SealedPart {
    pub object: ObjectId,
    pub index: u64,
    pub chunk: crate::content::ChunkRef,
    pub valid: Vec<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
pub struct Commit {
    pub object: ObjectId,
    /// The file's last so many parts are the group. Others before them were left behind by a
    /// group that failed; when there are fewer, the journal is damaged where the rest was.
    pub parts: u32,
    /// Forget earlier groups: this one is the whole difference to the base.
    pub base: Option<Base>,
    /// The file was cut here (before the parts of this group).
    pub cut: Option<u64>,
    pub size: u64,
    pub mtime: TimeNs,
}

/// A [`Commit`] of all parts since the one before.
#[derive(Serialize, Deserialize)]
pub struct UncountedCommit {
    pub object: ObjectId,
    pub base: Option<Base>,
    pub cut: Option<u64>,
    pub size: u64,
    pub mtime: TimeNs,
}

/// The content that a file's groups differ from.
#[derive(Clone, Serialize, Deserialize)]
pub struct Base {
    pub version: Option<OpId>,
    pub content: Content,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Settled {
    pub op: Operation,
    /// Chunks sealed for it, data and nodes, in the order of the file.
    pub chunks: Vec<ChunkId>,
    /// A version that no friend has had, which this one takes the place of.
    pub replaces: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PackIntent {
    pub pack: PackId,
    pub epoch: Epoch,
    pub coding: Coding,
    pub len: u64,
    pub data_roots: Vec<Hash>,
    pub chunks: Vec<(ChunkId, u64)>,
}

#[derive(Serialize, Deserialize)]
pub struct Placed {
    pub pack: PackId,
    pub place: SharePlace,
}

/// The bytes of a record.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    crate::keys::encode(value)
}

/// A record from its bytes; what follows it is given back.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}

/// A record that nothing follows.
pub fn decode_whole<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    decode(bytes).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}
