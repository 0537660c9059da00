//! Clocks that follow virtual time, each wrong in its own way.

use crate::world::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Where the village's time begins: 2026-01-01 00:00 UTC.
pub const EPOCH_NS: i64 = 1_767_225_600 * 1_000_000_000;

/// A node's clock: virtual time plus this machine's error.
pub struct SimClock {
    start: Instant,
    skew_ns: AtomicI64,
}

impl SimClock {
    /// A clock wrong by `skew_ns`. Must be made inside the village's runtime.
    pub fn new(start: Instant, skew_ns: i64) -> SimClock {
        SimClock { start, skew_ns: AtomicI64::new(skew_ns) }
    }
    /// Steps the wall clock.
    pub fn set_skew(&self, skew_ns: i64) {
        self.skew_ns.store(skew_ns, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now_ns(&self) -> i64 {
        EPOCH_NS + self.start.elapsed().as_nanos() as i64 + self.skew_ns.load(Ordering::Relaxed)
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
