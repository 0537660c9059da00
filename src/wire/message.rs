//! What nodes say to each other. One stream carries one [`Request`] and its [`Response`],
//! each in one frame; bulk bytes (a share going up, ranges coming down) follow the frame.
//! New variants are added at the end; a receiver answers one it does not know with
//! [`Response::Refusal`] ([`Reason::Unknown`]) and goes on.

use crate::keys::{DriveId, EntryHash, Hash, LogId, NodeId, PersonId, ShareId, Signed};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

pub use crate::keys::Day;

/// Terms between holder and account; a field, never a branch in the code's shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Regime {
    Friends,
    Contract,
    Strangers,
}

/// Permission to use space on a holder. Signed by `issuer`; a delegated grant names its
/// parent's hash and may only narrow it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    pub issuer: PersonId,
    pub subject: PersonId,
    /// The node whose disk it is (None: any node of the root issuer).
    pub holder: Option<NodeId>,
    pub regime: Regime,
    pub bytes: u64,
    pub egress_bytes_per_day: u64,
    pub not_before: Day,
    /// None: until revoked.
    pub expires: Option<Day>,
    pub retention_days: u32,
    pub rank: u8,
    /// Bytes the subject must hold for the issuer in return.
    pub obligation_bytes: u64,
    pub delegable: bool,
    pub parent: Option<Hash>,
    /// Makes otherwise equal grants differ, and lets a later one replace an earlier.
    pub serial: u64,
}

/// The right of an account to keep a share on a holder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    pub account: PersonId,
    pub share: ShareId,
    pub drive: DriveId,
    pub len: u64,
    pub term_days: u16,
    pub priority: u8,
    pub lock_until: Option<Day>,
    pub sponsor: bool,
    /// BLAKE3 of the read token derived from the drive's verify key for this holder.
    pub read_token_hash: Hash,
}

/// A holder's word that it has a share, synced. Signed with the node's signing key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    pub holder: NodeId,
    pub account: PersonId,
    pub share: ShareId,
    pub len: u64,
    pub day: Day,
    pub until: Day,
    /// Lease generation: a release names it.
    pub generation: u64,
    /// Hash of the last statement that the holder signed for the account; zeros before the first.
    pub ledger_head: Hash,
}

/// Why a request was not done. Signed together with the limit when it is about space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Reason {
    Unknown,
    NotAFriend,
    NoGrant,
    OverLimit,
    DiskFull,
    TooLarge,
    WrongBytes,
    NotFound,
    NotYours,
    StaleEpoch,
    BadEntry,
    Gap,
    Busy,
    TicketUnknown,
    TicketUsed,
    TicketExpired,
    Malformed,
    Internal,
}

/// A refusal says the limit, so that a client can plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    pub reason: Reason,
    /// Bytes the account may use here, and uses.
    pub limit: u64,
    pub used: u64,
    /// For people.
    pub detail: String,
    pub holder: NodeId,
    pub account: PersonId,
    pub day: Day,
}

/// A range of a share's sealed bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Range {
    pub offset: u64,
    pub len: u32,
}

/// How fine the proof of a Get is: hash-tree leaves of 1 KiB << this.
pub const LEAF_SMALL: u8 = 0;
pub const LEAF_BULK: u8 = 4;

/// Highest entry known of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    pub log: LogId,
    pub seq: u64,
    pub hash: EntryHash,
}

/// Requests. Each is followed by nothing unless said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Who I am: my person's certificate of this device (`keys`), my label.
    Hello {
        certificate: Signed,
        label: String,
        version: u32,
    },
    /// May I store this? -> Accept or Refusal, before any byte.
    Offer {
        lease: Lease,
        grants: Vec<Signed>,
    },
    /// Store: `lease.len` bytes follow. With `reservation` an accepted offer is used;
    /// without, the holder decides now and may stop the stream with a Refusal. -> Receipt.
    Put {
        lease: Lease,
        grants: Vec<Signed>,
        reservation: Option<[u8; 16]>,
    },
    /// Read ranges with proof (an audit is a small one). -> Data, then the proof stream. The
    /// nonce, random and new for every request, comes back in the answer.
    Get {
        share: ShareId,
        account: PersonId,
        token: [u8; 32],
        ranges: Vec<Range>,
        leaf: u8,
        nonce: [u8; 16],
    },
    LeaseRenew {
        account: PersonId,
        shares: Vec<ShareId>,
        term_days: u16,
    },
    LeaseRelease {
        account: PersonId,
        shares: Vec<(ShareId, u64)>,
    },
    LeaseCancelRelease {
        account: PersonId,
        shares: Vec<(ShareId, u64)>,
    },
    LeaseAdopt {
        leases: Vec<Lease>,
        grants: Vec<Signed>,
    },
    /// Keep this drive's logs for an account. `genesis` and the admin log's records so far.
    LogOpen {
        drive: DriveId,
        account: PersonId,
        admin: Vec<Signed>,
        grants: Vec<Signed>,
        bytes: u64,
        /// BLAKE3 of the token that fetches will carry; replaces this account's former one.
        read_token_hash: Hash,
    },
    /// Entries of one log, in sequence (each as received bytes). -> LogAck.
    LogAppend {
        drive: DriveId,
        account: PersonId,
        entries: Vec<Vec<u8>>,
    },
    /// All you have beyond these heads (and admin records beyond `admin_len`). -> LogEntries.
    LogFetch {
        drive: DriveId,
        token: [u8; 32],
        vector: Vec<Head>,
        admin_len: u32,
    },
    /// Answer when there is something beyond these heads, or after `wait_ms`. -> LogEntries.
    LogWatch {
        drive: DriveId,
        token: [u8; 32],
        vector: Vec<Head>,
        admin_len: u32,
        wait_ms: u32,
    },
    Statement {
        statement: Signed,
    },
    GrantGive {
        grant: Signed,
    },
    /// Membership and endpoint records I know, and devices given up ([`crate::keys::Revocation`]).
    /// -> Roster.
    Roster {
        records: Vec<Signed>,
        revocations: Vec<Signed>,
    },
    /// The only request of an unknown key, while a ticket is open. -> Joined.
    Join {
        ticket: [u8; 16],
        mac: [u8; 32],
        body: Vec<u8>,
    },
    Notice {
        reason: String,
        bytes: u64,
        evict_after: Day,
    },
    Away {
        until: Day,
    },
    LossDeclaration {
        shares: Vec<ShareId>,
    },
    Punch {
        with: NodeId,
        addrs: Vec<SocketAddr>,
    },
    Relay {
        to: NodeId,
    },
    /// Reserved: a credit hop.
    Transfer {
        bytes: Vec<u8>,
    },
    /// Grants passed on to you, with those they descend from. -> Done.
    GrantChain {
        grants: Vec<Signed>,
    },
    /// Keep my person's recovery record ([`crate::keys::RecoveryRecord`]) in place of an older
    /// one. -> Done.
    RecoveryPut {
        record: Signed,
        grants: Vec<Signed>,
    },
    /// Take this device of my person for a friend, and give me my person's record. The only
    /// request of the record's door key; of a friend, for its own person. -> Recovery.
    Recover {
        certificate: Signed,
        member: Signed,
    },
}

/// Answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Response {
    Hello {
        certificate: Signed,
        label: String,
        version: u32,
    },
    /// An expiring reservation of `bytes`.
    Accept {
        reservation: [u8; 16],
        bytes: u64,
        expires_ms: u64,
    },
    /// Signed [`Refusal`].
    Refusal {
        refusal: Signed,
    },
    /// Signed [`Receipt`].
    Receipt {
        receipt: Signed,
    },
    /// The proof stream of the ranges asked for follows (`content` defines it). `nonce` is the
    /// request's, `ledger_head` as in a [`Receipt`].
    Data {
        len: u64,
        nonce: [u8; 16],
        ledger_head: Hash,
    },
    Leases {
        done: Vec<(ShareId, u64)>,
    },
    /// Signed [`LogReceipt`].
    LogAck {
        receipt: Signed,
    },
    LogEntries {
        admin: Vec<Signed>,
        entries: Vec<Vec<u8>>,
        more: bool,
    },
    Statement {
        statement: Signed,
    },
    Roster {
        records: Vec<Signed>,
        revocations: Vec<Signed>,
    },
    Joined {
        body: Vec<u8>,
    },
    Done,
    /// Signed [`crate::keys::RecoveryRecord`].
    Recovery {
        record: Signed,
    },
}

/// A holder's word that it has a drive's logs up to these heads, synced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogReceipt {
    pub holder: NodeId,
    pub drive: DriveId,
    pub heads: Vec<Head>,
    pub day: Day,
}

/// The daily tally between an account and a holder: cumulative, monotone, co-signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Statement {
    pub account: PersonId,
    pub holder: NodeId,
    pub seq: u64,
    pub previous: Hash,
    pub day: Day,
    pub byte_days_verified: u128,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub audits: Audits,
    /// BLAKE3 over the sorted leases.
    pub lease_set: Hash,
    pub routed_in: u128,
    pub routed_out: u128,
    /// Bytes the account may use here, and uses; how many leases it has.
    pub limit: u64,
    pub used: u64,
    pub leases: u64,
}

/// Outcomes of audits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Audits {
    pub ok: u64,
    pub wrong: u64,
    pub offline: u64,
    pub contained: u64,
    pub unknown: u64,
}

/// What a roster says of one node: signed by its person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub person: PersonId,
    pub node: NodeId,
    /// Ed25519 key of receipts and refusals.
    pub signing_key: [u8; 32],
    pub label: String,
    pub household: Hash,
    /// The building or town, as a hash like the household's; the household's own where nobody
    /// said more.
    pub site: Hash,
    /// Who runs the machine, where that is not its person.
    pub operator: Option<PersonId>,
    pub addrs: Vec<SocketAddr>,
    /// Bytes it lends in all (a claim; nothing is earned by it).
    pub lends: u64,
    /// Whose invitation brought the person here; None for who began.
    pub introducer: Option<PersonId>,
    /// A later record replaces an earlier.
    pub serial: u64,
    pub removed: bool,
}

impl Request {
    /// Kinds of requests this version knows; they are numbered from 0 in order of declaration.
    pub const KINDS: u32 = 25;
}

impl Response {
    /// Kinds of responses this version knows.
    pub const KINDS: u32 = 13;
}
