//! Which byte of a pack lies where in which share.
//!
//! A pack's bytes are full rows of k units ([`UNIT_LEN`]), share `j` having unit `j` of each
//! row, then one last row whose k units are ceil(rest / k) long, the last ones filled up with
//! zeros. (So small packs are not blown up to k full units.) Share `j` is its units, row after row.

use super::{PACK_LEN, UNIT_LEN};
use std::ops::Range;

const UNIT: u64 = UNIT_LEN as u64;

/// A pack of `len` bytes over `k` data shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    k: u8,
    len: u64,
}

/// A pack that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("a pack over 0 shares")]
    NoK,
    #[error("a pack of {0} bytes: 1 to 16787456 are allowed")]
    Length(u64),
    #[error("the range ends beyond the pack")]
    Range,
}

/// Per data share (its number) the byte ranges wanted of it, ascending, apart.
pub type Wanted = Vec<(u16, Vec<Range<u64>>)>;

/// A contiguous part of a pack in one data share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its number: 0..k.
    pub share: u16,
    /// Where in the share.
    pub range: Range<u64>,
    /// Where in the pack.
    pub at: u64,
}

impl Layout {
    /// k >= 1, 1 <= len <= [`PACK_LEN`].
    pub fn new(k: u8, len: u64) -> Result<Self, LayoutError> {
        match (k, len) {
            (0, _) => Err(LayoutError::NoK),
            (_, 0) => Err(LayoutError::Length(len)),
            _ if len > PACK_LEN as u64 => Err(LayoutError::Length(len)),
            _ => Ok(Self { k, len }),
        }
    }
    /// Data shares.
    pub fn k(self) -> u8 {
        self.k
    }
    /// Bytes of the pack.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> u64 {
        self.len
    }
    fn row_len(self) -> u64 {
        self.k as u64 * UNIT
    }
    fn full_rows(self) -> u64 {
        self.len / self.row_len()
    }
    /// Bytes of a unit of the last row (0: there is none).
    fn last_unit(self) -> u64 {
        (self.len % self.row_len()).div_ceil(self.k as u64)
    }
    /// Bytes of each share.
    pub fn share_len(self) -> u64 {
        self.full_rows() * UNIT + self.last_unit()
    }
    /// Rows, the last one included.
    pub fn rows(self) -> u64 {
        self.full_rows() + u64::from(self.last_unit() > 0)
    }
    /// The bytes of each share that are row `row`.
    pub fn row_range(self, row: u64) -> Range<u64> {
        row * UNIT..((row + 1) * UNIT).min(self.share_len())
    }
    /// Where share `share`'s unit of row `row` lies in the pack (shorter than the unit, or
    /// empty, where it is filled up with zeros).
    pub fn unit_in_pack(self, row: u64, share: u16) -> Range<u64> {
        let unit = if row < self.full_rows() { UNIT } else { self.last_unit() };
        let start = row * self.row_len() + share as u64 * unit;
        start.min(self.len)..(start + unit).min(self.len)
    }
    fn locate(self, at: u64) -> Piece {
        let row = at / self.row_len();
        let unit = if row < self.full_rows() { UNIT } else { self.last_unit() };
        let in_row = at % self.row_len();
        let (share, in_unit) = (in_row / unit, in_row % unit);
        let start = row * UNIT + in_unit;
        Piece { share: share as u16, range: start..row * UNIT + unit, at }
    }
    /// The parts of `range` of the pack, in order.
    pub fn pieces(self, range: Range<u64>) -> Result<Vec<Piece>, LayoutError> {
        if range.end > self.len || range.start > range.end {
            return Err(LayoutError::Range);
        }
        let mut pieces = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let mut piece = self.locate(at);
            piece.range.end = piece.range.end.min(piece.range.start + range.end - at);
            at += piece.range.end - piece.range.start;
            pieces.push(piece);
        }
        Ok(pieces)
    }
    /// What to fetch for `range` of the pack: per data share its ranges, ascending, joined.
    /// In place of a missing data share, the same ranges of any other share will do (besides
    /// those of the k-1 others).
    pub fn wanted(self, range: Range<u64>) -> Result<Wanted, LayoutError> {
        let mut wanted = Wanted::new();
        for piece in self.pieces(range)? {
            match wanted.iter_mut().find(|(share, _)| *share == piece.share) {
                Some((_, ranges)) => join(ranges, piece.range),
                None => wanted.push((piece.share, vec![piece.range])),
            }
        }
        wanted.sort_by_key(|(share, _)| *share);
        Ok(wanted)
    }
    /// The ranges that some of `missing` shares would have given for `range` of the pack: what
    /// must be there of k shares in all to do without them.
    pub fn wanted_instead(self, range: Range<u64>, missing: &[u16]) -> Result<Vec<Range<u64>>, LayoutError> {
        let mut pieces: Vec<_> =
            self.pieces(range)?.into_iter().filter(|p| missing.contains(&p.share)).map(|p| p.range).collect();
        pieces.sort_by_key(|range| range.start);
        let mut ranges = Vec::new();
        pieces.into_iter().for_each(|piece| join(&mut ranges, piece));
        Ok(ranges)
    }
}

/// Add a range that begins at or after the last one's beginning.
fn join(ranges: &mut Vec<Range<u64>>, next: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if next.start <= last.end => last.end = last.end.max(next.end),
        _ => ranges.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Dice;
    use super::*;

    /// Deal the pack's byte positions out to shares the slow way.
    fn oracle(k: u8, len: u64) -> Vec<Vec<Option<u64>>> {
        let k = k as u64;
        let mut shares = vec![Vec::new(); k as usize];
        let mut at = 0;
        while len - at >= k * UNIT {
            for share in &mut shares {
                share.extend((at..at + UNIT).map(Some));
                at += UNIT;
            }
        }
        let unit = (len - at).div_ceil(k);
        for share in &mut shares {
            for _ in 0..unit {
                share.push((at < len).then_some(at));
                at += 1;
            }
        }
        shares
    }

    #[test]
    fn every_byte_is_where_the_oracle_puts_it() {
        let mut dice = Dice::new(1);
        for case in 0..60 {
            let k = [1, 2, 3, 4, 7, 30][case % 6];
            let len = match case % 4 {
                0 => 1 + dice.below(40),
                1 => 1 + dice.below(3 * UNIT),
                2 => k as u64 * UNIT * (1 + dice.below(2)),
                _ => 1 + dice.below(2_000_000),
            };
            let layout = Layout::new(k, len).unwrap();
            let shares = oracle(k, len);
            assert!(shares.iter().all(|s| s.len() as u64 == layout.share_len()), "k {k} len {len}");
            for _ in 0..20 {
                let range = dice.range(len);
                let mut at = range.start;
                for piece in layout.pieces(range.clone()).unwrap() {
                    assert_eq!(piece.at, at);
                    let share = &shares[piece.share as usize];
                    for (i, place) in (piece.range.start..piece.range.end).enumerate() {
                        assert_eq!(share[place as usize], Some(at + i as u64), "k {k} len {len} {piece:?}");
                    }
                    at += piece.range.end - piece.range.start;
                }
                assert_eq!(at, range.end);
            }
            for row in 0..layout.rows() {
                for share in 0..k as u16 {
                    let unit = layout.unit_in_pack(row, share);
                    let places = layout.row_range(row);
                    let of_pack: Vec<u64> = shares[share as usize]
                        [places.start as usize..places.end as usize]
                        .iter()
                        .flatten()
                        .copied()
                        .collect();
                    assert_eq!(of_pack, unit.collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_page_of_a_full_chunk_comes_from_one_share_and_a_chunk_from_all() {
        let layout = Layout::new(3, PACK_LEN as u64).unwrap();
        assert_eq!(layout.wanted(16 * UNIT..17 * UNIT).unwrap(), [(1, vec![5 * UNIT..6 * UNIT])]);
        let chunk = layout.wanted(0..16 * UNIT).unwrap();
        assert_eq!(chunk.len(), 3);
        assert_eq!(chunk[0], (0, vec![0..6 * UNIT]));
        assert_eq!(layout.wanted_instead(0..16 * UNIT, &[1, 2]).unwrap(), [0..5 * UNIT]);
    }

    #[test]
    fn refused() {
        assert_eq!(Layout::new(0, 1), Err(LayoutError::NoK));
        assert_eq!(Layout::new(1, 0), Err(LayoutError::Length(0)));
        assert!(Layout::new(1, PACK_LEN as u64 + 1).is_err());
        assert_eq!(Layout::new(2, 10).unwrap().pieces(0..11), Err(LayoutError::Range));
    }
}
