//! Shares -> pack. Erasure decoding believes anything: garbage in, garbage out. So shares come
//! in verified against their ids (which convicts a holder), pages go out verified against their
//! hashes, and whole data shares are checked against the pack's roots (which convicts whoever
//! published or minted).

use super::encode::{data_root, pack_id};
use super::{
    CatalogueRecord, CodingError, Coefficients, HolderStream, Layout, LayoutError, PackEncoder, SHARES_MAX,
    SealedShare,
};
use crate::keys::{DriveId, Hash, PackId};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// Ways to choose parity shares that [`recover_pack`] tries before it gives up.
const TRIES_MAX: usize = 500;

/// The verified, unsealed byte ranges that are at hand of one share.
#[derive(Clone, Default, Debug)]
pub struct ShareRanges {
    /// By offset. May touch or overlap.
    parts: BTreeMap<u64, Vec<u8>>,
}

impl ShareRanges {
    /// Add bytes that stand at `offset` of the share.
    pub fn insert(&mut self, offset: u64, bytes: Vec<u8>) {
        if self.parts.get(&offset).is_none_or(|old| old.len() < bytes.len()) {
            self.parts.insert(offset, bytes);
        }
    }

    /// The bytes of `range`, when all are here.
    pub fn get(&self, range: Range<u64>) -> Option<Cow<'_, [u8]>> {
        let mut joined: Vec<u8> = Vec::new();
        let mut at = range.start;
        while at < range.end {
            // The last part that begins at or before `at` (an earlier one may reach further,
            // when parts overlap: then look back).
            let (offset, part) =
                self.parts.range(..=at).rev().find(|(offset, part)| at < *offset + part.len() as u64)?;
            let from = (at - offset) as usize;
            let to = (range.end - offset).min(part.len() as u64) as usize;
            if at == range.start && offset + to as u64 == range.end {
                return Some(Cow::Borrowed(&part[from..to]));
            }
            joined.extend_from_slice(&part[from..to]);
            at = offset + to as u64;
        }
        Some(Cow::Owned(joined))
    }
}

/// A range cannot be put together yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    #[error("bytes {}..{} of share {share} are missing, and {have} shares have that range where {k} are needed", .range.start, .range.end)]
    Missing { share: u16, range: Range<u64>, have: usize, k: u8 },
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// Bytes `range` of the pack from the share ranges at hand: of data shares where they are
/// there, else rebuilt from any k others. To be called again as more arrives.
pub fn assemble(
    layout: Layout,
    range: Range<u64>,
    shares: &BTreeMap<u16, ShareRanges>,
) -> Result<Vec<u8>, AssembleError> {
    let mut out = vec![0; range.end.saturating_sub(range.start).min(layout.len()) as usize];
    for piece in layout.pieces(range.clone())? {
        let at = (piece.at - range.start) as usize;
        let out = &mut out[at..at + (piece.range.end - piece.range.start) as usize];
        if let Some(bytes) = shares.get(&piece.share).and_then(|have| have.get(piece.range.clone())) {
            out.copy_from_slice(&bytes);
            continue;
        }
        let k = layout.k();
        let found: Vec<(u16, Cow<'_, [u8]>)> = shares
            .iter()
            .filter(|(number, _)| **number < SHARES_MAX)
            .filter_map(|(number, have)| Some((*number, have.get(piece.range.clone())?)))
            .take(k as usize)
            .collect();
        let (numbers, bytes): (Vec<u16>, Vec<&[u8]>) =
            found.iter().map(|(number, bytes)| (*number, bytes.as_ref())).unzip();
        match Coefficients::new(&numbers, piece.share) {
            Ok(code) if numbers.len() == k as usize => code.apply(&bytes, out),
            _ => {
                let (share, range, have) = (piece.share, piece.range, numbers.len());
                return Err(AssembleError::Missing { share, range, have, k });
            }
        }
    }
    Ok(out)
}

/// Bytes of share `target` from the bytes at the same place of k other shares. Not checked
/// against anything.
pub fn rebuild_range(k: u8, sources: &[(u16, &[u8])], target: u16) -> Result<Vec<u8>, CodingError> {
    let sources = sources.get(..k as usize).ok_or(CodingError::TooFew { k, have: sources.len() })?;
    let (numbers, bytes): (Vec<u16>, Vec<&[u8]>) = sources.iter().copied().unzip();
    let code = Coefficients::new(&numbers, target)?;
    let want = bytes[0].len();
    check_lengths(sources, want)?;
    let mut out = vec![0; want];
    code.apply(&bytes, &mut out);
    Ok(out)
}

fn check_lengths(shares: &[(u16, &[u8])], want: usize) -> Result<(), CodingError> {
    match shares.iter().find(|(_, bytes)| bytes.len() != want) {
        Some(&(number, bytes)) => Err(CodingError::Length { number, got: bytes.len(), want }),
        None => Ok(()),
    }
}

/// A pack was not recovered. The shares had verified against their ids: where they contradict
/// the pack's data roots, whoever minted them is at fault, not who held them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Coding(#[from] CodingError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("share {0} is not what the pack's record says: whoever minted it published garbage")]
    Garbage(u16),
    #[error("one of the shares {0:?} is garbage: whoever minted it published it so")]
    GarbageAmong(Vec<u16>),
}

/// The whole pack from whole unsealed shares, k or more (more let it go on in spite of garbage
/// parity), checked against the data roots.
pub fn recover_pack(
    layout: Layout,
    data_roots: &[Hash],
    shares: &[(u16, &[u8])],
) -> Result<Vec<u8>, RecoverError> {
    let k = layout.k();
    check_lengths(shares, layout.share_len() as usize)?;
    if data_roots.len() != k as usize {
        return Err(RecordError::Roots { k, roots: data_roots.len() }.into());
    }
    let (data, parity): (Vec<_>, Vec<_>) = shares.iter().copied().partition(|(number, _)| *number < k as u16);
    for (number, bytes) in &data {
        if blake3::hash(bytes).as_bytes() != &data_roots[*number as usize].0 {
            return Err(RecoverError::Garbage(*number));
        }
    }
    let lacking = (k as usize).saturating_sub(data.len());
    if parity.len() < lacking {
        return Err(CodingError::TooFew { k, have: shares.len() }.into());
    }
    let mut choice: Vec<usize> = (0..lacking).collect();
    for _ in 0..TRIES_MAX {
        let sources: Vec<_> = data.iter().copied().chain(choice.iter().map(|&i| parity[i])).collect();
        let pack = decode(layout, &sources)?;
        let missing = (0..k as u16).filter(|number| data.iter().all(|(have, _)| have != number));
        if missing.into_iter().all(|n| data_root(&pack, layout, n) == data_roots[n as usize]) {
            return Ok(pack);
        }
        if !next_choice(&mut choice, parity.len()) {
            break;
        }
    }
    Err(RecoverError::GarbageAmong(parity.iter().map(|(number, _)| *number).collect()))
}

/// The next choice of `choice.len()` things out of `of`, in order; false after the last.
fn next_choice(choice: &mut [usize], of: usize) -> bool {
    let len = choice.len();
    let Some(i) = (0..len).rev().find(|&i| choice[i] < of - len + i) else { return false };
    choice[i] += 1;
    for j in i + 1..len {
        choice[j] = choice[j - 1] + 1;
    }
    true
}

/// The pack out of exactly k shares of the right length, unchecked.
fn decode(layout: Layout, sources: &[(u16, &[u8])]) -> Result<Vec<u8>, CodingError> {
    let numbers: Vec<u16> = sources.iter().map(|(number, _)| *number).collect();
    let codes = (0..layout.k() as u16)
        .map(|share| Coefficients::new(&numbers, share))
        .collect::<Result<Vec<_>, _>>()?;
    let mut pack = vec![0; layout.len() as usize];
    for row in 0..layout.rows() {
        let places = layout.row_range(row);
        let units: Vec<&[u8]> =
            sources.iter().map(|(_, bytes)| &bytes[places.start as usize..places.end as usize]).collect();
        for (share, code) in codes.iter().enumerate() {
            let unit = layout.unit_in_pack(row, share as u16);
            code.apply(&units, &mut pack[unit.start as usize..unit.end as usize]);
        }
    }
    Ok(pack)
}

/// A catalogue record that contradicts itself: whoever wrote it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("{roots} data roots for {k} data shares")]
    Roots { k: u8, roots: usize },
    #[error("the record of pack {0} has another pack's roots, length, epoch or drive")]
    WrongPack(PackId),
    #[error("the record of pack {pack} has a share {number}: numbers end at 255")]
    Number { pack: PackId, number: u16 },
}

/// Check a record against its own pack id; the pack's layout. (The same share number may
/// stand in it more than once: an earlier and a later holder.)
pub fn check_record(drive: &DriveId, record: &CatalogueRecord) -> Result<Layout, RecordError> {
    let layout = Layout::new(record.k, record.len)?;
    if record.data_roots.len() != record.k as usize {
        return Err(RecordError::Roots { k: record.k, roots: record.data_roots.len() });
    }
    if pack_id(drive, record.epoch, layout, &record.data_roots) != record.pack {
        return Err(RecordError::WrongPack(record.pack));
    }
    match record.shares.iter().find(|share| share.number >= SHARES_MAX) {
        Some(share) => Err(RecordError::Number { pack: record.pack, number: share.number }),
        None => Ok(layout),
    }
}

/// Repair: share `number`, sealed for a new holder, from k or more whole unsealed shares of
/// the recorded pack. Everything is checked against the record before it is passed on.
pub fn rebuild_share(
    drive: &DriveId,
    record: &CatalogueRecord,
    shares: &[(u16, &[u8])],
    number: u16,
    stream: &HolderStream,
) -> Result<SealedShare, RecoverError> {
    let layout = check_record(drive, record)?;
    let pack = recover_pack(layout, &record.data_roots, shares)?;
    let encoder = PackEncoder::new(drive, record.epoch, record.k, pack).map_err(RecordError::from)?;
    Ok(encoder.share(number, stream)?)
}
