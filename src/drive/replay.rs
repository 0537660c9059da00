//! What the journal says: pending operations, files that differ from their content, packs
//! under way.

use super::dirty::{Dirty, Layer, Layers, SealedLayer};
use super::ranges::Ranges;
use super::records::{self, Base, Commit, DataHead, PackIntent, Placed, SealedPart, Settled, decode};
use super::shared::Pending;
use crate::content::{CHUNK_LEN, Content, SharePlace};
use crate::keys::{LogId, PackId};
use crate::store::{Record, Segments};
use crate::tree::{Change, ObjectId, OpId, Operation, TimeNs};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file that differs from its content.
pub struct FileReplay {
    pub base: Base,
    pub dirty: Dirty,
    pub mtime: TimeNs,
}

/// Parts of a group that has no commit yet.
enum Part {
    Data { offset: u64, bytes: Vec<u8> },
    Sealed(SealedPart),
}

/// See the module.
pub struct Replay {
    log: LogId,
    own: Segments,
    pub ops: BTreeMap<u64, Pending>,
    pub files: BTreeMap<ObjectId, FileReplay>,
    parts: BTreeMap<ObjectId, Vec<Part>>,
    /// Files of which a group names a chunk that is not here: what follows is not usable.
    broken: BTreeMap<ObjectId, ()>,
    pub packs: BTreeMap<PackId, (PackIntent, Vec<SharePlace>)>,
    pub next_n: u64,
    pub malformed: u64,
}

impl Replay {
    /// `own` tells which sealed chunks are here.
    pub fn new(log: LogId, own: Segments) -> Replay {
        Replay {
            log,
            own,
            ops: BTreeMap::new(),
            files: BTreeMap::new(),
            parts: BTreeMap::new(),
            broken: BTreeMap::new(),
            packs: BTreeMap::new(),
            next_n: 1,
            malformed: 0,
        }
    }

    /// Take a record.
    pub fn record(&mut self, record: Record<'_>) {
        if self.take(record.kind, record.payload).is_none() {
            self.malformed += 1;
        }
    }

    fn take(&mut self, kind: u8, payload: &[u8]) -> Option<()> {
        match kind {
            records::OP => self.operation(decode(payload)?.0),
            records::DATA => {
                let (head, bytes) = decode::<DataHead>(payload)?;
                let part = Part::Data { offset: head.offset, bytes: bytes.to_vec() };
                self.parts.entry(head.object).or_default().push(part);
            }
            records::SEALED => {
                let (part, _) = decode::<SealedPart>(payload)?;
                self.parts.entry(part.object).or_default().push(Part::Sealed(part));
            }
            records::COMMIT => self.commit(decode(payload)?.0),
            records::SETTLED => {
                let (settled, _) = decode::<Settled>(payload)?;
                if let Change::SetContent { object, .. } = &settled.op.change {
                    self.discard(*object);
                }
                self.settled(settled);
            }
            records::PENDING => self.settled(decode(payload)?.0),
            records::DISCARDED => self.discard(decode(payload)?.0),
            records::PACK => {
                let (intent, _) = decode::<PackIntent>(payload)?;
                self.packs.entry(intent.pack).or_insert((intent, Vec::new()));
            }
            records::PLACED => {
                let (placed, _) = decode::<Placed>(payload)?;
                if let Some((_, places)) = self.packs.get_mut(&placed.pack) {
                    places.retain(|p| p.number != placed.place.number);
                    places.push(placed.place);
                }
            }
            records::PACK_DONE => {
                self.packs.remove(&decode::<PackId>(payload)?.0);
            }
            records::CANCELLED => {
                self.ops.remove(&decode::<u64>(payload)?.0);
            }
            _ => return None,
        }
        Some(())
    }

    fn operation(&mut self, op: Operation) {
        if let Change::SetAttrs { object, change } = &op.change
            && let Some(mtime) = change.mtime
            && let Some(file) = self.files.get_mut(object)
        {
            file.mtime = mtime;
        }
        self.settled(Settled { op, chunks: Vec::new() });
    }

    fn settled(&mut self, settled: Settled) {
        let n = settled.op.n;
        self.next_n = self.next_n.max(n + 1);
        self.ops.entry(n).or_insert(Pending { op: settled.op, chunks: settled.chunks });
    }

    fn discard(&mut self, object: ObjectId) {
        self.files.remove(&object);
        self.parts.remove(&object);
        self.broken.remove(&object);
    }

    fn commit(&mut self, commit: Commit) {
        let object = commit.object;
        let parts = self.parts.remove(&object).unwrap_or_default();
        if commit.base.is_some() {
            self.broken.remove(&object);
        }
        let missing =
            parts.iter().any(|p| matches!(p, Part::Sealed(s) if self.own.place(&s.chunk.id).is_none()));
        if missing || self.broken.contains_key(&object) {
            self.broken.insert(object, ());
            return;
        }
        if let Some(base) = commit.base {
            let dirty = Dirty::over(super::live::content_size(&base.content));
            self.files.insert(object, FileReplay { base, dirty, mtime: commit.mtime });
        }
        let log = self.log;
        let file = self.files.entry(object).or_insert_with(|| {
            // The base was told in a group that was trimmed away: it can only be a new file.
            debug_assert_eq!(object.log, log);
            let base = Base { version: None, content: Content::Inline(Vec::new()) };
            FileReplay { base, dirty: Dirty::over(0), mtime: commit.mtime }
        });
        if let Some(cut) = commit.cut {
            file.dirty.size = u64::MAX;
            file.dirty.truncate(cut);
        }
        for part in parts {
            match part {
                Part::Data { offset, bytes } => {
                    file.dirty.write(offset, &bytes);
                }
                Part::Sealed(part) => put_sealed(&mut file.dirty, part),
            }
        }
        file.dirty.size = commit.size;
        file.mtime = commit.mtime;
    }

    /// The files, ready to live on.
    pub fn take_files(&mut self) -> BTreeMap<ObjectId, FileReplay> {
        let mut files = std::mem::take(&mut self.files);
        for file in files.values_mut() {
            let dirty = &mut file.dirty;
            dirty.trim();
            (dirty.cut_unjournaled, dirty.size_unjournaled) = (None, false);
            dirty.chunks.values_mut().for_each(|l| l.unjournaled = Ranges::default());
        }
        files
    }

    /// The objects' versions that the pending contents are.
    pub fn version(&self, n: u64) -> OpId {
        OpId { log: self.log, n }
    }
}

/// A sealed chunk holds all that was written to its chunk before.
fn put_sealed(dirty: &mut Dirty, part: SealedPart) {
    let valid = Ranges::from_pairs(&part.valid);
    let old = dirty.chunks.remove(&part.index).unwrap_or_default();
    let freed = old.buffer.as_ref().map_or(0, |b: &Layer| b.bytes.capacity());
    dirty.buffered = dirty.buffered.saturating_sub(freed);
    let sealed = SealedLayer { chunk: part.chunk, valid, journaled: true };
    let layers = Layers { sealed: Some(sealed), ..Layers::default() };
    dirty.chunks.insert(part.index, layers);
    dirty.size = dirty.size.max(part.index * CHUNK_LEN as u64 + 1);
}
