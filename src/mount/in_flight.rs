//! Requests that are being worked on: how many, how many bytes, and until when.
//!
//! fuser does not pass on interrupts, so a process waiting for an answer cannot be killed:
//! every answer has a deadline here, whatever the filesystem below does. But for a sync on a thread
//! of its own: that hangs with the disk that it waits for.

use crate::drive::{Error, Result};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A read is answered by then; the drive itself gives up earlier and says who is missing.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(20);
/// An open may have to wait for the disk.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(20);
/// A write, truncate or fallocate ends in the journal.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(60);
/// An fsync or close waits for this machine's disk, which may be a slow and busy one.
pub(super) const SYNC_DEADLINE: Duration = Duration::from_secs(120);
/// How long a write may wait for those before it; the loop stands still meanwhile.
const ADMISSION_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of writes taken and not yet answered.
const WRITE_BUDGET: u32 = 64 << 20;
/// Bytes of reads being worked on; more wait their turn, holding nothing.
const READ_BUDGET: u32 = 64 << 20;

/// Syncs on threads of their own at once; more wait together, as those who come while one is being
/// done do anyhow.
const APART: usize = 16;

/// What to do with work that is late.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// Drop it: nobody waits for its outcome.
    Abandon,
    /// Answer, but let it end: stopping it half way would lose something.
    Finish,
}

/// Counts requests and bytes.
pub(super) struct InFlight {
    requests: Arc<AtomicUsize>,
    writes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    apart: Arc<Semaphore>,
}

/// One request being worked on.
pub(super) struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Default for InFlight {
    fn default() -> Self {
        InFlight {
            requests: Arc::default(),
            writes: Arc::new(Semaphore::new(WRITE_BUDGET as usize)),
            reads: Arc::new(Semaphore::new(READ_BUDGET as usize)),
            apart: Arc::new(Semaphore::new(APART)),
        }
    }
}

impl InFlight {
    /// Requests taken and not yet ended.
    pub(super) fn count(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Counts one request until the guard is dropped.
    pub(super) fn busy(&self) -> Busy {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Busy(self.requests.clone())
    }

    /// Room for `len` bytes to be written, waiting for it on the calling thread, which is how
    /// a writer too fast for the filesystem is slowed down. Not for a thread of the runtime.
    pub(super) fn admit_write(&self, len: usize, runtime: &Handle) -> Result<OwnedSemaphorePermit> {
        let len = u32::try_from(len).unwrap_or(u32::MAX).min(WRITE_BUDGET);
        if let Ok(permit) = self.writes.clone().try_acquire_many_owned(len) {
            return Ok(permit);
        }
        let turn = self.writes.clone().acquire_many_owned(len);
        match runtime.block_on(async { tokio::time::timeout(ADMISSION_DEADLINE, turn).await }) {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(Error::Internal("the mount is ending".into())),
            Err(_elapsed) => Err(Error::TimedOut),
        }
    }

    /// A thread of its own for a request, while there are some.
    pub(super) fn apart(&self) -> Option<OwnedSemaphorePermit> {
        self.apart.clone().try_acquire_owned().ok()
    }

    /// The semaphore of reads and how many of its permits a read of `len` bytes takes.
    pub(super) fn read_turn(&self, len: u32) -> (Arc<Semaphore>, u32) {
        (self.reads.clone(), len.min(READ_BUDGET))
    }
}

/// Runs `work` and answers with its outcome, or with [`Error::TimedOut`] at the deadline.
pub(super) async fn answer<T>(
    work: impl Future<Output = Result<T>>,
    deadline: Duration,
    late: Late,
    reply: impl FnOnce(Result<T>),
) {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        outcome = &mut work => reply(outcome),
        () = tokio::time::sleep(deadline) => {
            reply(Err(Error::TimedOut));
            if late == Late::Finish {
                // The outcome was owed and is overdue; there is nobody left to tell.
                let _ = work.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn late_work_is_answered_at_the_deadline_and_then_finished_or_abandoned() {
        for (late, ends) in [(Late::Finish, true), (Late::Abandon, false)] {
            let ended = Cell::new(false);
            let answered = Cell::new(None);
            let start = tokio::time::Instant::now();
            let work = async {
                tokio::time::sleep(Duration::from_secs(100)).await;
                ended.set(true);
                Ok(())
            };
            answer(work, READ_DEADLINE, late, |outcome| {
                answered.set(Some((outcome, start.elapsed())));
            })
            .await;
            assert_eq!(answered.take(), Some((Err(Error::TimedOut), READ_DEADLINE)));
            assert_eq!(ended.get(), ends);
        }
    }

    #[test]
    fn a_writer_waits_for_those_before_it() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.expect("a runtime");
        let flight = InFlight::default();
        let all = flight.admit_write(WRITE_BUDGET as usize, runtime.handle()).expect("an empty budget");
        let start = std::time::Instant::now();
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(all);
        });
        let _room = flight.admit_write(1 << 20, runtime.handle()).expect("room again");
        assert!(start.elapsed() >= Duration::from_millis(90));
    }
}
