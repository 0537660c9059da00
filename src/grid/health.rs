//! What this node has seen of each friend since it started.

use crate::keys::Hash;
use crate::wire::{Day, Statement};
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
    /// ... and what was granted then: another grant, another limit.
    pub refused: Option<(u64, u64)>,
    /// Its last statement, and the grant under which it was asked for one last.
    pub said: Option<Statement>,
    pub asked_under: Option<Hash>,
    /// What it said it will let go of, and the day until which it is away.
    pub notice: Option<String>,
    pub away_until: Option<Day>,
    /// It refused for want of room, in its words, and has taken nothing since.
    pub no_room: Option<String>,
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
    /// Bytes that may be used there: what is granted, or less if a refusal said so.
    pub fn limit(&self, granted: u64) -> u64 {
        match self.refused {
            Some((limit, then)) if then == granted => limit.min(granted),
            _ => granted,
        }
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
