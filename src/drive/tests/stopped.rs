//! An index that fails: it can be made anew, what stands on it cannot.

use super::*;
use crate::promises::promise;
use crate::tree::{Batch, Cursor, Key, Table, TableError};
use crate::world::{Found, Index, MemIndex, Opened};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Indexes whose commits fail while that is wanted; each one opened is empty.
#[derive(Default)]
struct Failing(Arc<AtomicBool>);
struct FailingIndex(MemIndex, Arc<AtomicBool>);

impl Indexes for Failing {
    fn open(&self, _dir: &Path, key: &[u8; 32]) -> std::result::Result<Opened, TableError> {
        let index = Arc::new(FailingIndex(MemIndex::new(key), self.0.clone()));
        Ok(Opened { index, found: Found::Nothing })
    }
}

impl Table for FailingIndex {
    fn get(&self, key: &Key) -> std::result::Result<Option<Vec<u8>>, TableError> {
        self.0.get(key)
    }
    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> std::result::Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        self.0.scan(table, group, after, limit)
    }
}

impl Index for FailingIndex {
    fn commit(&self, batch: Batch) -> std::result::Result<(), TableError> {
        match self.1.load(Ordering::Relaxed) {
            true => Err(TableError("failed before".into())),
            false => self.0.commit(batch),
        }
    }
    fn flush(&self) -> std::result::Result<(), TableError> {
        Ok(())
    }
    fn close(&self) -> std::result::Result<(), TableError> {
        Ok(())
    }
}

/// Appends to files again and again, with pauses in which they settle; what was synced. `fails_at`:
/// the round in which the index begins to fail.
async fn append(m: &Machine, fails: &AtomicBool, fails_at: usize) -> Vec<Vec<u8>> {
    let mut synced = vec![Vec::new(); 3];
    let mut written = synced.clone();
    for round in 0..8 {
        if round == fails_at {
            fails.store(true, Ordering::Relaxed);
        }
        for (i, text) in written.iter_mut().enumerate() {
            text.extend_from_slice(format!("round {round} of {i}\n").as_bytes());
            let name = format!("f{i}");
            if m.write(&name, text).await.is_ok() && m.fsync(&name).await.is_ok() {
                synced[i] = text.clone();
            }
        }
        tokio::time::sleep(Duration::from_secs([1, 6, 40][round % 3])).await;
    }
    synced
}

#[tokio::test(start_paused = true)]
async fn after_an_index_failed_nothing_is_said_to_be_synced_that_is_not() {
    promise(
        "After an error in this machine's index writes are refused, and nothing is said to be synced that is not.",
    );
    for (fails_at, kill) in (0..8).flat_map(|at| [(at, false), (at, true)]) {
        let (grid, founding) = (MemGrid::new(3), found(1));
        let indexes = Failing::default();
        let fails = indexes.0.clone();
        let m = Machine::with(Arc::new(SimDisk::new()), Arc::new(indexes), &founding, 0, &grid).await;
        let synced = append(&m, &fails, fails_at).await;
        let status = m.drive.status();
        assert!(status.failed.is_some() && status.read_only, "at {fails_at}: {status:#?}");
        fails.store(false, Ordering::Relaxed);
        let m = if kill { m.crash(Crash::Keep(0)).await } else { m.restart().await };
        for (i, text) in synced.iter().enumerate() {
            let have = m.read(&format!("f{i}")).await.unwrap_or_default();
            assert!(
                have.starts_with(text),
                "f{i}, failing at {fails_at}, kill {kill}: {} of {}",
                have.len(),
                text.len()
            );
        }
        let names = m.names("");
        assert!(names.iter().all(|n| !n.contains("conflict")), "{names:?}, failing at {fails_at}");
        m.write("after", b"it goes on").await.expect("written");
    }
}

/// An index that outlives its process, and one record of which cannot be read from some moment on.
#[derive(Default)]
struct Damaged(Arc<Mutex<Damage>>);
#[derive(Default)]
struct Damage {
    index: Option<Arc<MemIndex>>,
    /// Whether the last end was a clean one.
    closed: bool,
    doubted: bool,
    /// After so many more reads the next one meets it.
    reads: Option<u64>,
    record: Option<Key>,
    found: Vec<Found>,
}
struct DamagedIndex(Arc<MemIndex>, Arc<Mutex<Damage>>);

impl Indexes for Damaged {
    fn open(&self, _dir: &Path, key: &[u8; 32]) -> std::result::Result<Opened, TableError> {
        let mut damage = self.0.lock();
        if std::mem::take(&mut damage.doubted) {
            (damage.index, damage.record) = (None, None);
        }
        let closed = std::mem::take(&mut damage.closed);
        let found = match damage.index {
            None => Found::Nothing,
            Some(_) if closed => Found::All,
            Some(_) => Found::Older,
        };
        damage.found.push(found);
        let index = damage.index.get_or_insert_with(|| Arc::new(MemIndex::new(key))).clone();
        Ok(Opened { index: Arc::new(DamagedIndex(index, self.0.clone())), found })
    }
}

impl Table for DamagedIndex {
    fn get(&self, key: &Key) -> std::result::Result<Option<Vec<u8>>, TableError> {
        let mut damage = self.1.lock();
        match &mut damage.reads {
            Some(0) => (damage.record, damage.reads) = (Some(key.clone()), None),
            Some(reads) => *reads -= 1,
            None => {}
        }
        if damage.record.as_ref() == Some(key) {
            return Err(TableError("a page is not what was written there".into()));
        }
        self.0.get(key)
    }
    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> std::result::Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        self.0.scan(table, group, after, limit)
    }
}

impl Index for DamagedIndex {
    fn commit(&self, batch: Batch) -> std::result::Result<(), TableError> {
        self.0.commit(batch)
    }
    fn flush(&self) -> std::result::Result<(), TableError> {
        Ok(())
    }
    fn close(&self) -> std::result::Result<(), TableError> {
        self.1.lock().closed = true;
        Ok(())
    }
    fn doubt(&self) {
        self.1.lock().doubted = true;
    }
}

/// The journal has a change that the tree could not take: whatever the tree met is not met again.
#[tokio::test(start_paused = true)]
async fn an_index_that_the_tree_stumbled_over_is_made_anew() {
    for kill in [false, true] {
        let mut stopped = 0;
        for nth in 0.. {
            let (grid, founding) = (MemGrid::new(0), found(1));
            let indexes = Arc::new(Damaged::default());
            let damage = indexes.0.clone();
            let m = Machine::with(Arc::new(SimDisk::new()), indexes, &founding, 0, &grid).await;
            m.write("before", b"before").await.expect("written");
            tokio::time::sleep(Duration::from_secs(10)).await;
            damage.lock().reads = Some(nth);
            let made = m.drive.mkdir(ROOT_INO, b"made", 0o755, ME);
            if damage.lock().reads.take().is_some() {
                assert!(made.is_ok(), "{made:?}");
                break;
            }
            if !m.drive.status().read_only {
                // It was met before anything was told of the change, or after.
                continue;
            }
            stopped += 1;
            let context = format!("read {nth}, kill {kill}");
            assert!(m.write("more", b"more").await.is_err(), "{context}");
            tokio::time::sleep(Duration::from_secs(2)).await;
            let m = if kill { m.crash(Crash::Keep(0)).await } else { m.restart().await };
            assert_eq!(damage.lock().found, [Found::Nothing, Found::Nothing], "{context}");
            assert_eq!(m.names(""), ["before", "made"], "{context}");
            assert_eq!(m.read("before").await, Ok(b"before".to_vec()), "{context}");
            m.write("after", b"it goes on").await.expect("written");
        }
        assert!(stopped > 1, "the tree met it {stopped} times");
    }
}
