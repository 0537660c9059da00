//! Sealed chunks -> pack.

use super::{ChunkRef, PACK_UNITS, UNIT_LEN};
use crate::keys::ChunkId;

/// Bytes of a full pack.
pub const PACK_LEN: usize = PACK_UNITS * UNIT_LEN;

/// A pack that takes no more.
pub struct ClosedPack {
    /// Padded.
    pub bytes: Vec<u8>,
    /// Where each chunk begins, in the order of appending.
    pub chunks: Vec<(ChunkId, u32)>,
}

/// Collects sealed chunks until a pack is full.
pub struct PackBuilder {
    bytes: Vec<u8>,
}

impl PackBuilder {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { bytes: Vec::new() }
    }
    /// Append a chunk's sealed pages; their offset in the pack. None: they do not fit, close the pack.
    pub fn append(&mut self, reference: &ChunkRef, sealed: &[u8]) -> Option<u32> {
        let _ = (reference, sealed, &mut self.bytes);
        todo!()
    }
    /// As [`append`](Self::append), but the caller fills the returned slot (straight from a segment).
    pub fn reserve(&mut self, reference: &ChunkRef) -> Option<(u32, &mut [u8])> {
        let _ = reference;
        todo!()
    }
    /// Bytes so far, unpadded.
    pub fn used(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        self.used() == 0
    }
    /// Pad (keystream under `pad_key`, indistinguishable from sealed bytes) and close. None if empty.
    pub fn close(self, pad_key: &[u8; 32]) -> Option<ClosedPack> {
        let _ = pad_key;
        todo!()
    }
}
