//! Sealing and opening the bodies of an entry.

use super::header::{Checked, EntryError, Header, Parts, body_hash, entry_hash};
use crate::content::CatalogueRecord;
use crate::keys::{
    DriveKeys, EntryHash, LogId, OpenError, Position, Seal, Signed, WriterKey, decode_canonical, encode,
};
use crate::tree::{Draft, ENTRY_OPS_MAX, Operation};
use crate::wire::{ENTRY_MAX, Head, LABEL_MAX, VECTOR_MAX};
use serde::{Deserialize, Serialize};

/// What an author had seen: heads of logs, news since its own previous entry; and how far it
/// knew the admin log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Vector {
    pub heads: Vec<Head>,
    pub admin_len: u32,
    /// Hash of the admin log's last record (zeros: unknown).
    pub admin_head: [u8; 32],
}

/// What is under the entry key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Body {
    /// The author's device, for conflict names.
    label: String,
    operations: Vec<Operation>,
}

/// An entry that was verified and opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opened {
    pub hash: EntryHash,
    pub header: Header,
    pub vector: Vector,
    /// Empty, like the operations, when opened without read power.
    pub label: String,
    pub operations: Vec<Operation>,
    pub catalogue: Vec<CatalogueRecord>,
}

/// Most catalogue records in one entry.
pub const ENTRY_PACKS_MAX: usize = 1024;
/// Longest body, unpacked.
const BODY_MAX: usize = 4 << 20;
/// Shortest plaintext of a body, so that short ones look alike.
const BUCKET_MIN: u64 = 256;

const VECTOR: Position = Position::part(0, 2);
const CATALOGUE: Position = Position::part(1, 2);

/// A new entry: its bytes, to be synced before they are sent and never rebuilt, and the
/// same opened, for [`crate::tree::Fold::published`].
///
/// With less than read power there can be no operations (a repairer's entry).
pub fn seal_entry(
    keys: &DriveKeys,
    writer: &WriterKey,
    draft: &Draft,
    catalogue: &[CatalogueRecord],
) -> Result<(Vec<u8>, Opened), EntryError> {
    if draft.log != writer.log() {
        return Err(EntryError::OtherLog);
    }
    check_counts(draft.vector.heads.len(), draft.operations.len(), catalogue.len(), draft.label.len())?;
    let (epoch, log, seq) = (keys.epoch(), draft.log, draft.seq);
    let verify = keys.catalogue_seal(epoch, &log, seq)?;
    let vector = verify.seal(VECTOR, &frame("vector", &encode(&draft.vector))?);
    let packs = verify.seal(CATALOGUE, &frame("catalogue", &encode(catalogue))?);
    let operations = if draft.operations.is_empty() && keys.power() < crate::keys::Power::Read {
        Vec::new()
    } else {
        let body = Body { label: draft.label.clone(), operations: draft.operations.clone() };
        keys.ops_seal(epoch, &log, seq)?.seal(Position::WHOLE, &frame("operations", &encode(&body))?)
    };
    let header = Header {
        drive: keys.drive(),
        writer: writer.public(),
        incarnation: *writer.incarnation(),
        seq,
        previous: draft.previous,
        lamport: draft.lamport,
        epoch,
        vector: body_hash(&vector),
        operations: body_hash(&operations),
        catalogue: body_hash(&packs),
    };
    let signed = Signed::record(writer.signing(), &header);
    let hash = entry_hash(&signed.bytes);
    let bytes = Parts { header: signed, vector, operations, catalogue: packs }.encode();
    if bytes.len() > ENTRY_MAX {
        return Err(EntryError::TooLong(bytes.len()));
    }
    let opened = Opened {
        hash,
        header,
        vector: draft.vector.clone(),
        label: draft.label.clone(),
        operations: draft.operations.clone(),
        catalogue: catalogue.to_vec(),
    };
    Ok((bytes, opened))
}

impl Checked {
    /// Open all of it: read power. An entry of an operation that this version does not know
    /// is [`EntryError::Operations`]: the mount becomes read-only and says "upgrade".
    pub fn open(&self, keys: &DriveKeys) -> Result<Opened, EntryError> {
        let mut opened = self.open_catalogue(keys)?;
        if self.operations.is_empty() {
            return Ok(opened);
        }
        let Header { epoch, seq, .. } = self.header;
        let seal = keys.ops_seal(epoch, &self.log, seq)?;
        let plain = open("operations", &seal, Position::WHOLE, &self.operations)?;
        let body: Body = decode_canonical(&plain, BODY_MAX).map_err(|_| EntryError::Operations)?;
        check_counts(0, body.operations.len(), 0, body.label.len())?;
        opened.label = body.label;
        opened.operations = body.operations;
        Ok(opened)
    }

    /// Open vector and catalogue only: verify power.
    pub fn open_catalogue(&self, keys: &DriveKeys) -> Result<Opened, EntryError> {
        let Header { epoch, seq, .. } = self.header;
        let seal = keys.catalogue_seal(epoch, &self.log, seq)?;
        let vector: Vector = decode_canonical(&open("vector", &seal, VECTOR, &self.vector)?, BODY_MAX)?;
        let catalogue: Vec<CatalogueRecord> =
            decode_canonical(&open("catalogue", &seal, CATALOGUE, &self.catalogue)?, BODY_MAX)?;
        check_counts(vector.heads.len(), 0, catalogue.len(), 0)?;
        Ok(Opened {
            hash: self.hash,
            header: self.header.clone(),
            vector,
            label: String::new(),
            operations: Vec::new(),
            catalogue,
        })
    }
}

fn check_counts(heads: usize, operations: usize, packs: usize, label: usize) -> Result<(), EntryError> {
    let limits = [
        ("heads", heads, VECTOR_MAX),
        ("operations", operations, ENTRY_OPS_MAX),
        ("catalogue records", packs, ENTRY_PACKS_MAX),
        ("bytes of label", label, LABEL_MAX),
    ];
    match limits.into_iter().find(|(_, have, max)| have > max) {
        Some((what, have, max)) => Err(EntryError::TooMany { what, have, max }),
        None => Ok(()),
    }
}

/// codec (0: as is, 1: lz4 block) | length unpacked, u32 | length packed, u32 | packed bytes |
/// zeros up to the bucket; integers little-endian.
fn frame(what: &'static str, plain: &[u8]) -> Result<Vec<u8>, EntryError> {
    if plain.len() > BODY_MAX {
        return Err(EntryError::TooMany { what, have: plain.len(), max: BODY_MAX });
    }
    let packed = lz4_flex::block::compress(plain);
    let (codec, packed) = if packed.len() < plain.len() { (1, packed.as_slice()) } else { (0, plain) };
    let mut out = Vec::with_capacity(bucket(packed.len()));
    out.push(codec);
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
    out.extend_from_slice(packed);
    out.resize(bucket(packed.len()), 0);
    Ok(out)
}

fn open(what: &'static str, seal: &impl Seal, at: Position, sealed: &[u8]) -> Result<Vec<u8>, EntryError> {
    let frame =
        seal.open(at, sealed).map_err(|e: OpenError| EntryError::Open { what, why: e.to_string() })?;
    unframe(&frame).ok_or(EntryError::Frame { what })
}

fn unframe(frame: &[u8]) -> Option<Vec<u8>> {
    let (&[codec, a, b, c, d, e, f, g, h], rest) = frame.split_first_chunk::<FRAME_HEAD>()?;
    let plain_len = u32::from_le_bytes([a, b, c, d]) as usize;
    let packed_len = u32::from_le_bytes([e, f, g, h]) as usize;
    if plain_len > BODY_MAX || frame.len() != bucket(packed_len) {
        return None;
    }
    let (packed, padding) = rest.split_at_checked(packed_len)?;
    if padding.iter().any(|b| *b != 0) {
        return None;
    }
    match codec {
        0 if packed_len == plain_len => Some(packed.to_vec()),
        1 => lz4_flex::block::decompress(packed, plain_len).ok().filter(|p| p.len() == plain_len),
        _ => None,
    }
}

/// Codec and two lengths.
const FRAME_HEAD: usize = 9;

/// Length of a framed body: Padme (Nikitin et al. 2019): at most 12 % more, and never less
/// than [`BUCKET_MIN`].
fn bucket(packed_len: usize) -> usize {
    let len = ((packed_len + FRAME_HEAD) as u64).max(BUCKET_MIN);
    let exponent = 63 - len.leading_zeros();
    let exponent_bits = 32 - exponent.leading_zeros();
    let mask = (1u64 << (exponent - exponent_bits)) - 1;
    ((len + mask) & !mask) as usize
}

/// The log and hash of an entry's header, for logs of what happens.
impl std::fmt::Display for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log: LogId = self.header.log();
        write!(f, "entry {} of log {}", self.header.seq, log.short())
    }
}
