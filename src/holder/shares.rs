//! Share files: one per (account, share), `shares/<a>/<b>/<share>-<account>`.
//!
//! A file is a head of [`HEAD_LEN`] bytes, the share's bytes, and its hash tree (32 bytes
//! per 16 KiB). It is written as `incoming/<n>`, synced, renamed, and its directory synced,
//! before a lease is recorded. The head repeats the lease, so that a lease log that is damaged
//! or gone can be rebuilt from the files.

use crate::content::{Leaf, ProofEncoder, ProofError, ShareHasher, ShareTree, TREE_GROUP};
use crate::keys::{Purpose, ShareId, hash};
use crate::ledger::{LeaseKey, Path as Payers};
use crate::wire::{self, Day, Lease};
use crate::world::{DiskFile, Open, World};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Begins every share file.
pub const SHARE_MAGIC: [u8; 8] = *b"kithSHR1";
/// Bytes before a share's own.
pub const HEAD_LEN: u64 = 512;
/// Bytes of a proof put together at a time.
const PROOF_STEP: usize = 256 << 10;
/// Files that are no shares are set aside until they take so many bytes ...
const ASIDE_MAX: u64 = 1 << 30;
/// ... or are so many.
const ASIDE_FILES_MAX: usize = 1024;

/// What a share file says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShareHead {
    pub lease: Lease,
    pub payers: Payers,
    pub generation: u64,
    pub since: Day,
    pub until: Day,
}

impl ShareHead {
    /// Bytes of the file that begins with this head.
    pub fn file_len(&self) -> u64 {
        HEAD_LEN.saturating_add(self.lease.len).saturating_add(tree_len(self.lease.len))
    }
}

/// Why a share cannot be served. What is `Gone` or `Damaged` is lost; a disk that does not answer
/// as it should, or too many open files, says nothing of the share itself.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    #[error("the share's file is gone")]
    Gone,
    #[error("the share's file is damaged: {0}")]
    Damaged(String),
    #[error("the ranges asked for make no sense")]
    Ranges,
    #[error("the reading was cut short: {0}")]
    Stopped(String),
    #[error("{}: {what}: {why}", .file.display())]
    Disk { file: PathBuf, what: &'static str, why: String },
}

impl ShareError {
    /// What is said of it to others: nothing of where things lie on this machine.
    pub(super) fn told(&self) -> String {
        match self {
            ShareError::Disk { what, why, .. } => format!("{what}: {why}"),
            other => other.to_string(),
        }
    }
}

fn disk(file: &Path, what: &'static str) -> impl Fn(io::Error) -> ShareError {
    let file = file.to_path_buf();
    move |e| match e.kind() {
        io::ErrorKind::NotFound => ShareError::Gone,
        _ => ShareError::Disk { file: file.clone(), what, why: e.to_string() },
    }
}

/// The files below one directory. All calls block.
pub struct ShareFiles {
    world: World,
    root: PathBuf,
    next: AtomicU64,
    /// Fan-out directories known to exist durably.
    dirs: Mutex<BTreeSet<PathBuf>>,
}

/// A share that is arriving.
pub struct Incoming {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    hasher: ShareHasher,
    len: u64,
}

/// The file of a share that is kept.
struct KeptFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
}

/// A share that is on the medium, under its temporary name.
pub struct Arrived {
    pub path: PathBuf,
    pub id: ShareId,
}

impl ShareFiles {
    /// The files below `root`; what was arriving when the node stopped is removed.
    pub fn open(world: &World, root: &Path) -> Result<ShareFiles, ShareError> {
        let files = ShareFiles {
            world: world.clone(),
            root: root.to_path_buf(),
            next: AtomicU64::new(0),
            dirs: Mutex::new(BTreeSet::new()),
        };
        let (incoming, shares) = (files.incoming_dir(), root.join("shares"));
        for dir in [root, &incoming, &shares] {
            world.disk.create_dir_all(dir).map_err(disk(dir, "make directory"))?;
        }
        for (name, _) in world.disk.list(&incoming).map_err(disk(&incoming, "list"))? {
            let path = incoming.join(name);
            world.disk.remove(&path).map_err(disk(&path, "remove"))?;
        }
        world.disk.sync_dir(root).map_err(disk(root, "sync directory"))?;
        Ok(files)
    }

    fn incoming_dir(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// Where a share lies.
    pub fn path(&self, key: &LeaseKey) -> PathBuf {
        let (account, share) = (key.0.to_string(), key.1.to_string());
        self.root.join("shares").join(&share[..1]).join(&share[1..2]).join(format!("{share}-{account}"))
    }

    /// A new file for a share of `len` bytes.
    pub fn begin(&self, len: u64) -> Result<Incoming, ShareError> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.incoming_dir().join(n.to_string());
        // One left behind by a cancelled transfer of an earlier life was removed at opening.
        let file = self.world.disk.open(&path, Open::New).map_err(disk(&path, "make"))?;
        let total = HEAD_LEN + len + tree_len(len);
        file.preallocate(total).map_err(disk(&path, "reserve room"))?;
        Ok(Incoming { file, path, hasher: ShareHasher::new(), len: 0 })
    }

    /// Forget a file that did not become a share.
    pub fn discard(&self, path: &Path) {
        // If this fails, the next start removes it.
        let _ = self.world.disk.remove(path);
    }

    /// Give arrived files their names, durably: all renames, then one sync per directory.
    pub fn publish(&self, arrived: &[(PathBuf, LeaseKey)]) -> Result<(), ShareError> {
        let mut touched = BTreeSet::new();
        for (from, key) in arrived {
            let to = self.path(key);
            if let Some(dir) = to.parent() {
                self.make_dir(dir)?;
                touched.insert(dir.to_path_buf());
            }
            self.world.disk.rename(from, &to).map_err(disk(&to, "rename"))?;
        }
        touched.iter().try_for_each(|dir| self.world.disk.sync_dir(dir).map_err(disk(dir, "sync directory")))
    }

    fn make_dir(&self, dir: &Path) -> Result<(), ShareError> {
        let mut dirs = self.dirs.lock();
        if dirs.contains(dir) {
            return Ok(());
        }
        self.world.disk.create_dir_all(dir).map_err(disk(dir, "make directory"))?;
        for above in [dir.parent(), Some(self.root.join("shares").as_path())].into_iter().flatten() {
            self.world.disk.sync_dir(above).map_err(disk(above, "sync directory"))?;
        }
        dirs.insert(dir.to_path_buf());
        Ok(())
    }

    /// Remove a share's file; one that is gone already is fine.
    pub fn remove(&self, key: &LeaseKey) -> Result<(), ShareError> {
        let path = self.path(key);
        match self.world.disk.remove(&path).map_err(disk(&path, "remove")) {
            Err(ShareError::Gone) | Ok(()) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Bytes with proof for these ranges, every byte checked against the hash tree first.
    pub fn prove(
        &self,
        key: &LeaseKey,
        len: u64,
        ranges: &[Range<u64>],
        leaf: Leaf,
    ) -> Result<Vec<u8>, ShareError> {
        let kept = self.open_kept(key)?;
        let mut tree = vec![0; tree_len(len) as usize];
        kept.read_exact(&mut tree, HEAD_LEN + len)?;
        let tree = ShareTree::from_bytes(key.1, len, &tree).map_err(proof_error)?;
        let mut encoder = ProofEncoder::new(&tree, ranges, leaf).map_err(proof_error)?;
        let (mut out, mut failed) = (Vec::new(), None);
        // The proof's error keeps only the words: the disk's own is what tells rot from a disk
        // that fails for the moment.
        let mut read = |offset: u64, buf: &mut [u8]| {
            let read = kept.read_exact(buf, HEAD_LEN + offset);
            read.map_err(|e| failed.insert(e).to_string())
        };
        loop {
            let target = out.len() + PROOF_STEP;
            match encoder.fill(target, &mut read, &mut out) {
                Ok(true) => {}
                Ok(false) => return Ok(out),
                Err(e) => return Err(failed.unwrap_or_else(|| proof_error(e))),
            }
        }
    }

    /// A share's file. It counts as gone only where the directory of shares is there to say so,
    /// and not when the disk that has it is not mounted.
    fn open_kept(&self, key: &LeaseKey) -> Result<KeptFile, ShareError> {
        let path = self.path(key);
        let opened = self.world.disk.open(&path, Open::Existing).map_err(disk(&path, "open"));
        match opened {
            Ok(file) => Ok(KeptFile { file, path }),
            Err(ShareError::Gone) => {
                let shares = self.root.join("shares");
                let there = self.world.disk.list_dirs(&shares);
                there.map_err(|e| ShareError::Disk { file: shares, what: "list", why: e.to_string() })?;
                Err(ShareError::Gone)
            }
            Err(e) => Err(e),
        }
    }

    /// A share's own bytes, not checked.
    pub fn bytes(&self, key: &LeaseKey, len: u64) -> Result<Vec<u8>, ShareError> {
        let mut bytes = vec![0; len as usize];
        self.open_kept(key)?.read_exact(&mut bytes, HEAD_LEN)?;
        Ok(bytes)
    }

    /// All share files: paths, and what they say of themselves (None when it is damaged).
    pub fn scan(&self) -> Result<Vec<(PathBuf, u64)>, ShareError> {
        let top = self.root.join("shares");
        let mut found = Vec::new();
        for a in self.world.disk.list_dirs(&top).map_err(disk(&top, "list"))? {
            let first = top.join(a);
            for b in self.world.disk.list_dirs(&first).map_err(disk(&first, "list"))? {
                let second = first.join(b);
                for (name, len) in self.world.disk.list(&second).map_err(disk(&second, "list"))? {
                    found.push((second.join(name), len));
                }
            }
        }
        Ok(found)
    }

    /// What a file's head says, if it is whole; an error when that cannot be known now.
    pub fn head(&self, path: &Path) -> Result<Option<ShareHead>, ShareError> {
        let file = self.world.disk.open(path, Open::Existing).map_err(disk(path, "open"))?;
        let mut head = vec![0; HEAD_LEN as usize];
        match (KeptFile { file, path: path.to_path_buf() }).read_exact(&mut head, 0) {
            Ok(()) => Ok(decode_head(&head)),
            Err(ShareError::Damaged(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Move a file found by [`ShareFiles::scan`] out of the way; None, and nothing done, when
    /// what was moved before takes too much.
    pub fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>, ShareError> {
        let dir = self.root.join("aside");
        self.world.disk.create_dir_all(&dir).map_err(disk(&dir, "make directory"))?;
        let there = self.world.disk.list(&dir).map_err(disk(&dir, "list"))?;
        let taken = there.iter().fold(0u64, |sum, (_, len)| sum.saturating_add(*len));
        let Some(name) = path.file_name().filter(|_| taken < ASIDE_MAX && there.len() < ASIDE_FILES_MAX)
        else {
            return Ok(None);
        };
        let to = (0..).map(|n| dir.join(format!("{}.{n}", name.to_string_lossy())));
        let free = |to: &PathBuf| !there.iter().any(|(name, _)| to.ends_with(name));
        let Some(to) = to.take(ASIDE_FILES_MAX + 1).find(free) else { return Ok(None) };
        self.world.disk.rename(path, &to).map_err(disk(path, "rename"))?;
        self.world.disk.sync_dir(&dir).map_err(disk(&dir, "sync directory"))?;
        Ok(Some(to))
    }

    /// Remove a file found by [`ShareFiles::scan`].
    pub fn remove_path(&self, path: &Path) -> Result<(), ShareError> {
        self.world.disk.remove(path).map_err(disk(path, "remove"))
    }
}

impl Incoming {
    /// Take in the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ShareError> {
        self.hasher.update(bytes);
        self.file.write_at(bytes, HEAD_LEN + self.len).map_err(disk(&self.path, "write"))?;
        self.len += bytes.len() as u64;
        Ok(())
    }
    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// The file's temporary path.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Write head and tree and sync. The caller compares the id.
    pub fn finish(self, head: &ShareHead) -> Result<Arrived, ShareError> {
        let tree = self.hasher.finish();
        let error = |what| disk(&self.path, what);
        self.file.write_at(&tree.to_bytes(), HEAD_LEN + self.len).map_err(error("write"))?;
        self.file.write_at(&encode_head(head), 0).map_err(error("write"))?;
        self.file.sync().map_err(error("sync"))?;
        Ok(Arrived { path: self.path, id: tree.id() })
    }
}

/// Bytes of the hash tree kept behind a share.
pub fn tree_len(len: u64) -> u64 {
    len.div_ceil(TREE_GROUP as u64).max(1) * 32
}

/// `magic (8) | length (u32) | postcard | checksum (32) | zeros`.
fn encode_head(head: &ShareHead) -> Vec<u8> {
    let body = wire::encode(head);
    let mut out = Vec::with_capacity(HEAD_LEN as usize);
    out.extend_from_slice(&SHARE_MAGIC);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&hash(Purpose::DiskChecksum, &[b"share head", &body]).0);
    out.resize(HEAD_LEN as usize, 0);
    out
}

fn decode_head(bytes: &[u8]) -> Option<ShareHead> {
    let rest = bytes.strip_prefix(&SHARE_MAGIC)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    let body = rest.get(..len)?;
    let sum = rest.get(len..len.checked_add(32)?)?;
    if hash(Purpose::DiskChecksum, &[b"share head", body]).0 != *sum {
        return None;
    }
    wire::decode(body).ok()
}

impl KeptFile {
    fn read_exact(&self, buf: &mut [u8], offset: u64) -> Result<(), ShareError> {
        let mut have = 0;
        while have < buf.len() {
            let got = self.file.read_at(&mut buf[have..], offset + have as u64);
            match got.map_err(disk(&self.path, "read"))? {
                0 => return Err(ShareError::Damaged("it is too short".into())),
                n => have += n,
            }
        }
        Ok(())
    }
}

fn proof_error(e: ProofError) -> ShareError {
    match e {
        ProofError::Ranges => ShareError::Ranges,
        other => ShareError::Damaged(other.to_string()),
    }
}
