//! What the rooms above ask of the grid, and what it tells them.

use crate::content::{Coding, SharePlace};
use crate::keys::{DriveId, Epoch, Hash, LogId, NodeId, PackId, PersonId, ShareId, Signed};
use crate::wire::{Day, Head, Refusal, Statement};
use std::time::Duration;

/// What the grid needs to know of a drive that is open here. Implemented by the live drive.
/// Calls may block on the disk; the grid makes them inside [`crate::world::World::blocking`].
pub trait DriveAccess: Send + Sync + 'static {
    fn drive(&self) -> DriveId;
    /// The epoch in force here.
    fn epoch(&self) -> Epoch;
    /// The token that lets one read, at a holder, shares sealed in `epoch`, or (the current
    /// epoch's) the logs: [`crate::keys::DriveKeys::read_token`].
    fn read_token(&self, epoch: Epoch, holder: &NodeId) -> Result<[u8; 32], String>;
    /// Undo the holder seal on bytes that begin `offset` bytes into a share.
    fn unseal(&self, pack: &PackId, place: &SharePlace, offset: u64, bytes: &mut [u8]) -> Result<(), String>;
    /// Genesis and admin-log records so far, in order.
    fn admin(&self) -> Vec<Signed>;
    /// A read found that a share is not what its holder promised to keep: by its own signed
    /// word, or it gave wrong bytes.
    fn share_lost(&self, pack: &PackId, place: &SharePlace);
    /// Shares that this person's account leases at friends: every one, or why that is not known
    /// now. What is not on the list is not renewed, and may be let go.
    fn leased(&self) -> Result<Vec<super::LeasedShare>, String>;
    /// Those of them that are known, where not all are: to be prolonged, and no more.
    fn leased_known(&self) -> Vec<super::LeasedShare> {
        self.leased().unwrap_or_default()
    }
    /// Highest entry held here of every log (its bytes are given by [`DriveAccess::entries`]).
    fn vector(&self) -> Vec<Head>;
    /// Entries of one log after sequence number `after` as signed bytes, in order: at least
    /// one if there is one, then while they fit into `max_bytes`.
    fn entries(&self, log: &LogId, after: u64, max_bytes: usize) -> Vec<Vec<u8>>;
}

/// An encoded pack, ready to be sealed for holders. Calls are CPU work and are made inside
/// [`crate::world::World::blocking`].
pub trait PackSource: Send + Sync + 'static {
    fn pack(&self) -> PackId;
    /// Epoch of the repair key in the holder seals made here.
    fn seal_epoch(&self) -> Epoch;
    /// Bytes of every share.
    fn share_len(&self) -> u64;
    /// Share `number` (0..k data, k.. parity; numbers >= n can be minted), sealed for `holder`.
    fn seal(&self, number: u16, holder: &NodeId) -> Result<SealedShare, String>;
}

/// One share as it goes to its holder.
#[derive(Clone, Debug)]
pub struct SealedShare {
    /// BLAKE3 root of `bytes`.
    pub id: ShareId,
    pub bytes: bytes::Bytes,
}

/// A range of a pack's byte stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackRange {
    pub offset: u64,
    pub len: u32,
}

/// How well something is kept, by the number of distinct households that hold it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Fewer than k.
    Local,
    /// At least k: it can be read by others.
    Published,
    /// At least k + margin: any margin of them may vanish. Never with margin 0.
    Safe,
    /// n: any n - k may vanish. With margin 0 this is called thin.
    Full,
}

impl Level {
    /// The level reached when `households` distinct households hold shares.
    pub fn of(coding: Coding, households: usize) -> Level {
        let (k, n, margin) = (coding.k as usize, coding.n as usize, coding.margin() as usize);
        match households {
            h if h >= n => Level::Full,
            h if margin > 0 && h >= k + margin => Level::Safe,
            h if h >= k => Level::Published,
            _ => Level::Local,
        }
    }
}

/// News of an upload, in the order in which it happens.
#[derive(Clone, Debug)]
pub enum UploadEvent {
    /// A holder has a share, synced; its receipt was verified.
    Placed {
        place: SharePlace,
        receipt: Signed,
        /// Level of the pack with this share, counting those given as already placed.
        level: Level,
    },
    /// A holder will not take it; the refusal says its limit.
    Refused { holder: NodeId, number: u16, refusal: Refusal },
    /// A holder could not be reached, or answered nonsense.
    Failed { holder: NodeId, number: u16, why: String },
    /// A holder has not answered for a while; a spare was asked as well if there is one.
    Slow { holder: NodeId, number: u16 },
    /// Nothing more can be done now; upload again with `placed` when friends return.
    Finished { placed: Vec<SharePlace>, missing: Vec<u16> },
}

/// News of an append, in the order in which it happens.
#[derive(Clone, Debug)]
pub enum AppendEvent {
    /// A holder has the drive's logs up to these heads, synced.
    Acked {
        holder: NodeId,
        household: Hash,
        heads: Vec<Head>,
    },
    Refused {
        holder: NodeId,
        refusal: Refusal,
    },
    Failed {
        holder: NodeId,
        why: String,
    },
    /// Every holder has answered or failed; `households` distinct ones acknowledged.
    Finished {
        households: usize,
    },
}

/// Something newer about a drive, from one holder. Entries are as received: not yet opened,
/// only known to be well-formed.
#[derive(Clone, Debug, Default)]
pub struct News {
    pub admin: Vec<Signed>,
    pub entries: Vec<Vec<u8>>,
}

/// Why bytes could not be read. Prints as a sentence naming the friends.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    #[error(
        "pack {pack}: {have} of {k} needed friends answered in {waited:?}; missing: {missing}",
        pack = pack.short(), missing = missing.join(", ")
    )]
    TooFew { pack: PackId, k: u8, have: usize, waited: Duration, missing: Vec<String> },
    #[error("pack {}: the shares do not fit together (published by {by})", pack.short())]
    Inconsistent { pack: PackId, by: String },
    #[error("the range {offset}+{len} lies outside pack {}", pack.short())]
    OutOfRange { pack: PackId, offset: u64, len: u32 },
    #[error("drive {} is not open here", .0.short())]
    UnknownDrive(DriveId),
}

/// What an audit of one share found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Audit {
    /// The holder proved that it has it.
    Kept,
    /// By its own signed word it does not have it, its proof is wrong, or it is no friend any
    /// more.
    Lost(String),
    /// It is off, or did not answer: that says nothing.
    NoAnswer,
}

/// Why something about the grid itself failed.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    #[error("grid state in {path}: {why}")]
    State { path: String, why: String },
    #[error("ticket: {0}")]
    Ticket(String),
    #[error("{label} could not be reached: {why}")]
    Unreachable { label: String, why: String },
    #[error("{label} refused: {reason}")]
    Refused { label: String, reason: String },
    #[error("drive {} is not open here", .0.short())]
    UnknownDrive(DriveId),
    #[error("{0}")]
    Other(String),
}

/// What is known of one friend's node.
#[derive(Clone, Debug, PartialEq)]
pub struct FriendStatus {
    pub node: NodeId,
    pub person: PersonId,
    pub label: String,
    pub household: Hash,
    /// Answered within the last while (or was just connected), and has not failed since.
    pub online: bool,
    /// Milliseconds since 1970 of the last answer.
    pub last_seen_ms: Option<u64>,
    pub rtt: Option<Duration>,
    /// Requests that failed, answers with wrong bytes, since this start.
    pub errors: u64,
    pub wrong_bytes: u64,
    /// Why the last failed.
    pub last_error: Option<String>,
    /// Bytes this node's person may use there, and uses there, as last told.
    pub limit: u64,
    pub used: u64,
    /// Bytes it may use here, and uses here (filled in by the holder; 0 without one).
    pub given: u64,
    pub lent: u64,
    /// Its last signed statement of what it keeps for this node's person.
    pub said: Option<Statement>,
    /// What it said it will let go of, and the day until which it is away.
    pub notice: Option<String>,
    pub away_until: Option<Day>,
    /// Audits that it passed, and failed, ever.
    pub audits: (u64, u64),
    /// Milliseconds since 1970 of the last one that it passed.
    pub verified_ms: Option<u64>,
}

/// Room at friends, in bytes of user data (coding taken off).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub total: u64,
    pub free: u64,
}

/// What an invitation carries beyond membership of the grid.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Bytes granted to the one who joins.
    pub bytes: u64,
    /// How long the ticket may be used.
    pub valid: Duration,
    /// Drives and powers (`--drive family --as writer`).
    /// and what each is called.
    pub drives: Vec<(DriveId, crate::keys::Power, String)>,
}
