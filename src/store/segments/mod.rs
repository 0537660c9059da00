//! Sealed chunks, one after another in large files.
//!
//! Chunks are opaque here (they are sealed already). Every block of one has a sum in the
//! record's sealed head, so what is damaged reads as absent, never as other bytes. Room is
//! set aside under a short lock and written outside it, so appends go on side by side.

mod book;
mod files;
mod record;
#[cfg(test)]
mod tests;
mod work;

use super::StoreError;
use crate::keys::{ChunkId, LocalKey};
use crate::world::World;
use book::Book;
use bytes::Bytes;
use files::Files;
use parking_lot::Mutex;
use record::{Keys, MAX_CHUNK, MAX_NOTE};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Content leaves this much of the disk to what keeps content usable: the journal, the index,
/// and the state files, which must be written even to delete something.
const FREE_KEPT: u64 = 64 << 20;
/// Own chunks go to the disk whenever so many bytes of them are not there yet, so that whoever
/// asks for a sync at the end of a long write does not wait for all of it.
const SYNC_EVERY: u64 = 16 << 20;

/// Where a chunk's record begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The number of the segment; never used twice.
    pub segment: u64,
    /// Offset of the record in it.
    pub offset: u64,
    /// Bytes of the chunk.
    pub len: u32,
}

/// What a set of segments is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentsUse {
    /// Chunks are kept until freed or released (the state directory).
    Own,
    /// Chunks may be evicted at any time, unless pinned (the cache directory).
    Cache,
}

impl SegmentsOptions {
    /// Own chunks, of which at most `capacity` bytes stay once they are released.
    pub fn own(capacity: u64) -> SegmentsOptions {
        SegmentsOptions { purpose: SegmentsUse::Own, segment_len: 64 << 20, capacity, free_kept: FREE_KEPT }
    }
    /// A cache of `capacity` bytes.
    pub fn cache(capacity: u64) -> SegmentsOptions {
        let purpose = SegmentsUse::Cache;
        SegmentsOptions { purpose, segment_len: 64 << 20, capacity, free_kept: 2 * FREE_KEPT }
    }
}

/// How segments use their disk.
#[derive(Clone, Debug)]
pub struct SegmentsOptions {
    pub purpose: SegmentsUse,
    /// Bytes of one segment file, about. At most an eighth of `capacity` in a cache.
    pub segment_len: u64,
    /// Bytes of evictable chunks that may be kept.
    pub capacity: u64,
    /// Bytes of the disk that an append leaves free, or it is refused.
    pub free_kept: u64,
}

/// An open set of segments; clones are the same one.
#[derive(Clone)]
pub struct Segments {
    inner: Arc<Inner>,
}

struct Inner {
    world: World,
    options: SegmentsOptions,
    keys: Keys,
    files: Files,
    book: Mutex<Book>,
    /// One sync at a time: who comes second finds that what it waits for is done, or does it.
    syncing: Arc<tokio::sync::Mutex<()>>,
}

impl Segments {
    /// Open the segments in `dir` by reading the heads of all records. Damaged records are
    /// left out (see [`Segments::damaged`]), never an error. Own chunks are kept until freed
    /// or released again.
    pub async fn open(
        world: &World,
        dir: &Path,
        key: &LocalKey,
        mut options: SegmentsOptions,
    ) -> Result<Segments, StoreError> {
        if options.purpose == SegmentsUse::Cache {
            options.segment_len = options.segment_len.min(options.capacity / 8).max(64 << 10);
        }
        let inner = Arc::new(Inner {
            world: world.clone(),
            keys: Keys::new(key),
            files: Files::new(world.disk.clone(), dir),
            book: Mutex::new(Book::new(options.clone())),
            syncing: Arc::default(),
            options,
        });
        let opening = inner.clone();
        let run = move || opening.load();
        world.blocking(run).await.map_err(|e| StoreError::io(dir, "open", e))??;
        Ok(Segments { inner })
    }

    /// Append a chunk with a note of its own (the encoded reference). A chunk that is
    /// already here is not written again; there is no count of its users.
    pub async fn append(&self, id: &ChunkId, note: &[u8], bytes: Bytes) -> Result<Place, StoreError> {
        for (len, max) in [(note.len(), MAX_NOTE), (bytes.len(), MAX_CHUNK)] {
            if len > max {
                return Err(StoreError::TooLarge { len, max });
            }
        }
        let (id, note) = (*id, note.to_vec());
        let (place, much) = self
            .blocking(move |inner| {
                let place = inner.append(&id, &note, &bytes)?;
                inner.evict()?;
                Ok((place, inner.much_unsynced()))
            })
            .await?;
        // Whoever comes meanwhile goes on; this caller waits, which slows down those who are
        // faster than the disk.
        if much && let Ok(turn) = self.inner.syncing.clone().try_lock_owned() {
            self.sync_in_turn(turn).await?;
        }
        Ok(place)
    }

    /// Whether a power cut could take something.
    pub fn unsynced(&self) -> bool {
        self.inner.book.lock().unsynced > 0
    }

    /// A power cut could take nothing, and nobody is about to make that so.
    pub fn is_synced(&self) -> bool {
        self.inner.syncing.try_lock().is_ok() && self.inner.book.lock().is_synced()
    }

    /// Everything appended before this call survives a power cut when it returns. After a
    /// failure nothing more is accepted; what is readable stays so.
    pub async fn sync(&self) -> Result<(), StoreError> {
        let turn = self.inner.syncing.clone().lock_owned().await;
        if self.inner.book.lock().is_synced() {
            return Ok(());
        }
        self.sync_in_turn(turn).await
    }

    /// The turn ends with the work, also when nobody waits for it any more.
    async fn sync_in_turn(&self, turn: tokio::sync::OwnedMutexGuard<()>) -> Result<(), StoreError> {
        self.blocking(move |inner| {
            let _turn = turn;
            inner.sync()
        })
        .await
    }

    /// Bytes of a chunk, cut at its end. `None`: not here, or damaged (then it is forgotten).
    pub async fn read(&self, id: &ChunkId, range: Range<u32>) -> Result<Option<Bytes>, StoreError> {
        let Some(loc) = self.inner.book.lock().touch(id) else { return Ok(None) };
        let id = *id;
        self.blocking(move |inner| inner.read(&id, loc, range)).await
    }
    /// What `open` makes of a chunk's bytes, as they lie there: it knows itself whether they are
    /// what they should be. Where it makes nothing of them they are looked at as
    /// [`Segments::read`] does it. `None`: not here, or damaged.
    pub async fn read_as<T: Send + 'static>(
        &self,
        id: &ChunkId,
        range: Range<u32>,
        open: impl Fn(Bytes) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(loc) = self.inner.book.lock().touch(id) else { return Ok(None) };
        let id = *id;
        self.blocking(move |inner| {
            if let Some(opened) = inner.read_raw(loc, &range).and_then(&open) {
                return Ok(Some(opened));
            }
            Ok(inner.read(&id, loc, range)?.and_then(open))
        })
        .await
    }
    /// [`Segments::read`] at a place named by the journal; if the chunk is not there, wherever
    /// it is.
    pub async fn read_at(
        &self,
        id: &ChunkId,
        place: Place,
        range: Range<u32>,
    ) -> Result<Option<Bytes>, StoreError> {
        match self.place(id) {
            Some(known) if known != place => {
                if let Some(bytes) = self.read_record(id, place, range.clone()).await? {
                    return Ok(Some(bytes));
                }
                self.read(id, range).await
            }
            Some(_) => self.read(id, range).await,
            None => self.read_record(id, place, range).await,
        }
    }
    async fn read_record(
        &self,
        id: &ChunkId,
        place: Place,
        range: Range<u32>,
    ) -> Result<Option<Bytes>, StoreError> {
        let id = *id;
        self.blocking(move |inner| match inner.peek(place) {
            Some(loc) => inner.read(&id, loc, range),
            None => Ok(None),
        })
        .await
    }

    /// The note stored with a chunk.
    pub async fn note(&self, id: &ChunkId) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(loc) = self.inner.book.lock().get(id) else { return Ok(None) };
        let id = *id;
        self.blocking(move |inner| {
            let head = inner.head(&id, loc);
            inner.judge(&id, loc, head.map(|h| h.map(|(head, _)| head.note)))
        })
        .await
    }
    /// Where a chunk is, if it is here.
    pub fn place(&self, id: &ChunkId) -> Option<Place> {
        self.inner.book.lock().get(id).map(|loc| loc.place())
    }
    /// All chunks, by place: for comparing with what the journal names.
    pub fn list(&self) -> Vec<(ChunkId, Place)> {
        self.inner.book.lock().list()
    }

    /// The chunk is not needed any more. Its room goes back to the disk at once where the
    /// filesystem can do that, else when everything in its segment is free. After a crash it
    /// may be there again.
    pub async fn free(&self, id: &ChunkId) -> Result<(), StoreError> {
        let id = *id;
        self.blocking(move |inner| inner.free(&id).map(|_| ())).await
    }
    /// Own chunk: it is safe elsewhere, and may be evicted from now on (until the next
    /// opening, when it must be released again).
    pub fn release(&self, id: &ChunkId) {
        self.inner.book.lock().release(id);
    }
    /// On a disk that is short, evict until it has room for so many bytes besides what is left
    /// free; false when it has not.
    pub async fn make_room(&self, bytes: u64) -> Result<bool, StoreError> {
        self.blocking(move |inner| inner.make_room(bytes)).await
    }
    /// Keep a chunk from eviction, here already or not; pins count.
    pub fn pin(&self, id: &ChunkId) {
        self.inner.book.lock().pin(id);
    }
    /// Take one pin away.
    pub fn unpin(&self, id: &ChunkId) {
        self.inner.book.lock().unpin(id);
    }
    /// Evict what is more than may stay, as every append does: after pins were taken away.
    pub async fn evict(&self) -> Result<(), StoreError> {
        self.blocking(|inner| inner.evict()).await
    }
    /// Bytes of files, bytes of live records.
    pub fn used(&self) -> (u64, u64) {
        self.inner.book.lock().used()
    }
    /// Damaged records met since opening.
    pub fn damaged(&self) -> u64 {
        self.inner.book.lock().damaged
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let done = self.inner.world.blocking(move || work(&inner)).await;
        done.map_err(|e| StoreError::io(&self.inner.files.dir, "work", e))?
    }
}
