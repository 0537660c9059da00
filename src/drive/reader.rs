//! The read path: a version of a file, piece by piece, and what is read ahead.

use super::api::{Error, Result};
use super::dirty::{Piece, Source};
use super::live::{Live, OpenFile};
use super::shared::Shared;
use crate::content::{
    CHUNK_LEN, ChunkRef, Content, Extent, ExtentKind, Nodes, Step, TreeError, extents, seek_data, seek_hole,
};
use bytes::{Bytes, BytesMut};
use std::ops::Range;
use std::sync::Arc;

const CHUNK: u64 = CHUNK_LEN as u64;
/// A reader is sequential after this many bytes in a row; then chunks are fetched whole.
const SEQUENTIAL: u64 = 96 << 10;
/// Most that is read ahead of a sequential reader.
const AHEAD_MAX: u64 = 8 << 20;
/// Opened tree nodes kept with an open file (each up to 32 kB).
const NODES_MAX: usize = 48;

impl Shared {
    /// Bytes of an open file; short only at its end.
    pub async fn read_file(self: &Arc<Self>, file: &OpenFile, offset: u64, len: u32) -> Result<Bytes> {
        let live = &file.live;
        let (pieces, content, size) = {
            let state = live.state.lock();
            let size = state.size();
            let end = offset.saturating_add(u64::from(len)).min(size);
            let pieces = match &state.dirty {
                Some(dirty) => dirty.plan(offset, u64::from(len)),
                None => base_pieces(offset, end),
            };
            (pieces, state.content.clone(), size)
        };
        if offset >= size {
            return Ok(Bytes::new());
        }
        let whole = self.follow(file, &content, offset, len, size);
        self.assemble(live, &content, pieces, whole).await
    }

    /// Notice a sequential reader and fetch ahead of it. True: whole chunks are worth it.
    fn follow(
        self: &Arc<Self>,
        file: &OpenFile,
        content: &Arc<Content>,
        offset: u64,
        len: u32,
        size: u64,
    ) -> bool {
        let mut reading = file.reading.lock();
        // The kernel's parallel read-ahead may come a little out of order.
        let near = offset <= reading.next + (256 << 10) && offset + (256 << 10) >= reading.next;
        reading.run = if near { reading.run + u64::from(len) } else { u64::from(len) };
        reading.next = if near { reading.next.max(offset + u64::from(len)) } else { offset + u64::from(len) };
        if !near {
            reading.ahead = 0;
        }
        if reading.run <= SEQUENTIAL {
            return size <= SEQUENTIAL;
        }
        let window = (reading.run * 2).min(AHEAD_MAX);
        let from = reading.ahead.max(reading.next.div_ceil(CHUNK) * CHUNK);
        let to = (reading.next + window).min(size);
        let mut at = from;
        while at < to {
            let (shared, live, content) = (self.clone(), file.live.clone(), content.clone());
            let range = at..(at + CHUNK).min(size);
            // Errors come back when the reader gets there.
            tokio::spawn(async move { shared.warm(&live, &content, range).await });
            at += CHUNK;
        }
        reading.ahead = reading.ahead.max(at);
        true
    }

    async fn warm(&self, live: &Live, content: &Arc<Content>, range: Range<u64>) {
        let Ok(found) = self.extents(live, content, range).await else { return };
        for extent in found {
            if let ExtentKind::Chunk(chunk) = extent.kind {
                let _ = self.read_chunk(&chunk, 0, chunk.len, true).await;
            }
        }
    }

    /// The bytes of a plan, in order.
    pub async fn assemble(
        &self,
        live: &Live,
        content: &Arc<Content>,
        pieces: Vec<Piece>,
        whole: bool,
    ) -> Result<Bytes> {
        if let [piece] = &pieces[..] {
            let (from, to) = (piece.from as usize, piece.to as usize);
            match &piece.source {
                Source::Memory(bytes) => return Ok(Bytes::copy_from_slice(&bytes[from..to])),
                Source::Sealed(chunk) => return self.read_chunk(chunk, piece.from, piece.to, whole).await,
                Source::Base => return self.read_base(live, content, span(piece), whole).await,
                Source::Zeros => {}
            }
        }
        let total = pieces.iter().map(|p| (p.to - p.from) as usize).sum();
        let mut out = BytesMut::with_capacity(total);
        for piece in pieces {
            let (from, to) = (piece.from as usize, piece.to as usize);
            match &piece.source {
                Source::Memory(bytes) => out.extend_from_slice(&bytes[from..to]),
                Source::Sealed(chunk) => {
                    out.extend_from_slice(&self.read_chunk(chunk, piece.from, piece.to, whole).await?);
                }
                Source::Base => {
                    out.extend_from_slice(&self.read_base(live, content, span(&piece), whole).await?);
                }
                Source::Zeros => out.resize(out.len() + to - from, 0),
            }
        }
        Ok(out.freeze())
    }

    /// Bytes of a content; the range must lie inside it.
    async fn read_base(
        &self,
        live: &Live,
        content: &Arc<Content>,
        range: Range<u64>,
        whole: bool,
    ) -> Result<Bytes> {
        if let Content::Inline(bytes) = &**content {
            let part = bytes.get(range.start as usize..range.end as usize);
            return part.map(Bytes::copy_from_slice).ok_or(Error::Internal("inline content is short".into()));
        }
        let found = self.extents(live, content, range.clone()).await?;
        let mut out = BytesMut::new();
        for Extent { range: whole_range, kind } in found {
            let (from, to) = (whole_range.start.max(range.start), whole_range.end.min(range.end));
            if from >= to {
                continue;
            }
            match kind {
                ExtentKind::Hole => out.resize(out.len() + (to - from) as usize, 0),
                ExtentKind::Chunk(chunk) => {
                    let (a, b) = ((from - whole_range.start) as u32, (to - whole_range.start) as u32);
                    let part = self.read_chunk(&chunk, a, b, whole).await?;
                    if (from, to) == (range.start, range.end) {
                        return Ok(part);
                    }
                    out.extend_from_slice(&part);
                }
            }
        }
        if out.len() as u64 != range.end - range.start {
            return Err(Error::Unreadable("the content's tree does not cover the file".into()));
        }
        Ok(out.freeze())
    }

    /// The extents that cover a range of a content.
    pub async fn extents(&self, live: &Live, content: &Content, range: Range<u64>) -> Result<Vec<Extent>> {
        self.walk(live, |nodes| extents(content, range.clone(), nodes)).await
    }

    /// Run steps over a content tree, fetching the nodes they need.
    pub async fn walk<T>(
        &self,
        live: &Live,
        step: impl Fn(&Nodes) -> std::result::Result<Step<T>, TreeError>,
    ) -> Result<T> {
        loop {
            let need = {
                let nodes = live.nodes.lock();
                match step(&nodes.nodes).map_err(|e| Error::Unreadable(e.to_string()))? {
                    Step::Done(done) => return Ok(done),
                    Step::Need(need) => need,
                }
            };
            self.fetch_nodes(live, need).await?;
        }
    }

    /// Open node chunks and keep them with the file.
    pub async fn fetch_nodes(&self, live: &Live, need: Vec<ChunkRef>) -> Result<()> {
        // Once for all that is needed now: what was just fetched must not go again.
        if live.nodes.lock().count >= NODES_MAX {
            *live.nodes.lock() = Default::default();
        }
        for chunk in need {
            let plain = self.read_chunk(&chunk, 0, chunk.len, true).await?;
            let mut nodes = live.nodes.lock();
            nodes.count += 1;
            nodes.nodes.insert(&chunk, &plain).map_err(|e| Error::Unreadable(e.to_string()))?;
        }
        Ok(())
    }

    /// SEEK_DATA or SEEK_HOLE.
    pub async fn seek_file(&self, file: &OpenFile, offset: u64, data: bool) -> Result<u64> {
        let live = &file.live;
        let (dirty, content, size) = {
            let state = live.state.lock();
            (state.dirty.clone(), state.content.clone(), state.size())
        };
        if offset >= size {
            return Err(Error::NoData);
        }
        let Some(dirty) = dirty else {
            let found = if data {
                self.walk(live, |nodes| seek_data(&content, offset, nodes)).await?
            } else {
                self.walk(live, |nodes| seek_hole(&content, offset, nodes)).await?
            };
            return found.ok_or(Error::NoData);
        };
        let mut at = offset;
        while at < size {
            let index = at / CHUNK;
            let end = (index * CHUNK + CHUNK).min(size);
            for piece in dirty.plan(at, end - at) {
                let range = span(&piece);
                match piece.source {
                    Source::Memory(_) | Source::Sealed(_) if data => return Ok(range.start),
                    Source::Memory(_) | Source::Sealed(_) => {}
                    Source::Zeros if data => {}
                    Source::Zeros => return Ok(range.start),
                    Source::Base => {
                        if let Some(at) = self.seek_base(live, &content, range, data).await? {
                            return Ok(at);
                        }
                    }
                }
            }
            at = self.skip(live, &dirty, &content, end, data).await?;
        }
        if data { Err(Error::NoData) } else { Ok(size) }
    }

    /// From a chunk's beginning to where it is worth looking again.
    async fn skip(
        &self,
        live: &Live,
        dirty: &super::dirty::Dirty,
        content: &Content,
        at: u64,
        data: bool,
    ) -> Result<u64> {
        if !data || at >= dirty.size {
            return Ok(at);
        }
        let next_dirty = dirty.chunks.range(at / CHUNK..).next().map_or(dirty.size, |(i, _)| i * CHUNK);
        let next_base = match content {
            _ if at >= dirty.clip => dirty.size,
            Content::Inline(_) => at,
            Content::Tree { .. } => {
                let found = self.walk(live, |nodes| seek_data(content, at, nodes)).await?;
                found.filter(|f| *f < dirty.clip).unwrap_or(dirty.size)
            }
        };
        Ok(next_dirty.min(next_base).max(at))
    }

    async fn seek_base(
        &self,
        live: &Live,
        content: &Content,
        range: Range<u64>,
        data: bool,
    ) -> Result<Option<u64>> {
        if let Content::Inline(_) = content {
            return Ok(data.then_some(range.start));
        }
        for extent in self.extents(live, content, range.clone()).await? {
            if matches!(extent.kind, ExtentKind::Chunk(_)) == data {
                return Ok(Some(extent.range.start.max(range.start)));
            }
        }
        Ok(None)
    }
}

/// The bytes of the file that a piece is.
fn span(piece: &Piece) -> Range<u64> {
    let start = piece.index * CHUNK;
    start + u64::from(piece.from)..start + u64::from(piece.to)
}

/// A clean file's plan: the base, chunk by chunk.
fn base_pieces(offset: u64, end: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = offset;
    while at < end {
        let index = at / CHUNK;
        let from = (at % CHUNK) as u32;
        let to = (end - index * CHUNK).min(CHUNK) as u32;
        pieces.push(Piece { index, from, to, source: Source::Base });
        at = index * CHUNK + u64::from(to);
    }
    pieces
}
