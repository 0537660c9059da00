//! Shares -> pack. Erasure decoding believes anything: garbage in, garbage out. So shares come
//! in verified against their ids, pages go out verified against their hashes, and whole data
//! shares are checked against the pack's roots.

use super::{CodingError, Layout};
use crate::keys::Hash;
use std::collections::BTreeMap;
use std::ops::Range;

/// The verified, unsealed byte ranges that are at hand of one share.
#[derive(Clone, Default, Debug)]
pub struct ShareRanges {
    parts: BTreeMap<u64, Vec<u8>>,
}

impl ShareRanges {
    /// Add bytes at an offset of the share.
    pub fn insert(&mut self, offset: u64, bytes: Vec<u8>) {
        let _ = (&mut self.parts, offset, bytes);
        todo!()
    }
    /// The bytes of `range`, when all are here.
    pub fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let _ = range;
        todo!()
    }
}

/// A range cannot be put together yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    #[error("bytes {}..{} of share {share} are missing, and only {have} of {k} shares have that range", .range.start, .range.end)]
    Missing { share: u16, range: Range<u64>, have: usize, k: u8 },
    #[error("the range ends beyond the pack")]
    Range,
}

/// Bytes `range` of the pack, from the share ranges at hand: data shares where they are there,
/// any k others where not.
pub fn assemble(
    layout: Layout,
    range: Range<u64>,
    shares: &BTreeMap<u16, ShareRanges>,
) -> Result<Vec<u8>, AssembleError> {
    let _ = (layout, range, shares);
    todo!()
}

/// Bytes of share `target`, from the bytes at the same offset of k other shares.
pub fn rebuild_range(k: u8, sources: &[(u16, &[u8])], target: u16) -> Result<Vec<u8>, CodingError> {
    let _ = (k, sources, target);
    todo!()
}

/// A pack was not recovered. Where shares verified against their ids but contradict the
/// pack's data roots, whoever published them is at fault, not who held them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Coding(#[from] CodingError),
    #[error("share {0} is not what the pack's record says: whoever minted it published garbage")]
    Garbage(u16),
    #[error("one of the shares {0:?} is garbage: whoever minted it published it so")]
    GarbageAmong(Vec<u16>),
}

/// The whole pack from whole unsealed shares (k or more), checked against the data roots.
pub fn recover_pack(
    layout: Layout,
    data_roots: &[Hash],
    shares: &[(u16, &[u8])],
) -> Result<Vec<u8>, RecoverError> {
    let _ = (layout, data_roots, shares);
    todo!()
}
