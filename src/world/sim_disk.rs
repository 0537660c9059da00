//! A disk in memory that forgets what was not synced.
//!
//! It keeps two images: *live*, what running code sees, and *durable*, what a power cut
//! leaves for certain. Between them lie the pending operations, in order; a crash keeps any
//! subset of them, and of a write any subset of its 512-byte sectors. After a crash or an
//! unplugging, handles and disk objects of before answer EIO, so nothing of the old life
//! can write into the new one.
//!
//! A `sync` that is made to fail marks the pages clean without writing them, as kernels do:
//! trying again succeeds and brings nothing back.

mod calls;
mod image;
#[cfg(test)]
pub(crate) mod stored;

use image::FileState;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a power cut does to pending operations.
#[derive(Clone, Copy, Debug)]
pub enum Crash {
    /// Each is kept, lost or torn, as this seed says.
    Seeded(u64),
    /// Operation `i` (in the order of [`SimDisk::pending`]) is kept whole if bit `i` is set.
    Keep(u64),
    /// Only the process ends: everything is kept.
    Kill,
}

/// A fault to come. Operations that change something are counted from the moment it is set,
/// the first being number 0.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Operation `nth` fails with this errno and does nothing; with `forever` so do all later ones.
    Fail { nth: u64, errno: i32, forever: bool },
    /// The power goes while operation `nth` is under way: it may be kept or torn like any
    /// pending one, and everything after it answers EIO.
    Cut { nth: u64 },
}

/// How often each operation was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub reads: u64,
    pub writes: u64,
    pub syncs: u64,
    pub dir_syncs: u64,
    pub renames: u64,
    pub removes: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Everything that changes something, syncs included.
    pub changes: u64,
    /// Faults that fired.
    pub faults: u64,
}

/// A change of names: durable once its directory was synced.
#[derive(Clone)]
struct NameOp {
    dir: PathBuf,
    files: Vec<(PathBuf, Option<u64>)>,
    dirs: Vec<(PathBuf, bool)>,
}

#[derive(Clone, Default)]
struct Names {
    files: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
}

impl Names {
    fn apply(&mut self, op: &NameOp) {
        for (path, there) in &op.dirs {
            if *there {
                self.dirs.insert(path.clone())
            } else {
                self.dirs.remove(path)
            };
        }
        for (path, id) in &op.files {
            match id {
                Some(id) => self.files.insert(path.clone(), *id),
                None => self.files.remove(path),
            };
        }
    }
}

struct Inner {
    live: Names,
    durable: Names,
    pending_names: Vec<NameOp>,
    files: BTreeMap<u64, FileState>,
    /// Files that lost a name and may be forgotten once nothing refers to them.
    unlinked: BTreeSet<u64>,
    next_id: u64,
    capacity: u64,
    used: u64,
    fault: Option<Fault>,
    fault_ops: u64,
    fail_reads: Option<i32>,
    fail_opens: Option<i32>,
    unplugged: bool,
    counts: Counts,
    watcher: Option<Watcher>,
}

/// Is given the disk as it is before each change, pending changes included. The disk is locked
/// meanwhile.
pub type Watcher = Box<dyn FnMut(SimDisk) + Send>;

/// The simulated disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

struct SimFile {
    inner: Arc<Mutex<Inner>>,
    id: u64,
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const DEFAULT_CAPACITY: u64 = 1 << 40;

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// What became of a counted operation.
enum Gate {
    Go,
    /// Leave it pending, then answer EIO.
    Cut,
}

impl Inner {
    fn new() -> Inner {
        Inner {
            live: Names::default(),
            durable: Names::default(),
            pending_names: Vec::new(),
            files: BTreeMap::new(),
            unlinked: BTreeSet::new(),
            next_id: 1,
            capacity: DEFAULT_CAPACITY,
            used: 0,
            fault: None,
            fault_ops: 0,
            fail_reads: None,
            fail_opens: None,
            unplugged: false,
            counts: Counts::default(),
            watcher: None,
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.unplugged { Err(errno(EIO)) } else { Ok(()) }
    }

    /// Counts a change and lets the fault, if it is due, strike.
    fn gate(&mut self) -> io::Result<Gate> {
        self.alive()?;
        if let Some(mut watcher) = self.watcher.take() {
            watcher(SimDisk::of(self.image()));
            self.watcher = Some(watcher);
        }
        self.counts.changes += 1;
        let now = self.fault_ops;
        self.fault_ops += 1;
        match self.fault {
            Some(Fault::Fail { nth, errno: code, forever }) if now == nth || (forever && now > nth) => {
                self.counts.faults += 1;
                Err(errno(code))
            }
            Some(Fault::Cut { nth }) if now == nth => {
                self.counts.faults += 1;
                self.unplugged = true;
                Ok(Gate::Cut)
            }
            _ => Ok(Gate::Go),
        }
    }

    /// The same disk at this moment, with nothing open and no faults.
    fn image(&self) -> Inner {
        let mut new = Inner::new();
        (new.next_id, new.capacity, new.used) = (self.next_id, self.capacity, self.used);
        new.live = self.live.clone();
        new.durable = self.durable.clone();
        new.pending_names = self.pending_names.clone();
        new.files = self.files.iter().map(|(id, file)| (*id, file.unopened())).collect();
        new.unlinked = self.unlinked.clone();
        new
    }

    fn after(gate: Gate) -> io::Result<()> {
        match gate {
            Gate::Go => Ok(()),
            Gate::Cut => Err(errno(EIO)),
        }
    }

    fn name_op(&mut self, op: NameOp) {
        for (path, _) in &op.files {
            if let Some(id) = self.live.files.get(path) {
                self.unlinked.insert(*id);
            }
        }
        self.live.apply(&op);
        self.pending_names.push(op);
        self.account();
    }

    /// Forgets files without a name, a handle, or a name that a crash could bring back.
    fn account(&mut self) {
        let candidates: Vec<u64> = self.unlinked.iter().copied().collect();
        for id in candidates {
            let named = |names: &Names| names.files.values().any(|x| *x == id);
            let pending = self.pending_names.iter().any(|op| op.files.iter().any(|(_, x)| *x == Some(id)));
            if named(&self.live) {
                self.unlinked.remove(&id);
            } else if !named(&self.durable) && !pending && self.files.get(&id).is_some_and(|f| f.handles == 0)
            {
                if let Some(file) = self.files.remove(&id) {
                    self.used = self.used.saturating_sub(file.allocated());
                }
                self.unlinked.remove(&id);
            }
        }
    }

    fn file(&mut self, id: u64) -> io::Result<&mut FileState> {
        self.alive()?;
        self.files.get_mut(&id).ok_or_else(|| errno(EIO))
    }

    /// Room for a file to become `len` long.
    fn charge(&mut self, id: u64, len: u64) -> io::Result<()> {
        let (capacity, used) = (self.capacity, self.used);
        let before = self.file(id)?.allocated();
        let after = before.max(FileState::round(len));
        if used + (after - before) > capacity {
            return Err(errno(ENOSPC));
        }
        self.used = used + (after - before);
        self.file(id)?.reserve(after);
        Ok(())
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk of a TiB.
    pub fn new() -> SimDisk {
        SimDisk { inner: Arc::new(Mutex::new(Inner::new())) }
    }

    fn of(inner: Inner) -> SimDisk {
        SimDisk { inner: Arc::new(Mutex::new(inner)) }
    }
    /// From now on `watcher` sees the disk before each change, or no longer does. What it sees
    /// before change n + 1, when crashed, are the states that a cut during change n leaves.
    pub fn watch(&self, watcher: Option<Watcher>) {
        self.inner.lock().watcher = watcher;
    }
    /// The disk as it is, pending changes included: crashing one of the two leaves the other.
    pub fn snapshot(&self) -> SimDisk {
        SimDisk::of(self.inner.lock().image())
    }
    /// A hash of what running code sees.
    pub fn fingerprint(&self) -> [u8; 32] {
        let inner = self.inner.lock();
        let mut hasher = blake3::Hasher::new();
        for (path, id) in &inner.live.files {
            hasher.update(path.as_os_str().as_encoded_bytes()).update(&[0]);
            if let Some(file) = inner.files.get(id) {
                file.hash(&mut hasher);
            }
        }
        *hasher.finalize().as_bytes()
    }
    /// The disk after a power cut; this one is unplugged.
    pub fn crash(&self, how: Crash) -> SimDisk {
        let mut old = self.inner.lock();
        old.unplugged = true;
        let mut choice = image::Choice::new(how);
        let mut new = Inner::new();
        (new.next_id, new.capacity) = (old.next_id, old.capacity);
        new.durable = Names { files: old.durable.files.clone(), dirs: old.durable.dirs.clone() };
        for op in &old.pending_names {
            if choice.keep() {
                new.durable.apply(op);
            }
        }
        for (id, file) in &old.files {
            new.files.insert(*id, file.crashed(&mut choice));
        }
        let dirs = new.durable.dirs.clone();
        new.durable.files.retain(|path, _| dirs.contains(&parent(path)));
        new.live = Names { files: new.durable.files.clone(), dirs };
        let named: BTreeSet<u64> = new.live.files.values().copied().collect();
        new.files.retain(|id, _| named.contains(id));
        new.used = new.files.values().map(FileState::allocated).sum();
        SimDisk { inner: Arc::new(Mutex::new(new)) }
    }

    /// How many operations a crash now would decide about.
    pub fn pending(&self) -> usize {
        let inner = self.inner.lock();
        inner.pending_names.len() + inner.files.values().map(|f| f.pending.len()).sum::<usize>()
    }
    /// Sets or clears the fault to come and restarts its count.
    pub fn set_fault(&self, fault: Option<Fault>) {
        let mut inner = self.inner.lock();
        (inner.fault, inner.fault_ops) = (fault, 0);
    }
    /// From now on reads fail with this errno, or no longer do.
    pub fn fail_reads(&self, code: Option<i32>) {
        self.inner.lock().fail_reads = code;
    }
    /// From now on no file is opened but with this errno, or they are again.
    pub fn fail_opens(&self, code: Option<i32>) {
        self.inner.lock().fail_opens = code;
    }
    /// The bytes that all files together may take.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner.lock().capacity = bytes;
    }
    /// Bytes taken by files.
    pub fn used(&self) -> u64 {
        self.inner.lock().used
    }
    pub fn counts(&self) -> Counts {
        self.inner.lock().counts
    }
    /// Every later call answers EIO.
    pub fn unplug(&self) {
        self.inner.lock().unplugged = true;
    }
    /// All files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.inner.lock().live.files.keys().cloned().collect()
    }
    /// Changes the bytes of a file behind everybody's back, on the medium too: bit rot. False
    /// when there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut inner = self.inner.lock();
        let Some(id) = inner.live.files.get(path).copied() else { return false };
        inner.files.get_mut(&id).is_some_and(|file| {
            let mut bytes = file.bytes();
            change(&mut bytes);
            file.replace(&bytes);
            true
        })
    }
    /// Flips one bit of a file on the medium, counted from its start.
    pub fn flip(&self, path: &Path, bit: u64) -> bool {
        let mut inner = self.inner.lock();
        let Some(id) = inner.live.files.get(path).copied() else { return false };
        inner.files.get_mut(&id).is_some_and(|file| file.flip(bit))
    }
    /// A new disk with the same live content, all of it durable, and no faults.
    pub fn copy(&self) -> SimDisk {
        let old = self.inner.lock();
        let mut new = Inner::new();
        (new.next_id, new.capacity, new.used) = (old.next_id, old.capacity, old.used);
        new.live = Names { files: old.live.files.clone(), dirs: old.live.dirs.clone() };
        new.durable = Names { files: old.live.files.clone(), dirs: old.live.dirs.clone() };
        for id in old.live.files.values() {
            if let Some(file) = old.files.get(id) {
                new.files.insert(*id, file.settled());
            }
        }
        SimDisk { inner: Arc::new(Mutex::new(new)) }
    }
}

#[cfg(test)]
mod tests;
