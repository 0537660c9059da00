//! A disk without room: sled is given nothing, everything is answered, and goes on with room.

use super::*;
use crate::store::sled_index::room::ALL_MAX;
use std::sync::atomic::AtomicU64;

const ENOUGH: u64 = 1 << 40;

struct Disk {
    dir: TempDir,
    free: Arc<AtomicU64>,
}

impl Disk {
    fn new() -> Disk {
        Disk { dir: TempDir::new().unwrap(), free: Arc::new(AtomicU64::new(ENOUGH)) }
    }
    fn indexes(&self) -> SledIndexes {
        let free = self.free.clone();
        SledIndexes { free: Arc::new(move |_| free.load(Ordering::Relaxed)) }
    }
    fn open(&self) -> Result<Opened, TableError> {
        self.indexes().open(&self.dir.path().join("index"), &KEY)
    }
    /// What it says that opening takes.
    fn needed(&self) -> u64 {
        self.indexes().room_to_open(&self.dir.path().join("index"))
    }
    fn has(&self, free: u64) {
        self.free.store(free, Ordering::Relaxed);
    }
}

/// The `n`th batch: 64 values, some of an earlier batch.
fn batch(n: u64) -> Batch {
    let numbers = (n * 50..n * 50 + 64).map(|i| (key(i), Some([value(i + n), vec![7; 400]].concat())));
    Batch { writes: numbers.chain([(key(n * 30), None)]).collect() }
}

fn same(index: &dyn Index, model: &MemIndex, batches: u64) {
    for n in 0..batches * 50 + 64 {
        assert_eq!(index.get(&key(n)).unwrap(), model.get(&key(n)).unwrap(), "{n}");
    }
    for (table, group) in (0..3).flat_map(|t| (0..7).map(move |g| (t, [g]))) {
        let all = index.scan(table, &group, None, usize::MAX).unwrap();
        assert!(all == model.scan(table, &group, None, usize::MAX).unwrap(), "{table} {group:?}");
    }
}

#[test]
fn names_wait_in_memory_up_to_a_bound_and_all_is_answered() {
    let disk = Disk::new();
    let model = MemIndex::new(&KEY);
    let Opened { index, .. } = disk.open().unwrap();
    let (mut ordinary, mut urgent, mut all) = (0, 0, 0);
    for n in 0.. {
        if n == 10 {
            disk.has(1 << 20);
        }
        match index.commit(batch(n)) {
            Ok(()) => model.commit(batch(n)).unwrap(),
            Err(e) => {
                assert!(e.0.contains("no room"), "{e}");
                all = n;
                break;
            }
        }
        ordinary += u64::from(index.has_room(false));
        urgent += u64::from(index.has_room(true));
    }
    assert!(10 < ordinary && ordinary < urgent && urgent < all, "{ordinary} {urgent} {all}");
    assert!(all < 2 * ALL_MAX as u64 / (64 * 400), "memory has a bound: {all}");
    same(&*index, &model, all);
    index.flush().unwrap();
    assert!(!index.has_room(true), "a flush makes no room");
    disk.has(ENOUGH);
    assert!(index.has_room(false) && index.has_room(true));
    index.commit(batch(all)).unwrap();
    model.commit(batch(all)).unwrap();
    same(&*index, &model, all + 1);
    index.close().unwrap();
    drop(index);
    let again = disk.open().unwrap();
    assert_eq!(again.found, Found::All);
    same(&*again.index, &model, all + 1);
}

#[test]
fn closed_without_room_it_is_as_after_a_kill() {
    let disk = Disk::new();
    let model = MemIndex::new(&KEY);
    let Opened { index, .. } = disk.open().unwrap();
    let mut moved = 0;
    for n in 0..400 {
        if n == 300 {
            // All of these were moved, and are in files beside sled until it is synced.
            index.flush().unwrap();
            disk.has(0);
            moved = n;
        }
        index.commit(batch(n)).unwrap();
        if moved == 0 {
            model.commit(batch(n)).unwrap();
        }
    }
    index.close().unwrap();
    drop(index);
    let refused = disk.open().err().expect("there is no room to open it");
    assert!(refused.0.contains("no room on the disk"), "{refused}");
    disk.has(ENOUGH);
    let again = disk.open().unwrap();
    assert_eq!(again.found, Found::Older, "and it was not thrown away");
    same(&*again.index, &model, moved);
}

#[test]
fn what_is_kept_beside_sled_must_fit_in_too() {
    let disk = Disk::new();
    let Opened { index, .. } = disk.open().unwrap();
    for n in 0..100 {
        index.commit(batch(n)).unwrap();
    }
    disk.has(0);
    index.close().unwrap();
    drop(index);
    let needed = disk.needed();
    assert!(needed > 9 << 20, "{needed}");
    for short in [9 << 20, needed - 1] {
        disk.has(short);
        let refused = disk.open().err().expect("some of it was moved and is kept");
        assert!(refused.0.contains("no room on the disk"), "{refused}");
    }
    disk.has(needed);
    let again = disk.open().unwrap();
    assert_eq!(again.found, Found::Older, "and it was not thrown away");
    assert!(again.index.get(&key(5)).unwrap().is_some());
}
