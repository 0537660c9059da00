//! The write path: buffers, sealers, journal groups, back-pressure.

use super::api::{Error, Result};
use super::dirty::{Dirty, Layer, Layers, SealedLayer, Unjournaled};
use super::live::Live;
use super::records::{self, Base, Commit, DataHead, SealedPart};
use super::shared::{SealJob, Shared};
use crate::content::{CHUNK_LEN, ChunkRef, seal_chunk_into};
use crate::store::StoreError;
use crate::tree::TimeNs;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// The end of a file is sealed at close, instead of going through the journal, from here on.
const SEAL_AT_CLOSE: u64 = 128 << 10;
/// Bytes of a file in one record of the journal, of which the shortest files take 1 MiB: while a
/// chunk is being sealed, all of it may be written once more and be told in the meantime.
const DATA_MAX: usize = 512 << 10;
/// Longest a writer waits for room before it is told that there is none.
const PRESSURE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

impl Shared {
    /// Take bytes for a file. The caller has checked that it may be written.
    pub async fn write_live(self: &Arc<Self>, live: &Arc<Live>, offset: u64, data: &[u8]) -> Result<()> {
        self.writable()?;
        self.wait_for_room().await?;
        self.take_bytes(live, offset, data);
        Ok(())
    }

    /// Whether a writer need not wait.
    pub fn has_room(&self) -> bool {
        self.dirty_bytes.load(Ordering::Relaxed) <= self.options.dirty_memory
    }

    /// Bytes into the buffers of a file; full chunks go to the sealers.
    pub fn take_bytes(&self, live: &Arc<Live>, offset: u64, data: &[u8]) {
        let (now, mtime) = (self.world.clock.monotonic(), self.now());
        let full = {
            let mut state = live.state.lock();
            let frozen = state.frozen;
            let dirty = state.dirty(now, mtime);
            let before = dirty.buffered;
            let mut full = dirty.write(offset, data);
            self.account(before, dirty.buffered);
            if frozen {
                full.clear();
            }
            full
        };
        for index in full {
            self.seal(live, index);
        }
    }

    /// Let the sealers have the buffer of a chunk (unless the file is settling).
    pub fn seal(&self, live: &Arc<Live>, index: u64) {
        let begun = {
            let mut state = live.state.lock();
            let frozen = state.frozen;
            state.dirty.as_mut().filter(|_| !frozen).and_then(|dirty| dirty.begin_seal(index))
        };
        if let Some((layer, below)) = begun {
            // The sealers end with the drive; then nothing needs sealing any more.
            let _ = self.sealer.send(SealJob { live: live.clone(), index, layer, below });
        }
    }

    async fn wait_for_room(&self) -> Result<()> {
        if self.has_room() {
            return Ok(());
        }
        let waiting = async {
            loop {
                let room = self.room.notified();
                tokio::pin!(room);
                room.as_mut().enable();
                if self.has_room() {
                    return Ok(());
                }
                self.writable()?;
                self.pressure.notify_one();
                room.await;
            }
        };
        match tokio::time::timeout(PRESSURE_MAX, waiting).await {
            Ok(result) => result,
            Err(_) => Err(Error::NoSpace),
        }
    }

    /// Seal what lies in buffers, oldest files first, until half of the room is free or will
    /// be when the seals under way have ended.
    pub fn relieve(&self) {
        let mut lives: Vec<Arc<Live>> = self.lives.lock().inodes.values().cloned().collect();
        lives.sort_by_key(|l| l.state.lock().last_write);
        let under_way: usize =
            lives.iter().filter_map(|l| l.state.lock().dirty.as_ref().map(Dirty::being_sealed)).sum();
        let mut left = self.dirty_bytes.load(Ordering::Relaxed).saturating_sub(under_way);
        for live in lives {
            if left <= self.options.dirty_memory / 2 {
                return;
            }
            let state = live.state.lock();
            let Some(dirty) = &state.dirty else { continue };
            if state.frozen {
                continue;
            }
            let buffers: Vec<(u64, usize)> = dirty
                .chunks
                .iter()
                .filter_map(|(i, l)| l.buffer.as_ref().map(|b| (*i, b.bytes.capacity())))
                .collect();
            drop(state);
            for (index, bytes) in buffers {
                self.seal(&live, index);
                left = left.saturating_sub(bytes);
            }
        }
    }

    /// One of the sealers: takes chunks, opens what lies below, seals, appends.
    pub async fn sealer_loop(
        self: Arc<Self>,
        jobs: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<SealJob>>>,
    ) {
        loop {
            let job = jobs.lock().await.recv().await;
            let Some(job) = job else { return };
            let _named_soon = self.naming.read().await;
            let bytes = job.layer.bytes.clone();
            let done = self.seal_layer(job.layer, job.below).await;
            self.sealed(&job.live, job.index, &bytes, done);
        }
    }

    /// A seal of these bytes ended: the file refers to the segment now, unless they were cut
    /// off meanwhile.
    fn sealed(&self, live: &Arc<Live>, index: u64, bytes: &Arc<Vec<u8>>, done: Result<ChunkRef>) {
        let mut again = false;
        let mut failed = None;
        {
            let mut state = live.state.lock();
            let frozen = state.frozen;
            if let Some(dirty) = state.dirty.as_mut().filter(|dirty| dirty.seals(index, bytes)) {
                let before = dirty.buffered;
                match done {
                    Ok(chunk) => dirty.end_seal(index, chunk),
                    Err(e) => {
                        dirty.abort_seal(index);
                        failed = Some(e);
                    }
                }
                self.account(before, dirty.buffered);
                again = !frozen && failed.is_none() && dirty.is_full(index);
            }
            if let Some(e) = failed {
                self.note(format!("a chunk could not be sealed: {e}"));
                state.seal_error = Some(e);
            }
        }
        live.sealed.notify_waiters();
        if again {
            self.seal(live, index);
        }
    }

    /// Seal a layer over the sealed one below it; bytes that neither defines are zeros.
    pub async fn seal_layer(&self, layer: Layer, below: Option<SealedLayer>) -> Result<ChunkRef> {
        let len = layer.valid.end().max(below.as_ref().map_or(0, |b| b.valid.end())) as usize;
        let bytes = match below {
            Some(below) if !layer.valid.covers(0, len as u32) => {
                let mut bytes = vec![0; len];
                for &(a, b) in below.valid.pairs() {
                    let part = self.read_chunk(&below.chunk, a, b, true).await?;
                    bytes[a as usize..b as usize].copy_from_slice(&part);
                }
                for &(a, b) in layer.valid.pairs() {
                    bytes[a as usize..b as usize].copy_from_slice(&layer.bytes[a as usize..b as usize]);
                }
                Arc::new(bytes)
            }
            _ => layer.bytes,
        };
        self.seal_bytes(bytes, len).await
    }

    /// Seal the first `len` bytes as a chunk and append it to the own segments.
    pub async fn seal_bytes(&self, bytes: Arc<Vec<u8>>, len: usize) -> Result<ChunkRef> {
        let keys = self.keys();
        let work = move || {
            let mut out = Vec::with_capacity(len + len / 1024 + 4096);
            let plain = &bytes[..len.min(bytes.len())];
            let chunk = seal_chunk_into(&keys, keys.epoch(), plain, &mut out);
            chunk.map(|chunk| (chunk, out)).map_err(|e| Error::Internal(e.to_string()))
        };
        let (chunk, sealed) =
            self.world.blocking(work).await.map_err(|e| Error::Internal(e.to_string()))??;
        self.keep_own(&chunk, Bytes::from(sealed)).await?;
        Ok(chunk)
    }

    /// Append a sealed chunk to the own segments.
    pub async fn keep_own(&self, chunk: &ChunkRef, sealed: Bytes) -> Result<()> {
        let meta = records::encode(chunk);
        self.own_changed.store(true, Ordering::Relaxed);
        let mut kept = self.own.append(&chunk.id, &meta, sealed.clone()).await;
        if let Err(StoreError::Full(_)) = kept
            && self.cache.make_room(sealed.len() as u64).await.is_ok()
        {
            // What was fetched goes before what was written is refused.
            kept = self.own.append(&chunk.id, &meta, sealed).await;
        }
        kept.map(|_| ()).map_err(|e| self.fail(&e))
    }

    /// Put everything that a file is now into the journal (not necessarily synced). `whole`:
    /// tell the base and all layers again, for a compaction.
    pub async fn journal_live(&self, live: &Arc<Live>, whole: bool) -> Result<()> {
        let _order = live.order.lock().await;
        self.journal_ordered(live, whole).await
    }

    /// [`Shared::journal_live`] for who holds `order`.
    pub async fn journal_ordered(&self, live: &Arc<Live>, whole: bool) -> Result<()> {
        self.seal_ends(live);
        let Some(group) = Group::take(live, whole) else { return Ok(()) };
        let done = self.append_group(live, group).await;
        if done.is_err() {
            let mut state = live.state.lock();
            // Perhaps the base was in what failed: without one the next group has nothing to
            // stand on.
            state.base_journaled = false;
            if let Some(dirty) = &mut state.dirty {
                dirty.forget_journal();
            }
        }
        done
    }

    async fn append_group(&self, live: &Arc<Live>, group: Group) -> Result<()> {
        let Group { sealing, ranges, base, cut, size, mtime } = group;
        for index in sealing {
            live.wait_sealed(index).await;
        }
        self.writable()?;
        let sealed = {
            let mut state = live.state.lock();
            if let Some(e) = state.seal_error.take() {
                return Err(e);
            }
            state.dirty.as_mut().map(Dirty::take_sealed_unjournaled).unwrap_or_default()
        };
        let ranges = in_records(ranges);
        let object = live.object;
        let parts = u32::try_from(sealed.len() + ranges.len()).map_err(|e| Error::Internal(e.to_string()))?;
        for (index, layer) in sealed {
            let valid = layer.valid.pairs().to_vec();
            let part = SealedPart { object, index, chunk: layer.chunk, valid };
            self.append(records::SEALED, &[&records::encode(&part)]).await?;
        }
        for (offset, bytes, from, to) in ranges {
            let head = records::encode(&DataHead { object, offset });
            self.append(records::DATA, &[&head, &bytes[from..to]]).await?;
        }
        let commit = Commit { object, parts, base, cut, size, mtime };
        self.append(records::COMMIT, &[&records::encode(&commit)]).await
    }

    pub async fn append(&self, kind: u8, parts: &[&[u8]]) -> Result<()> {
        self.journal.append_wait(kind, parts).await.map(|_| ()).map_err(|e| self.fail(&e))
    }

    /// Chunks that are whole as the file is now, or large parts of one, are sealed instead of
    /// going through the journal.
    fn seal_ends(&self, live: &Arc<Live>) {
        let ready: Vec<u64> = match &live.state.lock().dirty {
            Some(dirty) => {
                dirty.chunks.iter().filter(|(i, l)| worth_sealing(dirty, **i, l)).map(|(i, _)| *i).collect()
            }
            None => return,
        };
        for index in ready {
            self.seal(live, index);
        }
    }
}

/// Ranges, each short enough for a record.
fn in_records(ranges: Vec<Unjournaled>) -> Vec<Unjournaled> {
    let short = |(offset, bytes, from, to): Unjournaled| {
        let starts = (from..to).step_by(DATA_MAX);
        starts.map(move |at| (offset + (at - from) as u64, bytes.clone(), at, to.min(at + DATA_MAX)))
    };
    ranges.into_iter().flat_map(short).collect()
}

fn worth_sealing(dirty: &Dirty, index: u64, layers: &Layers) -> bool {
    let fresh = layers.unjournaled.total();
    let whole = layers.buffer.as_ref().is_some_and(|b| b.valid.covers(0, dirty.chunk_len(index)));
    fresh >= SEAL_AT_CLOSE && (whole || fresh > CHUNK_LEN as u64 / 2)
}

/// What one journal group tells, as the file was at one moment.
struct Group {
    sealing: Vec<u64>,
    ranges: Vec<Unjournaled>,
    base: Option<Base>,
    cut: Option<u64>,
    size: u64,
    mtime: TimeNs,
}

impl Group {
    /// None: the journal has it all.
    fn take(live: &Live, whole: bool) -> Option<Group> {
        let mut state = live.state.lock();
        if state.gone {
            return None;
        }
        let (base_known, mtime) = (state.base_journaled, state.mtime);
        let dirty = state.dirty.as_mut()?;
        if whole {
            dirty.forget_journal();
        } else if base_known && !dirty.unjournaled() {
            return None;
        }
        let cut = dirty.cut_unjournaled.take();
        dirty.size_unjournaled = false;
        let (size, sealing, ranges) = (dirty.size, dirty.sealing(), dirty.take_unjournaled());
        if whole {
            state.base_journaled = false;
        }
        let base = state.base_to_journal();
        Some(Group { sealing, ranges, base, cut, size, mtime })
    }
}
