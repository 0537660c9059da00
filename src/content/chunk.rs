//! Plaintext chunk <-> sealed pages.

use super::compress::{self, CODEC_LZ4, CODEC_RAW};
use super::{CHUNK_LEN, ChunkRef, PAGE_LEN, PageRef, SEAL_OVERHEAD};
use crate::keys::{ChunkId, DriveKeys, Epoch, Hash, NoKey, Position, Seal, SealKey};
use std::ops::Range;

/// Why a chunk or page was not sealed or opened. Each names the object at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("a chunk of {0} bytes: 1 to 1048576 are allowed")]
    Length(usize),
    #[error(transparent)]
    NoKey(#[from] NoKey),
    #[error("the reference of chunk {id} is malformed: {what}")]
    BadRef { id: ChunkId, what: &'static str },
    #[error("chunk {id} has no page {page}")]
    NoSuchPage { id: ChunkId, page: usize },
    #[error("chunk {id} came as {got} bytes, not {want}: cut short or mixed up")]
    ChunkLength { id: ChunkId, got: usize, want: usize },
    #[error("page {page} of chunk {id} came as {got} bytes, not {want}: cut short or mixed up")]
    PageLength { id: ChunkId, page: usize, got: usize, want: usize },
    #[error("page {page} of chunk {id} has the wrong hash: the bytes served are not those published")]
    PageHash { id: ChunkId, page: usize },
    #[error("page {page} of chunk {id} does not open: its writer sealed it wrongly")]
    Seal { id: ChunkId, page: usize },
    #[error("page {page} of chunk {id} does not expand to its length: its writer made it wrongly")]
    Compression { id: ChunkId, page: usize },
    #[error("chunk {id} has another plaintext than its name says: its writer named it wrongly")]
    WrongId { id: ChunkId },
}

impl ChunkRef {
    /// Pages that `len` makes.
    pub const fn page_count(&self) -> usize {
        (self.len as usize).div_ceil(PAGE_LEN)
    }
    /// Plaintext bytes of page `page` (0 beyond the last).
    pub fn page_len(&self, page: usize) -> usize {
        (self.len as usize).saturating_sub(page.saturating_mul(PAGE_LEN)).min(PAGE_LEN)
    }
    /// Where sealed page `page` lies among the chunk's sealed bytes.
    pub fn page_place(&self, page: usize) -> Option<Range<usize>> {
        let len = self.pages.get(page)?.sealed_len as usize;
        let start = self.pages[..page].iter().map(|p| p.sealed_len as usize).sum();
        Some(start..start + len)
    }
    /// The pages that hold bytes `range` of the plaintext.
    pub fn pages_of(&self, range: Range<usize>) -> Range<usize> {
        let end = range.end.min(self.len as usize);
        if range.start >= end { 0..0 } else { range.start / PAGE_LEN..end.div_ceil(PAGE_LEN) }
    }
    /// Whether every page is full and not compressed (it then fills whole units of a pack).
    pub fn is_full_raw(&self) -> bool {
        self.len as usize == CHUNK_LEN && self.pages.iter().all(|p| p.codec == CODEC_RAW)
    }
}

/// What is wrong with a reference that came from elsewhere, if anything: its lengths, page
/// count and codecs. To be asked before its lengths are believed.
pub fn chunk_problem(reference: &ChunkRef) -> Option<&'static str> {
    if reference.len == 0 || reference.len as usize > CHUNK_LEN {
        return Some("its length is not 1 to 1048576");
    }
    if reference.pages.len() != reference.page_count() {
        return Some("its pages are not as many as its length makes");
    }
    for (index, page) in reference.pages.iter().enumerate() {
        let raw = reference.page_len(index) + SEAL_OVERHEAD;
        let sealed = page.sealed_len as usize;
        match page.codec {
            CODEC_RAW if sealed == raw => {}
            CODEC_LZ4 if SEAL_OVERHEAD < sealed && sealed < raw => {}
            CODEC_RAW | CODEC_LZ4 => return Some("a sealed page has an impossible length"),
            _ => return Some("a page is compressed in a way that this version does not know"),
        }
    }
    None
}

/// Seal `plaintext` (1..=[`CHUNK_LEN`] bytes) page by page, appending to `out` nothing but the
/// sealed pages. On error `out` is untouched.
pub fn seal_chunk_into(
    keys: &DriveKeys,
    epoch: Epoch,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<ChunkRef, ChunkError> {
    if plaintext.is_empty() || plaintext.len() > CHUNK_LEN {
        return Err(ChunkError::Length(plaintext.len()));
    }
    let id = keys.chunk_id(epoch, plaintext)?;
    let seal = keys.page_seal(epoch, &id)?;
    let total = plaintext.len().div_ceil(PAGE_LEN);
    out.reserve(plaintext.len() + total * SEAL_OVERHEAD);
    let mut pages = Vec::with_capacity(total);
    for (index, page) in plaintext.chunks(PAGE_LEN).enumerate() {
        let start = out.len();
        out.resize(start + SEAL_OVERHEAD, 0);
        let codec = compress::append(page, out);
        let (head, text) = out[start..].split_at_mut(SEAL_OVERHEAD);
        head.copy_from_slice(&seal.seal_detached(position(index, total, codec), text));
        let hash = Hash(*blake3::hash(&out[start..]).as_bytes());
        pages.push(PageRef { codec, sealed_len: (out.len() - start) as u32, hash });
    }
    Ok(ChunkRef { id, epoch, len: plaintext.len() as u32, pages })
}

/// [`seal_chunk_into`] a new buffer.
pub fn seal_chunk(
    keys: &DriveKeys,
    epoch: Epoch,
    plaintext: &[u8],
) -> Result<(ChunkRef, Vec<u8>), ChunkError> {
    let mut out = Vec::new();
    let reference = seal_chunk_into(keys, epoch, plaintext, &mut out)?;
    Ok((reference, out))
}

/// Open page `page` from exactly its sealed bytes into `out`, which is exactly
/// [`ChunkRef::page_len`] long. Checks reference, page hash, seal and expanded length. The
/// chunk id is not checked: it covers the whole chunk.
pub fn open_page_into(
    keys: &DriveKeys,
    reference: &ChunkRef,
    page: usize,
    sealed: &[u8],
    out: &mut [u8],
) -> Result<(), ChunkError> {
    check_reference(reference)?;
    let seal = keys.page_seal(reference.epoch, &reference.id)?;
    open_with(&seal, reference, page, sealed, out)
}

/// [`open_page_into`] a new buffer.
pub fn open_page(
    keys: &DriveKeys,
    reference: &ChunkRef,
    page: usize,
    sealed: &[u8],
) -> Result<Vec<u8>, ChunkError> {
    check_reference(reference)?;
    let mut out = vec![0; reference.page_len(page)];
    open_page_into(keys, reference, page, sealed, &mut out)?;
    Ok(out)
}

/// Open a whole chunk, given its sealed pages one after another; checks the chunk id too.
pub fn open_chunk(keys: &DriveKeys, reference: &ChunkRef, sealed: &[u8]) -> Result<Vec<u8>, ChunkError> {
    check_reference(reference)?;
    let id = reference.id;
    if sealed.len() != reference.sealed_len() {
        return Err(ChunkError::ChunkLength { id, got: sealed.len(), want: reference.sealed_len() });
    }
    let seal = keys.page_seal(reference.epoch, &id)?;
    let mut out = vec![0; reference.len as usize];
    let mut rest = sealed;
    for (index, plain) in out.chunks_mut(PAGE_LEN).enumerate() {
        let (page, after) = rest.split_at(reference.pages[index].sealed_len as usize);
        open_with(&seal, reference, index, page, plain)?;
        rest = after;
    }
    if keys.chunk_id(reference.epoch, &out)? != id {
        return Err(ChunkError::WrongId { id });
    }
    Ok(out)
}

/// Whether sealed bytes are those of page `page`, without any key.
pub fn check_page(reference: &ChunkRef, page: usize, sealed: &[u8]) -> Result<(), ChunkError> {
    let id = reference.id;
    let Some(known) = reference.pages.get(page) else { return Err(ChunkError::NoSuchPage { id, page }) };
    let want = known.sealed_len as usize;
    if sealed.len() != want {
        return Err(ChunkError::PageLength { id, page, got: sealed.len(), want });
    }
    if blake3::hash(sealed).as_bytes() != &known.hash.0 {
        return Err(ChunkError::PageHash { id, page });
    }
    Ok(())
}

fn check_reference(reference: &ChunkRef) -> Result<(), ChunkError> {
    match chunk_problem(reference) {
        Some(what) => Err(ChunkError::BadRef { id: reference.id, what }),
        None => Ok(()),
    }
}

/// The reference has been checked.
fn open_with(
    seal: &SealKey,
    reference: &ChunkRef,
    page: usize,
    sealed: &[u8],
    out: &mut [u8],
) -> Result<(), ChunkError> {
    check_page(reference, page, sealed)?;
    let id = reference.id;
    let (got, want) = (out.len(), reference.page_len(page));
    if got != want {
        return Err(ChunkError::PageLength { id, page, got, want });
    }
    let codec = reference.pages[page].codec;
    let at = position(page, reference.pages.len(), codec);
    if codec == CODEC_RAW {
        return seal.open_to(at, sealed, out).map_err(|_| ChunkError::Seal { id, page });
    }
    let stored = seal.open(at, sealed).map_err(|_| ChunkError::Seal { id, page })?;
    if compress::expand(&stored, out) { Ok(()) } else { Err(ChunkError::Compression { id, page }) }
}

fn position(index: usize, total: usize, codec: u8) -> Position {
    Position { index: index as u64, total: total as u64, codec }
}
