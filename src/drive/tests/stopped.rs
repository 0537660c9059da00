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
