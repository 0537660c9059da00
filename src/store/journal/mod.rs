//! The journal: what exists nowhere else, in the order it was written.
//!
//! Records are accepted into memory at once and carried to the disk by a task: when somebody
//! waits for them, when a frame is full, and at the latest a second after they were made.
//! One fdatasync serves everybody who waits. When the disk fails, the journal fails for
//! good: what was not durable by then never will be said to be.

#[cfg(test)]
mod cramped;
mod frame;
mod make;
mod open;
mod options;
mod placing;
mod recover;
mod room;
mod task;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waits;
mod writer;

use super::{Damage, StoreError};
use crate::keys::{Kind, LocalKey};
use crate::world::{World, is_apart};
use frame::{BLOCK, Draft, RECORD_HEAD};
pub use options::JournalOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub use task::{Before, Work};
use task::{Progress, Shared, State};
use tokio::sync::{Notify, watch};

/// The number of a record, from 1, never used twice in one journal.
pub type Lsn = u64;

/// A record as it is read back.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub lsn: Lsn,
    pub kind: u8,
    pub payload: &'a [u8],
}

/// A journal and what was found when it was opened.
pub struct JournalOpened<S> {
    pub journal: Journal,
    /// What the replay made.
    pub state: S,
    /// Records replayed.
    pub records: u64,
    /// Whole frames behind a torn one that were cut off the end; none was acknowledged.
    pub torn: usize,
    /// Not empty: records are missing at these places. All readable ones were replayed, the
    /// journal goes on, and the files as found are in `aside`.
    pub damage: Vec<Damage>,
    pub aside: Option<PathBuf>,
    /// True when there was no journal.
    pub new: bool,
}

/// How a journal is doing.
#[derive(Clone, Debug, Default)]
pub struct JournalStatus {
    /// The last record accepted.
    pub last: Lsn,
    /// The last record that a power cut cannot take.
    pub durable: Lsn,
    /// Everything up to here was trimmed.
    pub trimmed: Lsn,
    /// Bytes waiting in memory.
    pub buffered: usize,
    /// Bytes of files in use.
    pub disk: u64,
    /// Bytes of frames written since it was opened.
    pub written: u64,
    /// No room: only urgent records are taken until something is trimmed or freed.
    pub full: bool,
    /// The journal has failed for good, with this.
    pub failed: Option<StoreError>,
}

/// An open journal; clones are the same one. When the last is dropped, what is left in
/// memory is still synced, if the runtime lives long enough.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    options: JournalOptions,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.wake.notify_one();
    }
}

/// Who appends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Normal,
    Urgent,
}

impl Journal {
    /// Open or make the journal in `dir`, giving every record not trimmed, in order, to
    /// `replay`. Must be called inside a tokio runtime: the journal writes from a task.
    ///
    /// Damage is not an error: see [`JournalOpened::damage`]. Errors are those of the disk.
    pub async fn open<S: Send + 'static>(
        world: &World,
        dir: &Path,
        key: &LocalKey,
        options: JournalOptions,
        state: S,
        replay: impl FnMut(&mut S, Record<'_>) + Send + 'static,
    ) -> Result<JournalOpened<S>, StoreError> {
        Self::open_as(world, dir, key, Kind::Journal, "journal", options, state, replay).await
    }

    /// [`Journal::open`] for another kind of log in the same format; `name` binds its frames.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn open_as<S: Send + 'static>(
        world: &World,
        dir: &Path,
        key: &LocalKey,
        kind: Kind,
        name: &str,
        options: JournalOptions,
        state: S,
        replay: impl FnMut(&mut S, Record<'_>) + Send + 'static,
    ) -> Result<JournalOpened<S>, StoreError> {
        let options = options.settled();
        let keys = frame::Keys::new(key, kind, name);
        let run = u64::from_le_bytes(world.random());
        let (disk, at, opts) = (world.disk.clone(), dir.to_path_buf(), options.clone());
        let opened = world
            .blocking(move || open::open(disk, &at, &keys, opts, run, state, replay))
            .await
            .map_err(|e| StoreError::io(dir, "open", e))??;
        let (stepped, keys) = (opened.writer.state(), opened.writer.keys.clone());
        let last = opened.writer.last();
        let shared = Arc::new(Shared {
            dir: dir.to_path_buf(),
            before: std::sync::OnceLock::new(),
            writer: parking_lot::Mutex::new(Some(opened.writer)),
            state: parking_lot::Mutex::new(State {
                last,
                durable: last,
                want: last,
                written: last,
                want_written: last,
                trimmed: opened.trimmed,
                stepped,
                ..State::default()
            }),
            wake: Notify::new(),
            progress: watch::Sender::new(Progress { durable: last, written: last, ..Progress::default() }),
        });
        tokio::spawn(task::run(world.clone(), shared.clone(), keys, options.sync_after));
        Ok(JournalOpened {
            journal: Journal { inner: Arc::new(Inner { shared, options }) },
            state: opened.state,
            records: opened.records,
            torn: opened.torn,
            damage: opened.damage,
            aside: opened.aside,
            new: opened.new,
        })
    }

    /// From now on what this does ends before any record that it knows of is written: a record may
    /// name what lies in another file, and is not to outlive it in a power cut. Its failure is the
    /// journal's. Given once.
    pub fn precede(&self, before: Before) {
        let _ = self.inner.shared.before.set(before);
    }

    /// Accept a record: it is in memory, and on the disk within `sync_after`, or when
    /// [`Journal::sync`] returns. Never blocks.
    pub fn append(&self, kind: u8, payload: &[u8]) -> Result<Lsn, StoreError> {
        self.push(kind, &[payload], Need::Normal)
    }
    /// [`Journal::append`] of a payload in parts.
    pub fn append_parts(&self, kind: u8, parts: &[&[u8]]) -> Result<Lsn, StoreError> {
        self.push(kind, parts, Need::Normal)
    }
    /// [`Journal::append_parts`] that is also taken while the journal is full: for records
    /// that make room.
    pub fn append_urgent(&self, kind: u8, parts: &[&[u8]]) -> Result<Lsn, StoreError> {
        self.push(kind, parts, Need::Urgent)
    }
    /// [`Journal::append_parts`] that waits for room in memory: for bulk data. It does not
    /// wait for room on the disk: then it answers [`StoreError::Full`].
    pub async fn append_wait(&self, kind: u8, parts: &[&[u8]]) -> Result<Lsn, StoreError> {
        let limit = self.inner.options.buffer;
        let mut progress = self.inner.shared.progress.subscribe();
        loop {
            let busy = {
                let s = self.inner.shared.state.lock();
                s.buffered >= limit && !s.stepped.full
            };
            match if busy { None } else { Some(self.push(kind, parts, Need::Normal)) } {
                None | Some(Err(StoreError::Busy(_))) => {}
                Some(done) => return done,
            }
            // Every step of the task is a change, and while there is this much, it steps.
            let gone = progress.changed().await.is_err();
            if gone || progress.borrow_and_update().stopped {
                return Err(self.ended());
            }
        }
    }

    fn push(&self, kind: u8, parts: &[&[u8]], need: Need) -> Result<Lsn, StoreError> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        let options = &self.inner.options;
        if len > options.max_record() {
            return Err(StoreError::TooLarge { len, max: options.max_record() });
        }
        let shared = &self.inner.shared;
        let mut guard = shared.state.lock();
        let s = &mut *guard;
        if let Some(e) = &s.failed {
            return Err(e.clone());
        }
        if s.closing {
            return Err(StoreError::Closed(shared.dir.clone()));
        }
        if s.stepped.full {
            let frames = s.drafts.len() as u64 + 2;
            let needed = (s.buffered + len) as u64 + frames * 2 * BLOCK;
            if need == Need::Normal || needed > s.stepped.room {
                return Err(StoreError::Full(shared.dir.clone()));
            }
        }
        if s.buffered > 0 && s.buffered + len > 2 * options.buffer {
            return Err(StoreError::Busy(shared.dir.clone()));
        }
        let target = options.frame_target();
        let fits = |d: &Draft| d.len() + RECORD_HEAD + len <= target.max(RECORD_HEAD + len);
        let wake = !s.looks || s.drafts.back().is_some_and(|d| !fits(d));
        if !s.drafts.back().is_some_and(|d| d.len() > 0 && fits(d)) {
            s.drafts.push_back(Draft::new(s.last + 1, len));
        }
        if let Some(draft) = s.drafts.back_mut() {
            draft.push(kind, parts, len);
        }
        s.buffered += RECORD_HEAD + len;
        s.last += 1;
        let lsn = s.last;
        drop(guard);
        if wake {
            shared.wake.notify_one();
        }
        Ok(lsn)
    }

    /// Returns when every record up to `lsn` survives a power cut. One fdatasync serves all
    /// who wait.
    pub async fn sync(&self, lsn: Lsn) -> Result<(), StoreError> {
        let shared = &self.inner.shared;
        if is_apart() && shared.sync_here()? {
            return Ok(());
        }
        let progress = shared.progress.subscribe();
        let lsn = {
            let mut s = shared.state.lock();
            let lsn = lsn.min(s.last);
            if s.durable >= lsn {
                return Ok(());
            }
            s.goes_on(&shared.dir)?;
            s.want = s.want.max(lsn);
            lsn
        };
        shared.wake.notify_one();
        self.until(progress, |p| p.durable >= lsn, Progress::ended).await
    }
    /// Waits until something is so, or it is over.
    async fn until(
        &self,
        mut progress: watch::Receiver<Progress>,
        is: impl Fn(&Progress) -> bool,
        over: impl Fn(&Progress) -> bool,
    ) -> Result<(), StoreError> {
        let found = progress.wait_for(|p| is(p) || over(p)).await;
        // What was found is let go before the state is locked: who tells holds the state meanwhile.
        let so = found.is_ok_and(|p| is(&p));
        if so { Ok(()) } else { Err(self.ended()) }
    }
    /// Returns when the kernel has every record accepted so far: a kill of this process cannot
    /// take it any more, a power cut can.
    pub async fn written(&self) -> Result<(), StoreError> {
        let shared = &self.inner.shared;
        if shared.write_here()? {
            return Ok(());
        }
        let progress = shared.progress.subscribe();
        let lsn = {
            let mut s = shared.state.lock();
            s.want_written = s.last;
            s.last
        };
        shared.wake.notify_one();
        self.until(progress, |p| p.written >= lsn, Progress::ended).await
    }

    /// [`Journal::sync`] of everything accepted so far.
    pub async fn sync_all(&self) -> Result<(), StoreError> {
        self.sync(Lsn::MAX).await
    }

    /// Records up to `lsn` are no longer needed. Their files are used again, once that is
    /// itself durable.
    pub fn trim(&self, lsn: Lsn) {
        {
            let mut s = self.inner.shared.state.lock();
            let lsn = lsn.min(s.durable);
            if lsn <= s.trimmed {
                return;
            }
            s.trimmed = lsn;
        }
        self.inner.shared.wake.notify_one();
    }

    /// Delete the reserve, so that folding and trimming find room on a full disk. It comes
    /// back by itself when there is plenty.
    pub async fn release_reserve(&self) -> Result<(), StoreError> {
        let shared = &self.inner.shared;
        let progress = shared.progress.subscribe();
        let number = {
            let mut s = shared.state.lock();
            s.releases += 1;
            s.releases
        };
        shared.wake.notify_one();
        let over = |p: &Progress| p.failed.is_some() || p.stopped;
        self.until(progress, |p| p.released >= number, over).await
    }

    /// How it is doing.
    pub fn status(&self) -> JournalStatus {
        let s = self.inner.shared.state.lock();
        JournalStatus {
            last: s.last,
            durable: s.durable,
            trimmed: s.trimmed,
            buffered: s.buffered,
            disk: s.stepped.disk,
            written: s.stepped.written,
            full: s.stepped.full,
            failed: s.failed.clone(),
        }
    }

    /// Sync everything and stop the task; later appends answer Closed.
    pub async fn close(&self) -> Result<(), StoreError> {
        let shared = &self.inner.shared;
        let mut progress = shared.progress.subscribe();
        shared.state.lock().closing = true;
        shared.wake.notify_one();
        // An error means that the sender is gone, and it lives as long as this journal.
        let _ = progress.wait_for(|p| p.stopped).await;
        match shared.state.lock().failed.clone() {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    fn ended(&self) -> StoreError {
        let shared = &self.inner.shared;
        let s = shared.state.lock();
        let dir = shared.dir.clone();
        s.failed.clone().unwrap_or(if s.closing { StoreError::Closed(dir) } else { StoreError::Full(dir) })
    }
}
