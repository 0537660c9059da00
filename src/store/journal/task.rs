//! The task that carries records from memory to the disk.

use super::Lsn;
use super::frame::{Draft, Keys};
use super::writer::{Orders, Stepped, Writer};
use crate::store::StoreError;
use crate::world::World;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Bodies shorter than this are sealed by the writer itself.
const SEAL_APART: usize = 128 << 10;

/// While the journal is full it looks this often whether there is room again.
const RETRY: Duration = Duration::from_secs(1);
/// What was accepted is with the kernel at the latest 50 ms later, where a kill of the process
/// cannot take it: so long after the task has seen it ...
const WRITE_AFTER: Duration = Duration::from_millis(25);
/// ... and so often the task looks, for a while, without being woken.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Who asks for its records to be written does that itself up to so many bytes.
const HERE_MAX: usize = 64 << 10;

/// Work that ends, well or not.
pub type Work = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What must have ended before anything is written.
pub struct Before {
    /// There is nothing to do.
    pub ready: Box<dyn Fn() -> bool + Send + Sync>,
    pub run: Box<dyn Fn() -> Work + Send + Sync>,
}

/// What appenders and the task share.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    /// See [`super::Journal::precede`].
    pub(super) before: OnceLock<Before>,
    /// None while somebody writes, which only who has set `stepping` does.
    pub(super) writer: Mutex<Option<Writer>>,
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
    /// The last record that the kernel has.
    pub(super) written: Lsn,
    pub(super) failed: Option<StoreError>,
    pub(super) stopped: bool,
    /// What was accepted finds no room.
    pub(super) stuck: bool,
    /// Counts requests to release the reserve that were served.
    pub(super) released: u64,
}

impl Progress {
    /// Nobody need wait any longer.
    pub(super) fn ended(&self) -> bool {
        self.failed.is_some() || self.stopped || self.stuck
    }
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
    /// Written, but not necessarily synced, up to here, and wanted so.
    pub(super) written: Lsn,
    pub(super) want_written: Lsn,
    /// Somebody writes; and the task wanted to meanwhile.
    pub(super) stepping: bool,
    pub(super) missed: bool,
    /// The task looks again within [`LOOK_EVERY`]: what is accepted now needs not wake it.
    pub(super) looks: bool,
    pub(super) releases: u64,
    pub(super) closing: bool,
    pub(super) failed: Option<StoreError>,
    pub(super) stepped: Stepped,
    /// Last trim given to a step.
    pub(super) trim_seen: Lsn,
    pub(super) released: u64,
}

impl State {
    /// Refused where what was accepted will not reach the disk now.
    pub(super) fn goes_on(&self, dir: &Path) -> Result<(), StoreError> {
        match &self.failed {
            Some(e) => Err(e.clone()),
            None if self.stepped.stuck => Err(StoreError::Full(dir.to_path_buf())),
            None => Ok(()),
        }
    }
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
    /// The oldest change must be synced then, and be with the kernel then.
    sync: Option<Instant>,
    write: Option<Instant>,
    /// Look for room again then.
    retry: Option<Instant>,
    /// The last record when the task last looked.
    seen: Lsn,
}

impl Timers {
    /// When the task looks again by itself; and whether that is so soon that nobody needs to wake
    /// it. It goes on looking as long as records come: waking it for each would cost more.
    fn next(&mut self, now: Instant, last: Lsn) -> (Option<Instant>, bool) {
        let fresh = std::mem::replace(&mut self.seen, last) != last;
        let look = fresh.then_some(now + LOOK_EVERY);
        let until = [look, self.sync, self.write, self.retry].into_iter().flatten().min();
        (until, until.is_some_and(|until| until <= now + LOOK_EVERY))
    }
}

/// Run until closed or failed.
pub(super) async fn run(world: World, shared: Arc<Shared>, keys: Arc<Keys>, sync_after: Duration) {
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
                    && let Err(e) = (before.run)().await
                {
                    shared.fail(e);
                    break;
                }
                let Some(mut w) = shared.writer.lock().take() else { break };
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
                        *shared.writer.lock() = Some(w);
                        shared.stepped(stepped, orders);
                        if stepped.stuck && shared.state.lock().closing {
                            shared.fail(StoreError::Full(shared.dir.clone()));
                            break;
                        }
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
        if s.stepping {
            // Whoever writes wakes this task when it has done.
            s.missed = true;
            return Next::Wait(None);
        }
        let now = Instant::now();
        let dirty = s.last > s.durable;
        timers.write = (s.last > s.written).then(|| timers.write.unwrap_or(now + WRITE_AFTER));
        timers.sync = dirty.then(|| timers.sync.unwrap_or(now + sync_after));
        timers.retry = s.stepped.full.then(|| timers.retry.unwrap_or(now + RETRY));
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let sync = dirty && (due(timers.sync) || s.want > s.durable || s.closing);
        if s.closing && !dirty {
            return Next::Stop;
        }
        let write = s.last > s.written && (due(timers.write) || s.want_written > s.written);
        let orders = Orders {
            trimmed: s.trimmed,
            sync,
            release: s.releases > s.released,
            spare: s.stepped.spare_wanted || due(timers.retry),
            idle: s.drafts.len() <= 1,
        };
        if s.stepped.stuck && !(orders.spare || orders.release || s.closing) {
            s.looks = false;
            return Next::Wait(timers.retry);
        }
        let whole = s.drafts.len().saturating_sub(1);
        let asked = sync || write || orders.release || orders.spare || s.trimmed > s.trim_seen;
        if !asked && whole == 0 {
            let until;
            (until, s.looks) = timers.next(now, s.last);
            return Next::Wait(until);
        }
        // Unless somebody wants it the last frame may still be filled.
        let count = if sync || write { s.drafts.len() } else { whole };
        // What comes from now on is younger than this moment.
        if sync {
            timers.sync = None;
        }
        if sync || write {
            timers.write = None;
        }
        if orders.spare {
            timers.retry = None;
        }
        s.stepping = true;
        Next::Step(s.drafts.drain(..count).collect(), orders)
    }

    /// Writes what was accepted so far, on this thread, where that is a matter of microseconds:
    /// whether the kernel has it all.
    pub(super) fn write_here(&self) -> Result<bool, StoreError> {
        self.step_here(false, HERE_MAX)
    }

    /// Writes and syncs what was accepted so far, on this thread, if nobody else does: whether all
    /// of it is durable. Who comes while another syncs waits for its turn with all the others.
    pub(super) fn sync_here(&self) -> Result<bool, StoreError> {
        self.step_here(true, SEAL_APART)
    }

    fn step_here(&self, sync: bool, most: usize) -> Result<bool, StoreError> {
        let (drafts, orders) = {
            let mut s = self.state.lock();
            if let Some(e) = &s.failed {
                return Err(e.clone());
            }
            if if sync { s.durable } else { s.written } >= s.last {
                return Ok(true);
            }
            s.goes_on(&self.dir)?;
            let span: u64 = s.drafts.iter().map(Draft::span).sum();
            let quick = s.buffered <= most && span <= s.stepped.here && s.trimmed == s.trim_seen;
            if s.stepping || !quick || self.before.get().is_some_and(|before| !(before.ready)()) {
                return Ok(false);
            }
            s.stepping = true;
            let orders = Orders { trimmed: s.trimmed, sync, release: false, spare: false, idle: false };
            (s.drafts.drain(..).collect(), orders)
        };
        let done = match self.writer.lock().as_mut() {
            Some(writer) => writer.step(drafts, orders),
            None => Err(StoreError::Closed(self.dir.clone())),
        };
        match &done {
            Ok(stepped) => self.stepped(*stepped, orders),
            Err(e) => self.fail(e.clone()),
        }
        let mut s = self.state.lock();
        let wanted = s.stepped.spare_wanted || s.stepped.stuck || s.failed.is_some();
        if std::mem::take(&mut s.missed) || wanted {
            self.wake.notify_one();
        }
        drop(s);
        match done? {
            Stepped { stuck: true, .. } => Err(StoreError::Full(self.dir.clone())),
            _ => Ok(true),
        }
    }

    /// Takes note of what a step did.
    fn stepped(&self, stepped: Stepped, orders: Orders) {
        let mut s = self.state.lock();
        (s.durable, s.written, s.stepping) = (stepped.durable, stepped.last, false);
        s.trim_seen = orders.trimmed;
        if orders.release {
            s.released = s.releases;
        }
        s.stepped = stepped;
        s.buffered = s.drafts.iter().map(Draft::len).sum();
        // Under the lock: what is told is never older than what was told before.
        self.progress.send_modify(|p| {
            (p.durable, p.written, p.stuck, p.released) = (s.durable, s.written, stepped.stuck, s.released);
        });
    }

    /// Stops for good: nothing that follows may be acknowledged.
    fn fail(&self, error: StoreError) {
        let mut s = self.state.lock();
        s.failed = Some(error.clone());
        s.stepping = false;
        s.drafts.clear();
        drop(s);
        self.progress.send_modify(|p| p.failed = Some(error.clone()));
        tracing::error!("journal stopped: {error}");
    }
}
