//! Things that the tests of this room share.

use super::*;
use crate::keys::{DriveId, DriveKeys, Epoch, LevelKey, NodeId, Power};

/// A small generator: the same numbers for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// 0..bound
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound.max(1)
    }
    /// A range within 0..len, not empty.
    pub fn range(&mut self, len: u64) -> std::ops::Range<u64> {
        let start = self.below(len);
        start..start + 1 + self.below(len - start)
    }
    /// `count` different numbers below `bound`.
    pub fn pick(&mut self, count: usize, bound: u16) -> Vec<u16> {
        let mut all: Vec<u16> = (0..bound).collect();
        (0..count).map(|_| all.swap_remove(self.below(all.len() as u64) as usize)).collect()
    }
}

/// Bytes that do not compress.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Bytes that do.
pub fn text(len: usize) -> Vec<u8> {
    (0..).flat_map(|i: u32| format!("line {i} of a letter; ").into_bytes()).take(len).collect()
}

pub fn keys() -> DriveKeys {
    DriveKeys::new(DriveId([7; 32]), Epoch::FIRST, LevelKey::new(Power::Read, [9; 32]))
}

pub fn stream(pack: &crate::keys::PackId, number: u16, holder: u8) -> HolderStream {
    HolderStream::derive(&keys(), Epoch::FIRST, pack, number, &NodeId([holder; 32])).unwrap()
}
