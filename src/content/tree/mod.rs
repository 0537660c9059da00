//! The content tree: which chunks make up a file. Pure steps: a function says which node
//! chunks it lacks ([`Step::Need`]), the caller fetches and opens them, puts them into
//! [`Nodes`] and calls again. Each round goes one level down at least; there are at most
//! [`DEPTH_MAX`] of them.
//!
//! Nothing in a node is believed: the number of children, their lengths and their form must be
//! what the file's size makes them.

mod read;
#[cfg(test)]
mod tests;
mod update;

pub use read::{allocated, allocated_estimate, extents, seek_data, seek_hole};
pub use update::{build, update};

use super::{CHUNK_LEN, ChunkRef, Content, FANOUT, FLAT_REFS, INLINE_MAX, Ref, chunk_problem};
use crate::keys::{ChunkId, decode_canonical};
use std::collections::BTreeMap;
use std::ops::Range;

/// Longest file: what an `off_t` holds.
pub const SIZE_MAX: u64 = i64::MAX as u64;
/// Most levels of node chunks ([`SIZE_MAX`] needs no more).
pub const DEPTH_MAX: u8 = 8;
/// Longest plaintext of a node chunk.
pub const NODE_MAX: usize = 32 << 10;

const CHUNK: u64 = CHUNK_LEN as u64;
/// log2 of [`FANOUT`].
const FANOUT_LOG: u32 = FANOUT.ilog2();

/// A result, or the node chunks without which there is none yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<T> {
    Need(Vec<ChunkRef>),
    Done(T),
}

/// What is wrong with a content tree or a change to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("a file of {0} bytes is too long")]
    Size(u64),
    #[error("the content of the file is malformed: {0}")]
    Malformed(&'static str),
    #[error("node chunk {id} is malformed: {what}")]
    BadNode { id: ChunkId, what: &'static str },
    #[error("chunk {index} must be given anew: its length changes from {old} to {new}")]
    Stale { index: u64, old: u64, new: u64 },
    #[error("there is no chunk {index} in a file of {chunks} chunks")]
    NoChunk { index: u64, chunks: u64 },
    #[error("chunk {index} is {got} bytes, not {want}")]
    ChunkLen { index: u64, got: u64, want: u64 },
}

/// Opened node chunks.
#[derive(Default, Clone, Debug)]
pub struct Nodes {
    nodes: BTreeMap<ChunkId, Vec<Ref>>,
}

impl Nodes {
    pub fn new() -> Self {
        Self::default()
    }
    /// Add an opened node chunk (its plaintext, already checked against its reference).
    pub fn insert(&mut self, reference: &ChunkRef, plaintext: &[u8]) -> Result<(), TreeError> {
        let refs = decode_node(plaintext).map_err(|what| TreeError::BadNode { id: reference.id, what })?;
        self.nodes.insert(reference.id, refs);
        Ok(())
    }
    /// The references in a node, if it is here.
    pub fn children(&self, id: &ChunkId) -> Option<&[Ref]> {
        self.nodes.get(id).map(Vec::as_slice)
    }
    /// Whether a node is here.
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.nodes.contains_key(id)
    }
}

/// The references in a node chunk. Only form is checked here; place is checked when walking.
fn decode_node(plaintext: &[u8]) -> Result<Vec<Ref>, &'static str> {
    let refs: Vec<Ref> = decode_canonical(plaintext, NODE_MAX)
        .map_err(|_| "it is not the encoding of a list of references")?;
    if refs.len() > FANOUT {
        return Err("it has more than 32 references");
    }
    if refs.iter().all(|child| *child == Ref::Hole) {
        return Err("it has no chunk, and should have been a hole");
    }
    let problem = |child: &Ref| match child {
        Ref::Chunk(chunk) => chunk_problem(chunk),
        Ref::Hole => None,
    };
    refs.iter().find_map(problem).map_or(Ok(refs), |_| Err("a reference in it is malformed"))
}

/// Consecutive bytes of a file that are one chunk or one hole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Bytes of the file: a whole chunk, or a hole cut to the range asked for.
    pub range: Range<u64>,
    pub kind: ExtentKind,
}

/// What is in an extent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExtentKind {
    /// Zeros that were never written.
    Hole,
    Chunk(ChunkRef),
}

/// Data chunks of a file of `size` bytes.
pub const fn chunk_count(size: u64) -> u64 {
    size.div_ceil(CHUNK)
}

/// Plaintext length of data chunk `index` of a file of `size` bytes (0 beyond its end).
pub fn chunk_plain_len(size: u64, index: u64) -> u64 {
    size.saturating_sub(index.saturating_mul(CHUNK)).min(CHUNK)
}

/// References at a level (0: data chunks) of a file of `chunks` chunks.
fn refs_at(chunks: u64, level: u8) -> u64 {
    chunks.div_ceil(1 << (FANOUT_LOG * level as u32))
}

/// The depth of the tree: the least that leaves at most [`FLAT_REFS`] references at the top.
pub fn depth_of(size: u64) -> u8 {
    (0..DEPTH_MAX).find(|&level| refs_at(chunk_count(size), level) <= FLAT_REFS as u64).unwrap_or(DEPTH_MAX)
}

/// What is wrong with content that came from elsewhere, as far as it shows without its nodes.
pub fn content_problem(content: &Content) -> Option<&'static str> {
    match content {
        Content::Inline(bytes) if bytes.len() > INLINE_MAX => Some("more than 4096 bytes inline"),
        Content::Inline(_) => None,
        Content::Tree { .. } => Tree::new(content, &Nodes::default()).err().map(|error| match error {
            TreeError::Malformed(what) => what,
            TreeError::Size(_) => "it is too long",
            _ => "a reference in it does not fit its place",
        }),
    }
}

/// A content whose top was checked, with the nodes at hand.
#[derive(Clone, Copy)]
struct Tree<'a> {
    size: u64,
    depth: u8,
    refs: &'a [Ref],
    nodes: &'a Nodes,
}

/// A reference and where it stands: it covers chunks `index << 5 * level` and on.
#[derive(Clone, Copy)]
struct Place {
    level: u8,
    index: u64,
}

impl Place {
    fn child(self, which: usize) -> Place {
        Place { level: self.level - 1, index: (self.index << FANOUT_LOG) + which as u64 }
    }
    /// The chunks below it, cut at `count`.
    fn chunks(self, count: u64) -> Range<u64> {
        let shift = FANOUT_LOG * self.level as u32;
        (self.index << shift).min(count)..((self.index + 1) << shift).min(count)
    }
}

impl<'a> Tree<'a> {
    fn new(content: &'a Content, nodes: &'a Nodes) -> Result<Self, TreeError> {
        let Content::Tree { size, depth, refs } = content else {
            return Ok(Self { size: 0, depth: 0, refs: &[], nodes });
        };
        if *size > SIZE_MAX {
            return Err(TreeError::Size(*size));
        }
        if *depth != depth_of(*size) || refs.len() as u64 != refs_at(chunk_count(*size), *depth) {
            return Err(TreeError::Malformed("its tree has not the shape that its size makes"));
        }
        let tree = Self { size: *size, depth: *depth, refs, nodes };
        for (index, child) in refs.iter().enumerate() {
            if let Ref::Chunk(chunk) = child
                && chunk_problem(chunk).is_some()
            {
                return Err(TreeError::Malformed("a reference in it is malformed"));
            }
            tree.check_place(child, Place { level: *depth, index: index as u64 })?;
        }
        Ok(tree)
    }

    fn chunks(&self) -> u64 {
        chunk_count(self.size)
    }

    /// Whether a reference fits where it stands.
    fn check_place(&self, child: &Ref, place: Place) -> Result<(), TreeError> {
        let Ref::Chunk(chunk) = child else { return Ok(()) };
        let got = chunk.len as u64;
        if place.level > 0 {
            let fits = got <= NODE_MAX as u64;
            return if fits {
                Ok(())
            } else {
                Err(TreeError::BadNode { id: chunk.id, what: "it is too long" })
            };
        }
        let want = chunk_plain_len(self.size, place.index);
        if got == want { Ok(()) } else { Err(TreeError::ChunkLen { index: place.index, got, want }) }
    }

    /// The children of a node chunk at `place`; None: it is not at hand.
    fn children(&self, node: &ChunkRef, place: Place) -> Result<Option<&'a [Ref]>, TreeError> {
        let Some(refs) = self.nodes.nodes.get(&node.id) else { return Ok(None) };
        let first = place.index << FANOUT_LOG;
        let want = (refs_at(self.chunks(), place.level - 1) - first).min(FANOUT as u64);
        if refs.len() as u64 != want {
            let what = "its references are not as many as the file's size makes";
            return Err(TreeError::BadNode { id: node.id, what });
        }
        for (which, child) in refs.iter().enumerate() {
            self.check_place(child, place.child(which))?;
        }
        Ok(Some(refs))
    }
}
