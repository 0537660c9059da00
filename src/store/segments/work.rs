//! The blocking halves of what segments do; each runs inside `World::blocking`.

use super::book::Loc;
use super::record::{self, DEAD, DEAD_AT, Head, PREFIX, Prefix};
use super::{Inner, Place, SYNC_EVERY, SegmentsUse, files};
use crate::keys::ChunkId;
use crate::store::StoreError;
use crate::world::Open;
use bytes::Bytes;
use std::io;
use std::ops::Range;

/// Records up to this are read in one piece.
const SMALL: u32 = 96 << 10;
/// Holes are punched at this alignment.
const PAGE: u64 = 4096;

impl Inner {
    pub(super) fn load(&self) -> Result<(), StoreError> {
        let mut book = self.book.lock();
        for (segment, len) in self.files.list()? {
            let path = self.files.path(segment);
            let file = self.files.get(segment, Open::Existing);
            let file = file.map_err(|e| StoreError::io(path, "open", e))?;
            let walked = files::walk(&*file, segment, len, &self.keys);
            book.damaged += walked.damaged;
            book.found(segment, walked.end, walked.records);
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
        StoreError::io(self.files.path(segment), what, error).or_full()
    }

    pub(super) fn append(&self, id: &ChunkId, note: &[u8], bytes: &[u8]) -> Result<Place, StoreError> {
        let here = {
            let mut book = self.book.lock();
            if let Some(e) = &book.failed {
                return Err(e.clone());
            }
            book.touch(id).filter(|loc| loc.body as usize == bytes.len())
        };
        if let Some(here) = here.filter(|loc| self.stands(id, *loc)) {
            return Ok(here.place());
        }
        if !self.make_room(bytes.len() as u64)? {
            return Err(StoreError::Full(self.files.dir.clone()));
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

    /// Whether a chunk that is said to be here is. A head without its body is what a power cut
    /// may leave; whoever brings the chunk again must not be sent away with that.
    fn stands(&self, id: &ChunkId, loc: Loc) -> bool {
        if !loc.doubtful {
            return true;
        }
        let whole = matches!(self.read(id, loc, 0..loc.body), Ok(Some(_)));
        let stands = whole && (self.options.purpose == SegmentsUse::Cache || self.write_again(loc).is_ok());
        if stands {
            self.book.lock().trust(id);
        }
        stands
    }

    /// A record as it is, once more: after a sync that failed the kernel shows what the disk has not, and
    /// takes it for written.
    fn write_again(&self, loc: Loc) -> io::Result<()> {
        let file = self.files.get(loc.segment, Open::OrCreate)?;
        let mut bytes = vec![0; loc.span() as usize];
        let len = file.read_at(&mut bytes, loc.offset)?;
        file.write_at(&bytes[..len], loc.offset)?;
        self.book.lock().touched(loc.segment);
        Ok(())
    }

    /// Whether it is time to bring own chunks to the disk.
    pub(super) fn much_unsynced(&self) -> bool {
        self.options.purpose == SegmentsUse::Own && self.book.lock().unsynced >= SYNC_EVERY
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let (dirty, unnamed) = {
            let mut book = self.book.lock();
            if let Some(e) = &book.failed {
                return Err(e.clone());
            }
            book.unsynced = 0;
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
    pub(super) fn head(&self, id: &ChunkId, loc: Loc) -> io::Result<Option<(Head, Vec<u8>)>> {
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

    pub(super) fn read(
        &self,
        id: &ChunkId,
        loc: Loc,
        range: Range<u32>,
    ) -> Result<Option<Bytes>, StoreError> {
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

    /// The bytes that lie where a range of a chunk should be, if there are so many.
    pub(super) fn read_raw(&self, loc: Loc, range: &Range<u32>) -> Option<Bytes> {
        if range.end > loc.body {
            return None;
        }
        let file = self.files.get(loc.segment, Open::Existing).ok()?;
        let mut bytes = vec![0; range.len()];
        let at = loc.offset + loc.prefix().body_at() + u64::from(range.start);
        let whole = file.read_at(&mut bytes, at).ok()? == bytes.len();
        whole.then(|| Bytes::from(bytes))
    }

    /// What a read that failed or found something else means: the chunk is not here.
    pub(super) fn judge<T>(
        &self,
        id: &ChunkId,
        loc: Loc,
        read: io::Result<Option<T>>,
    ) -> Result<Option<T>, StoreError> {
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
    pub(super) fn peek(&self, place: Place) -> Option<Loc> {
        let file = self.files.get(place.segment, Open::Existing).ok()?;
        let mut bytes = [0; PREFIX];
        let n = file.read_at(&mut bytes, place.offset).ok()?;
        let prefix = self.keys.prefix(place.segment, place.offset, &bytes[..n])?;
        let alive = !prefix.dead && prefix.body == place.len;
        alive.then(|| Loc::new(place.segment, place.offset, prefix, true))
    }

    /// Frees a chunk; whether a whole file went with it.
    pub(super) fn free(&self, id: &ChunkId) -> Result<bool, StoreError> {
        let (loc, gone) = {
            let mut book = self.book.lock();
            let Some(loc) = book.remove(id) else { return Ok(false) };
            (loc, book.bury(loc.segment))
        };
        if gone {
            return match self.files.remove(loc.segment) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.io(loc.segment, "remove", e)),
                _ => Ok(true),
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
        Ok(false)
    }

    pub(super) fn evict(&self) -> Result<(), StoreError> {
        loop {
            let victim = {
                let mut book = self.book.lock();
                if book.over() { book.victim() } else { None }
            };
            let Some(id) = victim else { return Ok(()) };
            self.free(&id)?;
        }
    }

    /// Whether the disk has room for so many bytes besides what is left free.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        // A disk that does not say is believed to have room, until it refuses.
        let free = self.files.disk.space(&self.files.dir).map_or(u64::MAX, |s| s.free);
        free >= self.options.free_kept.saturating_add(bytes)
    }

    /// Evicts, whatever the capacity is, until the disk has room for so many bytes; false when
    /// nothing is left to evict.
    pub(super) fn make_room(&self, bytes: u64) -> Result<bool, StoreError> {
        while !self.has_room(bytes) {
            let Some(id) = self.book.lock().victim() else { return Ok(false) };
            if self.free(&id)? {
                // Only when its name is gone for good is its room there again everywhere.
                let dir = &self.files.dir;
                self.files.disk.sync_dir(dir).map_err(|e| StoreError::io(dir, "sync", e))?;
            }
        }
        Ok(true)
    }
}
