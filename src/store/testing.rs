//! What the tests of this room share: a world on a simulated disk, seeds, cases.

use crate::keys::LocalKey;
use crate::world::{Blocking, Disk, MemIndexes, RealNet, Rng, SystemClock, World};
use std::future::Future;
use std::sync::Arc;

/// splitmix64; the tests' only randomness.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

struct TestRng(parking_lot::Mutex<Dice>);

impl Rng for TestRng {
    fn fill(&self, out: &mut [u8]) {
        let bytes = self.0.lock().bytes(out.len());
        out.copy_from_slice(&bytes);
    }
}

/// A world on this disk, everything inline.
pub(super) fn world(disk: impl Disk, seed: u64) -> World {
    World {
        clock: Arc::new(SystemClock::new()),
        rng: Arc::new(TestRng(parking_lot::Mutex::new(Dice(seed)))),
        disk: Arc::new(disk),
        net: Arc::new(RealNet),
        indexes: Arc::new(MemIndexes),
        blocking: Blocking::Inline,
    }
}

pub(super) fn key() -> LocalKey {
    LocalKey::from_bytes([7; 32])
}

/// Runs a test in virtual time.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

/// The seeds to try: KITH_SEED alone, or KITH_CASES (or `default`) of them.
pub(super) fn seeds(default: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|v: String| v.parse::<u64>().ok());
    match number("KITH_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("KITH_CASES").unwrap_or(default)).collect(),
    }
}
