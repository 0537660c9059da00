//! Content settles: what was written becomes a version of the file.

use super::api::{Error, Result};
use super::dirty::{Dirty, Layers, Piece, Source};
use super::live::Live;
use super::pending::Pending;
use super::records::{self, Settled};
use super::shared::{SealJob, Shared, index_error};
use crate::content::{CHUNK_LEN, Content, INLINE_MAX};
use crate::keys::ChunkId;
use crate::tree::{Change, TimeNs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

const CHUNK: u64 = CHUNK_LEN as u64;
/// After a settle that could not get at the old content, the next try.
const AGAIN: Duration = Duration::from_secs(30);
/// Files settled with one sync.
const BATCH: usize = 64;

/// A file as it was at one moment, all of it sealed or in the base.
pub(super) struct Moment {
    pub dirty: Dirty,
    pub content: Arc<Content>,
    pub mtime: TimeNs,
}

/// A new content and what was sealed for it.
pub(super) struct Made {
    pub content: Content,
    pub chunks: Vec<ChunkId>,
}

impl Shared {
    /// Settles what is due, for ever.
    pub async fn settler_loop(self: Arc<Self>) {
        loop {
            let wait = self.settle_due().await;
            tokio::select! {
                biased;
                () = self.settle_wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Settle what is due now; how long until the next may be.
    async fn settle_due(self: &Arc<Self>) -> Duration {
        self.take_back_gone();
        let now = self.world.clock.monotonic();
        // What is written from now on is not due before this: no write has to wake anybody.
        let (mut due, mut wait) = (Vec::new(), self.options.settle_quiet.min(Duration::from_secs(1)));
        for live in self.lives.lock().inodes.values() {
            let state = live.state.lock();
            if state.dirty.is_none() || state.gone {
                continue;
            }
            let quiet = state.last_write + self.options.settle_quiet;
            let at = quiet.min(state.first_write + self.options.settle_max).max(state.not_before);
            match at.checked_sub(now) {
                Some(left) if !left.is_zero() => wait = wait.min(left),
                _ => due.push(live.clone()),
            }
        }
        let (remote, local): (Vec<_>, Vec<_>) = due.into_iter().partition(|l| self.may_need_friends(l));
        for live in remote {
            // It may have to wait for friends: nobody else waits with it.
            live.state.lock().not_before = now + AGAIN;
            let shared = self.clone();
            let mut closing = self.closing.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    _ = closing.wait_for(|c| *c) => {}
                    _ = shared.settle(&live) => {}
                }
            });
        }
        for some in local.chunks(BATCH) {
            self.settle_batch(some).await;
        }
        // Those that are due within a moment are settled together.
        wait.max(self.options.settle_quiet / 20).max(Duration::from_millis(10))
    }

    /// Settle one file now.
    pub async fn settle(self: &Arc<Self>, live: &Arc<Live>) -> Result<()> {
        self.settle_batch(std::slice::from_ref(live)).await;
        let state = live.state.lock();
        match &state.settle_error {
            Some(e) => Err(e.clone()),
            None => Ok(()),
        }
    }

    /// Settle files; one sync of the segments serves all. What could not be is tried again.
    async fn settle_batch(self: &Arc<Self>, lives: &[Arc<Live>]) {
        let _named_soon = self.naming.read().await;
        let mut made = Vec::new();
        for live in lives {
            match self.begin_settle(live).await {
                Ok(Some((guard, moment, content))) => made.push((live, guard, moment, content)),
                Ok(None) => self.thaw(live, None),
                Err(e) => self.thaw(live, Some(e)),
            }
        }
        if made.is_empty() {
            return;
        }
        // Nothing in the journal may name a chunk that a power cut could take.
        let synced = self.own.sync().await.map_err(|e| self.fail(&e));
        for (live, guard, moment, content) in made {
            let done = synced.clone().and_then(|()| self.settled(live, moment, content));
            drop(guard);
            self.thaw(live, done.err());
        }
        self.progressed();
    }

    /// Content of a file as it is now, sealed; the file stays frozen.
    async fn begin_settle(
        self: &Arc<Self>,
        live: &Arc<Live>,
    ) -> Result<Option<(OwnedMutexGuard<()>, Moment, Made)>> {
        self.writable()?;
        let inode = self.view().inode(live.object).map_err(index_error)?.ok_or(Error::Stale)?;
        if !inode.is_live() {
            live.state.lock().not_before = self.world.clock.monotonic() + AGAIN;
            return Ok(None);
        }
        self.prepare(live).await?;
        let guard = live.order.clone().lock_owned().await;
        live.state.lock().frozen = true;
        let Some(moment) = self.freeze(live).await? else { return Ok(None) };
        let made = self.make_content(live, &moment).await?;
        Ok(Some((guard, moment, made)))
    }

    /// A settle is over, with or without success.
    fn thaw(&self, live: &Arc<Live>, error: Option<Error>) {
        let full: Vec<u64> = {
            let mut state = live.state.lock();
            state.frozen = false;
            if error.is_some() {
                state.not_before = self.world.clock.monotonic() + AGAIN;
            }
            state.settle_error = error.clone();
            let dirty = state.dirty.as_ref();
            dirty.map(|d| d.chunks.keys().copied().filter(|i| d.is_full(*i)).collect()).unwrap_or_default()
        };
        for index in full {
            self.seal(live, index);
        }
        self.lives.lock().drop_if_idle(live);
        if let Some(e) = error {
            self.note(format!("a file waits to settle: {e}"));
        }
    }

    /// Parts of the old content that the new one needs opened.
    fn needed(&self, live: &Live) -> Option<(Vec<Piece>, Arc<Content>)> {
        let state = live.state.lock();
        let moment = Moment { dirty: state.dirty.clone()?, content: state.content.clone(), mtime: 0 };
        let mut pieces = Vec::new();
        for index in self.changed_chunks(&moment) {
            let all = moment.dirty.plan(index * CHUNK, CHUNK);
            pieces.extend(all.into_iter().filter(|p| matches!(p.source, Source::Base)));
        }
        Some((pieces, moment.content))
    }

    /// Whether settling may have to fetch something.
    fn may_need_friends(&self, live: &Live) -> bool {
        match self.needed(live) {
            Some((pieces, content)) => match &*content {
                Content::Inline(_) => false,
                Content::Tree { depth, .. } => *depth > 0 || !pieces.is_empty(),
            },
            None => false,
        }
    }

    /// Get what partly written chunks need of the old content, before anybody has to wait.
    async fn prepare(&self, live: &Arc<Live>) -> Result<()> {
        let Some((pieces, content)) = self.needed(live) else { return Ok(()) };
        for piece in pieces {
            self.assemble(live, &content, vec![piece], true).await?;
        }
        Ok(())
    }

    /// The file as it is at one moment: buffers are sealed, newer writes go into new ones.
    async fn freeze(self: &Arc<Self>, live: &Arc<Live>) -> Result<Option<Moment>> {
        let sealing = live.state.lock().dirty.as_ref().map(Dirty::sealing).unwrap_or_default();
        for index in sealing {
            live.wait_sealed(index).await;
        }
        let (mut moment, begun) = {
            let mut state = live.state.lock();
            let (content, mtime) = (state.content.clone(), state.mtime);
            state.set_mtime = None;
            let Some(dirty) = &mut state.dirty else { return Ok(None) };
            let mut begun = Vec::new();
            if dirty.size > INLINE_MAX as u64 {
                let indexes: Vec<u64> = dirty.chunks.keys().copied().collect();
                for index in indexes {
                    if let Some((layer, below)) = dirty.begin_seal(index) {
                        begun.push(SealJob { live: live.clone(), index, layer, below });
                    }
                }
            }
            (Moment { dirty: dirty.clone(), content, mtime }, begun)
        };
        let indexes: Vec<u64> = begun.iter().map(|job| job.index).collect();
        for job in begun {
            let _ = self.sealer.send(job);
        }
        for &index in &indexes {
            live.wait_sealed(index).await;
        }
        let mut state = live.state.lock();
        if let Some(e) = state.seal_error.take() {
            return Err(e);
        }
        let Some(dirty) = &state.dirty else { return Ok(None) };
        for index in indexes {
            let sealed = dirty.chunks.get(&index).and_then(|l| l.sealed.clone());
            moment.dirty.chunks.insert(index, Layers { sealed, ..Layers::default() });
        }
        Ok(Some(moment))
    }

    /// The version is made: journal, tree, and the file in memory change together.
    fn settled(&self, live: &Arc<Live>, moment: Moment, made: Made) -> Result<()> {
        let mut core = self.core.lock();
        let mut state = live.state.lock();
        // Removed while it settled: a content now would bring it back.
        let inode = self.view().inode(live.object).map_err(index_error)?;
        if state.gone || !inode.is_some_and(|inode| inode.is_live()) {
            return Ok(());
        }
        // A version that no friend has had is not worth telling: this one takes its place.
        let replaces = state.base.and_then(|b| self.replaceable(&core, b).map(|base| (b.n, base)));
        let base = replaces.map_or(state.base, |(_, base)| base);
        let (object, content) = (live.object, made.content.clone());
        let mtime = state.set_mtime.unwrap_or(moment.mtime);
        let op = self.operation(&core, Change::SetContent { object, base, content, mtime });
        super::shared::fits(&op)?;
        self.index_takes(true)?;
        let replaced = replaces.map(|r| r.0);
        let settled = Settled { op: op.clone(), chunks: made.chunks.clone(), replaces: replaced };
        // It makes room: what the file's groups took is not needed any more.
        let record = records::encode(&settled);
        self.journal.append_urgent(records::SETTLED, &[&record]).map_err(|e| self.fail(&e))?;
        if let Some(old) = replaced {
            self.forget(&mut core, &[old])?;
        }
        let version = self.apply(&mut core, Pending { op, chunks: made.chunks.clone() })?;
        self.settles.fetch_add(1, Ordering::Release);
        state.base = Some(version);
        state.content = Arc::new(made.content);
        state.base_journaled = false;
        let before = state.dirty.as_ref().map_or(0, |d| d.buffered);
        state.dirty = state.dirty.take().and_then(|d| d.after(&moment.dirty));
        let after = state.dirty.as_ref().map_or(0, |d| d.buffered);
        state.first_write = state.last_write;
        self.account(before, after);
        let mut uploads = self.uploads.lock();
        uploads.need(version.n, &made.chunks, |id| self.is_placed(id));
        uploads.for_object(version.n, live.object);
        uploads.last_queued = self.world.clock.monotonic();
        drop(uploads);
        self.pack_wake.notify_one();
        Ok(())
    }

    /// Whether friends can give a chunk back, as far as is known: one whose pack has lost too
    /// many shares goes up anew when it is written again.
    pub fn is_placed(&self, id: &ChunkId) -> bool {
        let Ok(places) = self.view().chunk_places(id) else { return false };
        places.iter().any(|place| {
            let record = self.view().pack(&place.pack).ok().flatten();
            record.is_some_and(|record| self.standing(&record).len() >= usize::from(record.k))
        })
    }
}
