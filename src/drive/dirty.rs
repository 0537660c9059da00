//! What has been written to a file and is not yet part of its content: layers over the base.
//!
//! Pure. Each chunk has up to three layers, newest first: a buffer being written, a buffer
//! being sealed, and a sealed chunk in this machine's own segments; each says which of its
//! bytes count. Below them lies the base content as far as it was not cut off.

use super::layers::put;
pub use super::layers::{Layer, Layers, SealedLayer};
use super::ranges::Ranges;
use crate::content::{CHUNK_LEN, ChunkRef};
use crate::keys::ChunkId;
use std::collections::BTreeMap;
use std::sync::Arc;

const CHUNK: u64 = CHUNK_LEN as u64;

/// Where a piece of a read comes from.
#[derive(Clone, Debug)]
pub enum Source {
    Memory(Arc<Vec<u8>>),
    Sealed(ChunkRef),
    Base,
    Zeros,
}

/// A piece of a read: `from..to` inside chunk `index`.
#[derive(Clone, Debug)]
pub struct Piece {
    pub index: u64,
    pub from: u32,
    pub to: u32,
    pub source: Source,
}

/// A file that differs from its base content.
#[derive(Clone, Debug)]
pub struct Dirty {
    /// Length of the file now.
    pub size: u64,
    /// Base content at and beyond this offset is gone; zeros stand there.
    pub clip: u64,
    pub chunks: BTreeMap<u64, Layers>,
    /// Smallest clip since the last journal group, if the file was cut; and whether the size
    /// changed since.
    pub cut_unjournaled: Option<u64>,
    pub size_unjournaled: bool,
    /// Bytes of memory in buffers.
    pub buffered: usize,
    /// Sealed chunks that were written over or cut off: the journal still names them, and a
    /// replay goes through them to what came after.
    pub outlived: Vec<ChunkId>,
}

/// Bytes that a journal group takes: offset in the file, and where they are in a buffer.
pub type Unjournaled = (u64, Arc<Vec<u8>>, usize, usize);

impl Dirty {
    /// Nothing written yet over a base of `size` bytes.
    pub fn over(size: u64) -> Dirty {
        Dirty {
            size,
            clip: size,
            chunks: BTreeMap::new(),
            cut_unjournaled: None,
            size_unjournaled: false,
            buffered: 0,
            outlived: Vec::new(),
        }
    }
    /// Take bytes. Returns the chunks that they completed up to a full chunk.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Vec<u64> {
        let mut full = Vec::new();
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let index = at / CHUNK;
            let from = (at % CHUNK) as usize;
            let take = rest.len().min(CHUNK_LEN - from);
            let layers = self.chunks.entry(index).or_default();
            let layer = layers.buffer.get_or_insert_with(Layer::default);
            let bytes = Arc::make_mut(&mut layer.bytes);
            let before = bytes.capacity();
            put(bytes, from, &rest[..take]);
            self.buffered += bytes.capacity() - before;
            layer.valid.insert(from as u32, (from + take) as u32);
            layers.unjournaled.insert(from as u32, (from + take) as u32);
            if layer.valid.covers(0, CHUNK_LEN as u32) {
                full.push(index);
            }
            at += take as u64;
            rest = &rest[take..];
        }
        if at > self.size {
            self.size = at;
            self.size_unjournaled = true;
        }
        full
    }
    /// Let a chunk be one that is kept already, whatever was written to it before.
    pub fn name_again(&mut self, index: u64, chunk: ChunkRef) {
        let end = index * CHUNK + u64::from(chunk.len);
        let mut valid = Ranges::default();
        valid.insert(0, chunk.len);
        let sealed = SealedLayer { chunk, valid, journaled: false };
        let old = self.chunks.insert(index, Layers { sealed: Some(sealed), ..Layers::default() });
        self.buffered = self.buffered.saturating_sub(old.as_ref().map_or(0, Layers::memory));
        self.outlived.extend(old.and_then(|l| l.sealed).map(|s| s.chunk.id));
        if end > self.size {
            self.size = end;
            self.size_unjournaled = true;
        }
    }
    /// Change the length; what is cut off is gone, what is added is a hole.
    pub fn truncate(&mut self, size: u64) {
        if size < self.size {
            let cut = self.chunks.split_off(&size.div_ceil(CHUNK));
            self.outlived.extend(cut.into_values().filter_map(|l| l.sealed).map(|s| s.chunk.id));
            if !size.is_multiple_of(CHUNK)
                && let Some(layers) = self.chunks.get_mut(&(size / CHUNK))
            {
                let sealed = layers.sealed.as_ref().map(|s| s.chunk.id);
                layers.truncate((size % CHUNK) as u32);
                self.outlived.extend(sealed.filter(|_| layers.sealed.is_none()));
                if layers.is_empty() {
                    self.chunks.remove(&(size / CHUNK));
                }
            }
            self.clip = self.clip.min(size);
            self.buffered = self.chunks.values().map(Layers::memory).sum();
            self.cut_unjournaled = Some(self.cut_unjournaled.map_or(size, |c| c.min(size)));
        }
        self.size_unjournaled |= size != self.size;
        self.size = size;
    }
    /// Bytes of chunk `index` that belong to the file.
    pub fn chunk_len(&self, index: u64) -> u32 {
        self.size.saturating_sub(index * CHUNK).min(CHUNK) as u32
    }
    /// Where the bytes of `offset..offset + len` are; `len` is cut at the end of the file.
    pub fn plan(&self, offset: u64, len: u64) -> Vec<Piece> {
        let end = offset.saturating_add(len).min(self.size);
        let mut pieces = Vec::new();
        let mut at = offset;
        while at < end {
            let index = at / CHUNK;
            let from = (at % CHUNK) as u32;
            let to = (end - index * CHUNK).min(CHUNK) as u32;
            self.plan_chunk(index, from, to, &mut pieces);
            at = index * CHUNK + u64::from(to);
        }
        pieces
    }
    fn plan_chunk(&self, index: u64, from: u32, to: u32, out: &mut Vec<Piece>) {
        let none = Layers::default();
        let layers = self.chunks.get(&index).unwrap_or(&none);
        let empty = Ranges::default();
        let buffer = layers.buffer.as_ref();
        let sealing = layers.sealing.as_ref();
        let sealed = layers.sealed.as_ref();
        for (a, b, hit) in buffer.map_or(&empty, |l| &l.valid).split(from, to) {
            if let (true, Some(l)) = (hit, buffer) {
                out.push(Piece { index, from: a, to: b, source: Source::Memory(l.bytes.clone()) });
                continue;
            }
            for (a, b, hit) in sealing.map_or(&empty, |l| &l.valid).split(a, b) {
                if let (true, Some(l)) = (hit, sealing) {
                    out.push(Piece { index, from: a, to: b, source: Source::Memory(l.bytes.clone()) });
                    continue;
                }
                for (a, b, hit) in sealed.map_or(&empty, |l| &l.valid).split(a, b) {
                    if let (true, Some(l)) = (hit, sealed) {
                        let source = Source::Sealed(l.chunk.clone());
                        out.push(Piece { index, from: a, to: b, source });
                    } else {
                        self.plan_base(index, a, b, out);
                    }
                }
            }
        }
    }
    fn plan_base(&self, index: u64, from: u32, to: u32, out: &mut Vec<Piece>) {
        let cut = self.clip.saturating_sub(index * CHUNK).min(CHUNK) as u32;
        if from < cut {
            out.push(Piece { index, from, to: to.min(cut), source: Source::Base });
        }
        if to > cut {
            out.push(Piece { index, from: from.max(cut), to, source: Source::Zeros });
        }
    }
    /// Hand the buffer of a chunk to the sealer. None if there is none, or one is being
    /// sealed already.
    pub fn begin_seal(&mut self, index: u64) -> Option<(Layer, Option<SealedLayer>)> {
        let layers = self.chunks.get_mut(&index)?;
        if layers.sealing.is_some() {
            return None;
        }
        let layer = layers.buffer.take()?;
        layers.sealing = Some(layer.clone());
        Some((layer, layers.sealed.clone()))
    }
    /// Whether the layer being sealed is this one: a file may be cut and written again while
    /// the sealers still have what was there before.
    pub fn seals(&self, index: u64, bytes: &Arc<Vec<u8>>) -> bool {
        let sealing = self.chunks.get(&index).and_then(|l| l.sealing.as_ref());
        sealing.is_some_and(|layer| Arc::ptr_eq(&layer.bytes, bytes))
    }
    /// The sealer is done: `chunk` holds the sealing layer over the sealed one. Only for the
    /// layer that [`Dirty::seals`] knows.
    pub fn end_seal(&mut self, index: u64, chunk: ChunkRef) {
        let Some(layers) = self.chunks.get_mut(&index) else { return };
        let Some(layer) = layers.sealing.take() else { return };
        self.buffered = self.buffered.saturating_sub(layer.bytes.capacity());
        let mut valid = layer.valid;
        if let Some(old) = layers.sealed.take() {
            valid.union(&old.valid);
            self.outlived.push(old.chunk.id);
        }
        // What only the sealing layer held is named by the record of the sealed chunk now.
        let newer = layers.buffer.as_ref().map(|l| l.valid.clone()).unwrap_or_default();
        let mut still = Ranges::default();
        for &(a, b) in newer.pairs() {
            for (a, b, hit) in layers.unjournaled.split(a, b) {
                if hit {
                    still.insert(a, b);
                }
            }
        }
        layers.unjournaled = still;
        if !valid.is_empty() {
            layers.sealed = Some(SealedLayer { chunk, valid, journaled: false });
        }
    }
    /// The sealer failed: put the layer back below what was written since.
    pub fn abort_seal(&mut self, index: u64) {
        let Some(layers) = self.chunks.get_mut(&index) else { return };
        let Some(mut old) = layers.sealing.take() else { return };
        if let Some(newer) = layers.buffer.take() {
            let bytes = Arc::make_mut(&mut old.bytes);
            for &(a, b) in newer.valid.pairs() {
                put(bytes, a as usize, &newer.bytes[a as usize..b as usize]);
            }
            old.valid.union(&newer.valid);
        }
        layers.buffer = Some(old);
    }
    /// Bytes of memory in buffers that the sealers have.
    pub fn being_sealed(&self) -> usize {
        self.chunks.values().filter_map(|l| l.sealing.as_ref()).map(|l| l.bytes.capacity()).sum()
    }
    /// Whether a seal of this chunk is under way.
    pub fn is_sealing(&self, index: u64) -> bool {
        self.chunks.get(&index).is_some_and(|l| l.sealing.is_some())
    }
    /// Chunks whose seal is under way.
    pub fn sealing(&self) -> Vec<u64> {
        self.chunks.iter().filter(|(_, l)| l.sealing.is_some()).map(|(i, _)| *i).collect()
    }
    /// Whether the buffer of a chunk is a whole chunk.
    pub fn is_full(&self, index: u64) -> bool {
        let buffer = self.chunks.get(&index).and_then(|l| l.buffer.as_ref());
        buffer.is_some_and(|b| b.valid.covers(0, CHUNK_LEN as u32))
    }
    /// As if the journal held nothing: the next group tells everything.
    pub fn forget_journal(&mut self) {
        self.size_unjournaled = true;
        self.cut_unjournaled = Some(self.cut_unjournaled.map_or(self.clip, |c| c.min(self.clip)));
        for layers in self.chunks.values_mut() {
            if let Some(buffer) = &layers.buffer {
                layers.unjournaled.union(&buffer.valid);
            }
            if let Some(sealed) = &mut layers.sealed {
                sealed.journaled = false;
            }
        }
    }
    /// Ranges of buffers for the next journal group.
    pub fn take_unjournaled(&mut self) -> Vec<Unjournaled> {
        let mut out = Vec::new();
        for (&index, layers) in &mut self.chunks {
            let Some(buffer) = &layers.buffer else { continue };
            let mut taken = Ranges::default();
            for &(a, b) in buffer.valid.pairs() {
                for (a, b, hit) in layers.unjournaled.split(a, b) {
                    if hit {
                        taken.insert(a, b);
                        let at = index * CHUNK + u64::from(a);
                        out.push((at, buffer.bytes.clone(), a as usize, b as usize));
                    }
                }
            }
            for &(a, b) in taken.pairs() {
                layers.unjournaled.remove(a, b);
            }
        }
        out
    }
    /// Sealed layers for the next journal group.
    pub fn take_sealed_unjournaled(&mut self) -> Vec<(u64, SealedLayer)> {
        let mut out = Vec::new();
        for (&index, layers) in &mut self.chunks {
            if let Some(sealed) = &mut layers.sealed
                && !std::mem::replace(&mut sealed.journaled, true)
            {
                out.push((index, sealed.clone()));
            }
        }
        out
    }
    /// What remains when `settled` (this, as it was at some moment) has become the base: bytes
    /// in buffers since then. None: nothing.
    pub fn after(self, settled: &Dirty) -> Option<Dirty> {
        let mut rest = Dirty::over(settled.size);
        rest.size = self.size;
        for (index, layers) in self.chunks {
            let was = settled.chunks.get(&index).and_then(|l| l.buffer.as_ref());
            let Some(buffer) = layers.buffer else { continue };
            if was.is_some_and(|w| Arc::ptr_eq(&w.bytes, &buffer.bytes)) {
                continue; // taken into the base from memory, and not written to since
            }
            rest.buffered += buffer.bytes.capacity();
            let unjournaled = buffer.valid.clone();
            let layers = Layers { buffer: Some(buffer), unjournaled, ..Layers::default() };
            rest.chunks.insert(index, layers);
        }
        rest.size_unjournaled = true;
        (!rest.chunks.is_empty() || rest.size != settled.size).then_some(rest)
    }
    /// Drop layers beyond the end (a journal may name bytes before the size that holds them).
    pub fn trim(&mut self) {
        let size = self.size;
        self.size = u64::MAX;
        let (cut, clip) = (self.cut_unjournaled, self.clip);
        self.truncate(size);
        (self.cut_unjournaled, self.clip) = (cut, clip.min(size));
    }
    /// Whether the journal lacks anything.
    pub fn unjournaled(&self) -> bool {
        self.size_unjournaled
            || self.cut_unjournaled.is_some()
            || self.chunks.values().any(|l| {
                !l.unjournaled.is_empty()
                    || l.sealing.is_some()
                    || l.sealed.as_ref().is_some_and(|s| !s.journaled)
            })
    }
}
