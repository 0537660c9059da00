//! The task that carries records from memory to the disk.

use super::Lsn;
use super::frame::{Draft, Keys};
use super::writer::{Orders, Stepped, Writer};
use crate::store::StoreError;
use crate::world::World;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Bodies shorter than this are sealed by the writer itself.
const SEAL_APART: usize = 128 << 10;
/// While the journal is full it looks this often whether there is room again.
const RETRY: Duration = Duration::from_secs(1);

/// Work that ends before anything is written.
pub type Before = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> + Send + Sync>;

/// What appenders and the task share.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    /// See [`super::Journal::precede`].
    pub(super) before: OnceLock<Before>,
    pub(super) state: Mutex<State>,
    /// Wakes the task.
    pub(super) wake: Notify,
    /// Tells those who wait.
    pub(super) progress: watch::Sender<Progress>,
}

/// What waiters look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) durable: Lsn,
    pub(super) failed: Option<StoreError>,
    pub(super) stopped: bool,
    /// Counts requests to release the reserve that were served.
    pub(super) released: u64,
}

/// Guarded by one short lock; nothing is done under it but moving bytes in memory.
#[derive(Default)]
pub(super) struct State {
    pub(super) drafts: VecDeque<Draft>,
    pub(super) buffered: usize,
    /// The last record accepted.
    pub(super) last: Lsn,
    pub(super) durable: Lsn,
    pub(super) trimmed: Lsn,
    pub(super) want: Lsn,
    pub(super) releases: u64,
    pub(super) closing: bool,
    pub(super) failed: Option<StoreError>,
    pub(super) stepped: Stepped,
    /// Last trim given to a step.
    pub(super) trim_seen: Lsn,
    pub(super) released: u64,
}

/// What the task does next.
enum Next {
    Step(Vec<Draft>, Orders),
    Wait(Option<Instant>),
    Stop,
}

/// When the task acts without being asked.
#[derive(Default)]
struct Timers {
    /// The oldest change must be synced then.
    sync: Option<Instant>,
    /// Look for room again then.
    retry: Option<Instant>,
}

/// Run until closed or failed.
pub(super) async fn run(world: World, shared: Arc<Shared>, writer: Writer, sync_after: Duration) {
    let keys = writer.keys.clone();
    let mut writer = Some(writer);
    let mut timers = Timers::default();
    loop {
        match shared.next(&mut timers, sync_after) {
            Next::Stop => break,
            Next::Wait(None) => shared.wake.notified().await,
            Next::Wait(Some(until)) => {
                tokio::select! {
                    biased;
                    () = shared.wake.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            Next::Step(drafts, orders) => {
                if !drafts.is_empty()
                    && let Some(before) = shared.before.get()
                    && let Err(e) = before().await
                {
                    shared.fail(e);
                    break;
                }
                let Some(mut w) = writer.take() else { break };
                let seq = w.next_seq();
                let done = match seal(&world, &keys, drafts, seq).await {
                    Ok(drafts) => world
                        .blocking(move || {
                            let result = w.step(drafts, orders);
                            (w, result)
                        })
                        .await
                        .map_err(|e| StoreError::io(&shared.dir, "write", e)),
                    Err(e) => Err(StoreError::io(&shared.dir, "seal", e)),
                };
                match done {
                    Ok((w, Ok(stepped))) => {
                        writer = Some(w);
                        shared.stepped(stepped, orders);
                    }
                    Ok((_, Err(e))) | Err(e) => {
                        shared.fail(e);
                        break;
                    }
                }
            }
        }
    }
    shared.progress.send_modify(|p| p.stopped = true);
}

/// Seals large frames, two at a time.
async fn seal(
    world: &World,
    keys: &Arc<Keys>,
    mut drafts: Vec<Draft>,
    first_seq: u64,
) -> std::io::Result<Vec<Draft>> {
    if drafts.iter().map(Draft::len).sum::<usize>() < SEAL_APART {
        return Ok(drafts);
    }
    let half = drafts.len().div_ceil(2);
    let second = drafts.split_off(half);
    let job = |mut drafts: Vec<Draft>, seq: u64| {
        let keys = keys.clone();
        move || {
            for (n, draft) in drafts.iter_mut().enumerate() {
                draft.seal(&keys, seq + n as u64);
            }
            drafts
        }
    };
    if second.is_empty() {
        return world.blocking(job(drafts, first_seq)).await;
    }
    let (first, second) = tokio::join!(
        biased;
        world.blocking(job(drafts, first_seq)),
        world.blocking(job(second, first_seq + half as u64)),
    );
    let mut all = first?;
    all.extend(second?);
    Ok(all)
}

impl Shared {
    /// Decides, under the lock, and takes the frames to write.
    fn next(&self, timers: &mut Timers, sync_after: Duration) -> Next {
        let mut s = self.state.lock();
        if s.failed.is_some() {
            return Next::Stop;
        }
        let now = Instant::now();
        let dirty = s.last > s.durable;
        timers.sync = dirty.then(|| timers.sync.unwrap_or(now + sync_after));
        timers.retry = s.stepped.full.then(|| timers.retry.unwrap_or(now + RETRY));
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let sync = dirty && (due(timers.sync) || s.want > s.durable || s.closing);
        if s.closing && !dirty {
            return Next::Stop;
        }
        let orders = Orders {
            trimmed: s.trimmed,
            sync,
            release: s.releases > s.released,
            spare: s.stepped.spare_wanted || due(timers.retry),
            idle: s.drafts.len() <= 1,
        };
        let whole = s.drafts.len().saturating_sub(1);
        let asked = sync || orders.release || orders.spare || s.trimmed > s.trim_seen;
        if !asked && whole == 0 {
            return Next::Wait(match (timers.sync, timers.retry) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            });
        }
        // Without a sync the last frame may still be filled.
        let count = if sync { s.drafts.len() } else { whole };
        if sync {
            // What comes from now on is younger than this moment.
            timers.sync = None;
        }
        if orders.spare {
            timers.retry = None;
        }
        Next::Step(s.drafts.drain(..count).collect(), orders)
    }

    /// Takes note of what a step did.
    fn stepped(&self, stepped: Stepped, orders: Orders) {
        let progress = {
            let mut s = self.state.lock();
            s.durable = stepped.durable;
            s.trim_seen = orders.trimmed;
            if orders.release {
                s.released = s.releases;
            }
            s.stepped = stepped;
            s.buffered = s.drafts.iter().map(Draft::len).sum();
            Progress { durable: s.durable, failed: None, stopped: false, released: s.released }
        };
        self.progress.send_replace(progress);
    }

    /// Stops for good: nothing that follows may be acknowledged.
    fn fail(&self, error: StoreError) {
        tracing::error!("journal stopped: {error}");
        let mut s = self.state.lock();
        s.failed = Some(error.clone());
        s.drafts.clear();
        drop(s);
        self.progress.send_modify(|p| p.failed = Some(error));
    }
}
