//! What the loop, the tasks, the invalidation thread and the handle of a mount share.

use super::convert::Owner;
use super::in_flight::InFlight;
use super::open_files::OpenFiles;
use super::pool::Pool;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

pub(super) struct Shared {
    heartbeat: AtomicU64,
    pub(super) flight: InFlight,
    pub(super) open: OpenFiles,
    pub(super) pool: Arc<Pool>,
    pub(super) owner: Owner,
    ended: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(owner: Owner) -> Self {
        Shared {
            heartbeat: AtomicU64::new(0),
            flight: InFlight::default(),
            open: OpenFiles::default(),
            pool: Arc::default(),
            owner,
            ended: watch::Sender::new(false),
        }
    }

    /// One request came.
    pub(super) fn beat(&self) {
        self.heartbeat.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that came so far.
    pub(super) fn heartbeat(&self) -> u64 {
        self.heartbeat.load(Ordering::Relaxed)
    }

    /// The mount is gone.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Resolves when the mount is gone.
    pub(super) async fn ended(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}
