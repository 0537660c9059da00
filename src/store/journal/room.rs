//! Room in memory for records: who appends much leaves some to others, and who is too fast waits.

use super::Journal;
use std::time::{Duration, Instant};

/// Longest that somebody is slowed down at a time, and how often is looked whether that must be.
const SLOW_MAX: Duration = Duration::from_secs(60);
const SLOW_STEP: Duration = Duration::from_millis(1);

impl Journal {
    /// Whether there is room in memory for a good deal more. Who has much to append that nobody
    /// waits for lets it be written first where there is not: others are refused when it is full.
    pub fn has_room(&self) -> bool {
        self.inner.shared.state.lock().buffered < self.inner.options.buffer / 2
    }
    /// Waits, on the calling thread, while records come faster than the disk takes them. Within a
    /// runtime, whose threads must not wait, it returns at once: there who finds no room is refused.
    /// So is everybody on a full disk, where waiting makes no room.
    pub fn slow_down(&self) {
        let crowded = || {
            let s = self.inner.shared.state.lock();
            let goes_on = s.failed.is_none() && !s.closing && !s.stepped.full;
            goes_on && s.buffered > self.inner.options.buffer
        };
        if !crowded() || tokio::runtime::Handle::try_current().is_ok() {
            return;
        }
        let end = Instant::now() + SLOW_MAX;
        while crowded() && Instant::now() < end {
            std::thread::sleep(SLOW_STEP);
        }
    }
}
