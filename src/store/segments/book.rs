//! What a set of segments holds, in memory.

use super::record::{ALIGN, Prefix};
use super::{Place, SegmentsOptions, SegmentsUse};
use crate::keys::ChunkId;
use crate::store::StoreError;
use std::collections::{BTreeMap, HashMap};

/// Files that an earlier process may have left without a sync: it never leaves more than
/// `SYNC_EVERY` bytes, and what is being written, and a file is longer than that.
const DOUBTFUL: usize = 4;

/// Where a chunk is and how it is treated. Never iterated in the order of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loc {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) head: u32,
    pub(super) body: u32,
    /// Must not be evicted.
    keep: bool,
    /// Of before this opening: only its head was looked at, and a power cut may have torn it.
    pub(super) doubtful: bool,
    /// Used since its turn last came.
    touched: bool,
    /// When its turn to be evicted comes; 0 while it is kept.
    turn: u64,
}

impl Loc {
    pub(super) fn new(segment: u64, offset: u64, prefix: Prefix, keep: bool) -> Loc {
        Loc {
            segment,
            offset,
            head: prefix.head,
            body: prefix.body,
            keep,
            doubtful: false,
            touched: false,
            turn: 0,
        }
    }
    pub(super) fn prefix(&self) -> Prefix {
        Prefix { head: self.head, body: self.body, dead: false }
    }
    pub(super) fn place(&self) -> Place {
        Place { segment: self.segment, offset: self.offset, len: self.body }
    }
    pub(super) fn same_place(&self, other: &Loc) -> bool {
        self.segment == other.segment && self.offset == other.offset
    }
    pub(super) fn span(&self) -> u64 {
        self.prefix().span()
    }
}

/// One file.
#[derive(Default)]
pub(super) struct Segment {
    /// Where the next record begins.
    pub(super) len: u64,
    records: BTreeMap<u64, ChunkId>,
    /// Appends under way.
    inflight: u32,
    pub(super) unsynced: bool,
    /// Its name survives a power cut.
    pub(super) named: bool,
    /// Bytes given back to the disk.
    punched: u64,
}

#[cfg(test)]
impl Segment {
    pub(super) fn bytes(&self) -> u64 {
        self.len - self.punched
    }
}

/// All of it, under one short lock.
pub(super) struct Book {
    options: SegmentsOptions,
    map: HashMap<ChunkId, Loc>,
    pub(super) segments: BTreeMap<u64, Segment>,
    current: Option<u64>,
    next: u64,
    pins: BTreeMap<ChunkId, u32>,
    /// Bytes of files, and of live records.
    files: u64,
    live: u64,
    evictable: u64,
    /// Bytes that would be evictable, were they not pinned: they are nobody's to count.
    pinned: u64,
    /// What may be evicted, in order: who was used meanwhile goes to the end of the queue when
    /// its turn comes.
    queue: BTreeMap<u64, ChunkId>,
    turns: u64,
    /// Bytes of records written since the last sync began.
    pub(super) unsynced: u64,
    pub(super) failed: Option<StoreError>,
    pub(super) damaged: u64,
}

/// Room for a record.
pub(super) struct Room {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// A segment that is complete and empty, to be deleted.
    pub(super) dead: Option<u64>,
}

impl Book {
    pub(super) fn new(options: SegmentsOptions) -> Book {
        Book {
            options,
            map: HashMap::new(),
            segments: BTreeMap::new(),
            current: None,
            next: 1,
            pins: BTreeMap::new(),
            files: 0,
            live: 0,
            evictable: 0,
            pinned: 0,
            queue: BTreeMap::new(),
            turns: 0,
            unsynced: 0,
            failed: None,
            damaged: 0,
        }
    }

    /// Takes in a file found at opening, with its records in order.
    pub(super) fn found(&mut self, segment: u64, len: u64, records: Vec<(ChunkId, u64, Prefix)>) {
        self.next = self.next.max(segment + 1);
        let file = Segment { len: len.next_multiple_of(ALIGN), named: true, ..Segment::default() };
        self.files += file.len;
        self.segments.insert(segment, file);
        let keep = self.options.purpose == SegmentsUse::Own;
        for (id, offset, prefix) in records {
            self.insert(id, Loc { doubtful: true, ..Loc::new(segment, offset, prefix, keep) });
        }
    }

    /// Something was written into a file; the next sync is for it, too.
    pub(super) fn touched(&mut self, segment: u64) {
        if let Some(s) = self.segments.get_mut(&segment) {
            s.unsynced = true;
        }
    }

    /// A chunk of before this opening was read whole.
    pub(super) fn trust(&mut self, id: &ChunkId) {
        if let Some(loc) = self.map.get_mut(id) {
            loc.doubtful = false;
        }
    }

    /// Chooses the file to go on in after opening. What is in the latest ones may be in the
    /// kernel only, if it was just the process that ended: the next sync is for them too.
    pub(super) fn resume(&mut self) {
        let half = self.options.segment_len / 2;
        for segment in self.segments.values_mut().rev().take(DOUBTFUL) {
            (segment.unsynced, segment.named) = (true, false);
        }
        self.current =
            self.segments.last_key_value().filter(|(_, s)| s.len < half).map(|(number, _)| *number);
    }

    /// Nothing was appended, or found at opening, that was not synced since.
    pub(super) fn is_synced(&self) -> bool {
        self.failed.is_none() && !self.segments.values().any(|s| s.unsynced)
    }

    pub(super) fn get(&self, id: &ChunkId) -> Option<Loc> {
        self.map.get(id).copied()
    }
    /// Looks up a chunk that is about to be used.
    pub(super) fn touch(&mut self, id: &ChunkId) -> Option<Loc> {
        let loc = self.map.get_mut(id)?;
        loc.touched = true;
        Some(*loc)
    }

    /// Sets aside room for a record of this many bytes.
    pub(super) fn reserve(&mut self, span: u64) -> Room {
        let limit = self.options.segment_len;
        if let Some(number) = self.current
            && let Some(s) = self.segments.get_mut(&number)
            && (s.len == 0 || s.len + span <= limit)
        {
            let offset = s.len;
            s.len += span;
            self.files += span;
            s.inflight += 1;
            return Room { segment: number, offset, dead: None };
        }
        let filled = self.current.take();
        let number = self.next;
        self.next += 1;
        self.current = Some(number);
        self.files += span;
        self.segments.insert(number, Segment { len: span, inflight: 1, ..Segment::default() });
        Room { segment: number, offset: 0, dead: filled.filter(|n| self.bury(*n)) }
    }

    /// A reserved record was written (`Some`), or could not be.
    pub(super) fn written(&mut self, segment: u64, record: Option<(ChunkId, Loc)>) {
        if let Some(s) = self.segments.get_mut(&segment) {
            s.inflight -= 1;
            s.unsynced = true;
        }
        if let Some((id, loc)) = record {
            self.unsynced += loc.span();
            self.insert(id, loc);
        }
    }

    fn insert(&mut self, id: ChunkId, mut loc: Loc) {
        self.remove(&id);
        self.live += loc.span();
        if !loc.keep {
            loc.turn = self.count(id, loc.span());
        }
        if let Some(s) = self.segments.get_mut(&loc.segment) {
            s.records.insert(loc.offset, id);
        }
        self.map.insert(id, loc);
    }

    /// Counts a chunk among those that may go, or that only a pin keeps; its turn.
    fn count(&mut self, id: ChunkId, span: u64) -> u64 {
        if self.pins.contains_key(&id) {
            self.pinned += span;
            return 0;
        }
        self.evictable += span;
        self.enqueue(id)
    }

    /// Takes a chunk out of that count.
    fn uncount(&mut self, id: &ChunkId, loc: Loc) {
        if self.pins.contains_key(id) {
            self.pinned -= loc.span();
        } else {
            self.evictable -= loc.span();
            self.queue.remove(&loc.turn);
        }
    }

    fn enqueue(&mut self, id: ChunkId) -> u64 {
        self.turns += 1;
        self.queue.insert(self.turns, id);
        self.turns
    }

    /// Forgets a chunk; where it was.
    pub(super) fn remove(&mut self, id: &ChunkId) -> Option<Loc> {
        let loc = self.map.remove(id)?;
        self.live -= loc.span();
        if !loc.keep {
            self.uncount(id, loc);
        }
        if let Some(s) = self.segments.get_mut(&loc.segment) {
            s.records.remove(&loc.offset);
        }
        Some(loc)
    }

    /// Forgets a segment if nothing in it is needed and nothing will be added.
    pub(super) fn bury(&mut self, number: u64) -> bool {
        let dead = self.current != Some(number)
            && self.segments.get(&number).is_some_and(|s| s.records.is_empty() && s.inflight == 0);
        if dead && let Some(s) = self.segments.remove(&number) {
            self.files -= s.len - s.punched;
        }
        dead
    }

    pub(super) fn punched(&mut self, segment: u64, bytes: u64) {
        if let Some(s) = self.segments.get_mut(&segment) {
            s.punched += bytes;
            self.files -= bytes;
        }
    }

    pub(super) fn release(&mut self, id: &ChunkId) {
        let Some(span) = self.map.get(id).filter(|loc| loc.keep).map(Loc::span) else { return };
        let turn = self.count(*id, span);
        if let Some(loc) = self.map.get_mut(id) {
            (loc.keep, loc.turn) = (false, turn);
        }
    }
    pub(super) fn pin(&mut self, id: &ChunkId) {
        self.recount(id, |pins, id| *pins.entry(*id).or_insert(0) += 1);
    }
    pub(super) fn unpin(&mut self, id: &ChunkId) {
        self.recount(id, |pins, id| {
            if let Some(n) = pins.get_mut(id) {
                *n -= 1;
                if *n == 0 {
                    pins.remove(id);
                }
            }
        });
    }

    fn recount(&mut self, id: &ChunkId, change: impl FnOnce(&mut BTreeMap<ChunkId, u32>, &ChunkId)) {
        let loc = self.map.get(id).copied().filter(|loc| !loc.keep);
        if let Some(loc) = loc {
            self.uncount(id, loc);
        }
        change(&mut self.pins, id);
        if let Some(loc) = loc {
            let turn = self.count(*id, loc.span());
            if let Some(loc) = self.map.get_mut(id) {
                loc.turn = turn;
            }
        }
    }

    /// Bytes of files, bytes of live records.
    pub(super) fn used(&self) -> (u64, u64) {
        (self.files, self.live)
    }

    /// All chunks by place.
    pub(super) fn list(&self) -> Vec<(ChunkId, Place)> {
        let mut all: Vec<_> = self.map.iter().map(|(id, loc)| (*id, loc.place())).collect();
        all.sort_by_key(|(_, place)| *place);
        all
    }

    /// Whether there is more than may stay.
    pub(super) fn over(&self) -> bool {
        let cache = self.options.purpose == SegmentsUse::Cache;
        self.evictable > self.options.capacity
            || (cache && self.files > self.options.capacity + self.options.segment_len + self.pinned)
    }

    /// The chunk whose turn it is to be evicted.
    pub(super) fn victim(&mut self) -> Option<ChunkId> {
        // Twice round finds one that was not used, or that was longest ago.
        for _ in 0..self.queue.len() * 2 {
            let (_, id) = self.queue.pop_first()?;
            let spared = self.map.get(&id).is_some_and(|loc| loc.touched);
            let turn = self.enqueue(id);
            let loc = self.map.get_mut(&id)?;
            (loc.touched, loc.turn) = (false, turn);
            if !spared {
                return Some(id);
            }
        }
        None
    }
}
