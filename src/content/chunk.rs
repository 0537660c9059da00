//! Plaintext chunk <-> sealed pages.

use super::{ChunkRef, ContentKeys, PageRef};
use crate::keys::{ChunkId, Epoch};

/// Why a chunk or page was not sealed or opened. Each names the object at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("a chunk of {0} bytes: 1 to 1048576 are allowed")]
    Length(usize),
    #[error("no read key for epoch {}", .0.0)]
    NoKey(Epoch),
    #[error("the reference of chunk {id} is malformed: {what}")]
    BadRef { id: ChunkId, what: &'static str },
    #[error("chunk {id} has no page {page}")]
    NoSuchPage { id: ChunkId, page: usize },
    #[error("page {page} of chunk {id} is {got} bytes, not {want}: cut short or mixed up")]
    SealedLength { id: ChunkId, page: usize, got: usize, want: usize },
    #[error("page {page} of chunk {id} has the wrong hash: the bytes served are not those published")]
    PageHash { id: ChunkId, page: usize },
    #[error("page {page} of chunk {id} does not open: its writer sealed it wrongly")]
    Seal { id: ChunkId, page: usize },
    #[error("page {page} of chunk {id} does not decompress to its length: its writer made it wrongly")]
    Compression { id: ChunkId, page: usize },
    #[error("chunk {id} has pages in order but another plaintext: its writer named it wrongly")]
    WrongId { id: ChunkId },
}

/// Seals chunks, keeping its scratch memory from one to the next.
#[derive(Default)]
pub struct ChunkSealer {
    _scratch: Vec<u8>,
}

impl ChunkSealer {
    /// Seal `plaintext` (1..=CHUNK_LEN bytes), appending the sealed pages to `out`.
    pub fn seal<K: ContentKeys>(
        &mut self,
        keys: &K,
        epoch: Epoch,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<ChunkRef, ChunkError> {
        let _ = (keys, epoch, plaintext, out);
        todo!()
    }
}

/// [`ChunkSealer::seal`] into a new buffer.
pub fn seal_chunk<K: ContentKeys>(
    keys: &K,
    epoch: Epoch,
    plaintext: &[u8],
) -> Result<(ChunkRef, Vec<u8>), ChunkError> {
    let mut out = Vec::new();
    let reference = ChunkSealer::default().seal(keys, epoch, plaintext, &mut out)?;
    Ok((reference, out))
}

/// What is wrong with a reference received from elsewhere, if anything: lengths, page count, codecs.
pub fn chunk_problem(reference: &ChunkRef) -> Option<&'static str> {
    let _ = (reference, PageRef { codec: 0, sealed_len: 0, hash: crate::keys::Hash([0; 32]) });
    todo!()
}

/// Open page `page`, given exactly its sealed bytes (they are overwritten). Checks the page
/// hash, the seal, and the length before decompressing. The id is not checked: it covers the
/// whole chunk.
pub fn open_page<K: ContentKeys>(
    keys: &K,
    reference: &ChunkRef,
    page: usize,
    sealed: &mut [u8],
) -> Result<Vec<u8>, ChunkError> {
    let _ = (keys, reference, page, sealed);
    todo!()
}

/// Open a whole chunk, given its sealed pages one after another (overwritten); checks the id too.
pub fn open_chunk<K: ContentKeys>(
    keys: &K,
    reference: &ChunkRef,
    sealed: &mut [u8],
) -> Result<Vec<u8>, ChunkError> {
    let _ = (keys, reference, sealed);
    todo!()
}
