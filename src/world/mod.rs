//! The narrow traits through which every I/O room reaches the world, and their real forms.
//!
//! A node is given one [`World`]. The real one is thin; the village's is simulated from a
//! seed: virtual time, links that lose packets, disks that forget what was not synced.
//! Sleeping and timeouts go through `tokio::time`, which the village pauses. In code that
//! runs in the village: `select!` is always `biased`, nothing depends on the iteration
//! order of a HashMap, blocking work goes through [`World::blocking`], and no thread is
//! started.

use crate::tree::{Batch, Table, TableError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod apart;
mod mem_index;
mod real;
mod sim_disk;

pub use apart::{is_apart, run_apart};
pub use mem_index::{BLINDED_LEN, Blinded, Blinder, MemIndex, MemIndexes, cursor_of, take_page};
pub use real::{OsRng, RealDisk, RealNet, SystemClock};
#[cfg(test)]
pub(crate) use sim_disk::stored;
pub use sim_disk::{Counts, Crash, Fault, SimDisk};

/// Wall and monotonic time.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970 by this machine's clock, which may be wrong by decades.
    fn now_ns(&self) -> i64;
    /// Time since some fixed moment of this run; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Random bytes for keys, tickets and incarnations.
pub trait Rng: Send + Sync + 'static {
    fn fill(&self, out: &mut [u8]);
}

/// Room on the filesystem below a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub free: u64,
    pub total: u64,
}

/// How a file is opened: readable and writable (but for `Read`), mode 0600. What may be written
/// is never reached through a symbolic link: somebody may have planted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Only to be read: works on a read-only filesystem, on an immutable file, through a link.
    Read,
    Existing,
    OrCreate,
    New,
}

/// A disk: blocking calls, to be made inside [`World::blocking`].
///
/// Crash model: `write_at` and `set_len` are lost, whole or torn, unless `sync` returned;
/// `rename`, `remove` and creation are lost unless `sync_dir` of the directory returned.
pub trait Disk: Send + Sync + 'static {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Mode 0700; durable when it returns, parents included.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names and lengths of the plain files in a directory, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>>;
    /// Names of the directories in a directory, sorted.
    fn list_dirs(&self, dir: &Path) -> io::Result<Vec<String>>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Bytes read; fewer than asked only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf`.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Data and what is needed to reach it are on the medium (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// Reserve room; the file is at least `len` long then. Where the filesystem cannot
    /// reserve, only the length is promised.
    fn preallocate(&self, len: u64) -> io::Result<()>;
    /// Give the room of a range back; it reads as zeros then. False, and nothing done, where
    /// the filesystem cannot.
    fn punch_hole(&self, _offset: u64, _len: u64) -> io::Result<bool> {
        Ok(false)
    }
}

/// Sockets and timers for quinn.
pub trait Net: Send + Sync + 'static {
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>>;
    fn runtime(&self) -> Arc<dyn quinn::Runtime>;
    /// A seed for quinn's own randomness, where the world is deterministic.
    fn rng_seed(&self) -> Option<[u8; 32]>;
    /// Addresses other machines may reach a socket bound to `bound` at.
    fn reachable(&self, bound: SocketAddr) -> Vec<SocketAddr>;
}

/// An ordered key-value store in which everything can be rebuilt.
pub trait Index: Table + Send + Sync + 'static {
    /// All of a batch or none of it becomes visible at once; durable some time later.
    fn commit(&self, batch: Batch) -> Result<(), TableError>;
    /// Everything committed so far is durable when this returns (blocking), unless its disk has no
    /// room for it now.
    fn flush(&self) -> Result<(), TableError>;
    /// Whether there is room for more. `urgent`: for what makes room.
    fn has_room(&self, _urgent: bool) -> bool {
        true
    }
    /// Mark a clean end; without it the next open starts empty, or older.
    fn close(&self) -> Result<(), TableError>;
    /// Nothing in it is trusted at the next open.
    fn doubt(&self) {}
    /// End without a mark: it does not follow what it stands on.
    fn leave(&self) -> Result<(), TableError> {
        Ok(())
    }
}

/// An index as opened.
pub struct Opened {
    pub index: Arc<dyn Index>,
    pub found: Found,
}

/// What was found in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is empty: new, damaged, or not to be trusted after a power cut.
    Nothing,
    /// What it was after some commit; the process was killed before later ones were kept.
    Older,
    /// All that was committed.
    All,
}

/// Opens indexes. `key` seals values and blinds keys.
pub trait Indexes: Send + Sync + 'static {
    fn open(&self, dir: &Path, key: &[u8; 32]) -> Result<Opened, TableError>;
    /// Bytes that must be free to open the one in `dir`.
    fn room_to_open(&self, _dir: &Path) -> u64 {
        0
    }
}

/// How blocking work is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    Threads,
    Inline,
}

/// Everything a node may know of the outside.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub disk: Arc<dyn Disk>,
    pub net: Arc<dyn Net>,
    pub indexes: Arc<dyn Indexes>,
    pub blocking: Blocking,
}

/// Where a node keeps its things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Keys, journal, entries, own segments: must not be lost.
    pub state: PathBuf,
    /// What can be fetched again.
    pub cache: PathBuf,
    /// Shares held for others.
    pub lent: PathBuf,
}

impl World {
    /// Run blocking work off the async workers, where a panic in it becomes an error (in the village,
    /// and for what runs apart: here and now).
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        match self.blocking {
            Blocking::Inline => Ok(work()),
            Blocking::Threads if is_apart() => Ok(work()),
            Blocking::Threads => tokio::task::spawn_blocking(work)
                .await
                .map_err(|e| io::Error::other(format!("blocking work failed: {e}"))),
        }
    }
    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.rng.fill(&mut out);
        out
    }
    /// Milliseconds since 1970 by this machine's clock.
    pub fn now_ms(&self) -> u64 {
        (self.clock.now_ns() / 1_000_000).max(0) as u64
    }
}
