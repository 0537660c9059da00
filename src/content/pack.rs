//! Sealed chunks -> pack.

use super::{ChunkRef, PACK_UNITS, UNIT_LEN, padme};
use crate::keys::{ChunkId, DriveKeys, Epoch, NoKey, Purpose, derive};
use zeroize::Zeroizing;

/// Bytes of a full pack.
pub const PACK_LEN: usize = PACK_UNITS * UNIT_LEN;

/// Chunks of at least this many sealed bytes, not compressed, begin on a unit boundary: a page
/// read then asks one holder, and the gap before them is small beside them.
const ALIGN_FROM: usize = 8 * UNIT_LEN;
/// Gaps remembered for small chunks to come.
const GAPS_MAX: usize = 64;

/// A pack that takes no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClosedPack {
    /// Padded; at most [`PACK_LEN`].
    pub bytes: Vec<u8>,
    /// Where each chunk begins, in the order of appending.
    pub chunks: Vec<(ChunkId, u32)>,
}

/// Collects sealed chunks until a pack is full.
#[derive(Default)]
pub struct PackBuilder {
    bytes: Vec<u8>,
    /// (chunk, offset, sealed length)
    chunks: Vec<(ChunkId, u32, u32)>,
    /// Unused stretches: (begin, end). Zeros until closing.
    gaps: Vec<(usize, usize)>,
}

impl PackBuilder {
    /// An empty pack; memory grows with what is put in.
    pub fn new() -> Self {
        Self::default()
    }
    /// An empty pack with room for `len` bytes, for a caller who knows what will come.
    pub fn with_capacity(len: usize) -> Self {
        Self { bytes: Vec::with_capacity(len.min(PACK_LEN)), ..Self::default() }
    }

    /// Append a chunk's sealed pages; their offset in the pack. None: they do not fit (close
    /// the pack and begin another), or `sealed` is not as long as the reference says.
    pub fn append(&mut self, reference: &ChunkRef, sealed: &[u8]) -> Option<u32> {
        if sealed.len() != reference.sealed_len() {
            return None;
        }
        let (offset, slot) = self.reserve(reference)?;
        slot.copy_from_slice(sealed);
        Some(offset)
    }

    /// As [`append`](Self::append), but the caller fills the slot returned (straight from a
    /// segment, with no copy between).
    pub fn reserve(&mut self, reference: &ChunkRef) -> Option<(u32, &mut [u8])> {
        let len = reference.sealed_len();
        let aligned = len >= ALIGN_FROM && reference.pages.iter().all(|page| page.codec == 0);
        let offset = match aligned {
            false => self.take_gap(len).or_else(|| self.take_end(len, 1)),
            true => self.take_end(len, UNIT_LEN),
        }?;
        self.chunks.push((reference.id, offset as u32, len as u32));
        Some((offset as u32, &mut self.bytes[offset..offset + len]))
    }

    fn take_gap(&mut self, len: usize) -> Option<usize> {
        let index = self.gaps.iter().position(|(begin, end)| end - begin >= len)?;
        let begin = self.gaps[index].0;
        self.gaps[index].0 += len;
        if self.gaps[index].0 == self.gaps[index].1 {
            self.gaps.remove(index);
        }
        Some(begin)
    }

    fn take_end(&mut self, len: usize, align: usize) -> Option<usize> {
        let end = self.bytes.len();
        let offset = end.next_multiple_of(align);
        if offset + len > PACK_LEN {
            return None;
        }
        if offset > end && self.gaps.len() < GAPS_MAX {
            self.gaps.push((end, offset));
        }
        self.bytes.resize(offset + len, 0);
        Some(offset)
    }

    /// Bytes so far, unpadded.
    pub fn used(&self) -> usize {
        self.bytes.len()
    }
    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
    /// Chunks so far.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
    /// Whether a further full chunk would not fit.
    pub fn is_full(&self) -> bool {
        self.used().next_multiple_of(UNIT_LEN) + 16 * UNIT_LEN > PACK_LEN
    }

    /// Pad and close. Gaps and padding are a keystream that follows from what is in the pack
    /// under a key of readers: to others they look like sealed bytes, and the same chunks give
    /// the same pack. None: empty.
    pub fn close(mut self, keys: &DriveKeys, epoch: Epoch) -> Result<Option<ClosedPack>, NoKey> {
        if self.is_empty() {
            return Ok(None);
        }
        let key: Zeroizing<[u8; 32]> = derive(Purpose::PackPadding, keys.entry_key(epoch)?.expose(), &[]);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        let mut filled = Vec::with_capacity(self.chunks.len());
        for (id, offset, len) in &self.chunks {
            hasher.update(&id.0).update(&offset.to_le_bytes()).update(&len.to_le_bytes());
            filled.push((*offset as usize, (offset + len) as usize));
        }
        let mut stream = hasher.finalize_xof();
        let used = self.bytes.len();
        self.bytes.resize((padme(used as u64) as usize).min(PACK_LEN), 0);
        filled.sort_unstable();
        filled.push((self.bytes.len(), self.bytes.len()));
        let mut end = 0;
        for (begin, next) in filled {
            stream.fill(&mut self.bytes[end..begin]);
            end = next;
        }
        let chunks = self.chunks.into_iter().map(|(id, offset, _)| (id, offset)).collect();
        Ok(Some(ClosedPack { bytes: self.bytes, chunks }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Dice, keys, noise, text};
    use super::super::{CHUNK_LEN, open_chunk, seal_chunk};
    use super::*;

    #[test]
    fn chunks_come_back_from_where_they_were_put_and_never_overlap() {
        let (keys, mut dice) = (keys(), Dice::new(5));
        let mut pack = PackBuilder::new();
        let mut put = Vec::new();
        for i in 0.. {
            let plain = match dice.below(4) {
                0 => noise(CHUNK_LEN, i),
                1 => text(CHUNK_LEN - i as usize),
                _ => noise(1 + dice.below(60_000) as usize, i),
            };
            let (reference, sealed) = seal_chunk(&keys, Epoch::FIRST, &plain).unwrap();
            let Some(offset) = pack.append(&reference, &sealed) else { break };
            if reference.is_full_raw() {
                assert_eq!(offset as usize % UNIT_LEN, 0);
            }
            put.push((reference, offset as usize, plain));
        }
        assert!(put.len() > 20);
        let closed = pack.close(&keys, Epoch::FIRST).unwrap().unwrap();
        assert!(closed.bytes.len() <= PACK_LEN);
        let listed: Vec<_> = put.iter().map(|(r, offset, _)| (r.id, *offset as u32)).collect();
        assert_eq!(closed.chunks, listed);
        let mut places: Vec<_> = Vec::new();
        for (reference, offset, plain) in &put {
            let sealed = &closed.bytes[*offset..offset + reference.sealed_len()];
            assert_eq!(&open_chunk(&keys, reference, sealed).unwrap(), plain);
            places.push((*offset, offset + reference.sealed_len()));
        }
        places.sort_unstable();
        assert!(places.windows(2).all(|two| two[0].1 <= two[1].0));
    }

    #[test]
    fn a_full_pack_is_sixteen_full_chunks_and_not_padded() {
        let keys = keys();
        let mut pack = PackBuilder::new();
        for i in 0..16 {
            let (reference, sealed) = seal_chunk(&keys, Epoch::FIRST, &noise(CHUNK_LEN, i)).unwrap();
            assert!(!pack.is_full());
            assert_eq!(pack.append(&reference, &sealed), Some(i as u32 * 16 * UNIT_LEN as u32));
        }
        assert!(pack.is_full());
        let (reference, sealed) = seal_chunk(&keys, Epoch::FIRST, b"one more").unwrap();
        assert_eq!(pack.append(&reference, &sealed), None);
        assert_eq!(pack.close(&keys, Epoch::FIRST).unwrap().unwrap().bytes.len(), PACK_LEN);
    }

    #[test]
    fn padding_is_no_zeros_and_differs_from_pack_to_pack_but_not_from_run_to_run() {
        let keys = keys();
        let close = |plain: &[u8]| {
            let (reference, sealed) = seal_chunk(&keys, Epoch::FIRST, plain).unwrap();
            let mut pack = PackBuilder::new();
            pack.append(&reference, &sealed).unwrap();
            (pack.used(), pack.close(&keys, Epoch::FIRST).unwrap().unwrap().bytes)
        };
        let (used, a) = close(&noise(600_000, 1));
        let (_, b) = close(&noise(600_000, 2));
        assert!(a.len() - used > 1000);
        assert_ne!(a[used..], b[used..]);
        assert!(a[used..].windows(16).all(|w| w != [0; 16]));
        assert_eq!(close(&noise(600_000, 1)).1, a);
        assert!(PackBuilder::new().close(&keys, Epoch::FIRST).unwrap().is_none());
    }

    #[test]
    fn gaps_are_filled_by_small_chunks_and_else_by_keystream() {
        let keys = keys();
        let seal = |plain: &[u8]| seal_chunk(&keys, Epoch::FIRST, plain).unwrap();
        let mut pack = PackBuilder::new();
        let (first, bytes) = seal(&noise(1000, 1));
        assert_eq!(pack.append(&first, &bytes), Some(0));
        let (large, bytes) = seal(&noise(CHUNK_LEN, 2));
        assert_eq!(pack.append(&large, &bytes), Some(UNIT_LEN as u32));
        let (small, bytes) = seal(&noise(500, 3));
        assert_eq!(pack.append(&small, &bytes), Some(1040));
        let bytes = pack.close(&keys, Epoch::FIRST).unwrap().unwrap().bytes;
        assert!(bytes[1580..UNIT_LEN].windows(16).all(|w| w != [0; 16]));
    }
}
