//! copy_file_range(2): whole chunks are named once more, at once and wherever they are; only
//! what is not whole is read and written.

use super::api::{Error, Handle, Result};
use super::dirty::Source;
use super::live::{Live, OpenFile};
use super::shared::Shared;
use crate::content::{CHUNK_LEN, ChunkRef, Content, ExtentKind, SIZE_MAX};
use std::sync::Arc;

const CHUNK: u64 = CHUNK_LEN as u64;
/// Most that one request names anew; whoever copies more asks again.
const NAMED_AT_ONCE: u64 = 1 << 30;
/// Most that one request reads and writes.
const MOVED_AT_ONCE: u64 = 64 << 20;

/// What lies in a range of the source that is inside one of its chunks.
enum Part {
    Chunk(ChunkRef),
    Hole,
    /// To be read.
    Bytes,
}

impl Shared {
    /// Copy from one open file to another; how much, which may be less than asked for.
    pub async fn copy_range(
        self: &Arc<Self>,
        from: (Handle, u64),
        to: (Handle, u64),
        len: u64,
    ) -> Result<u32> {
        let (source, target) = (self.file(from.0)?, self.file(to.0)?);
        if !source.mode.read || !target.mode.write {
            return Err(Error::BadHandle);
        }
        if to.1.checked_add(len).is_none_or(|end| end > SIZE_MAX) {
            return Err(Error::TooBig);
        }
        self.writable()?;
        let size = source.live.state.lock().size();
        let len = len.min(size.saturating_sub(from.1)).min(NAMED_AT_ONCE);
        let (mut done, mut moved) = (0, 0);
        while done < len && moved < MOVED_AT_ONCE {
            let (at, offset) = (from.1 + done, to.1 + done);
            let n = (len - done).min(CHUNK - at % CHUNK).min(CHUNK - offset % CHUNK);
            match self.copy_part(&source, at, &target.live, offset, n).await {
                Ok(bytes) => moved += bytes,
                // What was copied is copied; the next request says why it went no further.
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
            done += n;
        }
        u32::try_from(done).map_err(|e| Error::Internal(e.to_string()))
    }

    /// One part; how many bytes had to be read for it.
    async fn copy_part(
        self: &Arc<Self>,
        source: &OpenFile,
        at: u64,
        target: &Arc<Live>,
        offset: u64,
        n: u64,
    ) -> Result<u64> {
        let aligned = at.is_multiple_of(CHUNK) && offset.is_multiple_of(CHUNK);
        let part = if aligned { self.part(&source.live, at, n).await? } else { Part::Bytes };
        match part {
            Part::Chunk(chunk) if self.name_again(target, offset / CHUNK, &chunk).await => Ok(0),
            Part::Hole if target.state.lock().size() <= offset => {
                self.cut(target, offset + n).await?;
                Ok(0)
            }
            _ => {
                let bytes = self.read_file(source, at, n as u32).await?;
                self.write_live(target, offset, &bytes).await?;
                Ok(n)
            }
        }
    }

    /// What the first `n` bytes of a chunk of a file are.
    async fn part(&self, live: &Live, at: u64, n: u64) -> Result<Part> {
        let (pieces, content) = {
            let state = live.state.lock();
            let pieces = state.dirty.as_ref().map(|dirty| dirty.plan(at, n));
            (pieces, state.content.clone())
        };
        let in_base = match pieces.as_deref() {
            None => true,
            Some([piece]) => match &piece.source {
                Source::Sealed(chunk) if u64::from(chunk.len) == n => return Ok(Part::Chunk(chunk.clone())),
                Source::Zeros => return Ok(Part::Hole),
                source => matches!(source, Source::Base),
            },
            Some(_) => false,
        };
        if !in_base || matches!(*content, Content::Inline(_)) {
            return Ok(Part::Bytes);
        }
        let extents = self.extents(live, &content, at..at + n).await?;
        Ok(match &extents[..] {
            [one] if one.range == (at..at + n) => match &one.kind {
                ExtentKind::Chunk(chunk) => Part::Chunk(chunk.clone()),
                ExtentKind::Hole => Part::Hole,
            },
            _ => Part::Bytes,
        })
    }

    /// Let a chunk of a file be one that is kept already. False: the file has more in it than
    /// the chunk would replace.
    async fn name_again(&self, live: &Arc<Live>, index: u64, chunk: &ChunkRef) -> bool {
        // Neither settling nor being told to the journal meanwhile.
        let _order = live.order.lock().await;
        let (now, mtime) = (self.world.clock.monotonic(), self.now());
        let mut state = live.state.lock();
        let end = index * CHUNK + u64::from(chunk.len);
        if state.gone || (chunk.len < CHUNK_LEN as u32 && state.size() > end) {
            return false;
        }
        let dirty = state.dirty(now, mtime);
        let before = dirty.buffered;
        dirty.name_again(index, chunk.clone());
        self.account(before, dirty.buffered);
        drop(state);
        live.sealed.notify_waiters();
        true
    }
}
