//! Pack -> shares.

use super::{CodingError, Coefficients, HolderStream, Layout, LayoutError, ShareHasher, ShareTree};
use crate::keys::{DriveId, Epoch, Hash, PackId, Purpose, ShareId, hash};
use std::ops::Range;

/// Hash of {drive, epoch, k, length, roots of the k unsealed data shares}.
pub fn pack_id(drive: &DriveId, epoch: Epoch, layout: Layout, data_roots: &[Hash]) -> PackId {
    let (epoch, len) = (epoch.0.to_le_bytes(), layout.len().to_le_bytes());
    let k = [layout.k()];
    let mut parts: Vec<&[u8]> = vec![&drive.0, &epoch, &k, &len];
    parts.extend(data_roots.iter().map(|root| &root.0[..]));
    PackId(hash(Purpose::PackId, &parts).0)
}

/// BLAKE3 of unsealed data share `share` of a pack.
pub(super) fn data_root(pack: &[u8], layout: Layout, share: u16) -> Hash {
    let mut hasher = ShareHasher::new();
    for row in 0..layout.rows() {
        let unit = layout.unit_in_pack(row, share);
        let places = layout.row_range(row);
        hasher.update(&pack[unit.start as usize..unit.end as usize]);
        let zeros = (places.end - places.start) - (unit.end - unit.start);
        hasher.update_zeros(zeros as usize);
    }
    Hash(hasher.finish().id().0)
}

/// One share, sealed for its holder.
#[derive(Clone, Debug)]
pub struct SealedShare {
    pub number: u16,
    pub id: ShareId,
    pub bytes: Vec<u8>,
    /// The hash tree, as a holder keeps it.
    pub tree: ShareTree,
}

/// A closed pack, ready to give out shares, each made when asked for: memory is the pack and
/// what the caller holds at a time. Shares may be made on many threads.
pub struct PackEncoder {
    bytes: Vec<u8>,
    layout: Layout,
    data_roots: Vec<Hash>,
    id: PackId,
}

impl PackEncoder {
    /// Takes the (padded) pack; hashes its k unsealed data shares.
    pub fn new(drive: &DriveId, epoch: Epoch, k: u8, bytes: Vec<u8>) -> Result<Self, LayoutError> {
        let layout = Layout::new(k, bytes.len() as u64)?;
        let data_roots: Vec<Hash> = (0..k as u16).map(|share| data_root(&bytes, layout, share)).collect();
        let id = pack_id(drive, epoch, layout, &data_roots);
        Ok(Self { bytes, layout, data_roots, id })
    }
    /// The pack's name.
    pub fn id(&self) -> PackId {
        self.id
    }
    /// Where what lies.
    pub fn layout(&self) -> Layout {
        self.layout
    }
    /// For the catalogue record.
    pub fn data_roots(&self) -> &[Hash] {
        &self.data_roots
    }
    /// The pack.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// The pack, given back.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Share `number` (0..k data, k..256 parity: n is soft), sealed for its holder.
    pub fn share(&self, number: u16, stream: &HolderStream) -> Result<SealedShare, CodingError> {
        let mut shares = self.shares(&[(number, stream)])?;
        Ok(shares.pop().expect("one share was asked for"))
    }

    /// Several shares in one pass over the pack, better for the cache than one by one. Each
    /// unit is coded, sealed and hashed while it is in the cache.
    pub fn shares(&self, wanted: &[(u16, &HolderStream)]) -> Result<Vec<SealedShare>, CodingError> {
        self.shares_with(wanted, &mut Vec::new())
    }

    /// As [`shares`](Self::shares), into buffers from `pool` while it has any (put back
    /// [`SealedShare::bytes`] when they are sent: fresh memory costs about as much as coding).
    pub fn shares_with(
        &self,
        wanted: &[(u16, &HolderStream)],
        pool: &mut Vec<Vec<u8>>,
    ) -> Result<Vec<SealedShare>, CodingError> {
        let share_len = self.layout.share_len() as usize;
        let mut work = Vec::with_capacity(wanted.len());
        for &(number, stream) in wanted {
            let code = self.code(number)?;
            // What an old buffer holds is overwritten whole.
            let mut bytes = pool.pop().unwrap_or_default();
            bytes.resize(share_len, 0);
            work.push((number, stream, code, bytes, ShareHasher::new()));
        }
        for row in 0..self.layout.rows() {
            let range = self.layout.row_range(row);
            for (_, stream, code, bytes, hasher) in &mut work {
                let unit = &mut bytes[range.start as usize..range.end as usize];
                self.fill_row(row, 0, code, unit);
                stream.apply(range.start, unit);
                hasher.update(unit);
            }
        }
        let done = |(number, _, _, bytes, hasher): (u16, _, _, Vec<u8>, ShareHasher)| {
            let tree = hasher.finish();
            SealedShare { number, id: tree.id(), bytes, tree }
        };
        Ok(work.into_iter().map(done).collect())
    }

    /// Bytes `range` of sealed share `number`: for resuming an upload without keeping shares.
    pub fn sealed_range(
        &self,
        number: u16,
        stream: &HolderStream,
        range: Range<u64>,
    ) -> Result<Vec<u8>, CodingError> {
        let start = range.start;
        let mut bytes = self.unsealed_range(number, range)?;
        stream.apply(start, &mut bytes);
        Ok(bytes)
    }

    /// Bytes `range` (cut at the end) of unsealed share `number`.
    pub fn unsealed_range(&self, number: u16, range: Range<u64>) -> Result<Vec<u8>, CodingError> {
        let code = self.code(number)?;
        let end = range.end.min(self.layout.share_len());
        let start = range.start.min(end);
        let mut out = vec![0; (end - start) as usize];
        for row in 0..self.layout.rows() {
            let places = self.layout.row_range(row);
            let (from, to) = (places.start.max(start), places.end.min(end));
            if from < to {
                let part = &mut out[(from - start) as usize..(to - start) as usize];
                self.fill_row(row, (from - places.start) as usize, &code, part);
            }
        }
        Ok(out)
    }

    fn code(&self, number: u16) -> Result<Coefficients, CodingError> {
        Coefficients::of_data(self.layout.k(), number)
    }

    /// The bytes of a row from `skip` on.
    fn fill_row(&self, row: u64, skip: usize, code: &Coefficients, out: &mut [u8]) {
        let unit = |share| {
            let range = self.layout.unit_in_pack(row, share);
            let unit = &self.bytes[range.start as usize..range.end as usize];
            &unit[skip.min(unit.len())..]
        };
        let units: Vec<&[u8]> = (0..self.layout.k() as u16).map(unit).collect();
        code.apply(&units, out);
    }
}
