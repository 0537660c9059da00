//! Writing frames: one writer per journal, run inside `World::blocking`.

use super::frame::{BLOCK, Check, Draft, Keys};
use super::make::{make_file, no_room};
use super::placing::Held;
use super::recover::{JournalFile, Recovery, slot_path};
use super::{JournalOptions, Lsn};
use crate::store::StoreError;
use crate::world::{Disk, Open};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Trimmed files kept for use again; more are deleted.
const KEEP_FREE: usize = 4;
pub(super) const RESERVE: &str = "reserve";
/// The reserve is made when this many times its size is free.
const RESERVE_ROOM: u64 = 4;

/// What a step did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stepped {
    /// Last record synced.
    pub durable: Lsn,
    /// Bytes of files.
    pub disk: u64,
    /// The last record written.
    pub last: Lsn,
    /// Bytes that the current file has room for.
    pub here: u64,
    /// Bytes of frames written by this writer.
    pub written: u64,
    /// Bytes that can be written without a new file.
    pub room: u64,
    /// There is no spare file and none can be made, or the disk has little room to write at all.
    pub full: bool,
    /// What was accepted finds no room and waits.
    pub stuck: bool,
    /// There is no spare file and nobody has tried to make one.
    pub spare_wanted: bool,
}

/// What a step is to do besides writing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    /// Records up to this are no longer needed.
    pub trimmed: Lsn,
    pub sync: bool,
    /// Delete the reserve.
    pub release: bool,
    /// Make a spare file.
    pub spare: bool,
    /// Nobody is in a hurry.
    pub idle: bool,
}

/// The one writer of a journal.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: JournalOptions,
    pub(super) keys: Arc<Keys>,
    pub(super) run: u64,
    pub(super) seq: u64,
    pub(super) durable_seq: u64,
    pub(super) prev: Check,
    pub(super) current: JournalFile,
    pub(super) at: u64,
    pub(super) written: Lsn,
    durable: Lsn,
    pub(super) unsynced: bool,
    /// The highest `trimmed` in a synced frame, and in any frame.
    trimmed_durable: Lsn,
    pub(super) trimmed_written: Lsn,
    /// Filled files and the last record in each.
    older: VecDeque<(JournalFile, Lsn)>,
    free: Vec<JournalFile>,
    next_slot: u64,
    pub(super) reserve: bool,
    full: bool,
    /// A write found no room: until there is plenty only urgent records are taken.
    pub(super) cramped: bool,
    pub(super) held: Held,
    /// Bytes of frames written.
    pub(super) bytes: u64,
}

impl Writer {
    /// A new journal in an empty directory: one file with an empty frame in it, synced.
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: JournalOptions,
        keys: Arc<Keys>,
        run: u64,
        first: Lsn,
    ) -> Result<Writer, StoreError> {
        let current = make_file(&*disk, dir, 1, &options, options.prewrite)?;
        let mut writer = Writer {
            disk,
            dir: dir.to_path_buf(),
            options,
            keys,
            run,
            seq: 0,
            durable_seq: 0,
            prev: [0; 16],
            current,
            at: 0,
            written: first - 1,
            durable: first - 1,
            unsynced: false,
            trimmed_durable: first - 1,
            trimmed_written: first - 1,
            older: VecDeque::new(),
            free: Vec::new(),
            next_slot: 2,
            reserve: false,
            full: false,
            cramped: false,
            held: Held::default(),
            bytes: 0,
        };
        if !writer.put(Draft::new(first, 0), first - 1)? {
            return Err(StoreError::Full(dir.to_path_buf()));
        }
        writer.sync()?;
        Ok(writer)
    }

    /// Goes on where a recovered journal ends. `recovery.chain` is not empty.
    pub(super) fn resume(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: JournalOptions,
        keys: Arc<Keys>,
        run: u64,
        recovery: &Recovery,
    ) -> Result<Writer, StoreError> {
        let Some(tail) = recovery.chain.last() else {
            return Err(StoreError::Closed(dir.to_path_buf()));
        };
        let mut last_in: Vec<Option<Lsn>> = vec![None; recovery.files.len()];
        let mut order = Vec::new();
        for f in &recovery.chain {
            if last_in[f.file].is_none() {
                order.push(f.file);
            }
            last_in[f.file] = Some(f.header.last());
        }
        let older = order
            .iter()
            .filter(|n| **n != tail.file)
            .filter_map(|n| Some((recovery.files[*n].clone(), last_in[*n]?)))
            .collect();
        let unused = (0..recovery.files.len()).filter(|n| last_in[*n].is_none());
        let free = unused.map(|n| recovery.files[n].clone()).collect();
        let next_slot = recovery.files.iter().map(|f| f.slot).max().unwrap_or(0) + 1;
        let last = tail.header.last().max(recovery.trimmed);
        let reserve = disk.list(dir).is_ok_and(|l| l.iter().any(|(name, _)| name == RESERVE));
        let mut writer = Writer {
            disk,
            dir: dir.to_path_buf(),
            options,
            keys,
            run,
            seq: recovery.max_seq,
            durable_seq: recovery.max_seq,
            prev: tail.header.check,
            current: recovery.files[tail.file].clone(),
            at: tail.offset + tail.header.span(),
            written: last,
            durable: last,
            unsynced: false,
            trimmed_durable: recovery.trimmed,
            trimmed_written: recovery.trimmed,
            older,
            free,
            next_slot,
            reserve,
            full: false,
            cramped: false,
            held: Held::default(),
            bytes: 0,
        };
        writer.write_again(recovery)?;
        writer.drop_odd_files()?;
        Ok(writer)
    }

    /// Files of another length (half made, or of other options) are not used again.
    fn drop_odd_files(&mut self) -> Result<(), StoreError> {
        for file in std::mem::take(&mut self.free) {
            let len = file.file.len().map_err(|e| StoreError::io(&file.path, "stat", e))?;
            if len == self.options.file_len && self.free.len() < KEEP_FREE {
                self.free.push(file);
            } else {
                self.remove(&file.path)?;
            }
        }
        Ok(())
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.seq + 1 + self.held.frames()
    }
    pub(super) fn last(&self) -> Lsn {
        self.written
    }

    /// Writes frames, then does what was ordered.
    pub(super) fn step(&mut self, drafts: Vec<Draft>, orders: Orders) -> Result<Stepped, StoreError> {
        if orders.release {
            self.release_reserve()?;
        }
        self.place_all(drafts, orders.trimmed)?;
        if orders.sync && (self.unsynced || self.held.frames() == 0) {
            self.sync()?;
        }
        self.recycle(orders.trimmed)?;
        if orders.spare {
            self.ensure_spare(orders.idle)?;
        }
        Ok(self.state())
    }

    pub(super) fn state(&self) -> Stepped {
        let files = 1 + self.older.len() + self.free.len();
        let spare = self.free.len() as u64 * self.options.file_len;
        let stuck = self.held.frames() > 0;
        Stepped {
            durable: self.durable,
            disk: files as u64 * self.options.file_len,
            last: self.written,
            here: self.end().saturating_sub(self.at),
            written: self.bytes,
            room: if stuck { 0 } else { self.end().saturating_sub(self.at) + spare },
            full: stuck || self.cramped || (self.full && self.free.is_empty()),
            stuck,
            spare_wanted: self.free.is_empty() && !self.full && !self.cramped,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.options.file_len
    }

    /// The one place where records become durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.current.file.sync().map_err(|e| StoreError::io(&self.current.path, "sync", e))?;
        self.unsynced = false;
        self.durable_seq = self.seq;
        self.durable = self.written;
        self.trimmed_durable = self.trimmed_written;
        Ok(())
    }

    /// Goes on in the next file. Only the last file ever holds frames that are not synced.
    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        if self.unsynced {
            self.sync()?;
        }
        let next = match self.free.pop() {
            Some(spare) => spare,
            None => self.make(false)?,
        };
        let filled = std::mem::replace(&mut self.current, next);
        self.older.push_back((filled, self.written));
        self.at = 0;
        Ok(())
    }

    fn make(&mut self, prewrite: bool) -> Result<JournalFile, StoreError> {
        let slot = self.next_slot;
        self.next_slot += 1;
        match make_file(&*self.disk, &self.dir, slot, &self.options, prewrite) {
            Ok(file) => Ok(file),
            Err(e) => {
                // Best effort: what is left of it is dropped at the next opening.
                let _ = self.disk.remove(&slot_path(&self.dir, slot));
                Err(e)
            }
        }
    }

    /// Makes a spare file unless there is one; without room for it the journal is full. It is
    /// filled with zeros only when nobody is in a hurry.
    pub(super) fn ensure_spare(&mut self, idle: bool) -> Result<(), StoreError> {
        self.full = false;
        if self.cramped {
            let free = self.disk.space(&self.dir).map_or(0, |s| s.free);
            // More than giving the reserve made.
            self.cramped = free < self.options.reserve + self.options.file_len;
        }
        if self.held.frames() > 0 {
            return Ok(());
        }
        if self.free.is_empty() {
            let files = 1 + self.older.len() as u64;
            if (files + 1) * self.options.file_len > self.options.max_len {
                self.full = true;
                return Ok(());
            }
            match self.make(idle && self.options.prewrite) {
                Ok(file) => self.free.push(file),
                Err(e) if no_room(&e) => {
                    self.full = true;
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        self.ensure_reserve();
        Ok(())
    }

    /// Makes the reserve if there is plenty of room. It is a convenience: failing is no fault.
    fn ensure_reserve(&mut self) {
        if self.reserve || self.options.reserve == 0 {
            return;
        }
        let free = self.disk.space(&self.dir).map_or(0, |s| s.free);
        if free / RESERVE_ROOM < self.options.reserve {
            return;
        }
        let path = self.dir.join(RESERVE);
        let made = self.disk.open(&path, Open::OrCreate).and_then(|file| {
            file.preallocate(self.options.reserve)?;
            file.sync()
        });
        match made.and_then(|()| self.disk.sync_dir(&self.dir)) {
            Ok(()) => self.reserve = true,
            Err(_) => {
                let _ = self.disk.remove(&path);
            }
        }
    }

    /// Deletes the reserve, for whoever needs the room.
    pub(super) fn release_reserve(&mut self) -> Result<(), StoreError> {
        if !self.reserve {
            return Ok(());
        }
        match self.remove(&self.dir.join(RESERVE)) {
            // Even that takes room on some disks.
            Err(e) if no_room(&e) => return Ok(()),
            done => done?,
        }
        self.reserve = false;
        match self.disk.sync_dir(&self.dir).map_err(|e| StoreError::io(&self.dir, "sync", e)) {
            Err(e) if !no_room(&e) => Err(e),
            _ => Ok(()),
        }
    }

    /// Files with nothing needed in them become free, once a synced frame says so: otherwise
    /// a crash while they are written anew would look like the loss of what was in them.
    fn recycle(&mut self, trimmed: Lsn) -> Result<(), StoreError> {
        if self.held.frames() > 0 {
            return Ok(());
        }
        let Some(needed) =
            self.older.iter().map(|(_, last)| *last).take_while(|last| *last <= trimmed).last()
        else {
            return Ok(());
        };
        if self.trimmed_durable < needed {
            if self.trimmed_written < needed {
                if self.at + BLOCK > self.end() && self.free.is_empty() {
                    return Ok(());
                }
                if !self.put(Draft::new(self.written + 1, 0), trimmed)? {
                    return Ok(());
                }
            }
            self.sync()?;
        }
        while self.older.front().is_some_and(|(_, last)| *last <= self.trimmed_durable) {
            if let Some((file, _)) = self.older.pop_front() {
                if self.free.len() < KEEP_FREE {
                    self.free.push(file);
                    continue;
                }
                match self.remove(&file.path) {
                    Err(e) if no_room(&e) => self.free.push(file),
                    done => done?,
                }
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        self.disk.remove(path).map_err(|e| StoreError::io(path, "remove", e))
    }
}
