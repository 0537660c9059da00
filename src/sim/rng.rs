//! Randomness from the seed.

use crate::world::Rng;
use parking_lot::Mutex;

/// A stream of bytes determined by a seed and a name (BLAKE3 in output mode).
pub struct SimRng(Mutex<blake3::OutputReader>);

impl SimRng {
    /// The stream called `name` of a seed.
    pub fn new(seed: u64, name: &str) -> SimRng {
        let mut hasher = blake3::Hasher::new_derive_key("kith v1 village randomness");
        hasher.update(&seed.to_le_bytes());
        hasher.update(name.as_bytes());
        SimRng(Mutex::new(hasher.finalize_xof()))
    }
    /// The next 64 bits.
    pub fn next(&self) -> u64 {
        let mut out = [0; 8];
        self.fill(&mut out);
        u64::from_le_bytes(out)
    }
    /// A number below `n` (0 when `n` is 0).
    pub fn below(&self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
    /// True in `per_million` of a million cases.
    pub fn chance(&self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }
}

impl Rng for SimRng {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().fill(out);
    }
}
