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

mod image;

use super::{Disk, DiskFile, Open, Space};
use image::{FileState, Pending};
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

#[derive(Default)]
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
    unplugged: bool,
    counts: Counts,
}

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
            unplugged: false,
            counts: Counts::default(),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.unplugged { Err(errno(EIO)) } else { Ok(()) }
    }

    /// Counts a change and lets the fault, if it is due, strike.
    fn gate(&mut self) -> io::Result<Gate> {
        self.alive()?;
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

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        let id = match (inner.live.files.get(path).copied(), how) {
            (Some(_), Open::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, Open::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (Some(id), _) => id,
            (None, _) => {
                let dir = parent(path);
                if !inner.live.dirs.contains(&dir) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let gate = inner.gate()?;
                let id = inner.next_id;
                inner.next_id += 1;
                inner.files.insert(id, FileState::default());
                let files = vec![(path.to_path_buf(), Some(id))];
                inner.name_op(NameOp { dir, files, dirs: Vec::new() });
                Inner::after(gate)?;
                id
            }
        };
        inner.file(id)?.handles += 1;
        Ok(Arc::new(SimFile { inner: self.inner.clone(), id }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        if inner.live.dirs.contains(path) {
            return Ok(());
        }
        let gate = inner.gate()?;
        for dir in path.ancestors() {
            inner.live.dirs.insert(dir.to_path_buf());
            inner.durable.dirs.insert(dir.to_path_buf());
        }
        Inner::after(gate)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        let mut op = NameOp { dir: parent(to), files: Vec::new(), dirs: Vec::new() };
        if let Some(id) = inner.live.files.get(from).copied() {
            op.files = vec![(from.to_path_buf(), None), (to.to_path_buf(), Some(id))];
        } else if inner.live.dirs.contains(from) {
            if inner.live.files.keys().any(|p| p.starts_with(to)) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let moved = |p: &Path| to.join(p.strip_prefix(from).unwrap_or(Path::new("")));
            for (path, id) in inner.live.files.iter().filter(|(p, _)| p.starts_with(from)) {
                op.files.push((path.clone(), None));
                op.files.push((moved(path), Some(*id)));
            }
            for dir in inner.live.dirs.iter().filter(|p| p.starts_with(from)) {
                op.dirs.push((dir.clone(), false));
                let new = moved(dir);
                // `join("")` adds a slash that would not compare equal in a set of paths' bytes.
                op.dirs.push((new.components().collect(), true));
            }
        } else {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !inner.live.dirs.contains(&op.dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let gate = inner.gate()?;
        inner.counts.renames += 1;
        inner.name_op(op);
        Inner::after(gate)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        if !inner.live.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let gate = inner.gate()?;
        inner.counts.removes += 1;
        let files = vec![(path.to_path_buf(), None)];
        inner.name_op(NameOp { dir: parent(path), files, dirs: Vec::new() });
        Inner::after(gate)
    }

    /// Each file goes by itself, so that a crash may leave any part; then the directories.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        if !inner.live.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let gate = inner.gate()?;
        inner.counts.removes += 1;
        let dir = parent(path);
        let under = |p: &&PathBuf| p.starts_with(path);
        let files: Vec<PathBuf> = inner.live.files.keys().filter(under).cloned().collect();
        for file in files {
            let files = vec![(file, None)];
            inner.name_op(NameOp { dir: dir.clone(), files, dirs: Vec::new() });
        }
        let dirs = inner.live.dirs.iter().filter(under).map(|d| (d.clone(), false)).collect();
        inner.name_op(NameOp { dir, files: Vec::new(), dirs });
        Inner::after(gate)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let inner = self.inner.lock();
        inner.alive()?;
        if !inner.live.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut found = Vec::new();
        for (path, id) in inner.live.files.iter().filter(|(p, _)| p.parent() == Some(dir)) {
            if let (Some(name), Some(file)) = (path.file_name(), inner.files.get(id)) {
                found.push((name.to_string_lossy().into_owned(), file.len()));
            }
        }
        found.sort();
        Ok(found)
    }

    fn list_dirs(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.inner.lock();
        inner.alive()?;
        if !inner.live.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = inner.live.dirs.iter().filter(|p| p.parent() == Some(dir));
        let mut found: Vec<String> =
            names.filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).collect();
        found.sort();
        Ok(found)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        Inner::after(inner.gate()?)?;
        inner.counts.dir_syncs += 1;
        let (done, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inner.pending_names).into_iter().partition(|op| op.dir == dir);
        for op in &done {
            inner.durable.apply(op);
        }
        inner.pending_names = rest;
        inner.account();
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let inner = self.inner.lock();
        inner.alive()?;
        Ok(Space { free: inner.capacity.saturating_sub(inner.used), total: inner.capacity })
    }
}

impl SimFile {
    fn change(&self, end: Option<u64>, op: Pending) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let gate = inner.gate()?;
        if let Some(end) = end {
            // A power cut is no excuse for running out of room: a lost write needs none.
            match (inner.unplugged, &gate) {
                (true, Gate::Cut) => {}
                _ => inner.charge(self.id, end)?,
            }
        }
        let file = inner.files.get_mut(&self.id).ok_or_else(|| errno(EIO))?;
        file.change(op);
        Inner::after(gate)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.inner.lock();
        if let Some(code) = inner.fail_reads {
            return Err(errno(code));
        }
        let n = inner.file(self.id)?.read(buf, offset);
        inner.counts.reads += 1;
        inner.counts.bytes_read += n as u64;
        Ok(n)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        {
            let mut inner = self.inner.lock();
            inner.counts.writes += 1;
            inner.counts.bytes_written += buf.len() as u64;
        }
        self.change(Some(offset + buf.len() as u64), Pending::Write { offset, data: buf.into() })
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(None, Pending::SetLen(len))
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner.lock().file(self.id)?.len())
    }
    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        match inner.gate() {
            Ok(gate) => Inner::after(gate)?,
            Err(e) => {
                if let Some(file) = inner.files.get_mut(&self.id) {
                    file.forget();
                }
                return Err(e);
            }
        }
        inner.counts.syncs += 1;
        inner.file(self.id)?.sync();
        Ok(())
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.change(Some(len), Pending::Extend(len))
    }
    /// Reads as zeros; the room is still counted as used.
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<bool> {
        let data = vec![0; len as usize].into_boxed_slice();
        self.change(None, Pending::Write { offset, data })?;
        Ok(true)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut inner = self.inner.lock();
        if let Some(file) = inner.files.get_mut(&self.id) {
            file.handles = file.handles.saturating_sub(1);
        }
        if inner.unlinked.contains(&self.id) {
            inner.account();
        }
    }
}

#[cfg(test)]
mod tests;
