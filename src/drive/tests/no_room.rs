//! An index whose disk has no room: what takes room is refused before anything is told of it, all
//! else goes on.

use super::*;
use crate::promises::promise;
use crate::tree::{Batch, Cursor, Key, Table, TableError};
use crate::world::{Disk, Fault, Found, Index, MemIndex, Open, Opened};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const PLENTY: u8 = 0;
/// Only what makes room is taken.
const LITTLE: u8 = 1;
const NONE: u8 = 2;

/// The room there is, and how indexes ended.
#[derive(Default)]
struct Short(Arc<AtomicU8>, Arc<Mutex<Vec<&'static str>>>);
struct ShortIndex(MemIndex, Arc<AtomicU8>, Arc<Mutex<Vec<&'static str>>>);

impl Indexes for Short {
    fn open(&self, _dir: &Path, key: &[u8; 32]) -> std::result::Result<Opened, TableError> {
        let index = Arc::new(ShortIndex(MemIndex::new(key), self.0.clone(), self.1.clone()));
        Ok(Opened { index, found: Found::Nothing })
    }
}

impl Table for ShortIndex {
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

impl Index for ShortIndex {
    fn commit(&self, batch: Batch) -> std::result::Result<(), TableError> {
        assert!(self.has_room(true), "given what it has no room for: {} writes", batch.writes.len());
        self.0.commit(batch)
    }
    fn flush(&self) -> std::result::Result<(), TableError> {
        Ok(())
    }
    fn has_room(&self, urgent: bool) -> bool {
        match self.1.load(Ordering::Relaxed) {
            PLENTY => true,
            LITTLE => urgent,
            _ => false,
        }
    }
    fn close(&self) -> std::result::Result<(), TableError> {
        self.2.lock().push("closed");
        Ok(())
    }
    fn leave(&self) -> std::result::Result<(), TableError> {
        self.2.lock().push("left");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_has_more_than_the_journal_has_no_clean_end() {
    let (grid, founding) = (MemGrid::new(0), found(1));
    let indexes = Arc::new(Short::default());
    let ended = indexes.1.clone();
    let m = Machine::with(Arc::new(SimDisk::new()), indexes, &founding, 0, &grid).await;
    m.write("a", b"a").await.expect("written");
    let m = m.restart().await;
    assert_eq!(*ended.lock(), ["closed"]);
    m.disk.set_fault(Some(Fault::Fail { nth: 0, errno: 28, forever: true }));
    let _ = m.write("b", b"b").await;
    m.drive.close().await;
    assert_eq!(*ended.lock(), ["closed", "left"]);
}

#[tokio::test(start_paused = true)]
async fn names_are_refused_while_the_index_has_no_room_and_go_on_with_it() {
    promise(
        "Names are refused with ENOSPC while this machine's disk has no room for its index, and taken again when it has.",
    );
    let (grid, founding) = (MemGrid::new(3), found(2));
    let indexes = Short::default();
    let room = indexes.0.clone();
    let a = Machine::with(Arc::new(SimDisk::new()), Arc::new(indexes), &founding, 0, &grid).await;
    let b = Machine::start(&founding, 1, &grid).await;
    a.write("kept", b"kept").await.expect("written");
    a.write("goes", b"goes").await.expect("written");
    a.full().await;
    room.store(LITTLE, Ordering::Relaxed);
    assert_eq!(a.write("new", b"x").await, Err(Error::NoSpace));
    assert_eq!(a.drive.mkdir(ROOT_INO, b"d", 0o755, ME).map(|_| ()), Err(Error::NoSpace));
    a.drive.unlink(ROOT_INO, b"goes", ME).expect("deleting makes room");
    room.store(NONE, Ordering::Relaxed);
    assert_eq!(a.drive.unlink(ROOT_INO, b"kept", ME), Err(Error::NoSpace));
    assert_eq!(a.read("kept").await, Ok(b"kept".to_vec()));
    // What friends write meanwhile is not lost, and nothing of it is begun here.
    b.write("of b", b"of b").await.expect("written");
    b.full().await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(a.names(""), ["kept"]);
    let status = a.drive.status();
    assert!(status.failed.is_none() && !status.read_only, "{status:#?}");
    room.store(PLENTY, Ordering::Relaxed);
    a.write("new", b"x").await.expect("there is room");
    tokio::time::sleep(Duration::from_secs(600)).await;
    a.full().await;
    assert_eq!(a.names(""), ["kept", "new", "of b"]);
    let a = a.restart().await;
    assert_eq!(a.names(""), ["kept", "new", "of b"]);
}

/// What the two machines say of the drive.
fn same(a: &Machine, b: &Machine, context: &str) {
    assert_eq!(a.names(""), b.names(""), "{context}");
    let heads = |m: &Machine| {
        let mut heads: Vec<_> = m.drive.heads().iter().map(|h| (h.log, h.seq, h.hash)).collect();
        heads.sort();
        heads
    };
    assert_eq!(heads(a), heads(b), "{context}");
    for name in a.names("") {
        assert!(!name.contains("conflict"), "{context}: {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_finds_no_room_is_written_later_and_nothing_takes_its_place() {
    for (nth, kill) in (0..60).step_by(2).flat_map(|nth| [(nth, false), (nth, true)]) {
        let context = format!("no room from change {nth} on, kill {kill}");
        let (grid, founding, dice) = (MemGrid::new(3), found(2), Dice::new(nth));
        let a = Machine::start(&founding, 0, &grid).await;
        let b = Machine::start(&founding, 1, &grid).await;
        a.write("first", &dice.noise(200_000)).await.expect("written");
        a.full().await;
        a.write("second", b"second").await.expect("written");
        a.disk.set_fault(Some(Fault::Fail { nth, errno: 28, forever: true }));
        // It is to be published, settles anew, and other things come and go meanwhile.
        for round in 0..4 {
            tokio::time::sleep(Duration::from_secs(25)).await;
            let _ = a.write("second", format!("second {round}").as_bytes()).await;
            let _ = a.drive.mkdir(ROOT_INO, format!("d{round}").as_bytes(), 0o755, ME);
            let _ = a.drive.rmdir(ROOT_INO, format!("d{}", round / 2).as_bytes(), ME);
        }
        let status = a.drive.status();
        // A sync that fails may have lost what was written: that stops writes, and a start mends it.
        let stopped = status.failed.is_some();
        a.disk.set_fault(None);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let a = match (kill, stopped) {
            (true, _) => a.crash(Crash::Keep(0)).await,
            (false, true) => a.restart().await,
            (false, false) => a,
        };
        a.write("after", b"after").await.unwrap_or_else(|e| panic!("{context}: {e}"));
        a.full().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        same(&a, &b, &context);
        // And as it is read from the logs again.
        let (a, b) = (a.crash(Crash::Keep(0)).await, b.restart().await);
        tokio::time::sleep(Duration::from_secs(10)).await;
        same(&a, &b, &context);
        assert_eq!(b.read("after").await, Ok(b"after".to_vec()), "{context}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_found_no_room_takes_what_deletes_and_nothing_else() {
    let (grid, founding) = (MemGrid::new(3), found(1));
    let a = Machine::start(&founding, 0, &grid).await;
    for name in ["goes", "goes too", "kept"] {
        a.write(name, name.as_bytes()).await.expect("written");
    }
    for name in [&b"empty"[..], b"empty too"] {
        a.drive.mkdir(ROOT_INO, name, 0o755, ME).expect("made");
    }
    a.full().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    // Room for what finds none at first, and not for another file of the journal.
    a.disk.set_capacity(a.disk.used() + (1 << 20));
    a.disk.set_fault(Some(Fault::Fail { nth: 0, errno: 28, forever: false }));
    a.drive.mkdir(ROOT_INO, b"waits", 0o755, ME).expect("taken before it was known");
    for (file, dir) in [(&b"goes"[..], &b"empty"[..]), (b"goes too", b"empty too")] {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let status = a.drive.shared.journal.status();
        assert!(status.full && status.failed.is_none(), "{status:?}");
        assert_eq!(a.drive.mkdir(ROOT_INO, b"new", 0o755, ME).map(|_| ()), Err(Error::NoSpace));
        assert_eq!(a.drive.create(ROOT_INO, b"new", 0o644, RW, ME).map(|_| ()), Err(Error::NoSpace));
        let kept = (ROOT_INO, &b"kept"[..]);
        let renamed = a.drive.rename(kept, (ROOT_INO, b"new"), false, false, ME);
        assert_eq!(renamed.map(|_| ()), Err(Error::NoSpace));
        a.drive.unlink(ROOT_INO, file, ME).expect("it makes room");
        a.drive.rmdir(ROOT_INO, dir, ME).expect("it makes room");
        a.drive.sync_inode(ROOT_INO).await.expect("and is synced");
    }
    let a = a.crash(Crash::Keep(0)).await;
    assert_eq!(a.names(""), ["kept", "waits"]);
    assert_eq!(a.read("kept").await, Ok(b"kept".to_vec()));
}

/// Indexes that open only with so many bytes free on the disk.
struct Wanting(Arc<SimDisk>, Arc<AtomicU64>);

impl Wanting {
    fn free(&self) -> u64 {
        self.0.space(Path::new("/")).expect("it says").free
    }
}

impl Indexes for Wanting {
    fn open(&self, dir: &Path, key: &[u8; 32]) -> std::result::Result<Opened, TableError> {
        if self.free() < self.room_to_open(dir) {
            return Err(TableError("no room on the disk".into()));
        }
        MemIndexes.open(dir, key)
    }
    fn room_to_open(&self, _dir: &Path) -> u64 {
        self.1.load(Ordering::Relaxed)
    }
}

/// What the disk has is more than a start looks for by itself, and less than the index asks for.
#[tokio::test(start_paused = true)]
async fn a_start_makes_as_much_room_as_the_index_needs_and_no_more() {
    let (grid, founding, dice) = (MemGrid::new(3), found(2), Dice::new(4));
    let a = Machine::start(&founding, 0, &grid).await;
    let files: Vec<_> = (0..6).map(|i| (format!("f{i}"), dice.noise(900_000))).collect();
    for (name, bytes) in &files {
        a.write(name, bytes).await.expect("written");
    }
    a.full().await;
    let disk = Arc::new(SimDisk::new());
    let wanting = Arc::new(Wanting(disk.clone(), Arc::default()));
    let mut b = Machine::with(disk.clone(), wanting.clone(), &founding, 1, &grid).await;
    // Files of a cache of this size are small ones, which go as a whole.
    b.setup.options.cache_disk = 8 << 20;
    let b = b.restart().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (name, bytes) in &files {
        assert!(b.read(name).await.as_ref() == Ok(bytes), "{name}");
    }
    // As a journal with threads has one.
    let journal = Path::new("/node/state/journal");
    let reserve = disk.open(&journal.join("reserve"), Open::New).expect("made");
    reserve.preallocate(2 << 20).expect("room");
    drop(reserve);
    disk.sync_dir(journal).expect("synced");
    disk.set_capacity(disk.used() + (40 << 20));
    let cached = || disk.paths().iter().filter(|path| path.starts_with("/node/cache")).count();
    let before = cached();
    assert!(before > 3, "{:?}", disk.paths());
    // The reserve is enough.
    wanting.1.store(wanting.free() + (1 << 20), Ordering::Relaxed);
    let b = b.restart().await;
    assert!(!disk.paths().contains(&journal.join("reserve")));
    assert_eq!(cached(), before, "what was fetched stays");
    // What was fetched is.
    wanting.1.store(wanting.free() + (3 << 20), Ordering::Relaxed);
    let b = b.restart().await;
    assert!(cached() < before);
    // Nothing is: that is said, and what is there stays good.
    b.drive.close().await;
    wanting.1.store(wanting.free() + (64 << 20), Ordering::Relaxed);
    let refused = Drive::open(b.setup.clone()).await.err().expect("there is no room");
    assert!(refused.to_string().contains("no room on the disk"), "{refused}");
    disk.set_capacity(1 << 40);
    let b = b.restart().await;
    for (name, bytes) in &files {
        assert!(b.read(name).await.as_ref() == Ok(bytes), "{name}");
    }
}
