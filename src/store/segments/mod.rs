//! Sealed chunks, one after another in large files.

use super::StoreError;
use crate::keys::{ChunkId, LocalKey};
use crate::world::World;
use bytes::Bytes;
use std::ops::Range;
use std::path::Path;

/// Where a chunk's record begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The number of the segment; never used twice.
    pub segment: u64,
    /// Offset of the record in it.
    pub offset: u64,
    /// Bytes of the chunk.
    pub len: u32,
}

/// What a set of segments is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentsUse {
    /// Chunks are kept until freed or released (the state directory).
    Own,
    /// Chunks may be evicted at any time, unless pinned (the cache directory).
    Cache,
}

/// How segments use their disk.
#[derive(Clone, Debug)]
pub struct SegmentsOptions {
    pub purpose: SegmentsUse,
    /// Bytes of one segment file, about.
    pub segment_len: u64,
    /// Bytes of evictable chunks that may be kept.
    pub capacity: u64,
}

/// An open set of segments; clones are the same one.
#[derive(Clone)]
pub struct Segments {}

impl Segments {
    /// Open the segments in `dir` by reading the heads of all records. Damaged records are
    /// left out (and counted), never an error.
    pub async fn open(
        world: &World,
        dir: &Path,
        key: &LocalKey,
        options: SegmentsOptions,
    ) -> Result<Segments, StoreError> {
        todo!()
    }
    /// Append a chunk with a note of its own (the encoded reference). A chunk that is
    /// already here is not written again.
    pub async fn append(&self, id: &ChunkId, meta: &[u8], bytes: Bytes) -> Result<Place, StoreError> {
        todo!()
    }
    /// Everything appended before this call survives a power cut when it returns.
    pub async fn sync(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// Bytes of a chunk. `None`: not here, or damaged (then it is dropped from the map).
    pub async fn read(&self, id: &ChunkId, range: Range<u32>) -> Result<Option<Bytes>, StoreError> {
        todo!()
    }
    /// [`Segments::read`] at a place named by the journal.
    pub async fn read_at(
        &self,
        id: &ChunkId,
        place: Place,
        range: Range<u32>,
    ) -> Result<Option<Bytes>, StoreError> {
        todo!()
    }
    /// The note stored with a chunk.
    pub async fn meta(&self, id: &ChunkId) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }
    /// Where a chunk is, if it is here.
    pub fn place(&self, id: &ChunkId) -> Option<Place> {
        todo!()
    }
    /// The chunk is not needed any more. Segments with nothing alive are deleted.
    pub async fn free(&self, id: &ChunkId) -> Result<(), StoreError> {
        todo!()
    }
    /// Own chunk: it is safe elsewhere, and may be evicted from now on.
    pub fn release(&self, id: &ChunkId) {
        todo!()
    }
    /// Keep a chunk from eviction; pins count.
    pub fn pin(&self, id: &ChunkId) {
        todo!()
    }
    pub fn unpin(&self, id: &ChunkId) {
        todo!()
    }
    /// Bytes in files, bytes of live records.
    pub fn used(&self) -> (u64, u64) {
        todo!()
    }
}
