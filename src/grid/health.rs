//! What this node has seen of each friend since it started.

use std::collections::VecDeque;
use std::time::Duration;

/// Latencies remembered per friend.
const REMEMBERED: usize = 64;
/// When nothing is known of a friend's latency, or little.
const HEDGE_DEFAULT: Duration = Duration::from_millis(200);
const HEDGE_MIN: Duration = Duration::from_millis(20);
/// No read waits longer than this before another friend is asked as well.
const HEDGE_MAX: Duration = Duration::from_secs(2);

/// One friend's record.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub last_seen_ms: Option<u64>,
    pub errors: u64,
    /// Errors since the last good answer.
    pub streak: u64,
    pub wrong_bytes: u64,
    pub last_error: Option<String>,
    /// Bytes used there, as far as known; the limit a refusal named.
    pub used: u64,
    pub refused_limit: Option<u64>,
    reads: VecDeque<Duration>,
}

impl Health {
    pub fn good(&mut self, now_ms: u64) {
        self.last_seen_ms = Some(now_ms);
        self.streak = 0;
    }
    pub fn bad(&mut self, why: String) {
        self.errors += 1;
        self.streak += 1;
        self.last_error = Some(why);
    }
    /// A read of this friend took so long.
    pub fn read(&mut self, took: Duration) {
        if self.reads.len() >= REMEMBERED {
            self.reads.pop_front();
        }
        self.reads.push_back(took);
    }
    /// How long to wait for this friend before another is asked as well: its own 95th
    /// percentile, with some room.
    pub fn hedge_after(&self) -> Duration {
        if self.reads.len() < 8 {
            return HEDGE_DEFAULT;
        }
        let mut sorted: Vec<Duration> = self.reads.iter().copied().collect();
        sorted.sort();
        (sorted[sorted.len() * 95 / 100] * 2).clamp(HEDGE_MIN, HEDGE_MAX)
    }
}
