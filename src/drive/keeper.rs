//! Housekeeping: the journal is fed and kept short, the index is made durable.

use super::api::{Error, Result};
use super::live::Live;
use super::records::{self, Placed, Settled};
use super::shared::{Shared, index_error};
use crate::content::{Content, Ref};
use crate::keys::ChunkId;
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The journal is told anew and trimmed from this part of what it may be on, and when it is twice
/// as long as after the last time: what it holds is read into memory at the next start.
const LONG: u64 = 256;
/// On a full disk own chunks are looked through twice, so far apart.
const SWEEP_AGAIN: Duration = Duration::from_secs(2);
/// How often looking through them tries for a moment at which all are named.
const SWEEP_TRIES: u32 = 40;
const SWEEP_PAUSE: Duration = Duration::from_millis(50);
/// The index is made durable this often.
const FLUSH_EVERY: Duration = Duration::from_secs(15);
/// On a full disk so much room is made at once: a few chunks, and their heads.
const ROOM_MADE: u64 = 8 << 20;
/// The same for a journal that found no room: it goes on when there is more than its reserve made.
const ROOM_FOR_JOURNAL: u64 = 64 << 20;

impl Shared {
    /// Puts what was written into the journal soon, and eases pressure on memory, for ever.
    pub async fn journal_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.pressure.notified() => self.relieve(),
                () = tokio::time::sleep(self.options.journal_after / 2) => {}
            }
            if self.writable().is_err() {
                continue;
            }
            if let Err(e) = self.journal_everything(true).await {
                self.note(format!("the journal: {e}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Own chunks that the journal names are on the disk as soon as it is, for ever. Not in the
    /// loop that feeds the journal: who eases pressure on memory waits for no disk.
    pub async fn own_segments_loop(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.options.journal_after).await;
            if self.own.unsynced()
                && self.writable().is_ok()
                && let Err(e) = self.own.sync().await
            {
                self.note(format!("own segments: {}", self.fail(&e)));
            }
        }
    }

    /// All files that differ from what the journal knows. `lazy`: it syncs by itself soon.
    pub async fn journal_everything(&self, lazy: bool) -> Result<()> {
        let lives: Vec<Arc<Live>> = self.lives.lock().inodes.values().cloned().collect();
        for live in lives {
            let due = {
                let state = live.state.lock();
                let base_known = state.base_journaled;
                state.dirty.as_ref().is_some_and(|d| !base_known || d.unjournaled())
            };
            // One that is being told already is told in full there, or the next time.
            if due && !(lazy && live.order.try_lock().is_err()) {
                self.journal_live(&live, false).await?;
            }
        }
        if !lazy {
            self.own.sync().await.map_err(|e| self.fail(&e))?;
            self.journal.sync_all().await.map_err(|e| self.fail(&e))?;
        }
        Ok(())
    }

    /// See [`super::Drive::drop_caches`].
    pub async fn drop_caches(&self) {
        self.tidy_packs();
        self.pages.lock().clear();
        self.epochs.lock().forget();
        for (id, _) in self.cache.list() {
            if self.pins.lock().holds(&id) {
                continue;
            }
            if let Err(e) = self.cache.free(&id).await {
                self.note(format!("the cache: {e}"));
            }
        }
        let under_way = self.uploads.lock().needed_chunks();
        for (id, _) in self.own.list() {
            if !under_way.contains(&id)
                && !self.pins.lock().holds(&id)
                && self.kept_by_friends(&id)
                && let Err(e) = self.own.free(&id).await
            {
                self.note(format!("own segments: {e}"));
            }
        }
    }

    /// Own chunks that are safe at friends may be evicted again after a start.
    fn release_safe(&self) {
        let under_way = self.uploads.lock().needed_chunks();
        for (id, _) in self.own.list() {
            if !under_way.contains(&id) && self.kept_by_friends(&id) {
                self.own.release(&id);
            }
        }
    }

    /// Frees own chunks that nothing names any more: of files that came and went, of versions
    /// that were overtaken, of layers that were written over. One has to be found so twice.
    pub async fn sweep_own(&self) {
        if !self.own_changed.load(Ordering::Relaxed) || self.writable().is_err() {
            return;
        }
        // Who has sealed a chunk and not named it yet holds this lock, shared; one who waits for
        // friends meanwhile may hold it for long.
        // Only tried for: a waiting one would hold up all who come after it.
        let mut tries = 0..SWEEP_TRIES;
        let _alone = loop {
            match self.naming.try_write() {
                Ok(alone) => break alone,
                Err(_) if tries.next().is_some() => tokio::time::sleep(SWEEP_PAUSE).await,
                Err(_) => return,
            }
        };
        self.own_changed.store(false, Ordering::Relaxed);
        let unnamed = self.unnamed_chunks();
        let before = std::mem::replace(&mut *self.unnamed.lock(), unnamed.clone());
        if !unnamed.is_empty() {
            self.own_changed.store(true, Ordering::Relaxed);
        }
        let mut free = unnamed.intersection(&before).peekable();
        // That nothing names them must be on the disk before they go.
        if free.peek().is_some()
            && let Err(e) = self.journal.sync_all().await
        {
            return self.note(format!("own segments: {}", self.fail(&e)));
        }
        for id in free {
            if let Err(e) = self.own.free(id).await {
                return self.note(format!("own segments: {e}"));
            }
            self.unnamed.lock().remove(id);
        }
    }

    /// On a full disk: what friends have goes, fetched or own. Whether there is room then.
    async fn make_room(&self) -> bool {
        let mut room = false;
        let bytes = if self.journal.status().full { ROOM_FOR_JOURNAL } else { ROOM_MADE };
        for segments in [&self.cache, &self.own] {
            match segments.make_room(bytes).await {
                Ok(made) => room = made,
                Err(e) => self.note(format!("making room on this machine's disk: {e}")),
            }
        }
        room
    }

    /// Files that could not settle for want of room try again.
    fn settle_again(&self) {
        let lives: Vec<Arc<Live>> = self.lives.lock().inodes.values().cloned().collect();
        for live in lives {
            let mut state = live.state.lock();
            if state.settle_error == Some(Error::NoSpace) {
                state.not_before = Duration::ZERO;
            }
        }
        self.settle_wake.notify_one();
    }

    fn unnamed_chunks(&self) -> BTreeSet<ChunkId> {
        let mut named = self.uploads.lock().needed_chunks();
        named.extend(self.core.lock().pending.all().flat_map(|p| p.chunks.iter().copied()));
        let lives: Vec<Arc<Live>> = self.lives.lock().inodes.values().cloned().collect();
        for live in lives {
            let state = live.state.lock();
            let layers = state.dirty.iter().flat_map(|dirty| dirty.chunks.values());
            named.extend(layers.filter_map(|l| l.sealed.as_ref()).map(|sealed| sealed.chunk.id));
            named.extend(state.dirty.iter().flat_map(|dirty| dirty.outlived.iter().copied()));
            if let Content::Tree { refs, .. } = &*state.content {
                named.extend(refs.iter().filter_map(|r| match r {
                    Ref::Chunk(chunk) => Some(chunk.id),
                    Ref::Hole => None,
                }));
            }
        }
        let own = self.own.list().into_iter().map(|(id, _)| id).filter(|id| !named.contains(id));
        // What the tree has a place for is kept for reading, and evicted like a cache.
        own.filter(|id| matches!(self.view().chunk_places(id), Ok(places) if places.is_empty())).collect()
    }

    /// Flushes the index and shortens the journal, for ever.
    pub async fn keeper_loop(self: Arc<Self>) {
        let shared = self.clone();
        if let Err(e) = self.world.blocking(move || shared.release_safe()).await {
            self.note(format!("own segments: {e}"));
        }
        let mut length = Length::new(&self);
        loop {
            tokio::select! { biased;
                () = self.full.notified() => {
                    self.short.store(true, Ordering::Relaxed);
                    self.shorten_full().await;
                    self.make_room().await;
                    self.sweep_own().await;
                    tokio::time::sleep(SWEEP_AGAIN).await;
                }
                () = tokio::time::sleep(FLUSH_EVERY) => {}
            }
            let index = self.index.clone();
            match self.world.blocking(move || index.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => drop(self.stop(index_error(e))),
                Err(e) => self.note(format!("the index: {e}")),
            }
            if let Err(e) = self.keep_admin_again().await {
                self.note(format!("the drive's admin log: {e}"));
            }
            self.sweep_own().await;
            if self.short.load(Ordering::Relaxed) && self.make_room().await {
                self.short.store(false, Ordering::Relaxed);
                self.settle_again();
            }
            if length.is_long(&self) && self.writable().is_ok() {
                let begun = self.journal.status().written;
                match self.compact_journal().await {
                    Ok(()) => length.shortened(&self, begun),
                    Err(e) => self.note(format!("shortening the journal: {e}")),
                }
            }
        }
    }

    /// A full journal is shortened with what is kept aside for that.
    async fn shorten_full(&self) {
        if !self.journal.status().full || self.writable().is_err() {
            return;
        }
        let done = match self.journal.release_reserve().await {
            Ok(()) => self.compact_journal().await,
            Err(e) => Err(self.fail(&e)),
        };
        if let Err(e) = done {
            self.note(format!("shortening the journal: {e}"));
        }
    }

    /// Tell all pending operations again, not so many at a time that others find no room. Those that
    /// come or go meanwhile have records of their own.
    async fn tell_pending(&self) -> Result<()> {
        let mut next = Some(0);
        while let Some(from) = next.take() {
            {
                let core = self.core.lock();
                for pending in core.pending.from(from) {
                    if !self.journal.has_room() {
                        next = Some(pending.op.n);
                        break;
                    }
                    let record =
                        Settled { op: pending.op.clone(), chunks: pending.chunks.clone(), replaces: None };
                    let bytes = records::encode(&record);
                    self.journal.append_urgent(records::PENDING, &[&bytes]).map_err(|e| self.fail(&e))?;
                }
            }
            if next.is_some() {
                self.journal.sync_all().await.map_err(|e| self.fail(&e))?;
            }
        }
        Ok(())
    }

    /// Tell something again, when there is room for it and for others.
    async fn tell(&self, kind: u8, record: &impl Serialize) -> Result<()> {
        if !self.journal.has_room() {
            self.journal.sync_all().await.map_err(|e| self.fail(&e))?;
        }
        let bytes = records::encode(record);
        self.journal.append_urgent(kind, &[&bytes]).map(|_| ()).map_err(|e| self.fail(&e))
    }

    /// Tell everything that still matters again at the journal's end, and trim what is before.
    pub async fn compact_journal(&self) -> Result<()> {
        let start = {
            let _still = self.core.lock();
            self.journal.status().last
        };
        self.tell_pending().await?;
        let safe = self.publishing.lock().safe;
        self.tell(records::ENTRIES_SAFE, &safe).await?;
        let packs: Vec<_> = {
            let uploads = self.uploads.lock();
            uploads.packs.values().map(|p| (p.intent.clone(), p.placed.clone())).collect()
        };
        for (intent, placed) in packs {
            let pack = intent.pack;
            self.tell(records::PACK, &intent).await?;
            for place in placed {
                self.tell(records::PLACED, &Placed { pack, place }).await?;
            }
        }
        let lives: Vec<Arc<Live>> = self.lives.lock().inodes.values().cloned().collect();
        for live in lives {
            self.journal_live(&live, true).await?;
        }
        self.own.sync().await.map_err(|e| self.fail(&e))?;
        self.journal.sync_all().await.map_err(|e| self.fail(&e))?;
        self.entries.sync().await.map_err(|e| self.fail(&e))?;
        self.journal.trim(start);
        Ok(())
    }
}

/// How long the journal is: what was in it when it was last shortened, and what came since. (Its
/// files are no measure: they are given back a while after it is shortened, or used again.)
struct Length {
    /// What was in it at the opening, as far as its files say.
    found: u64,
    /// What had been written when it was last shortened.
    since: u64,
    /// It is long from here on.
    long: u64,
    max: u64,
}

impl Length {
    fn new(shared: &Shared) -> Length {
        let max = shared.options.journal_max;
        Length { found: shared.journal.status().disk, since: 0, long: max / LONG, max }
    }
    fn is_long(&self, shared: &Shared) -> bool {
        let status = shared.journal.status();
        status.full || self.found + (status.written - self.since) > self.long
    }
    /// It was told anew from `begun` on: half of what there may be until the next time is that.
    fn shortened(&mut self, shared: &Shared, begun: u64) {
        let told = shared.journal.status().written.saturating_sub(begun);
        (self.found, self.since) = (0, begun);
        self.long = (told * 2).clamp(self.max / LONG, self.max / 2);
    }
}
