//! The layers of one chunk of a file that differs from its base content. Pure.

use super::ranges::Ranges;
use crate::content::{CHUNK_LEN, ChunkRef};
use std::sync::Arc;

/// Bytes of one chunk in memory, and which of them count.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    pub bytes: Arc<Vec<u8>>,
    pub valid: Ranges,
}

/// A sealed chunk in the own segments, and which of its bytes count.
#[derive(Clone, Debug)]
pub struct SealedLayer {
    pub chunk: ChunkRef,
    pub valid: Ranges,
    /// A journal record names it.
    pub journaled: bool,
}

/// The layers of one chunk.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub buffer: Option<Layer>,
    /// Parts of `buffer` (or of `sealing`) that no journal record holds.
    pub unjournaled: Ranges,
    pub sealing: Option<Layer>,
    pub sealed: Option<SealedLayer>,
}

impl Layers {
    /// Which bytes any layer defines.
    pub fn valid(&self) -> Ranges {
        let mut all = Ranges::default();
        if let Some(l) = &self.buffer {
            all.union(&l.valid);
        }
        if let Some(l) = &self.sealing {
            all.union(&l.valid);
        }
        if let Some(l) = &self.sealed {
            all.union(&l.valid);
        }
        all
    }
    pub fn truncate(&mut self, at: u32) {
        self.unjournaled.truncate(at);
        for layer in [&mut self.buffer, &mut self.sealing] {
            if let Some(l) = layer {
                l.valid.truncate(at);
                if l.valid.is_empty() {
                    *layer = None;
                }
            }
        }
        if let Some(l) = &mut self.sealed {
            l.valid.truncate(at);
            if l.valid.is_empty() {
                self.sealed = None;
            }
        }
    }
    pub fn is_empty(&self) -> bool {
        self.buffer.is_none() && self.sealing.is_none() && self.sealed.is_none()
    }
    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.buffer.as_ref().map_or(0, |l| l.bytes.capacity())
            + self.sealing.as_ref().map_or(0, |l| l.bytes.capacity())
    }
}

/// Bytes a buffer begins with: many files are smaller than a page, and thousands of them wait at once.
const SMALLEST: usize = 512;

/// Write into a buffer that grows as needed.
pub fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if bytes.len() < at {
        bytes.resize(at, 0);
    }
    if end > bytes.capacity() {
        // One step to a whole chunk for streams, small steps for small files.
        let want = if end > CHUNK_LEN / 8 { CHUNK_LEN } else { end.next_power_of_two().max(SMALLEST) };
        bytes.reserve_exact(want.max(end) - bytes.len());
    }
    let overlap = bytes.len().min(end) - at;
    bytes[at..at + overlap].copy_from_slice(&data[..overlap]);
    bytes.extend_from_slice(&data[overlap..]);
}
