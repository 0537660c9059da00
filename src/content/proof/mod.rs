//! A share's hash tree, and ranges of the share with the hashes that prove them.
//!
//! The tree is BLAKE3's own, so the root is the plain BLAKE3 hash of the share. A proof is the
//! tree in pre-order, cut to what the ranges touch: for an inner node its two children's
//! chaining values (64 bytes), for a leaf its bytes. A leaf is a subtree of at most 1 KiB or
//! 16 KiB, as the requester likes; both prove against the same root. (With 1 KiB leaves this is
//! the encoding of the `bao` format without its length, and of the `bao-tree` crate.)

mod decode;
mod encode;
mod share_tree;
#[cfg(test)]
mod tests;

pub use decode::{ProofDecoder, decode_ranges};
pub use encode::{ProofEncoder, encode_ranges};
pub use share_tree::{ShareHasher, ShareTree, TREE_GROUP};

use crate::keys::ShareId;
use std::ops::Range;

/// Ranges in one request.
pub const RANGES_MAX: usize = 256;
/// Bytes of an inner node of a proof.
const PAIR: u64 = 64;

/// How fine a proof is: its leaves are 1 KiB << this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf(u8);

impl Leaf {
    /// 1 KiB: for small reads and audits.
    pub const SMALL: Leaf = Leaf(0);
    /// 16 KiB: for bulk.
    pub const BULK: Leaf = Leaf(4);
    /// 0..=4, as in a request.
    pub fn new(log: u8) -> Option<Self> {
        (log <= 4).then_some(Leaf(log))
    }
    /// As in a request.
    pub const fn log(self) -> u8 {
        self.0
    }
    /// Bytes of a leaf.
    pub const fn bytes(self) -> u64 {
        1024 << self.0
    }
}

/// What is wrong with a request, a proof, or the bytes behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("ranges must be 1 to 256, not empty, ascending, apart, and within the share")]
    Ranges,
    #[error("share {share}: wrong bytes at offset {offset}")]
    WrongBytes { share: ShareId, offset: u64 },
    #[error("share {share}: wrong hashes at offset {offset}")]
    WrongHashes { share: ShareId, offset: u64 },
    #[error("share {share}: the proof ends too soon, at offset {offset}")]
    Truncated { share: ShareId, offset: u64 },
    #[error("share {share}: the proof goes on after its end")]
    TooLong { share: ShareId },
    #[error("the hash tree kept with share {0} is damaged")]
    BadTree(ShareId),
    #[error("the kept share {share} is damaged at offset {offset}")]
    Damaged { share: ShareId, offset: u64 },
    #[error("share {share} could not be read at offset {offset}: {why}")]
    Read { share: ShareId, offset: u64, why: String },
}

/// Ranges that were checked.
#[derive(Clone, Debug)]
struct Wanted(Vec<Range<u64>>);

impl Wanted {
    fn new(len: u64, ranges: &[Range<u64>]) -> Result<Self, ProofError> {
        let fits = !ranges.is_empty()
            && ranges.len() <= RANGES_MAX
            && ranges.iter().all(|range| range.start < range.end && range.end <= len)
            && ranges.windows(2).all(|two| two[0].end <= two[1].start);
        if fits { Ok(Self(ranges.to_vec())) } else { Err(ProofError::Ranges) }
    }
    /// Ranges that touch `start..start + len`.
    fn touching(&self, start: u64, len: u64) -> &[Range<u64>] {
        let first = self.0.partition_point(|range| range.end <= start);
        let last = self.0.partition_point(|range| range.start < start + len);
        &self.0[first..last.max(first)]
    }
    fn touches(&self, start: u64, len: u64) -> bool {
        !self.touching(start, len).is_empty()
    }
}

/// A subtree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    start: u64,
    len: u64,
}

impl Span {
    fn is_leaf(self, leaf: Leaf) -> bool {
        self.len <= leaf.bytes()
    }
    /// The two children; `len` > 1024.
    fn split(self) -> (Span, Span) {
        let left = blake3::hazmat::left_subtree_len(self.len);
        (Span { len: left, ..self }, Span { start: self.start + left, len: self.len - left })
    }
}

/// Bytes of the proof of these ranges of a share of `len` bytes.
pub fn proof_len(len: u64, ranges: &[Range<u64>], leaf: Leaf) -> Result<u64, ProofError> {
    let wanted = Wanted::new(len, ranges)?;
    let mut sum = 0;
    let mut stack = vec![Span { start: 0, len }];
    while let Some(span) = stack.pop() {
        if span.is_leaf(leaf) {
            sum += span.len;
            continue;
        }
        sum += PAIR;
        let (left, right) = span.split();
        stack.extend([right, left].iter().filter(|child| wanted.touches(child.start, child.len)));
    }
    Ok(sum)
}
