//! What is on its way to friends: chunks that wait for a pack, packs that wait for friends.
//! Only what is not yet full is here.

use super::records::PackIntent;
use crate::content::{CatalogueRecord, SharePlace};
use crate::grid::Level;
use crate::keys::{ChunkId, PackId};
use crate::tree::ObjectId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A pack on its way.
#[derive(Clone, Debug)]
pub struct PackState {
    pub intent: PackIntent,
    pub placed: Vec<SharePlace>,
    /// Its chunks' places are in the tree.
    pub told: bool,
    /// Shares in the catalogue entries made so far, and the level they say.
    pub catalogued: usize,
    pub catalogued_level: Level,
    /// A transfer is running.
    pub uploading: bool,
    /// Bytes of sealed chunks in it.
    pub bytes: u64,
    /// Files that it is for.
    pub objects: BTreeSet<ObjectId>,
    /// Its own chunks may be evicted.
    pub released: bool,
    /// A try that ended short; the next not before.
    pub not_before: Duration,
    /// A try was ended, safe, because others had a slow rest already.
    pub cut_off: bool,
    /// What stood when its repair began: as long as that is under way, nothing else counts.
    pub repair: Option<Vec<SharePlace>>,
}

impl PackState {
    /// Nobody has it yet.
    pub fn new(intent: PackIntent) -> PackState {
        PackState {
            intent,
            placed: Vec::new(),
            told: false,
            catalogued: 0,
            catalogued_level: Level::Local,
            uploading: false,
            bytes: 0,
            objects: BTreeSet::new(),
            released: false,
            not_before: Duration::ZERO,
            cut_off: false,
            repair: None,
        }
    }
    /// Distinct households that hold a share.
    pub fn households(&self) -> usize {
        self.placed.iter().map(|p| p.household).collect::<BTreeSet<_>>().len()
    }
    pub fn level(&self) -> Level {
        Level::of(self.intent.coding, self.households())
    }
    /// What the catalogue is to say.
    pub fn record(&self) -> CatalogueRecord {
        CatalogueRecord {
            pack: self.intent.pack,
            epoch: self.intent.epoch,
            k: self.intent.coding.k,
            len: self.intent.len,
            data_roots: self.intent.data_roots.clone(),
            shares: self.placed.clone(),
        }
    }
}

/// A chunk that waits for a pack.
#[derive(Clone, Debug, Default)]
struct Queued {
    objects: BTreeSet<ObjectId>,
}

/// See the module.
#[derive(Default)]
pub struct Uploads {
    queue: VecDeque<ChunkId>,
    queued: BTreeMap<ChunkId, Queued>,
    /// Chunks in a pack that is not published yet.
    in_pack: BTreeMap<ChunkId, PackId>,
    pub packs: BTreeMap<PackId, PackState>,
    /// Operation -> chunks it still needs; and how many it needed at first.
    needs: BTreeMap<u64, BTreeSet<ChunkId>>,
    total: BTreeMap<u64, usize>,
    needed_by: BTreeMap<ChunkId, BTreeSet<u64>>,
    /// Needed, and damaged on this machine before friends had them.
    lost: BTreeSet<ChunkId>,
    pub last_queued: Duration,
}

impl Uploads {
    /// Operation `n` needs these chunks at friends before it may be published.
    pub fn need(&mut self, n: u64, chunks: &[ChunkId], placed: impl Fn(&ChunkId) -> bool) {
        let mut missing = BTreeSet::new();
        for id in chunks {
            if missing.contains(id) {
                continue;
            }
            let known = self.queued.contains_key(id) || self.in_pack.contains_key(id);
            if !known {
                if placed(id) {
                    continue;
                }
                // One that was lost may have been written again.
                self.lost.remove(id);
                self.enqueue(*id);
            }
            missing.insert(*id);
            self.needed_by.entry(*id).or_default().insert(n);
        }
        if !missing.is_empty() {
            self.total.insert(n, missing.len());
            self.needs.insert(n, missing);
        }
    }
    fn enqueue(&mut self, id: ChunkId) {
        self.queued.insert(id, Queued::default());
        self.queue.push_back(id);
    }
    /// A file that a queued chunk is for (for the status).
    pub fn for_object(&mut self, n: u64, object: ObjectId) {
        let Some(chunks) = self.needs.get(&n) else { return };
        for id in chunks {
            if let Some(q) = self.queued.get_mut(id) {
                q.objects.insert(object);
            } else if let Some(pack) = self.in_pack.get(id).and_then(|p| self.packs.get_mut(p)) {
                pack.objects.insert(object);
            }
        }
    }
    /// Operation `n` will not be published: chunks that only it needs are given up (those in
    /// the queue; their ids are returned).
    pub fn cancel(&mut self, n: u64) -> Vec<ChunkId> {
        self.total.remove(&n);
        let mut free = Vec::new();
        for id in self.needs.remove(&n).unwrap_or_default() {
            let Some(users) = self.needed_by.get_mut(&id) else { continue };
            users.remove(&n);
            if users.is_empty() {
                self.needed_by.remove(&id);
                self.lost.remove(&id);
                if self.queued.remove(&id).is_some() {
                    free.push(id);
                }
            }
        }
        self.queue.retain(|id| self.queued.contains_key(id));
        free
    }
    /// Chunks that an operation or a pack under way needs on this machine.
    pub fn needed_chunks(&self) -> BTreeSet<ChunkId> {
        let packs = self.packs.values().filter(|p| !p.released);
        let mut out: BTreeSet<ChunkId> =
            packs.flat_map(|p| p.intent.chunks.iter().map(|(id, _)| *id)).collect();
        out.extend(self.needed_by.keys());
        out
    }
    /// Whether an operation still waits for chunks.
    pub fn waits(&self, n: u64) -> bool {
        self.needs.contains_key(&n)
    }
    /// Chunks of an operation that friends have, and chunks it needs.
    pub fn progress(&self, n: u64) -> Option<(usize, usize)> {
        let (left, total) = (self.needs.get(&n)?.len(), *self.total.get(&n)?);
        Some((total - left, total))
    }
    /// Chunks in the queue.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
    pub fn waiting_ids(&self) -> impl Iterator<Item = &ChunkId> {
        self.queue.iter()
    }
    /// The next chunk for a pack.
    pub fn pop(&mut self) -> Option<(ChunkId, BTreeSet<ObjectId>)> {
        loop {
            let id = self.queue.pop_front()?;
            if let Some(q) = self.queued.remove(&id) {
                return Some((id, q.objects));
            }
        }
    }
    /// It did not fit, or there was no pack after all.
    pub fn push_front(&mut self, id: ChunkId, objects: BTreeSet<ObjectId>) {
        self.queue.push_front(id);
        self.queued.insert(id, Queued { objects });
    }
    /// A pack is known, with intent in the journal; or one that is to be repaired: nothing waits
    /// for that, since it may never succeed, and who writes the same again has the bytes.
    pub fn add_pack(&mut self, pack: PackState) {
        let awaited = pack.repair.is_none();
        for (id, _) in pack.intent.chunks.iter().filter(|_| awaited) {
            self.in_pack.insert(*id, pack.intent.pack);
        }
        self.packs.insert(pack.intent.pack, pack);
    }
    /// A pack can be read by others: operations stop waiting for its chunks.
    pub fn published(&mut self, pack: &PackId) {
        let Some(state) = self.packs.get(pack) else { return };
        for (id, _) in &state.intent.chunks {
            self.in_pack.remove(id);
            self.lost.remove(id);
            for n in self.needed_by.remove(id).unwrap_or_default() {
                if let Some(left) = self.needs.get_mut(&n) {
                    left.remove(id);
                    if left.is_empty() {
                        self.needs.remove(&n);
                    }
                }
            }
        }
    }
    /// A pack will never be published: its chunks that are still needed wait for another.
    pub fn abandon(&mut self, pack: &PackId) {
        let Some(state) = self.packs.remove(pack) else { return };
        for (id, _) in state.intent.chunks {
            if self.in_pack.get(&id) != Some(pack) {
                continue;
            }
            self.in_pack.remove(&id);
            if self.needed_by.contains_key(&id) && !self.queued.contains_key(&id) {
                self.enqueue(id);
            }
        }
    }
    /// A chunk that cannot be had: nobody will upload it, unless it is written again.
    pub fn lost(&mut self, id: &ChunkId) {
        self.queued.remove(id);
        if self.needed_by.contains_key(id) {
            self.lost.insert(*id);
        }
    }
    pub fn any_lost(&self) -> bool {
        !self.lost.is_empty()
    }
    /// Whether an operation needs a chunk that is lost.
    pub fn needs_lost(&self, n: u64) -> bool {
        self.needs.get(&n).is_some_and(|chunks| !chunks.is_disjoint(&self.lost))
    }
}
