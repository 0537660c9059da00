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

use super::StoreError;
use crate::keys::{ChunkId, LocalKey};
use crate::world::{Open, World};
use book::{Book, Loc};
use bytes::Bytes;
use files::Files;
use parking_lot::Mutex;
use record::{DEAD, DEAD_AT, Head, Keys, MAX_CHUNK, MAX_NOTE, PREFIX, Prefix};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Records up to this are read in one piece.
const SMALL: u32 = 96 << 10;
/// Holes are punched at this alignment.
const PAGE: u64 = 4096;

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
        SegmentsOptions { purpose: SegmentsUse::Own, segment_len: 64 << 20, capacity }
    }
    /// A cache of `capacity` bytes.
    pub fn cache(capacity: u64) -> SegmentsOptions {
        SegmentsOptions { purpose: SegmentsUse::Cache, segment_len: 64 << 20, capacity }
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
    syncing: tokio::sync::Mutex<()>,
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
            syncing: tokio::sync::Mutex::new(()),
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
        self.blocking(move |inner| {
            let place = inner.append(&id, &note, &bytes)?;
            inner.evict()?;
            Ok(place)
        })
        .await
    }

    /// Everything appended before this call survives a power cut when it returns. After a
    /// failure nothing more is accepted; what is readable stays so.
    pub async fn sync(&self) -> Result<(), StoreError> {
        let _one = self.inner.syncing.lock().await;
        self.blocking(|inner| inner.sync()).await
    }

    /// Bytes of a chunk, cut at its end. `None`: not here, or damaged (then it is forgotten).
    pub async fn read(&self, id: &ChunkId, range: Range<u32>) -> Result<Option<Bytes>, StoreError> {
        let Some(loc) = self.inner.book.lock().touch(id) else { return Ok(None) };
        let id = *id;
        self.blocking(move |inner| inner.read(&id, loc, range)).await
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
        self.blocking(move |inner| inner.free(&id)).await
    }
    /// Own chunk: it is safe elsewhere, and may be evicted from now on (until the next
    /// opening, when it must be released again).
    pub fn release(&self, id: &ChunkId) {
        self.inner.book.lock().release(id);
    }
    /// Keep a chunk from eviction, here already or not; pins count.
    pub fn pin(&self, id: &ChunkId) {
        self.inner.book.lock().pin(id);
    }
    /// Take one pin away.
    pub fn unpin(&self, id: &ChunkId) {
        self.inner.book.lock().unpin(id);
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

/// The blocking halves.
impl Inner {
    fn load(&self) -> Result<(), StoreError> {
        let mut book = self.book.lock();
        for (segment, len) in self.files.list()? {
            let path = self.files.path(segment);
            let file = self.files.get(segment, Open::Existing);
            let file = file.map_err(|e| StoreError::io(path, "open", e))?;
            let walked = files::walk(&*file, segment, len, &self.keys);
            book.damaged += walked.damaged;
            book.found(segment, len, walked.records);
        }
        book.resume();
        let numbers: Vec<u64> = book.segments.keys().copied().collect();
        for number in numbers {
            if book.bury(number) {
                self.files.remove(number).map_err(|e| self.io(number, "remove", e))?;
            }
        }
        Ok(())
    }

    fn io(&self, segment: u64, what: &'static str, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full(self.files.path(segment))
            }
            _ => StoreError::io(self.files.path(segment), what, error),
        }
    }

    fn append(&self, id: &ChunkId, note: &[u8], bytes: &[u8]) -> Result<Place, StoreError> {
        {
            let mut book = self.book.lock();
            if let Some(e) = &book.failed {
                return Err(e.clone());
            }
            if let Some(here) = book.touch(id).filter(|loc| loc.body as usize == bytes.len()) {
                return Ok(here.place());
            }
        }
        let sums = record::sums(bytes);
        let head = record::head_len(note.len(), bytes.len()) as u32;
        let prefix = Prefix { head, body: bytes.len() as u32, dead: false };
        let room = self.book.lock().reserve(prefix.span());
        let start = self.keys.encode(room.segment, room.offset, id, note, &sums, bytes.len());
        let written = self.files.get(room.segment, Open::OrCreate).and_then(|file| {
            file.write_at(bytes, room.offset + prefix.body_at())?;
            file.write_at(&start, room.offset)
        });
        let keep = self.options.purpose == SegmentsUse::Own;
        let loc = Loc::new(room.segment, room.offset, prefix, keep);
        self.book.lock().written(room.segment, written.is_ok().then_some((*id, loc)));
        if let Some(dead) = room.dead {
            self.files.remove(dead).map_err(|e| self.io(dead, "remove", e))?;
        }
        written.map_err(|e| self.io(room.segment, "write", e))?;
        Ok(loc.place())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let (dirty, unnamed) = {
            let mut book = self.book.lock();
            if let Some(e) = &book.failed {
                return Err(e.clone());
            }
            let mut dirty = Vec::new();
            let mut unnamed = Vec::new();
            for (number, s) in book.segments.iter_mut().filter(|(_, s)| s.unsynced) {
                s.unsynced = false;
                dirty.push(*number);
                if !s.named {
                    unnamed.push(*number);
                }
            }
            (dirty, unnamed)
        };
        let result = self.sync_files(&dirty, !unnamed.is_empty());
        let mut book = self.book.lock();
        match &result {
            Ok(()) => {
                for number in unnamed {
                    if let Some(s) = book.segments.get_mut(&number) {
                        s.named = true;
                    }
                }
            }
            Err(e) => book.failed = Some(e.clone()),
        }
        result
    }

    fn sync_files(&self, dirty: &[u64], names: bool) -> Result<(), StoreError> {
        for number in dirty {
            match self.files.get(*number, Open::Existing).and_then(|file| file.sync()) {
                // Everything in it was freed meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(|e| StoreError::io(self.files.path(*number), "sync", e))?,
            }
        }
        if names {
            let dir = &self.files.dir;
            self.files.disk.sync_dir(dir).map_err(|e| StoreError::io(dir, "sync", e))?;
        }
        Ok(())
    }

    /// The head of a record, and as much of the body as was read along with it. `None`: it
    /// is not what the map says.
    fn head(&self, id: &ChunkId, loc: Loc) -> io::Result<Option<(Head, Vec<u8>)>> {
        let file = self.files.get(loc.segment, Open::Existing)?;
        let head_end = PREFIX + loc.head as usize;
        let more = if loc.body <= SMALL { loc.body as usize } else { 0 };
        let mut bytes = vec![0; head_end + more];
        let n = file.read_at(&mut bytes, loc.offset)?;
        bytes.truncate(n);
        let prefix = self.keys.prefix(loc.segment, loc.offset, &bytes);
        let sealed = bytes.get(PREFIX..head_end);
        let same = prefix.is_some_and(|p| (p.head, p.body) == (loc.head, loc.body));
        let (true, Some(sealed)) = (same, sealed) else { return Ok(None) };
        let head = self.keys.head(loc.segment, loc.offset, sealed, loc.body);
        let head = head.filter(|head| head.id == *id);
        bytes.drain(..head_end);
        Ok(head.map(|head| (head, bytes)))
    }

    fn read(&self, id: &ChunkId, loc: Loc, range: Range<u32>) -> Result<Option<Bytes>, StoreError> {
        let range = range.start.min(loc.body)..range.end.min(loc.body);
        let read = || -> io::Result<Option<Bytes>> {
            let Some((head, along)) = self.head(id, loc)? else { return Ok(None) };
            let cover = record::covering(&range, loc.body);
            let bytes = if along.len() == loc.body as usize {
                Bytes::from(along).slice(cover.start as usize..cover.end as usize)
            } else {
                let file = self.files.get(loc.segment, Open::Existing)?;
                let mut bytes = vec![0; (cover.end - cover.start) as usize];
                let at = loc.offset + loc.prefix().body_at() + u64::from(cover.start);
                let n = file.read_at(&mut bytes, at)?;
                bytes.truncate(n);
                Bytes::from(bytes)
            };
            let whole = bytes.len() == (cover.end - cover.start) as usize;
            if !whole || !head.verify(cover.start, &bytes) {
                return Ok(None);
            }
            let start = range.start.max(cover.start) - cover.start;
            let len = range.end.saturating_sub(range.start);
            Ok(Some(bytes.slice(start as usize..(start + len) as usize)))
        };
        self.judge(id, loc, read())
    }

    /// What a read that failed or found something else means: the chunk is not here.
    fn judge<T>(&self, id: &ChunkId, loc: Loc, read: io::Result<Option<T>>) -> Result<Option<T>, StoreError> {
        let cache = self.options.purpose == SegmentsUse::Cache;
        match read {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) if cache => {}
            Err(e) => return Err(StoreError::io(self.files.path(loc.segment), "read", e)),
        }
        let mut book = self.book.lock();
        // Unless it was freed, or written anew, while this read was under way.
        if book.get(id).is_some_and(|now| now.same_place(&loc)) {
            book.remove(id);
            book.damaged += 1;
            tracing::warn!(segment = loc.segment, offset = loc.offset, "a damaged record is left out");
        }
        Ok(None)
    }

    /// What the record at a place says of itself.
    fn peek(&self, place: Place) -> Option<Loc> {
        let file = self.files.get(place.segment, Open::Existing).ok()?;
        let mut bytes = [0; PREFIX];
        let n = file.read_at(&mut bytes, place.offset).ok()?;
        let prefix = self.keys.prefix(place.segment, place.offset, &bytes[..n])?;
        let alive = !prefix.dead && prefix.body == place.len;
        alive.then(|| Loc::new(place.segment, place.offset, prefix, true))
    }

    fn free(&self, id: &ChunkId) -> Result<(), StoreError> {
        let (loc, gone) = {
            let mut book = self.book.lock();
            let Some(loc) = book.remove(id) else { return Ok(()) };
            (loc, book.bury(loc.segment))
        };
        if gone {
            return match self.files.remove(loc.segment) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.io(loc.segment, "remove", e)),
                _ => Ok(()),
            };
        }
        let body = loc.offset + loc.prefix().body_at();
        let start = body.next_multiple_of(PAGE);
        let end = (body + u64::from(loc.body)) / PAGE * PAGE;
        let work = || -> io::Result<u64> {
            let file = self.files.get(loc.segment, Open::Existing)?;
            file.write_at(&DEAD, loc.offset + DEAD_AT)?;
            let punched = end > start && file.punch_hole(start, end - start)?;
            Ok(if punched { end - start } else { 0 })
        };
        let punched = work().map_err(|e| self.io(loc.segment, "free", e))?;
        self.book.lock().punched(loc.segment, punched);
        Ok(())
    }

    fn evict(&self) -> Result<(), StoreError> {
        loop {
            let Some(id) = self.book.lock().victim() else { return Ok(()) };
            self.free(&id)?;
        }
    }
}
