//! The content a file has when it settles: chunks sealed for it, nodes of its tree.

use super::api::{Error, Result};
use super::live::{Live, content_size};
use super::settle::{Made, Moment};
use super::shared::Shared;
use crate::content::{
    CHUNK_LEN, ChunkRef, Content, INLINE_MAX, Ref, Step, TreeError, chunk_count, chunk_plain_len,
    seal_chunk_into, update,
};
use crate::keys::ChunkId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const CHUNK: u64 = CHUNK_LEN as u64;

impl Shared {
    /// The content of a moment; what it is made of is kept when this returns.
    pub(super) async fn make_content(&self, live: &Arc<Live>, moment: &Moment) -> Result<Made> {
        let size = moment.dirty.size;
        if size <= INLINE_MAX as u64 {
            let pieces = moment.dirty.plan(0, size);
            let bytes = self.assemble(live, &moment.content, pieces, true).await?;
            return Ok(Made { content: Content::Inline(bytes.to_vec()), chunks: Vec::new() });
        }
        let mut changes = BTreeMap::new();
        let mut chunks = Vec::new();
        for index in self.changed_chunks(moment) {
            let reference = self.make_chunk(live, moment, index).await?;
            if let Ref::Chunk(chunk) = &reference {
                chunks.push(chunk.id);
            }
            changes.insert(index, reference);
        }
        let base_size = content_size(&moment.content);
        let mut base = match &*moment.content {
            Content::Inline(_) => Content::Tree { size: 0, depth: 0, refs: Vec::new() },
            tree => tree.clone(),
        };
        if moment.dirty.clip < base_size && matches!(*moment.content, Content::Tree { .. }) {
            let floor = moment.dirty.clip / CHUNK * CHUNK;
            base = self.update_content(live, base, floor, &BTreeMap::new(), &mut chunks).await?;
        }
        let content = self.update_content(live, base, size, &changes, &mut chunks).await?;
        chunks.extend(self.inherited(live, &content, &chunks).await?);
        Ok(Made { content, chunks })
    }

    /// Chunks of a content that were sealed for the version below it, which no friend has had
    /// yet and which this one may take the place of: they are this one's to bring up. `fresh`:
    /// those sealed for this one.
    async fn inherited(&self, live: &Live, content: &Content, fresh: &[ChunkId]) -> Result<Vec<ChunkId>> {
        let base = live.state.lock().base.filter(|base| base.log == self.log);
        let old: BTreeSet<ChunkId> = match base.and_then(|b| self.core.lock().pending.get(b.n).cloned()) {
            Some(pending) => pending.chunks.into_iter().collect(),
            None => return Ok(Vec::new()),
        };
        let Content::Tree { depth, refs, .. } = content else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        let mut todo: Vec<(Ref, u8)> = refs.iter().map(|r| (r.clone(), *depth)).collect();
        while let Some((reference, level)) = todo.pop() {
            let Ref::Chunk(chunk) = reference else { continue };
            if old.contains(&chunk.id) {
                out.push(chunk.id);
            } else if !fresh.contains(&chunk.id) {
                // Of an older version, with all that is below it.
                continue;
            }
            if level > 0 {
                if live.nodes.lock().nodes.children(&chunk.id).is_none() {
                    self.fetch_nodes(live, vec![chunk.clone()]).await?;
                }
                let nodes = live.nodes.lock();
                let children = nodes.nodes.children(&chunk.id);
                let children = children.ok_or_else(|| Error::Internal("a node was forgotten".into()))?;
                todo.extend(children.iter().map(|child| (child.clone(), level - 1)));
            }
        }
        Ok(out)
    }

    /// Chunks that differ from the base, or whose length does.
    pub(super) fn changed_chunks(&self, moment: &Moment) -> BTreeSet<u64> {
        let (dirty, base_size) = (&moment.dirty, content_size(&moment.content));
        let count = chunk_count(dirty.size);
        let mut all: BTreeSet<u64> = dirty.chunks.keys().copied().filter(|i| *i < count).collect();
        let edge = dirty.clip / CHUNK;
        if !dirty.clip.is_multiple_of(CHUNK)
            && edge < count
            && (dirty.clip < base_size
                || matches!(*moment.content, Content::Inline(_))
                || chunk_plain_len(dirty.size, edge) != chunk_plain_len(base_size, edge))
        {
            all.insert(edge);
        }
        all
    }

    /// One chunk of a moment: as it was sealed, or put together and sealed now.
    async fn make_chunk(&self, live: &Arc<Live>, moment: &Moment, index: u64) -> Result<Ref> {
        let len = moment.dirty.chunk_len(index);
        if let Some(sealed) = moment.dirty.chunks.get(&index).and_then(|l| l.sealed.as_ref())
            && sealed.chunk.len == len
            && sealed.valid.covers(0, len)
        {
            return Ok(Ref::Chunk(sealed.chunk.clone()));
        }
        let pieces = moment.dirty.plan(index * CHUNK, u64::from(len));
        let bytes = self.assemble(live, &moment.content, pieces, true).await?;
        if bytes.iter().all(|b| *b == 0) {
            return Ok(Ref::Hole);
        }
        let chunk = self.seal_bytes(Arc::new(bytes.to_vec()), len as usize).await?;
        Ok(Ref::Chunk(chunk))
    }

    /// Change a content tree; the nodes made are kept and named in `chunks`.
    async fn update_content(
        &self,
        live: &Arc<Live>,
        old: Content,
        size: u64,
        changes: &BTreeMap<u64, Ref>,
        chunks: &mut Vec<ChunkId>,
    ) -> Result<Content> {
        // An update needs all nodes above its changes at once, however many: they are its own.
        let mut nodes = live.nodes.lock().nodes.clone();
        loop {
            let mut made: Vec<(ChunkRef, Vec<u8>)> = Vec::new();
            let keys = self.keys();
            let seal = |plain: &[u8]| -> std::result::Result<ChunkRef, Refused> {
                let mut out = Vec::new();
                let chunk = seal_chunk_into(&keys, keys.epoch(), plain, &mut out);
                let chunk = chunk.map_err(|e| Refused(e.to_string()))?;
                made.push((chunk.clone(), out));
                Ok(chunk)
            };
            let step = update(&old, size, changes, &nodes, seal).map_err(|e| Error::Unreadable(e.0))?;
            match step {
                Step::Need(need) => {
                    for chunk in need {
                        let plain = self.read_chunk(&chunk, 0, chunk.len, true).await?;
                        nodes.insert(&chunk, &plain).map_err(|e| Error::Unreadable(e.to_string()))?;
                    }
                }
                Step::Done(content) => {
                    for (chunk, sealed) in made {
                        chunks.push(chunk.id);
                        self.keep_own(&chunk, Bytes::from(sealed)).await?;
                    }
                    return Ok(content);
                }
            }
        }
    }
}

/// Why an update was refused.
struct Refused(String);

impl From<TreeError> for Refused {
    fn from(e: TreeError) -> Refused {
        Refused(e.to_string())
    }
}
