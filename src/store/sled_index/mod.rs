//! The index on sled, in which everything can be rebuilt.
//!
//! sled 0.34 loses flushed records in a power cut, opens shortened files without a word, and
//! panics on a flipped bit. So nothing is kept in it that exists nowhere else. It is trusted after
//! a clean end, over files that nobody has touched since, and after a process was killed while the
//! machine ran on: then what sled had not written yet is given to it again. Every call is guarded
//! against panics; and after any doubt it is moved aside and begun empty.
//!
//! sled is slow with many small records, so it holds pages of them ([`page`]): key, that of
//! the first record that may be in it; value, the page, sealed under derive(index key,
//! IndexValue, "index 1") at Position { index: cursor, total: the first 8 bytes of the group,
//! codec: table }, so that it opens nowhere else. A record's key is as `world::Blinder` says.

mod marker;
mod open_pages;
mod opening;
mod overlay;
mod page;
mod pages;
mod redo;
mod room;
#[cfg(test)]
mod tests;

use crate::keys::{Position, Seal, SealKey};
use crate::tree::{Batch, Cursor, Key, Table, TableError};
use crate::world::{Blinded, Blinder, Index, cursor_of};
use opening::Places;
pub use opening::SledIndexes;
use overlay::Overlay;
use pages::Pages;
use parking_lot::{Mutex, RwLock};
use redo::Redo;
use room::{ALL_MAX, Room};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes of sled's own page cache.
const SLED_CACHE: u64 = 16 << 20;
/// The overlay is moved into sled when this much has come in.
const MOVE_AT: usize = 2 << 20;
/// A commit that finds this much in the overlay moves it itself: writers are slowed down.
const OVERLAY_MAX: usize = 8 << 20;
/// sled is synced after so many moves, or so many bytes of them: what is kept of them until then
/// is given to it again after a kill.
const SYNC_MOVES: u64 = 8;
const SYNC_BYTES: u64 = 16 << 20;
/// A database that is locked is tried again so often, after so long.
const LOCKED_TRIES: u32 = 40;
const LOCKED_AGAIN: Duration = Duration::from_millis(50);
/// A record that says, sealed, what this database is.
const SELF_KEY: &[u8] = b"kith";
const SELF_VALUE: &[u8] = b"kith index 3";
/// The sled tree that has the pages.
const PAGES: &[u8] = b"pages";

fn error(what: impl std::fmt::Display) -> TableError {
    TableError(what.to_string())
}

/// Runs sled code; a panic in it becomes an error.
fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T, TableError>) -> Result<T, TableError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(error(format!("{what}: {}", e.0))),
        Err(_) => Err(error(format!("{what}: sled panicked"))),
    }
}

/// An open database.
struct Store {
    sled: sled::Db,
    pages: Pages,
}

impl Store {
    /// Opens a database, which must be new or say of itself that it is ours.
    fn open(path: &Path, seal: &SealKey) -> Result<Store, TableError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(SLED_CACHE)
            .flush_every_ms(None)
            .print_profile_on_drop(false);
        guarded("open", || {
            let mut tries = 0..LOCKED_TRIES;
            let sled = loop {
                match config.open() {
                    // Threads of sled may have it for a moment after this process has let it go.
                    Err(e) if e.to_string().contains("acquire lock") && tries.next().is_some() => {
                        std::thread::sleep(LOCKED_AGAIN);
                    }
                    opened => break opened.map_err(error)?,
                }
            };
            match sled.get(SELF_KEY).map_err(error)?.map(|own| seal.open(Position::WHOLE, &own)) {
                Some(Ok(plain)) if plain == SELF_VALUE => {}
                None if sled.is_empty() => {
                    let own = seal.seal(Position::WHOLE, SELF_VALUE);
                    sled.insert(SELF_KEY, own).map_err(error)?;
                }
                _ => return Err(error("not an index of this device")),
            }
            let pages = Pages::new(sled.open_tree(PAGES).map_err(error)?, seal.clone());
            Ok(Store { sled, pages })
        })
    }
    fn write(&self, writes: &overlay::Writes) -> Result<(), TableError> {
        self.pages.write(writes.iter().map(|(key, value)| (key, value.as_deref())))
    }
    fn flush(&self) -> Result<(), TableError> {
        self.sled.flush().map(|_| ()).map_err(error)
    }
}

/// An open index.
struct SledIndex {
    core: Arc<Core>,
}

struct Core {
    /// Taken out when closed.
    store: RwLock<Option<Store>>,
    blinder: Blinder,
    overlay: RwLock<Overlay>,
    /// Held by whoever moves the overlay. None: moves are not kept, so a kill costs the index.
    moving: Mutex<Option<Redo>>,
    scheduled: AtomicBool,
    /// Something was wrong: no end will be trusted.
    doubted: AtomicBool,
    runtime: Option<tokio::runtime::Handle>,
    key: [u8; 32],
    dir: PathBuf,
    room: Room,
    places: Places,
    _lock: File,
}

fn position(key: &Blinded) -> Position {
    let mut group = [0; 8];
    group.copy_from_slice(&key[1..9]);
    Position { index: cursor_of(key), total: u64::from_be_bytes(group), codec: key[0] }
}

impl Core {
    /// Runs sled code on the open database; after a failure nothing in it is trusted.
    fn with<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Store) -> Result<T, TableError>,
    ) -> Result<T, TableError> {
        let store = self.store.read();
        let Some(store) = &*store else { return Err(error("closed")) };
        guarded(what, || work(store)).inspect_err(|_| self.doubt())
    }

    fn doubt(&self) {
        // For want of room sled stops wherever it is, as in a kill: what is kept beside it is enough.
        if !self.doubted.swap(true, Ordering::Relaxed) && !self.room.is_short(&self.dir) {
            // Should this fail, too: a page that is not what it was is noticed again.
            let _ = marker::say_closed(&self.places.open);
        }
    }

    /// Moves the overlay into sled. Readers see the same all the time. False: there is no room for it
    /// on the disk, and it stays where it is.
    fn move_overlay(&self) -> Result<bool, TableError> {
        let mut redo = self.moving.lock();
        self.scheduled.store(false, Ordering::Release);
        if self.doubted.load(Ordering::Relaxed) {
            return Err(error("failed before"));
        }
        let writes = {
            let mut overlay = self.overlay.write();
            if !self.room.to_move(&self.dir, overlay.bytes()) {
                return Ok(false);
            }
            overlay.start()
        };
        let Some(writes) = writes else { return Ok(true) };
        if redo.as_mut().is_some_and(|redo| redo.keep(&writes).is_err()) {
            self.keep_no_more(&mut redo)?;
        }
        self.with("write", |store| store.write(&writes))?;
        self.overlay.write().finish();
        match redo.as_ref().map(Redo::kept) {
            Some((moves, bytes)) if moves >= SYNC_MOVES || bytes >= SYNC_BYTES => self.sync(&mut redo)?,
            _ => {}
        }
        Ok(true)
    }

    /// Brings sled to the disk, after which no move need be kept.
    fn sync(&self, redo: &mut Option<Redo>) -> Result<(), TableError> {
        self.with("flush", Store::flush)?;
        match redo.as_mut().map_or(Ok(()), Redo::done) {
            Ok(()) => Ok(()),
            Err(_) => self.keep_no_more(redo),
        }
    }

    /// Moves cannot be kept: no room, say. The index stays; it will not outlive a kill.
    fn keep_no_more(&self, redo: &mut Option<Redo>) -> Result<(), TableError> {
        *redo = None;
        marker::say_closed(&self.places.open).map_err(error).inspect_err(|_| self.doubt())
    }

    /// The records from one key to another, both included, until `each` wants no more.
    fn each(
        &self,
        range: (Blinded, Blinded),
        each: &mut dyn FnMut(&Blinded, &[u8]) -> bool,
    ) -> Result<(), TableError> {
        let overlay = self.overlay.read();
        let mut recent = overlay.range(range).peekable();
        let mut newer = |key: &Blinded| recent.next_if(|(recent, _)| *recent <= key);
        self.with("scan", |store| {
            let (mut from, last) = range;
            let mut walk = store.pages.walk(range);
            while let Some(page) = walk.next()? {
                let mut seen = None;
                for (key, value) in page.from(&from).take_while(|(key, _)| **key <= last) {
                    let mut value = Some(value);
                    while let Some((recent, new)) = newer(key) {
                        match new {
                            new if recent == key => value = new.map(Vec::as_slice),
                            Some(new) if !each(recent, new) => return Ok(()),
                            _ => {}
                        }
                    }
                    if value.is_some_and(|value| !each(key, value)) {
                        return Ok(());
                    }
                    seen = Some(*key);
                }
                match seen {
                    Some(key) if key == last => break,
                    Some(key) => from = pages::successor(key),
                    None => {}
                }
            }
            while let Some((recent, new)) = newer(&last) {
                if new.is_some_and(|new| !each(recent, new)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// `whole`: it has all that it was given, and that is all there is.
    fn close(&self, whole: bool) -> Result<(), TableError> {
        let moved = whole && self.move_overlay()?;
        let _one = self.moving.lock();
        let Some(store) = self.store.write().take() else { return Ok(()) };
        if !moved {
            // As after a kill: the next start brings it up to date.
            return guarded("close", || {
                drop(store);
                Ok(())
            });
        }
        guarded("flush", || store.flush())?;
        guarded("close", || {
            drop(store);
            Ok(())
        })?;
        marker::say_closed(&self.places.open).map_err(error)?;
        if self.doubted.load(Ordering::Relaxed) {
            return Ok(());
        }
        redo::clear(&self.places.redo).map_err(error)?;
        marker::settle(&self.places.db).map_err(error)?;
        let bytes = marker::describe(&self.places.db, &self.key).map_err(error)?;
        marker::leave(&self.places.clean, &bytes).map_err(error)
    }
}

impl Table for SledIndex {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, TableError> {
        let key = self.core.blinder.key(key);
        if let Some(known) = self.core.overlay.read().get(&key) {
            return Ok(known.cloned());
        }
        self.core.with("read", |store| store.pages.get(&key))
    }

    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        let mut page: Vec<(Cursor, Vec<u8>)> = Vec::new();
        self.core.each(self.core.blinder.range(table, group, after), &mut |key, value| {
            let cursor = cursor_of(key);
            let more = page.len() < limit.max(1) || page.last().is_some_and(|(last, _)| *last == cursor);
            if more {
                page.push((cursor, value.to_vec()));
            }
            more
        })?;
        Ok(page)
    }

    fn each(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        each: &mut dyn FnMut(Cursor, &[u8]) -> bool,
    ) -> Result<(), TableError> {
        let range = self.core.blinder.range(table, group, after);
        self.core.each(range, &mut |key, value| each(cursor_of(key), value))
    }
}

impl Index for SledIndex {
    fn commit(&self, batch: Batch) -> Result<(), TableError> {
        let core = &self.core;
        if core.doubted.load(Ordering::Relaxed) {
            return Err(error("failed before; it must be rebuilt"));
        }
        let held = core.overlay.read().bytes();
        if held >= ALL_MAX && !core.room.to_move(&core.dir, held) {
            return Err(error("no room on the disk"));
        }
        let keyed: Vec<_> = batch.writes.into_iter().map(|(k, v)| (core.blinder.key(&k), v)).collect();
        let (bytes, active) = {
            let mut overlay = core.overlay.write();
            for (key, value) in keyed {
                overlay.put(key, value);
            }
            (overlay.bytes(), overlay.active_bytes())
        };
        if bytes >= OVERLAY_MAX || (core.runtime.is_none() && active >= MOVE_AT) {
            return core.move_overlay().map(|_| ());
        }
        if active >= MOVE_AT
            && !core.scheduled.swap(true, Ordering::AcqRel)
            && let Some(runtime) = &core.runtime
        {
            let core = core.clone();
            // A failure shows at the next call: the index is doubted from then on.
            runtime.spawn_blocking(move || core.move_overlay());
        }
        Ok(())
    }
    fn flush(&self) -> Result<(), TableError> {
        if self.core.move_overlay()? { self.core.sync(&mut self.core.moving.lock()) } else { Ok(()) }
    }
    fn has_room(&self, urgent: bool) -> bool {
        let held = self.core.overlay.read().bytes();
        self.core.room.takes(&self.core.dir, held, urgent)
    }
    fn close(&self) -> Result<(), TableError> {
        self.core.close(true)
    }
    fn doubt(&self) {
        self.core.doubted.store(true, Ordering::Relaxed);
        let _ = marker::say_closed(&self.core.places.open);
    }
    fn leave(&self) -> Result<(), TableError> {
        self.core.close(false)
    }
}
