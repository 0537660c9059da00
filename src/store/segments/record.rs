//! Records in a segment file.
//!
//! ```text
//! 0    magic "kseg"
//! 4    head   u32   bytes of the sealed head
//! 8    body   u32   bytes of the chunk
//! 12   dead   u32   0x64616564 when the chunk was freed (not covered by the check)
//! 16   check  [16]  derive("disk checksum", local key, ["segment", segment, offset, bytes 0..12])
//! 32   head         sealed at Position { index: offset, total: segment, codec: 0 }:
//!                   chunk id [32], note length u32, note, one 16-byte sum per block of the body
//!      body         the chunk, as given
//!      zeros up to a multiple of 512
//! ```
//! Integers are little-endian. A block is 65,576 bytes, one full sealed page; its sum is
//! `hash("disk checksum", [block])[..16]`.

use crate::keys::{ChunkId, Kind, LocalKey, Position, Purpose, SEAL_HEAD, Seal, SealKey, derive, hash};
use std::ops::Range;

/// Records begin at multiples of this.
pub(super) const ALIGN: u64 = 512;
pub(super) const PREFIX: usize = 32;
pub(super) const DEAD: [u8; 4] = *b"dead";
pub(super) const DEAD_AT: u64 = 12;
/// The part of a chunk that has a sum of its own.
pub(super) const BLOCK: usize = 65_576;
/// The longest note.
pub(super) const MAX_NOTE: usize = 64 << 10;
/// The longest chunk.
pub(super) const MAX_CHUNK: usize = 8 << 20;
const MAGIC: [u8; 4] = *b"kseg";
const SUM: usize = 16;
const FIXED: usize = 32 + 4;

/// The keys of a set of segments.
pub(super) struct Keys {
    local: LocalKey,
    seal: SealKey,
}

/// The clear part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub head: u32,
    pub body: u32,
    pub dead: bool,
}

/// The sealed part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub id: ChunkId,
    pub note: Vec<u8>,
    sums: Vec<[u8; SUM]>,
}

impl Prefix {
    /// Bytes of the record, padding included.
    pub(super) fn span(&self) -> u64 {
        (PREFIX as u64 + u64::from(self.head) + u64::from(self.body)).next_multiple_of(ALIGN)
    }
    pub(super) fn body_at(&self) -> u64 {
        PREFIX as u64 + u64::from(self.head)
    }
}

/// Bytes of a sealed head.
pub(super) fn head_len(note: usize, body: usize) -> usize {
    SEAL_HEAD + FIXED + note + body.div_ceil(BLOCK) * SUM
}

fn sum(block: &[u8]) -> [u8; SUM] {
    let mut out = [0; SUM];
    out.copy_from_slice(&hash(Purpose::DiskChecksum, &[block]).0[..SUM]);
    out
}

impl Keys {
    pub(super) fn new(local: &LocalKey) -> Keys {
        let seal = SealKey::derive(local.expose(), b"", Kind::Segment, b"segments");
        Keys { local: local.clone(), seal }
    }

    fn check(&self, segment: u64, offset: u64, prefix: &[u8]) -> [u8; 16] {
        let parts: [&[u8]; 4] =
            [b"segment", &segment.to_le_bytes(), &offset.to_le_bytes(), &prefix[..DEAD_AT as usize]];
        let mut out = [0; 16];
        out.copy_from_slice(&derive(Purpose::DiskChecksum, self.local.expose(), &parts)[..16]);
        out
    }

    /// Prefix and sealed head of a record.
    pub(super) fn encode(
        &self,
        segment: u64,
        offset: u64,
        id: &ChunkId,
        note: &[u8],
        sums: &[[u8; SUM]],
        body: usize,
    ) -> Vec<u8> {
        let head = head_len(note.len(), body);
        let mut out = vec![0; PREFIX + SEAL_HEAD];
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&(head as u32).to_le_bytes());
        out[8..12].copy_from_slice(&(body as u32).to_le_bytes());
        let check = self.check(segment, offset, &out);
        out[16..32].copy_from_slice(&check);
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(&(note.len() as u32).to_le_bytes());
        out.extend_from_slice(note);
        for sum in sums {
            out.extend_from_slice(sum);
        }
        let (clear, text) = out.split_at_mut(PREFIX + SEAL_HEAD);
        let seal = self.seal.seal_detached(Position::part(offset, segment), text);
        clear[PREFIX..].copy_from_slice(&seal);
        out
    }

    /// The prefix at an offset, if there is one in these bytes.
    pub(super) fn prefix(&self, segment: u64, offset: u64, bytes: &[u8]) -> Option<Prefix> {
        let b = bytes.get(..PREFIX)?;
        if b[..4] != MAGIC || self.check(segment, offset, b) != b[16..32] {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        let prefix = Prefix { head: word(4), body: word(8), dead: b[12..16] == DEAD };
        let sane = prefix.body as usize <= MAX_CHUNK
            && (head_len(0, 0)..=head_len(MAX_NOTE, MAX_CHUNK)).contains(&(prefix.head as usize));
        sane.then_some(prefix)
    }

    /// Opens a sealed head.
    pub(super) fn head(&self, segment: u64, offset: u64, sealed: &[u8], body: u32) -> Option<Head> {
        let plain = self.seal.open(Position::part(offset, segment), sealed).ok()?;
        let (id, rest) = plain.split_first_chunk::<32>()?;
        let (note, rest) = rest.split_first_chunk::<4>()?;
        let (note, rest) = rest.split_at_checked(u32::from_le_bytes(*note) as usize)?;
        let (sums, rest) = rest.as_chunks::<SUM>();
        let whole = rest.is_empty() && sums.len() == (body as usize).div_ceil(BLOCK);
        whole.then(|| Head { id: ChunkId(*id), note: note.to_vec(), sums: sums.to_vec() })
    }
}

/// The sums of a chunk's blocks.
pub(super) fn sums(body: &[u8]) -> Vec<[u8; SUM]> {
    body.chunks(BLOCK).map(sum).collect()
}

/// The part of the body, whole blocks, that holds a range.
pub(super) fn covering(range: &Range<u32>, body: u32) -> Range<u32> {
    let block = BLOCK as u32;
    let start = range.start / block * block;
    let end = range.end.div_ceil(block).saturating_mul(block).min(body);
    start..end.max(start)
}

impl Head {
    /// Whether these bytes, which begin at a block boundary of the body, are what was written.
    pub(super) fn verify(&self, start: u32, bytes: &[u8]) -> bool {
        let first = start as usize / BLOCK;
        bytes.chunks(BLOCK).enumerate().all(|(n, block)| self.sums.get(first + n) == Some(&sum(block)))
    }
}
