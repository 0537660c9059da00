//! An entry's bytes, and what can be checked of them without any key.

use crate::keys::{
    DecodeError, Domain, DriveId, EntryHash, Epoch, Hash, LogId, Purpose, Record, Signed, SignedError,
    decode_canonical, encode, hash, log_id,
};
use crate::wire::{ENTRY_MAX, Head};
use serde::{Deserialize, Serialize};

/// The signed part of an entry, in clear. Entries are named by the hash of its encoding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    pub drive: DriveId,
    /// The writer's public key and the incarnation of its log: together they name the log.
    pub writer: [u8; 32],
    pub incarnation: [u8; 16],
    /// 1 for a log's first entry.
    pub seq: u64,
    /// Hash of the log's previous entry; zeros for the first.
    pub previous: EntryHash,
    /// One more than the largest among the entries its author had seen.
    pub lamport: u64,
    /// Epoch whose keys seal the bodies.
    pub epoch: Epoch,
    /// Hashes of the sealed bodies.
    pub vector: Hash,
    pub operations: Hash,
    pub catalogue: Hash,
}

impl Record for Header {
    const DOMAIN: Domain = Domain::EntryHeader;
    const MAX: usize = 512;
}

impl Header {
    /// The log this is an entry of.
    pub fn log(&self) -> LogId {
        log_id(&self.writer, &self.incarnation)
    }
}

/// Why an entry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("not an entry: {0}")]
    Decode(#[from] DecodeError),
    #[error("an entry of {0} bytes is longer than the {ENTRY_MAX} allowed")]
    TooLong(usize),
    #[error("an entry's header: {0}")]
    Header(#[from] SignedError),
    #[error("the entry belongs to drive {0}, not to this one")]
    OtherDrive(DriveId),
    #[error("entry {seq} of log {log} does not come after entry {head}")]
    Gap { log: LogId, seq: u64, head: u64 },
    #[error("entry {seq} of log {log} names another predecessor: the log is forked")]
    Fork { log: LogId, seq: u64 },
    #[error("entry {seq} of log {log} is a first entry with a predecessor, or a later one without")]
    Chain { log: LogId, seq: u64 },
    #[error("entry {seq} of log {log} has a counter below its sequence number")]
    Counter { log: LogId, seq: u64 },
    #[error("the {what} of entry {seq} of log {log} is not what its header says")]
    Body { what: &'static str, log: LogId, seq: u64 },
    #[error("the {what} of an entry cannot be opened: {why}")]
    Open { what: &'static str, why: String },
    #[error("the {what} of an entry is badly framed")]
    Frame { what: &'static str },
    #[error("the entry has {have} {what}, more than the {max} allowed")]
    TooMany { what: &'static str, have: usize, max: usize },
    #[error("an entry's operations were written by a newer version of kith, or are malformed: upgrade")]
    Operations,
    #[error("the entry's writer is not the one of this draft")]
    OtherLog,
    #[error("no key: {0}")]
    NoKey(#[from] crate::keys::NoKey),
}

/// The encoding of an entry: a version byte, then postcard of this.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Parts {
    pub header: Signed,
    #[serde(with = "serde_bytes")]
    pub vector: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub operations: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub catalogue: Vec<u8>,
}

const VERSION: u8 = 1;

impl Parts {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&encode(self));
        out
    }
    fn decode(bytes: &[u8]) -> Result<Parts, EntryError> {
        if bytes.len() > ENTRY_MAX {
            return Err(EntryError::TooLong(bytes.len()));
        }
        match bytes.split_first() {
            Some((&VERSION, body)) => Ok(decode_canonical(body, ENTRY_MAX)?),
            Some((&version, _)) => Err(DecodeError::UnknownVersion(version).into()),
            None => Err(DecodeError::Malformed.into()),
        }
    }
}

/// An entry that its writer really wrote, bodies still sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    pub hash: EntryHash,
    pub log: LogId,
    pub header: Header,
    pub(super) vector: Vec<u8>,
    pub(super) operations: Vec<u8>,
    pub(super) catalogue: Vec<u8>,
}

impl Checked {
    /// Check what a holder checks, without any key: length, one encoding, signature, drive,
    /// chain fields, counter, hashes of the bodies. (Whether the writer may append is the
    /// admin log's to say: `AdminLog::may_append(&header.writer, header.epoch)`; whether it
    /// fits the log as it is: [`Checked::follows`].)
    pub fn parse(bytes: &[u8], drive: &DriveId) -> Result<Checked, EntryError> {
        let parts = Parts::decode(bytes)?;
        let claimed: Header = parts.header.peek()?;
        parts.header.open::<Header>(&claimed.writer)?;
        Checked::whole(parts, claimed, drive)
    }

    /// The same but for the signature: what an entry claims to be. For those that were
    /// verified when they came in and lay under a checksum since, and to see whether an entry
    /// is known already before its signature is worth looking at.
    pub fn claimed(bytes: &[u8], drive: &DriveId) -> Result<Checked, EntryError> {
        let parts = Parts::decode(bytes)?;
        let header = parts.header.peek()?;
        Checked::whole(parts, header, drive)
    }

    fn whole(parts: Parts, header: Header, drive: &DriveId) -> Result<Checked, EntryError> {
        let (log, seq) = (header.log(), header.seq);
        if header.drive != *drive {
            return Err(EntryError::OtherDrive(header.drive));
        }
        if seq == 0 || (seq == 1) != (header.previous == EntryHash([0; 32])) {
            return Err(EntryError::Chain { log, seq });
        }
        if header.lamport < seq {
            return Err(EntryError::Counter { log, seq });
        }
        let bodies = [
            ("vector", &parts.vector, header.vector),
            ("operations", &parts.operations, header.operations),
            ("catalogue", &parts.catalogue, header.catalogue),
        ];
        for (what, body, said) in bodies {
            if body_hash(body) != said {
                return Err(EntryError::Body { what, log, seq });
            }
        }
        let hash = entry_hash(&parts.header.bytes);
        let Parts { vector, operations, catalogue, .. } = parts;
        Ok(Checked { hash, log, header, vector, operations, catalogue })
    }

    /// Is it the entry after this head of its log (None: of an empty log)?
    pub fn follows(&self, head: Option<&Head>) -> Result<(), EntryError> {
        let (log, seq) = (self.log, self.header.seq);
        let (last, hash) = head.map_or((0, EntryHash([0; 32])), |h| (h.seq, h.hash));
        if seq > last.saturating_add(1) {
            return Err(EntryError::Gap { log, seq, head: last });
        }
        if seq <= last || self.header.previous != hash {
            return Err(EntryError::Fork { log, seq });
        }
        Ok(())
    }

    /// This entry as a head.
    pub fn head(&self) -> Head {
        Head { log: self.log, seq: self.header.seq, hash: self.hash }
    }
}

pub(super) fn entry_hash(header: &[u8]) -> EntryHash {
    EntryHash(hash(Purpose::EntryHash, &[header]).0)
}

pub(super) fn body_hash(sealed: &[u8]) -> Hash {
    hash(Purpose::EntryBody, &[sealed])
}
