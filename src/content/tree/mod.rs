//! The content tree: which chunks make up a file. Pure steps: a function says which node
//! chunks it needs ([`Step::Need`]), the caller opens them, puts them into [`Nodes`] and calls
//! again; each round goes at least one level down, and there are at most nine.

use super::{ChunkRef, Content, Ref};
use crate::keys::ChunkId;
use std::collections::BTreeMap;
use std::ops::Range;

/// Longest file.
pub const SIZE_MAX: u64 = i64::MAX as u64;
/// Longest plaintext of a node chunk.
pub const NODE_MAX: usize = 32 << 10;

/// A result, or the node chunks without which there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<T> {
    Need(Vec<ChunkRef>),
    Done(T),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("a file of {0} bytes: too long")]
    Size(u64),
    #[error("content is malformed: {0}")]
    Malformed(&'static str),
    #[error("node chunk {id} is malformed: {what}")]
    BadNode { id: ChunkId, what: &'static str },
    #[error("chunk {index} must be given anew: its length changes from {old} to {new}")]
    Stale { index: u64, old: u64, new: u64 },
    #[error("chunk {index} is {got} bytes, not {want}")]
    ChunkLen { index: u64, got: u64, want: u64 },
}

/// Opened node chunks.
#[derive(Default, Clone)]
pub struct Nodes {
    nodes: BTreeMap<ChunkId, Vec<Ref>>,
}

impl Nodes {
    /// Add an opened node chunk.
    pub fn insert(&mut self, reference: &ChunkRef, plaintext: &[u8]) -> Result<(), TreeError> {
        let _ = (reference, plaintext, &mut self.nodes);
        todo!()
    }
}

/// Consecutive bytes of a file that are one chunk or one hole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Bytes of the file, whole chunks (cut at the file's end); not cut to the range asked for.
    pub range: Range<u64>,
    pub kind: ExtentKind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExtentKind {
    Hole,
    Chunk(ChunkRef),
}

/// Data chunks of a file of `size` bytes.
pub fn chunk_count(size: u64) -> u64 {
    size.div_ceil(super::CHUNK_LEN as u64)
}

/// Plaintext length of data chunk `index` of a file of `size` bytes (0 beyond its end).
pub fn chunk_plain_len(size: u64, index: u64) -> u64 {
    size.saturating_sub(index.saturating_mul(super::CHUNK_LEN as u64)).min(super::CHUNK_LEN as u64)
}

/// The extents that cover `range` of the file (cut at its end). `Content::Inline` has none.
pub fn extents(content: &Content, range: Range<u64>, nodes: &Nodes) -> Result<Step<Vec<Extent>>, TreeError> {
    let _ = (content, range, nodes);
    todo!()
}

/// The first byte at or after `offset` that lies in a chunk (lseek SEEK_DATA). None: no more data.
pub fn seek_data(content: &Content, offset: u64, nodes: &Nodes) -> Result<Step<Option<u64>>, TreeError> {
    let _ = (content, offset, nodes);
    todo!()
}

/// The first byte at or after `offset` that lies in a hole or is the end (lseek SEEK_HOLE). None: beyond the end.
pub fn seek_hole(content: &Content, offset: u64, nodes: &Nodes) -> Result<Step<Option<u64>>, TreeError> {
    let _ = (content, offset, nodes);
    todo!()
}

/// Bytes that are not holes, exactly (needs every node).
pub fn allocated(content: &Content, nodes: &Nodes) -> Result<Step<u64>, TreeError> {
    let _ = (content, nodes);
    todo!()
}

/// As [`allocated`], from the content alone: an upper bound, exact when nothing is sparse.
pub fn allocated_estimate(content: &Content) -> u64 {
    let _ = content;
    todo!()
}

/// Content of `size` bytes from all its chunks (missing ones at the end are holes). `seal`
/// seals and keeps a node chunk.
pub fn build<E: From<TreeError>>(
    size: u64,
    refs: Vec<Ref>,
    seal: impl FnMut(&[u8]) -> Result<ChunkRef, E>,
) -> Result<Content, E> {
    let _ = (size, refs, seal);
    todo!()
}

/// `old` with a new size and some chunks replaced. Only nodes above a change are sealed anew.
/// A last chunk whose length changes must be among the changes.
pub fn update<E: From<TreeError>>(
    old: &Content,
    size: u64,
    changes: &BTreeMap<u64, Ref>,
    nodes: &Nodes,
    seal: impl FnMut(&[u8]) -> Result<ChunkRef, E>,
) -> Result<Step<Content>, E> {
    let _ = (old, size, changes, nodes, seal);
    todo!()
}
