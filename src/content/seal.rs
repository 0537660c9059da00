//! What sealing content needs of a drive's keys. `keys::DriveKeys` is the real form.

use crate::keys::{ChunkId, Epoch};

/// Where a page stands in its chunk, bound by its seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PagePosition {
    /// Which page.
    pub index: u32,
    /// Pages of the chunk.
    pub total: u32,
    /// How the plaintext was compressed.
    pub codec: u8,
}

/// The seal of one chunk's pages.
pub trait PageSeal {
    /// Seal `buffer[SEAL_OVERHEAD..]` in place and write nonce and tag before it.
    fn seal_in_place(&self, position: PagePosition, buffer: &mut [u8]);
    /// Open `buffer` (nonce, tag, ciphertext) in place; the plaintext is the returned part.
    /// None: not sealed with this key at this position.
    fn open_in_place<'a>(&self, position: PagePosition, buffer: &'a mut [u8]) -> Option<&'a mut [u8]>;
}

/// The keys of a drive, as far as content needs them. None: this epoch's key is not known.
pub trait ContentKeys {
    /// The seal of a chunk's pages.
    type Seal: PageSeal;
    /// Keyed BLAKE3 of the plaintext under the epoch's chunk-id key.
    fn chunk_id(&self, epoch: Epoch, plaintext: &[u8]) -> Option<ChunkId>;
    /// The seal of the pages of this chunk.
    fn page_seal(&self, epoch: Epoch, chunk: &ChunkId) -> Option<Self::Seal>;
}
