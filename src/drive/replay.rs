//! What the journal says: pending operations, files that differ from their content, packs
//! under way.

use super::dirty::{Dirty, Layer, Layers, SealedLayer};
use super::pending::Pending;
use super::ranges::Ranges;
use super::records::{
    self, Base, Commit, DataHead, PackIntent, Placed, SealedPart, Settled, UncountedCommit, decode,
    decode_whole,
};
use crate::content::{CHUNK_LEN, SharePlace};
use crate::keys::{ChunkId, PackId};
use crate::store::{Record, Segments};
use crate::tree::{Change, ObjectId, Operation, TimeNs};
use std::collections::{BTreeMap, BTreeSet};

/// A file that differs from its content.
pub struct FileReplay {
    pub base: Base,
    pub dirty: Dirty,
    pub mtime: TimeNs,
    /// The last groups in the journal are not whole, and were passed over: the next one has to
    /// bring a base, or it would be passed over with them.
    pub broken: bool,
}

/// Parts of a group.
enum Part {
    Data { offset: u64, bytes: Vec<u8> },
    Sealed(SealedPart),
}

/// What happened to a file that has not settled, in order.
enum Step {
    Group(Commit, Vec<Part>),
    Mtime(TimeNs),
}

/// See the module.
pub struct Replay {
    /// Which operations still matter; the others are not kept in memory.
    wanted: Box<dyn Fn(u64) -> bool + Send>,
    pub ops: BTreeMap<u64, Pending>,
    /// Cancelled: a compaction that was cut short may tell of them again.
    gone: BTreeSet<u64>,
    files: BTreeMap<ObjectId, Vec<Step>>,
    parts: BTreeMap<ObjectId, Vec<Part>>,
    pub packs: BTreeMap<PackId, (PackIntent, Vec<SharePlace>)>,
    pub next_n: u64,
    /// Own entries up to this one are at enough households.
    pub entries_safe: u64,
    pub malformed: u64,
}

impl Replay {
    /// Nothing read yet. `wanted`: which operations are to be kept.
    pub fn new(wanted: impl Fn(u64) -> bool + Send + 'static) -> Replay {
        Replay {
            wanted: Box::new(wanted),
            ops: BTreeMap::new(),
            gone: BTreeSet::new(),
            files: BTreeMap::new(),
            parts: BTreeMap::new(),
            packs: BTreeMap::new(),
            next_n: 1,
            entries_safe: 0,
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
            records::OP => self.operation(decode_whole(payload)?),
            records::OPS => {
                decode_whole::<Vec<Operation>>(payload)?.into_iter().for_each(|op| self.operation(op))
            }
            records::DATA => {
                let (head, bytes) = decode::<DataHead>(payload)?;
                let part = Part::Data { offset: head.offset, bytes: bytes.to_vec() };
                self.parts.entry(head.object).or_default().push(part);
            }
            records::SEALED => {
                let part: SealedPart = decode_whole(payload)?;
                self.parts.entry(part.object).or_default().push(Part::Sealed(part));
            }
            records::COMMIT => self.commit(decode_whole(payload)?),
            records::COMMIT_UNCOUNTED => {
                let UncountedCommit { object, base, cut, size, mtime } = decode_whole(payload)?;
                let parts = self.parts.get(&object).map_or(0, Vec::len);
                let parts = u32::try_from(parts).unwrap_or(u32::MAX);
                self.commit(Commit { object, parts, base, cut, size, mtime });
            }
            records::SETTLED => {
                let settled: Settled = decode_whole(payload)?;
                if let Change::SetContent { object, .. } = &settled.op.change {
                    self.discard(*object);
                }
                self.settled(settled);
            }
            records::PENDING => self.settled(decode_whole(payload)?),
            records::DISCARDED => self.discard(decode_whole(payload)?),
            records::PACK => {
                let intent: PackIntent = decode_whole(payload)?;
                self.packs.entry(intent.pack).or_insert((intent, Vec::new()));
            }
            records::PLACED => {
                let placed: Placed = decode_whole(payload)?;
                if let Some((_, places)) = self.packs.get_mut(&placed.pack) {
                    places.retain(|p| p.number != placed.place.number);
                    places.push(placed.place);
                }
            }
            records::PACK_DONE => {
                self.packs.remove(&decode_whole::<PackId>(payload)?);
            }
            records::CANCELLED => {
                for n in decode_whole::<Vec<u64>>(payload)? {
                    // Its own record may be trimmed; the number is used all the same.
                    self.next_n = self.next_n.max(n.saturating_add(1));
                    self.ops.remove(&n);
                    self.gone.insert(n);
                }
            }
            records::ENTRIES_SAFE => {
                self.entries_safe = self.entries_safe.max(decode_whole::<u64>(payload)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn operation(&mut self, op: Operation) {
        if let Change::SetAttrs { object, change } = &op.change
            && let Some(mtime) = change.mtime
            && let Some(steps) = self.files.get_mut(object)
        {
            steps.push(Step::Mtime(mtime));
        }
        self.settled(Settled { op, chunks: Vec::new(), replaces: None });
    }

    fn settled(&mut self, settled: Settled) {
        let n = settled.op.n;
        self.next_n = self.next_n.max(n + 1);
        if let Some(old) = settled.replaces {
            self.ops.remove(&old);
            self.gone.insert(old);
        }
        if self.gone.contains(&n) || !(self.wanted)(n) {
            return;
        }
        self.ops.entry(n).or_insert(Pending { op: settled.op, chunks: settled.chunks });
    }

    fn discard(&mut self, object: ObjectId) {
        self.files.remove(&object);
        self.parts.remove(&object);
    }

    fn commit(&mut self, commit: Commit) {
        let mut parts = self.parts.remove(&commit.object).unwrap_or_default();
        let left_behind = parts.len().saturating_sub(commit.parts as usize);
        parts.drain(..left_behind);
        self.files.entry(commit.object).or_default().push(Step::Group(commit, parts));
    }

    /// The files, ready to live on. A power cut may have taken a chunk that a group names (the
    /// two are not synced together): then the file is what it was before that group. `placed`:
    /// what friends have; a copy inside the drive names it.
    pub async fn take_files(
        &mut self,
        own: &Segments,
        placed: impl Fn(&ChunkId) -> bool,
    ) -> BTreeMap<ObjectId, FileReplay> {
        let mut files = BTreeMap::new();
        for (object, steps) in std::mem::take(&mut self.files) {
            let mut file = None;
            // A group that is not whole ends the file as it was, up to one that tells it anew.
            let mut broken = false;
            for step in steps {
                match step {
                    Step::Mtime(mtime) if !broken => {
                        file.iter_mut().for_each(|f: &mut FileReplay| f.mtime = mtime);
                    }
                    Step::Mtime(_) => {}
                    Step::Group(commit, parts) => {
                        let stands = commit.base.is_some() || (!broken && file.is_some());
                        let all_here = parts.len() == commit.parts as usize;
                        if stands && all_here && whole(own, &placed, &parts).await {
                            apply(&mut file, commit, parts);
                            broken = false;
                        } else {
                            broken = true;
                            outlive(&mut file, parts);
                        }
                    }
                }
            }
            let Some(mut file) = file else { continue };
            file.broken = broken;
            let dirty = &mut file.dirty;
            dirty.trim();
            (dirty.cut_unjournaled, dirty.size_unjournaled) = (None, false);
            dirty.chunks.values_mut().for_each(|l| l.unjournaled = Ranges::default());
            files.insert(object, file);
        }
        files
    }
}

/// Whether all sealed chunks of a group are here and what they should be, or at friends.
async fn whole(own: &Segments, placed: &impl Fn(&ChunkId) -> bool, parts: &[Part]) -> bool {
    for part in parts {
        let Part::Sealed(part) = part else { continue };
        let len = part.chunk.sealed_len() as u32;
        let sound = match own.read(&part.chunk.id, 0..len).await {
            Ok(Some(bytes)) => super::chunks::sound(&part.chunk, &(0..len), &bytes),
            _ => false,
        };
        if !sound && !placed(&part.chunk.id) {
            return false;
        }
    }
    true
}

/// The chunks of a group that was passed over: a later replay comes through them again.
fn outlive(file: &mut Option<FileReplay>, parts: Vec<Part>) {
    let Some(file) = file else { return };
    file.dirty.outlived.extend(parts.into_iter().filter_map(|part| match part {
        Part::Sealed(part) => Some(part.chunk.id),
        Part::Data { .. } => None,
    }));
}

/// One group on top of the file as it was.
fn apply(file: &mut Option<FileReplay>, commit: Commit, parts: Vec<Part>) {
    if let Some(base) = commit.base {
        let mut dirty = Dirty::over(super::live::content_size(&base.content));
        // Told anew: what was told before is still in the journal, and gone through again.
        if let Some(before) = file.take() {
            let sealed = before.dirty.chunks.into_values().filter_map(|l| l.sealed);
            dirty.outlived = before.dirty.outlived;
            dirty.outlived.extend(sealed.map(|s| s.chunk.id));
        }
        *file = Some(FileReplay { base, dirty, mtime: commit.mtime, broken: false });
    }
    // Without a base its first group was broken, or it was trimmed: nothing to stand on.
    let Some(file) = file else { return };
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

/// A sealed chunk holds all that was written to its chunk before.
fn put_sealed(dirty: &mut Dirty, part: SealedPart) {
    let valid = Ranges::from_pairs(&part.valid);
    let old = dirty.chunks.remove(&part.index).unwrap_or_default();
    let freed = old.buffer.as_ref().map_or(0, |b: &Layer| b.bytes.capacity());
    dirty.buffered = dirty.buffered.saturating_sub(freed);
    dirty.outlived.extend(old.sealed.map(|s| s.chunk.id));
    let sealed = SealedLayer { chunk: part.chunk, valid, journaled: true };
    let layers = Layers { sealed: Some(sealed), ..Layers::default() };
    dirty.chunks.insert(part.index, layers);
    dirty.size = dirty.size.max(part.index * CHUNK_LEN as u64 + 1);
}
