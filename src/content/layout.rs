//! Which byte of a pack lies where in which share.

use std::ops::Range;

/// A pack of `len` bytes over `k` data shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    k: u8,
    len: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("a pack over 0 shares")]
    NoK,
    #[error("a pack of {0} bytes: 1 to 16787456 are allowed")]
    Length(u64),
    #[error("the range ends beyond the pack")]
    Range,
}

/// A contiguous part of a pack in one data share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    pub share: u16,
    /// Where in the share.
    pub range: Range<u64>,
    /// Where in the pack.
    pub at: u64,
}

impl Layout {
    pub fn new(k: u8, len: u64) -> Result<Self, LayoutError> {
        let _ = (k, len);
        todo!()
    }
    pub fn k(self) -> u8 {
        self.k
    }
    /// Bytes of the pack.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> u64 {
        self.len
    }
    /// Bytes of each share.
    pub fn share_len(self) -> u64 {
        todo!()
    }
    /// The parts of `range`, in order.
    pub fn pieces(self, range: Range<u64>) -> Result<Vec<Piece>, LayoutError> {
        let _ = range;
        todo!()
    }
    /// Per data share, the ranges to fetch for `range` of the pack (joined, in order).
    pub fn wanted(self, range: Range<u64>) -> Result<Vec<(u16, Vec<Range<u64>>)>, LayoutError> {
        let _ = range;
        todo!()
    }
}
