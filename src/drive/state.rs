//! How well files are kept, in the words people know.

use super::api::{Error, Ino, Result};
use super::live::Live;
use super::live_drive::WaitOutcome;
use super::shared::{Shared, index_error};
use super::status::{DriveStatus, FileState, UNSAFE_LISTED, UnsafeFile};
use crate::content::{Content, Ref};
use crate::grid::Level;
use crate::keys::{ChunkId, NodeId, PackId};
use crate::tree::{Change, ChunkPlace, ObjectId, ROOT, queues};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Packs looked at for one file.
const PACKS_MAX: usize = 64;

impl Shared {
    /// Everything that is not full yet, with its state. Bounded by what is under way.
    pub fn under_way(&self) -> BTreeMap<ObjectId, FileState> {
        let mut out: BTreeMap<ObjectId, FileState> = BTreeMap::new();
        let mut put = |object: ObjectId, state: FileState| {
            let worst = out.entry(object).or_insert(state);
            *worst = (*worst).min(state);
        };
        let mut doubtful = BTreeSet::new();
        {
            let publishing = self.publishing.lock();
            for entry in publishing.entries.values() {
                entry.objects.iter().for_each(|o| put(*o, FileState::Published));
                doubtful.extend(entry.packs.iter().copied());
            }
        }
        {
            let uploads = self.uploads.lock();
            for (id, pack) in &uploads.packs {
                let mut state = self.level_state(pack.catalogued_level.min(pack.level()), pack.intent.coding);
                if doubtful.contains(id) {
                    state = state.min(FileState::Published);
                }
                pack.objects.iter().for_each(|o| put(*o, state));
                // After a start it is not known of which files it is: it may be any.
                if pack.objects.is_empty() && pack.repair.is_none() {
                    put(ROOT, state);
                }
            }
        }
        {
            let core = self.core.lock();
            let uploads = self.uploads.lock();
            for pending in core.pending.all() {
                if let Change::SetContent { object, .. } = &pending.op.change
                    && let Some((done, total)) = uploads.progress(pending.op.n)
                    && done > 0
                {
                    put(*object, FileState::Uploading { percent: (done * 100 / total.max(1)) as u8 });
                    continue;
                }
                for object in queues(self.log, &pending.op) {
                    // A directory waits with what is in it, but is not itself unsafe.
                    if !matches!(pending.op.change, Change::Create { parent, .. } if parent == object) {
                        put(object, FileState::Local);
                    }
                }
            }
        }
        self.unreadable_files().into_iter().for_each(|object| put(object, FileState::Unreadable));
        for live in self.lives.lock().inodes.values() {
            if let Some(state) = live_state(live) {
                put(live.object, state);
            }
        }
        out
    }

    /// The least state of packs under way of which it is not known, after a start, whose files
    /// they hold.
    fn ownerless(&self) -> Option<FileState> {
        let uploads = self.uploads.lock();
        let packs = uploads.packs.values().filter(|p| p.objects.is_empty() && p.repair.is_none());
        packs.map(|p| self.level_state(p.catalogued_level.min(p.level()), p.intent.coding)).min()
    }

    pub fn level_state(&self, level: Level, coding: crate::content::Coding) -> FileState {
        let margin = coding.n - coding.k;
        match level {
            Level::Local => FileState::Uploading { percent: 99 },
            Level::Published => FileState::Published,
            Level::Safe => FileState::Safe { margin: coding.margin() },
            Level::Full if margin == 0 => FileState::Thin,
            Level::Full => FileState::Full { margin },
        }
    }

    /// How well one inode is kept.
    pub fn file_state(&self, ino: Ino) -> Result<FileState> {
        let object = self.object(ino)?;
        let inode = self.view().inode(object).map_err(index_error)?.ok_or(Error::Stale)?;
        if self.unreadable_files().contains(&object) {
            return Ok(FileState::Unreadable);
        }
        if let Some(state) = self.live(ino).and_then(|l| live_state(&l)) {
            return Ok(state);
        }
        let mut least = self.entries_state();
        if let Some(state) = self.under_way().get(&inode.object) {
            if *state < FileState::Published {
                return Ok(*state);
            }
            least = least.min(*state);
        }
        let content = self.view().content(inode.object).map_err(index_error)?;
        let (packs, all) = self.packs_of(&content)?;
        for pack in packs {
            least = least.min(self.pack_state(&pack)?);
        }
        // Of a large file not every pack is known here: it may be any that is damaged.
        if !all && let Some(damage) = self.worst_damage() {
            least = least.min(damage);
        }
        Ok(least)
    }

    /// What holds for entries that enough households have.
    fn entries_state(&self) -> FileState {
        let coding = self.grid.coding(&self.drive);
        match coding.map(|c| c.n - c.k) {
            Some(0) => FileState::Thin,
            Some(margin) => FileState::Full { margin },
            None => FileState::Published,
        }
    }

    /// The least state of anything under way and of what has lost shares; when there is nothing
    /// of the kind, what entries have.
    pub fn state_of_all(&self) -> FileState {
        let least = self.under_way().into_values().chain(self.worst_damage()).min();
        least.unwrap_or_else(|| self.entries_state())
    }

    /// Distinct holders of the packs of a file, as far as the tree says without fetching.
    pub fn holders_of(&self, ino: Ino) -> Result<Vec<NodeId>> {
        let object = self.object(ino)?;
        let content = self.view().content(object).map_err(index_error)?;
        let mut out = BTreeSet::new();
        for pack in self.packs_of(&content)?.0 {
            if let Some(record) = self.view().pack(&pack).map_err(index_error)? {
                out.extend(self.standing(&record).iter().map(|s| s.holder));
            }
        }
        Ok(out.into_iter().collect())
    }

    /// Whether friends keep a chunk so well that this machine need not.
    pub fn kept_by_friends(&self, id: &ChunkId) -> bool {
        let Ok(places) = self.view().chunk_places(id) else { return false };
        places.iter().any(|p| {
            self.pack_state(&p.pack).is_ok_and(FileState::is_safe)
                && self.uploads.lock().packs.get(&p.pack).is_none_or(|u| u.released)
        })
    }

    /// Packs that hold a content's chunks, as far as the tree says without fetching; false when
    /// there are more that it does not say.
    fn packs_of(&self, content: &Content) -> Result<(BTreeSet<PackId>, bool)> {
        let mut out = BTreeSet::new();
        let Content::Tree { refs, depth, .. } = content else { return Ok((out, true)) };
        for reference in refs.iter().take(PACKS_MAX) {
            if let Ref::Chunk(chunk) = reference {
                let places = self.view().chunk_places(&chunk.id).map_err(index_error)?;
                out.extend(self.best_of(&places));
            }
        }
        Ok((out, *depth == 0 && refs.len() <= PACKS_MAX))
    }

    /// Of the packs that hold a chunk the one that has lost least.
    fn best_of(&self, places: &[ChunkPlace]) -> Option<PackId> {
        if let [one] = places {
            return Some(one.pack);
        }
        let state = |pack: &PackId| self.pack_state(pack).unwrap_or(FileState::AtRisk { margin: 0 });
        places.iter().map(|p| p.pack).max_by_key(state)
    }

    /// A path for people.
    pub fn path_of(&self, object: ObjectId) -> Option<String> {
        let names = self.view().path(object).ok()??;
        let names: Vec<String> = names.iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect();
        Some(names.join("/"))
    }

    /// Whether an object is `dir` or below it.
    pub fn is_below(&self, object: ObjectId, dir: ObjectId) -> bool {
        let mut at = object;
        for _ in 0..crate::tree::DEPTH_MAX {
            if at == dir {
                return true;
            }
            if at == ROOT {
                return false;
            }
            match self.view().inode(at) {
                Ok(Some(inode)) => at = inode.home.parent,
                _ => return false,
            }
        }
        false
    }

    /// Wait until everything at and below `ino` is kept at `level`.
    pub async fn wait(&self, ino: Ino, level: Level, timeout: Duration) -> Result<WaitOutcome> {
        let object = self.object(ino)?;
        let mut progress = self.progress.subscribe();
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            progress.borrow_and_update();
            let mut below: Vec<FileState> = self
                .under_way()
                .into_iter()
                .filter(|(o, s)| !reaches(*s, level) && self.is_below(*o, object))
                .map(|(_, s)| s)
                .collect();
            // What cannot be told of a single file may be of any below a directory.
            let is_dir = self.view().inode(object).is_ok_and(|i| i.is_some_and(|i| i.is_dir()));
            below.extend(self.ownerless().filter(|s| is_dir && !reaches(*s, level)));
            let damage = self.worst_damage().filter(|_| is_dir);
            let clean = damage.unwrap_or_else(|| self.file_state(ino).unwrap_or(FileState::Local));
            let sound = ino == super::api::ROOT_INO && damage.is_none();
            let clean_enough = sound || reaches(clean, level);
            if !below.is_empty() && below.iter().all(|s| *s == FileState::Unreadable) {
                return Ok(WaitOutcome::Lost { files: below.len() as u64 });
            }
            let Some(least) = below.iter().min().copied() else {
                if clean_enough {
                    return Ok(WaitOutcome::Reached);
                }
                let outcome = WaitOutcome::NotYet { least: clean, files: 1 };
                if tokio::time::timeout_at(deadline, progress.changed()).await.is_err() {
                    return Ok(outcome);
                }
                continue;
            };
            let outcome = WaitOutcome::NotYet { least, files: below.len() as u64 };
            // Some of what counts (a settle, a friend back) does not tell: look now and then.
            let soon = deadline.min(tokio::time::Instant::now() + Duration::from_millis(500));
            let _ = tokio::time::timeout_at(soon, progress.changed()).await;
            if tokio::time::Instant::now() >= deadline {
                return Ok(outcome);
            }
        }
    }

    /// At a glance.
    pub fn status(&self) -> DriveStatus {
        let totals = self.view().totals().unwrap_or_default();
        let under_way = self.under_way();
        let mut unsafe_files = 0;
        let mut unsafe_list = Vec::new();
        let mut below: Vec<_> = under_way.iter().filter(|(_, s)| !s.is_safe()).collect();
        below.sort_by_key(|(object, state)| (**state, **object));
        for (object, state) in below {
            let Ok(Some(inode)) = self.view().inode(*object) else { continue };
            if inode.is_dir() {
                continue;
            }
            unsafe_files += 1;
            if unsafe_list.len() < UNSAFE_LISTED {
                let (ino, size, path) = (inode.ino, inode.size, self.path_of(*object));
                unsafe_list.push(UnsafeFile { ino, path, size, state: *state });
            }
        }
        if self.ownerless().is_some_and(|state| !state.is_safe()) {
            unsafe_files += 1;
        }
        let (packs_uploading, packs_below_safe, bytes_to_upload) = self.packs_status();
        let pending_operations = self.core.lock().pending.len() as u64;
        let entries_below = self.publishing.lock().entries.len() as u64;
        DriveStatus {
            drive: self.drive,
            read_only: self.writable().is_err(),
            files: totals.objects.saturating_sub(totals.dirs),
            bytes: totals.bytes,
            unsafe_files,
            unsafe_list,
            disk_short: self.disk_short(),
            pending_operations,
            packs_uploading,
            packs_below_safe,
            bytes_to_upload,
            coding: self.grid.coding(&self.drive),
            entries_below,
            friends: self.grid.holders(&self.drive),
            journal_bytes: self.journal.status().disk,
            own_bytes: self.own.used().1,
            cache_bytes: self.cache.used().1,
            conflicts: self.conflicts(0).map_or(0, |(_, count)| count as u64),
            failed: self.failed.lock().clone(),
            notes: self.notes.lock().iter().cloned().chain(self.damaged_files()).collect(),
            losses: self.losses(),
        }
    }

    fn packs_status(&self) -> (u64, u64, u64) {
        let uploads = self.uploads.lock();
        let uploading = uploads.packs.values().filter(|p| p.uploading).count() as u64;
        let below = |p: &&super::uploads::PackState| p.level() < super::packer::good(p.intent.coding);
        let below_safe = uploads.packs.values().filter(below).count() as u64;
        let in_packs: u64 =
            uploads.packs.values().filter(|p| p.level() < Level::Published).map(|p| p.intent.len).sum();
        let queued: u64 =
            uploads.waiting_ids().filter_map(|id| self.own.place(id)).map(|place| u64::from(place.len)).sum();
        (uploading, below_safe, in_packs + queued)
    }
}

/// The state of a file that is dirty.
fn live_state(live: &Live) -> Option<FileState> {
    let state = live.state.lock();
    let dirty = state.dirty.as_ref()?;
    let known = state.base_journaled && !dirty.unjournaled();
    Some(if known { FileState::Local } else { FileState::Written })
}

/// Whether a state is good enough.
fn reaches(state: FileState, level: Level) -> bool {
    match level {
        Level::Local => state >= FileState::Local,
        Level::Published => state >= FileState::Published,
        Level::Safe => state.is_safe(),
        Level::Full => state.is_full(),
    }
}
