//! Room on the index's disk, without which nothing is moved into sled.
//!
//! sled that finds no room answers nothing any more, not even reads. So the disk is asked before it
//! is given anything: while there is little, what comes in stays in memory, up to a bound at which
//! names are refused, and everything goes on when there is room.

use super::OVERLAY_MAX;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Left free besides what a move takes: what sled writes to open, and to close.
const LEFT: u64 = 8 << 20;
/// A move of one byte writes up to so many: once to the file that keeps it, then whole pages.
const WRITTEN: u64 = 4;
/// What takes room is refused while this much waits for room.
const WAITING_MAX: usize = OVERLAY_MAX;
/// What makes room is taken beyond that.
const URGENT_MAX: usize = 2 * OVERLAY_MAX;
/// Nothing at all is taken beyond this.
pub(super) const ALL_MAX: usize = 4 * OVERLAY_MAX;

/// How the free bytes of a disk are found.
pub(super) type Ask = Arc<dyn Fn(&Path) -> u64 + Send + Sync>;

/// What the kernel says. A disk that does not say is believed to have room.
pub(super) fn ask(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
}

/// What it takes to move so many bytes.
pub(super) fn needed(bytes: u64) -> u64 {
    bytes.saturating_mul(WRITTEN).saturating_add(LEFT)
}

/// The room of one index.
pub(super) struct Room {
    ask: Ask,
    /// Of an open index: bytes in memory that found no room when they were last to be moved.
    waiting: AtomicU64,
}

impl Room {
    pub(super) fn new(ask: Ask) -> Room {
        Room { ask, waiting: AtomicU64::new(0) }
    }

    /// Whether an index can be opened in `dir`, to which so many kept bytes are given again.
    pub(super) fn to_open(&self, dir: &Path, kept: u64) -> bool {
        (self.ask)(dir) >= needed(kept)
    }

    /// Whether the want of room explains any failure.
    pub(super) fn is_short(&self, dir: &Path) -> bool {
        (self.ask)(dir) < LEFT
    }

    /// Whether `bytes` of the overlay can be moved now.
    pub(super) fn to_move(&self, dir: &Path, bytes: usize) -> bool {
        let fits = (self.ask)(dir) >= needed(bytes as u64);
        self.waiting.store(if fits { 0 } else { bytes as u64 }, Ordering::Relaxed);
        fits
    }

    /// Whether the index, with `held` bytes in memory, takes more.
    pub(super) fn takes(&self, dir: &Path, held: usize, urgent: bool) -> bool {
        let most = if urgent { URGENT_MAX } else { WAITING_MAX };
        held < most || self.waiting.load(Ordering::Relaxed) == 0 || self.to_move(dir, held)
    }
}
