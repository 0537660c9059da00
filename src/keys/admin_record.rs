//! The links of a drive's admin log: who is a member with what power, who may write, which
//! key holds. Signed by the admin key in force, each naming the one before by hash.

use super::signed::{Domain, Record};
use super::{DriveId, EntryHash, Epoch, Hash, LogId, NodeId, PersonId, Power};
use serde::{Deserialize, Serialize};

/// Longest admin record, encoded.
pub const ADMIN_RECORD_MAX: usize = 256 << 10;
/// Most members of a drive (each epoch record wraps a key to every one).
pub const MEMBERS_MAX: usize = 1024;
/// Most writers a drive ever had.
pub const WRITERS_MAX: usize = 16 << 10;
/// Most records of an admin log.
pub const ADMIN_LOG_MAX: u32 = 64 << 10;

/// One link of the admin log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AdminRecord {
    pub drive: DriveId,
    /// Place in the log; the genesis record is 0.
    pub seq: u32,
    /// [`super::Signed::hash`] of the record before.
    pub previous: Hash,
    pub change: AdminChange,
}

impl Record for AdminRecord {
    const DOMAIN: Domain = Domain::AdminRecord;
    const MAX: usize = ADMIN_RECORD_MAX;
}

/// What an admin record does. New ones are added at the end; one that is not known stops the
/// reader, who must upgrade.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AdminChange {
    /// A new key epoch. The first record of every log begins epoch 1.
    NewEpoch(EpochRecord),
    /// A person becomes a member, or is one with another power or X25519 key.
    AddMember {
        member: Member,
        /// The current epoch's key for it.
        wrap: Wrap,
        /// The invitation used, when no writer record carries it.
        ticket: Option<Hash>,
    },
    /// A person is no longer a member; its writers may append no more. What it could read it
    /// can still read: a new epoch must follow.
    RemoveMember { person: PersonId },
    /// A device may write.
    EnrolWriter(Writer),
    /// A writer is cut off: only ancestors of these entries count.
    CutWriter {
        writer: [u8; 32],
        /// The last valid entry of each of its logs; logs not named are void.
        last: Vec<LastEntry>,
    },
    /// Another admin key rules from the next record on.
    ChangeAdmin {
        admin: [u8; 32],
        /// The new key's signature over drive, sequence and previous hash
        /// ([`Domain::AdminHandover`]): nobody hands over to a key that nobody has.
        consent: Vec<u8>,
        /// The new seed, wrapped to each member with admin power.
        wraps: Vec<Wrap>,
    },
}

/// A member of a drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub person: PersonId,
    /// The person's X25519 key to which keys are wrapped.
    pub exchange_key: [u8; 32],
    pub power: Power,
}

/// A device's writer key in a drive. Its logs are this key and any incarnation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Writer {
    /// Ed25519 key that signs its entries.
    pub key: [u8; 32],
    pub person: PersonId,
    pub node: NodeId,
    /// Repair (adds catalogue records only), write or admin.
    pub power: Power,
    /// First epoch in which it may write.
    pub from: Epoch,
    /// The invitation used; none can be used twice.
    pub ticket: Option<Hash>,
}

/// Where a cut writer's log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastEntry {
    pub log: LogId,
    pub seq: u64,
    pub hash: EntryHash,
}

/// The beginning of a key epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EpochRecord {
    pub epoch: Epoch,
    /// Commitments to the keys of the levels verify, repair, read, in this order.
    pub commitments: [Hash; 3],
    /// One per member, by ascending person.
    pub wraps: Vec<Wrap>,
    /// The previous epoch's key of each level (verify, repair, read) sealed under this
    /// epoch's key of the same level; empty in the first epoch.
    pub previous: Vec<Vec<u8>>,
}

/// A 32-byte key for one member: X25519 with a one-time key, then the seal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wrap {
    pub person: PersonId,
    /// The one-time X25519 public key.
    pub one_time: [u8; 32],
    /// The sealed key.
    pub sealed: Vec<u8>,
}
