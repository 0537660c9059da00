//! Opening: what an earlier process left is gone on with, or moved aside.

use super::redo::{self, Redo};
use super::room::{self, Room};
use super::{Core, SledIndex, Store, error, guarded, marker};
use crate::keys::{Kind, SealKey};
use crate::tree::TableError;
use crate::world::{Blinder, Found, Indexes, Opened};
use parking_lot::{Mutex, RwLock};
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Opens sled databases as indexes; nobody outside this module names sled.
pub struct SledIndexes {
    pub(super) free: room::Ask,
}

impl Default for SledIndexes {
    fn default() -> Self {
        SledIndexes { free: Arc::new(room::ask) }
    }
}

/// Where moves are kept.
const REDO: &str = "redo";

/// The places of one index.
pub(super) struct Places {
    pub(super) db: PathBuf,
    /// Marks a clean end.
    pub(super) clean: PathBuf,
    /// Marks that it is open.
    pub(super) open: PathBuf,
    pub(super) redo: PathBuf,
}

impl Indexes for SledIndexes {
    /// Blocking. An error means that even an empty index cannot be had, or that another
    /// process has this one open.
    fn open(&self, dir: &Path, key: &[u8; 32]) -> Result<Opened, TableError> {
        let io = |what: &'static str| move |e| error(format!("{}: {what}: {e}", dir.display()));
        let room = Room::new(self.free.clone());
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(io("make"))?;
        let lock = lock(&dir.join("lock")).map_err(io("lock (is it open elsewhere?)"))?;
        let place = |name| dir.join(name);
        let places =
            Places { db: place("db"), clean: place("clean"), open: place("open"), redo: place(REDO) };
        // What is there stays as it is, and good, until there is room.
        if !room.to_open(dir, redo::bytes(&places.redo)) {
            return Err(error(format!("{}: no room on the disk; free some and try again", dir.display())));
        }
        let seal = SealKey::derive(key, b"", Kind::IndexValue, b"index 1");
        let (found, store) = match resume(&places, &seal, key)? {
            Some((found, store)) => (found, store),
            None => {
                set_aside(&places.db).map_err(io("set aside"))?;
                (Found::Nothing, Store::open(&places.db, &seal)?)
            }
        };
        // On a full disk, say, it is as good as any, but will not outlive a kill.
        let redo = Redo::begin(places.redo.clone(), key);
        let redo = redo.and_then(|redo| marker::say_open(&places.open, &places.db, key).map(|()| redo)).ok();
        if redo.is_none() {
            marker::say_closed(&places.open).map_err(io("mark"))?;
        }
        let core = Core {
            store: RwLock::new(Some(store)),
            blinder: Blinder::new(key),
            overlay: RwLock::default(),
            moving: Mutex::new(redo),
            scheduled: AtomicBool::new(false),
            doubted: AtomicBool::new(false),
            runtime: tokio::runtime::Handle::try_current().ok(),
            key: *key,
            dir: dir.to_path_buf(),
            room,
            places,
            _lock: lock,
        };
        Ok(Opened { index: Arc::new(SledIndex { core: Arc::new(core) }), found })
    }

    fn room_to_open(&self, dir: &Path) -> u64 {
        room::needed(redo::bytes(&dir.join(REDO)))
    }
}

/// What an earlier process left, if it is to be trusted.
fn resume(places: &Places, seal: &SealKey, key: &[u8; 32]) -> Result<Option<(Found, Store)>, TableError> {
    let io = |e| error(format!("{}: marker: {e}", places.db.display()));
    let ended = marker::take(&places.clean, &places.db, key).map_err(io)?;
    let clean = ended == Some(true);
    // A mark of a clean end that does not fit is no sign of a kill: something was put back.
    let killed = ended.is_none() && marker::was_open(&places.open, &places.db, key);
    // Whatever sled may do while it opens: the next start does not go through the same again.
    marker::say_closed(&places.open).map_err(io)?;
    if !clean && !killed {
        return Ok(None);
    }
    let Ok(store) = Store::open(&places.db, seal) else { return Ok(None) };
    if clean {
        return Ok(Some((Found::All, store)));
    }
    let again = || {
        let done = redo::replay(&places.redo, key, |writes| store.write(writes))?;
        store.flush().map(|()| done)
    };
    match guarded("go on", again) {
        Ok(true) => Ok(Some((Found::Older, store))),
        Ok(false) | Err(_) => Ok(None),
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
