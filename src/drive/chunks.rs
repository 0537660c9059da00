//! Chunks, opened: from memory, from this machine's segments, or from friends.

use super::api::{Error, Result};
use super::shared::{Shared, index_error};
use crate::content::{ChunkRef, PAGE_LEN, PageRef, open_page};
use crate::grid::PackRange;
use crate::keys::{ChunkId, NodeId, PackId};
use crate::store::StoreError;
use crate::tree::ChunkPlace;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A pack that could not be read is not asked for again for so long, unless a friend has come.
const UNREACHABLE_FOR: Duration = Duration::from_secs(10);
/// So many pages, 256 KiB, are worth two threads.
const HALVED: usize = 4;
/// Packs remembered as unreachable.
const UNREACHABLE_MAX: usize = 1024;

/// A pack that could not be read a moment ago.
pub struct Unreachable {
    /// On the monotonic clock.
    until: Duration,
    /// Friends that were there then.
    online: BTreeSet<NodeId>,
    why: String,
}

/// Opened pages, bounded; the oldest goes first unless it was used since (second chance).
pub struct PageCache {
    limit: usize,
    bytes: usize,
    pages: BTreeMap<(ChunkId, u32), (Bytes, bool)>,
    order: VecDeque<(ChunkId, u32)>,
}

impl PageCache {
    pub fn new(limit: usize) -> PageCache {
        PageCache { limit, bytes: 0, pages: BTreeMap::new(), order: VecDeque::new() }
    }
    pub fn get(&mut self, id: &ChunkId, page: u32) -> Option<Bytes> {
        let (bytes, used) = self.pages.get_mut(&(*id, page))?;
        *used = true;
        Some(bytes.clone())
    }
    pub fn put(&mut self, id: ChunkId, page: u32, bytes: Bytes) {
        self.bytes += bytes.len();
        match self.pages.insert((id, page), (bytes, false)) {
            Some((old, _)) => self.bytes -= old.len(),
            None => self.order.push_back((id, page)),
        }
        while self.bytes > self.limit {
            let Some(key) = self.order.pop_front() else { break };
            match self.pages.get_mut(&key) {
                Some((_, used)) if *used => {
                    *used = false;
                    self.order.push_back(key);
                }
                Some(_) => {
                    if let Some((old, _)) = self.pages.remove(&key) {
                        self.bytes -= old.len();
                    }
                }
                None => {}
            }
        }
    }
    pub fn clear(&mut self) {
        *self = PageCache::new(self.limit);
    }
}

/// Where pages lie among a chunk's sealed bytes.
fn sealed_range(chunk: &ChunkRef, pages: &Range<usize>) -> Range<u32> {
    let len = |pages: &[PageRef]| pages.iter().map(|p| p.sealed_len).sum::<u32>();
    let start = len(&chunk.pages[..pages.start]);
    start..start + len(&chunk.pages[pages.clone()])
}

/// The pages that bytes `from..to` of a chunk touch.
fn pages_of(from: u32, to: u32) -> Range<usize> {
    from as usize / PAGE_LEN..(to as usize).div_ceil(PAGE_LEN)
}

impl Shared {
    /// Bytes `from..to` of a chunk, opened and verified. `whole`: the reader goes on, so a
    /// chunk that has to be fetched is fetched whole and kept.
    pub async fn read_chunk(&self, chunk: &ChunkRef, from: u32, to: u32, whole: bool) -> Result<Bytes> {
        let pages = pages_of(from, to);
        if pages.end > chunk.pages.len() || to > chunk.len {
            return Err(Error::Unreadable(format!("chunk {} is shorter than its file says", chunk.id)));
        }
        if let Some(bytes) = self.in_memory(chunk, from, to) {
            return Ok(bytes);
        }
        // One of those who want a chunk gets it, the others find it in memory.
        let gate = self.fetching.lock().entry(chunk.id).or_default().clone();
        let result = {
            let _one = gate.lock().await;
            match self.in_memory(chunk, from, to) {
                Some(bytes) => Ok(bytes),
                None => self.load(chunk, from, to, whole).await,
            }
        };
        let mut fetching = self.fetching.lock();
        if Arc::strong_count(&gate) <= 2 {
            fetching.remove(&chunk.id);
        }
        result
    }

    /// A chunk that is not on this machine's disk is fetched, and kept there if it has room.
    pub async fn bring(&self, chunk: &ChunkRef) -> Result<()> {
        let gate = self.fetching.lock().entry(chunk.id).or_default().clone();
        let loaded = {
            let _one = gate.lock().await;
            self.load(chunk, 0, chunk.len, true).await
        };
        let mut fetching = self.fetching.lock();
        if Arc::strong_count(&gate) <= 2 {
            fetching.remove(&chunk.id);
        }
        loaded.map(|_| ())
    }

    fn in_memory(&self, chunk: &ChunkRef, from: u32, to: u32) -> Option<Bytes> {
        let mut cache = self.pages.lock();
        let pages = pages_of(from, to);
        let found: Vec<Bytes> =
            pages.clone().map(|p| cache.get(&chunk.id, p as u32)).collect::<Option<_>>()?;
        Some(cut(&found, pages.start, from, to))
    }

    async fn load(&self, chunk: &ChunkRef, from: u32, to: u32, whole: bool) -> Result<Bytes> {
        let wanted = pages_of(from, to);
        let all = 0..chunk.pages.len();
        // What is here is opened as far as it is asked for; what goes on is warmed chunk by chunk.
        let here = [&self.own, &self.cache].into_iter().any(|s| s.place(&chunk.id).is_some());
        let pages = if whole && !here { all.clone() } else { wanted.clone() };
        let opened = match self.local(chunk, pages.clone()).await {
            Some(opened) => opened,
            None => {
                let sealed = self.remote(chunk, sealed_range(chunk, &pages), pages == all).await?;
                let (keys, reference) = (self.keys(), chunk.clone());
                let opened = self.world.blocking(move || open_pages(&keys, &reference, pages, sealed)).await;
                opened.map_err(|e| Error::Internal(e.to_string()))?.map_err(Error::Unreadable)?
            }
        };
        let start = opened.first().map_or(0, |p| p.0);
        let mut cache = self.pages.lock();
        for (page, bytes) in &opened {
            cache.put(chunk.id, *page as u32, bytes.clone());
        }
        let found: Vec<Bytes> = opened.into_iter().map(|p| p.1).collect();
        Ok(cut(&found[wanted.start - start..wanted.end - start], wanted.start, from, to))
    }

    /// Pages from this machine's disk; of many two halves are opened at once.
    async fn local(&self, chunk: &ChunkRef, pages: Range<usize>) -> Option<Vec<Page>> {
        if pages.len() < HALVED {
            return self.local_part(chunk, pages).await;
        }
        let middle = pages.start + pages.len() / 2;
        let (first, second) = tokio::join!(
            biased;
            self.local_part(chunk, pages.start..middle),
            self.local_part(chunk, middle..pages.end),
        );
        let mut opened = first?;
        opened.extend(second?);
        Some(opened)
    }

    /// Pages read and opened in one go.
    async fn local_part(&self, chunk: &ChunkRef, pages: Range<usize>) -> Option<Vec<Page>> {
        let range = sealed_range(chunk, &pages);
        for segments in [&self.own, &self.cache] {
            if segments.place(&chunk.id).is_none() {
                continue;
            }
            let (keys, reference, pages) = (self.keys(), chunk.clone(), pages.clone());
            let open = move |sealed| open_pages(&keys, &reference, pages.clone(), sealed).ok();
            match segments.read_as(&chunk.id, range.clone(), open).await {
                Ok(Some(opened)) => return Some(opened),
                Ok(None) => {}
                Err(e) => self.note(format!("reading from this machine's disk: {e}")),
            }
        }
        None
    }

    /// Sealed bytes from friends; a whole chunk is kept in the cache.
    async fn remote(&self, chunk: &ChunkRef, range: Range<u32>, whole: bool) -> Result<Bytes> {
        let places = self.view().chunk_places(&chunk.id).map_err(index_error)?;
        if places.is_empty() {
            return Err(Error::Unreadable(format!(
                "chunk {} is on no friend's machine and not on this one",
                chunk.id.short()
            )));
        }
        let mut last = String::new();
        for ChunkPlace { pack, offset } in places {
            let Some(record) = self.view().pack(&pack).map_err(index_error)? else {
                last = format!("pack {} is not in the catalogue", pack.short());
                continue;
            };
            let wanted = PackRange { offset: offset + u64::from(range.start), len: range.end - range.start };
            if let Some(why) = self.unreachable(&pack) {
                last = why;
                continue;
            }
            let fetched = self.grid.fetch(self.drive, record, vec![wanted], self.options.read_deadline).await;
            match fetched {
                Ok(mut parts) if parts.len() == 1 => {
                    let bytes = parts.remove(0);
                    if !sound(chunk, &range, &bytes) {
                        last = format!(
                            "what friends hold of chunk {} is not what was published",
                            chunk.id.short()
                        );
                        continue;
                    }
                    if whole {
                        self.keep(chunk, &bytes).await;
                    }
                    return Ok(bytes);
                }
                Ok(_) => last = "the grid answered nonsense".into(),
                Err(e) => {
                    last = e.to_string();
                    self.remember_unreachable(pack, &last);
                }
            }
        }
        tracing::warn!(drive = %self.drive.short(), "unreadable: {last}");
        Err(Error::Unreadable(last))
    }

    fn online(&self) -> BTreeSet<NodeId> {
        self.grid.holders(&self.drive).into_iter().filter(|f| f.online).map(|f| f.node).collect()
    }

    /// Why a pack cannot be read, if that was found a moment ago and no friend has come since:
    /// the kernel asks again after a read-ahead that failed, and people do, too.
    fn unreachable(&self, pack: &PackId) -> Option<String> {
        let now = self.world.clock.monotonic();
        let mut known = self.unreachable.lock();
        let failed = known.get(pack)?;
        if now < failed.until && self.online().is_subset(&failed.online) {
            return Some(failed.why.clone());
        }
        known.remove(pack);
        None
    }

    fn remember_unreachable(&self, pack: PackId, why: &str) {
        let (now, online) = (self.world.clock.monotonic(), self.online());
        let mut known = self.unreachable.lock();
        known.retain(|_, failed| now < failed.until);
        if known.len() < UNREACHABLE_MAX {
            known.insert(pack, Unreachable { until: now + UNREACHABLE_FOR, online, why: why.into() });
        }
    }

    async fn keep(&self, chunk: &ChunkRef, bytes: &Bytes) {
        match self.cache.append(&chunk.id, &super::records::encode(chunk), bytes.clone()).await {
            // A disk without room to spare has no cache; that is no fault.
            Ok(_) | Err(StoreError::Full(_)) => {}
            Err(e) => self.note(format!("the cache: {e}")),
        }
    }
}

/// Whether fetched pages have the hashes that the content names.
pub fn sound(chunk: &ChunkRef, range: &Range<u32>, bytes: &[u8]) -> bool {
    let mut at = 0u32;
    let mut rest = bytes;
    for page in &chunk.pages {
        let end = at + page.sealed_len;
        if at >= range.start && end <= range.end {
            let Some((this, more)) = rest.split_at_checked(page.sealed_len as usize) else { return false };
            if blake3::hash(this).as_bytes() != &page.hash.0 {
                return false;
            }
            rest = more;
        }
        at = end;
    }
    rest.is_empty()
}

/// An opened page, and its number.
type Page = (usize, Bytes);

fn open_pages(
    keys: &crate::keys::DriveKeys,
    chunk: &ChunkRef,
    pages: Range<usize>,
    sealed: Bytes,
) -> std::result::Result<Vec<Page>, String> {
    let mut rest = &sealed[..];
    let mut out = Vec::with_capacity(pages.len());
    for page in pages {
        let len = chunk.pages[page].sealed_len as usize;
        let Some((this, after)) = rest.split_at_checked(len) else {
            return Err(format!("chunk {} is cut short", chunk.id.short()));
        };
        let plain = open_page(keys, chunk, page, this).map_err(|e| e.to_string())?;
        rest = after;
        out.push((page, Bytes::from(plain)));
    }
    Ok(out)
}

/// Bytes `from..to` of a chunk out of its pages from `first` on.
fn cut(pages: &[Bytes], first: usize, from: u32, to: u32) -> Bytes {
    let base = first * PAGE_LEN;
    let (from, to) = (from as usize - base, to as usize - base);
    if let [one] = pages {
        return one.slice(from..to);
    }
    let mut out = BytesMut::with_capacity(to - from);
    for (i, page) in pages.iter().enumerate() {
        let start = i * PAGE_LEN;
        let a = from.max(start) - start;
        let b = to.min(start + page.len()) - start;
        if a < b {
            out.extend_from_slice(&page[a..b]);
        }
    }
    out.freeze()
}
