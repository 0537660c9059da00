//! How long a peer may take over the bytes of a body, in either direction.

use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait for the next bytes.
pub const STEP_WAIT: Duration = Duration::from_secs(30);
/// Time a body may take whatever its length.
pub const PACE_GRACE: Duration = Duration::from_secs(60);
/// Bytes per second a body must make beyond that: a third of a slow uplink, dealt out over many
/// streams, still does; who sends a byte now and then to keep a place does not.
pub const PACE_LEAST: u64 = 4 << 10;

/// The peer was slower than a body may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the bytes moved slower than {PACE_LEAST} bytes per second, or not at all")]
pub struct TooSlow;

/// One body on its way.
pub struct Pace {
    since: Instant,
    moved: u64,
}

impl Pace {
    /// A body that begins now.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Pace {
        Pace { since: Instant::now(), moved: 0 }
    }
    /// So many bytes more came, or went.
    pub fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes as u64);
    }
    /// The next step, if it is done in time. One that is ready is taken however late it is: the
    /// delay may have been ours.
    pub async fn step<T>(&self, step: impl Future<Output = T>) -> Result<T, TooSlow> {
        let earned = Duration::from_secs(self.moved / PACE_LEAST);
        let by = (Instant::now() + STEP_WAIT).min(self.since + PACE_GRACE + earned);
        timeout_at(by, step).await.map_err(|_| TooSlow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn who_stops_or_trickles_is_cut_and_who_is_slow_is_not() {
        let begun = Instant::now();
        assert_eq!(Pace::new().step(std::future::pending::<()>()).await, Err(TooSlow));
        assert_eq!(begun.elapsed().as_secs(), STEP_WAIT.as_secs());
        let (mut trickle, begun) = (Pace::new(), Instant::now());
        while trickle.step(sleep(Duration::from_secs(10))).await.is_ok() {
            trickle.moved(1);
        }
        assert!(begun.elapsed() <= PACE_GRACE);
        let mut slow = Pace::new();
        for _ in 0..600 {
            slow.step(sleep(Duration::from_secs(1))).await.unwrap();
            slow.moved(PACE_LEAST as usize);
        }
    }
}
