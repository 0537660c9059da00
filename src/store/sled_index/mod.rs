//! The index on sled, in which everything can be rebuilt.
//!
//! sled 0.34 loses flushed records in a power cut, opens shortened files without a word, and
//! panics on a flipped bit. So nothing is kept in it that exists nowhere else; it is trusted
//! only after a clean end, over files that nobody has touched since; every call is guarded against panics; and after any doubt it is moved aside
//! and begun empty.
//!
//! A record is: key, table u8 | H(group)\[16\] | H(item)\[16\] (see `world::Blinder`); value, sealed
//! under derive(index key, IndexValue, "index 1") at Position { index: cursor, total: the
//! first 8 bytes of H(group), codec: table }, so that it opens nowhere else.

mod marker;
mod overlay;
#[cfg(test)]
mod tests;

use crate::keys::{Kind, Position, SEAL_HEAD, Seal, SealKey};
use crate::tree::{Batch, Cursor, Key, Table, TableError};
use crate::world::{Blinded, Blinder, Index, Indexes, Opened, cursor_of, take_page};
use overlay::Overlay;
use parking_lot::{Mutex, RwLock};
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of sled's own page cache.
const SLED_CACHE: u64 = 24 << 20;
/// The overlay is moved into sled when this much has come in.
const MOVE_AT: usize = 2 << 20;
/// A commit that finds this much in the overlay moves it itself: writers are slowed down.
const OVERLAY_MAX: usize = 8 << 20;
/// Records given to sled at once: it lets nobody read meanwhile.
const SLED_BATCH: usize = 256;
/// A record that says, sealed, what this database is.
const SELF_KEY: &[u8] = b"kith";
const SELF_VALUE: &[u8] = b"kith index 2";

/// Opens sled databases as indexes; the only place that names sled.
#[derive(Default)]
pub struct SledIndexes;

fn error(what: impl std::fmt::Display) -> TableError {
    TableError(what.to_string())
}

/// Runs sled code; a panic in it becomes an error.
fn guarded<T>(what: &str, work: impl FnOnce() -> sled::Result<T>) -> Result<T, TableError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(error(format!("{what}: {e}"))),
        Err(_) => Err(error(format!("{what}: sled panicked"))),
    }
}

impl Indexes for SledIndexes {
    /// Blocking. An error means that even an empty index cannot be had, or that another
    /// process has this one open.
    fn open(&self, dir: &Path, key: &[u8; 32]) -> Result<Opened, TableError> {
        let io = |what: &'static str| move |e| error(format!("{}: {what}: {e}", dir.display()));
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(io("make"))?;
        let lock = lock(&dir.join("lock")).map_err(io("lock (is it open elsewhere?)"))?;
        let (db, mark) = (dir.join("db"), dir.join("clean"));
        let trusted = marker::take(&mark, &db, key).map_err(io("marker"))?;
        let seal = SealKey::derive(key, b"", Kind::IndexValue, b"index 1");
        let old = if trusted { open_db(&db, &seal).ok() } else { None };
        let empty = old.is_none();
        let sled = match old {
            Some(sled) => sled,
            None => {
                set_aside(&db).map_err(io("set aside"))?;
                open_db(&db, &seal)?
            }
        };
        let core = Core {
            sled: RwLock::new(Some(sled)),
            seal,
            blinder: Blinder::new(key),
            overlay: RwLock::default(),
            moving: Mutex::new(()),
            scheduled: AtomicBool::new(false),
            doubted: AtomicBool::new(false),
            runtime: tokio::runtime::Handle::try_current().ok(),
            key: *key,
            db,
            mark,
            _lock: lock,
        };
        Ok(Opened { index: Arc::new(SledIndex { core: Arc::new(core) }), empty })
    }
}

fn lock(path: &Path) -> std::io::Result<File> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Moves what is there out of the way; one such copy is kept for looking at.
fn set_aside(db: &Path) -> std::io::Result<()> {
    let aside = db.with_extension("aside");
    match fs::symlink_metadata(db) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
        Ok(_) => {}
    }
    match fs::symlink_metadata(&aside) {
        Ok(m) if m.is_dir() => fs::remove_dir_all(&aside)?,
        Ok(_) => fs::remove_file(&aside)?,
        Err(_) => {}
    }
    tracing::warn!("{}: not closed cleanly, or damaged: set aside, to be rebuilt", db.display());
    fs::rename(db, aside)
}

/// Opens a database, which must be new or say of itself that it is ours.
fn open_db(path: &Path, seal: &SealKey) -> Result<sled::Db, TableError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(SLED_CACHE)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    let sled = guarded("open", || config.open())?;
    let own = guarded("read", || sled.get(SELF_KEY))?;
    match own.map(|sealed| seal.open(Position::WHOLE, &sealed)) {
        Some(Ok(plain)) if plain == SELF_VALUE => Ok(sled),
        None if guarded("read", || Ok(sled.is_empty()))? => {
            guarded("write", || sled.insert(SELF_KEY, seal.seal(Position::WHOLE, SELF_VALUE)))?;
            Ok(sled)
        }
        _ => Err(error("not an index of this device")),
    }
}

/// An open index.
struct SledIndex {
    core: Arc<Core>,
}

struct Core {
    /// Taken out when closed.
    sled: RwLock<Option<sled::Db>>,
    seal: SealKey,
    blinder: Blinder,
    overlay: RwLock<Overlay>,
    /// Held by whoever moves the overlay.
    moving: Mutex<()>,
    scheduled: AtomicBool,
    /// Something was wrong: no clean end will be marked.
    doubted: AtomicBool,
    runtime: Option<tokio::runtime::Handle>,
    key: [u8; 32],
    db: PathBuf,
    mark: PathBuf,
    _lock: File,
}

fn position(key: &Blinded) -> Position {
    let mut group = [0; 8];
    group.copy_from_slice(&key[1..9]);
    Position { index: cursor_of(key), total: u64::from_be_bytes(group), codec: key[0] }
}

impl Core {
    /// Runs sled code on the open database; after a failure nothing in it is trusted.
    fn with<T>(&self, what: &str, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, TableError> {
        let sled = self.sled.read();
        let Some(sled) = &*sled else { return Err(error("closed")) };
        guarded(what, || work(sled)).inspect_err(|_| self.doubted.store(true, Ordering::Relaxed))
    }

    fn open_value(&self, key: &Blinded, sealed: &[u8]) -> Result<Vec<u8>, TableError> {
        self.seal.open(position(key), sealed).map_err(|_| {
            self.doubted.store(true, Ordering::Relaxed);
            error("a value is not what was written under its key")
        })
    }

    /// Moves the overlay into sled. Readers see the same all the time.
    fn move_overlay(&self) -> Result<(), TableError> {
        let _one = self.moving.lock();
        self.scheduled.store(false, Ordering::Release);
        if self.doubted.load(Ordering::Relaxed) {
            return Err(error("failed before"));
        }
        let Some(writes) = self.overlay.write().start() else { return Ok(()) };
        let mut batch = sled::Batch::default();
        let mut count = 0;
        let mut sealed = Vec::new();
        for (n, (key, value)) in writes.iter().enumerate() {
            match value {
                Some(value) => {
                    sealed.clear();
                    sealed.reserve(SEAL_HEAD + value.len());
                    self.seal.seal_into(position(key), value, &mut sealed);
                    batch.insert(&key[..], &sealed[..]);
                }
                None => batch.remove(&key[..]),
            }
            count += 1;
            if count == SLED_BATCH || n + 1 == writes.len() {
                let full = std::mem::take(&mut batch);
                count = 0;
                self.with("write", |sled| sled.apply_batch(full))?;
            }
        }
        self.overlay.write().finish();
        Ok(())
    }

    fn close(&self) -> Result<(), TableError> {
        self.move_overlay()?;
        let _one = self.moving.lock();
        let Some(sled) = self.sled.write().take() else { return Ok(()) };
        guarded("flush", || sled.flush())?;
        guarded("close", || {
            drop(sled);
            Ok(())
        })?;
        if self.doubted.load(Ordering::Relaxed) {
            return Ok(());
        }
        marker::settle(&self.db).map_err(error)?;
        let bytes = marker::describe(&self.db, &self.key).map_err(error)?;
        marker::leave(&self.mark, &bytes).map_err(error)
    }
}

impl Table for SledIndex {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, TableError> {
        let key = self.core.blinder.key(key);
        if let Some(known) = self.core.overlay.read().get(&key) {
            return Ok(known.cloned());
        }
        let found = self.core.with("read", |sled| sled.get(&key[..]))?;
        found.map(|sealed| self.core.open_value(&key, &sealed)).transpose()
    }

    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        let core = &*self.core;
        let range = core.blinder.range(table, group, after);
        let overlay = core.overlay.read();
        let mut recent = overlay.range(range).peekable();
        let mut failure = None;
        let page = core.with("scan", |sled| {
            let mut stored = sled.range(range).peekable();
            let items = std::iter::from_fn(|| {
                loop {
                    let below = match stored.peek() {
                        Some(Ok((k, _))) => Blinded::try_from(&k[..]).ok(),
                        Some(Err(_)) => return None,
                        None => None,
                    };
                    match (recent.peek(), below) {
                        (Some((a, _)), b) if b.is_none_or(|b| **a <= b) => {
                            if b == Some(**a) {
                                stored.next();
                            }
                            if let Some((k, Some(value))) = recent.next() {
                                return Some((*k, value.clone()));
                            }
                        }
                        (_, Some(key)) => {
                            let sealed = stored.next()?.ok()?.1;
                            match core.open_value(&key, &sealed) {
                                Ok(value) => return Some((key, value)),
                                Err(e) => {
                                    failure = Some(e);
                                    return None;
                                }
                            }
                        }
                        _ => return None,
                    }
                }
            });
            let page = take_page(items, limit);
            // An error in the middle is an error, not the end.
            match stored.peek() {
                Some(Err(e)) => Err(e.clone()),
                _ => Ok(page),
            }
        })?;
        failure.map_or(Ok(page), Err)
    }
}

impl Index for SledIndex {
    fn commit(&self, batch: Batch) -> Result<(), TableError> {
        let core = &self.core;
        if core.doubted.load(Ordering::Relaxed) {
            return Err(error("failed before; it must be rebuilt"));
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
            return core.move_overlay();
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
        self.core.move_overlay()?;
        self.core.with("flush", |sled| sled.flush()).map(|_| ())
    }
    fn close(&self) -> Result<(), TableError> {
        self.core.close()
    }
}
