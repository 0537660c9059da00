//! A process that is killed: the disk has all that was given to it, and the index is what it was
//! after some commit, older or newer than what the journal has. The drive that goes on from there
//! must be the one that is made from the entries and the journal alone.

use super::*;
use crate::tree::{Batch, Cursor, Key, Table, TableError, state_hash};
use crate::world::{Found, Index, MemIndex, Opened};
use std::path::Path;

/// Indexes that remember their commits, and open with the first so many of them.
#[derive(Default)]
struct Remembering {
    commits: Arc<Mutex<Vec<Batch>>>,
    /// None: the next one is empty.
    keep: Mutex<Option<usize>>,
}

impl Remembering {
    fn of(commits: &[Batch], keep: usize) -> Remembering {
        Remembering { commits: Arc::new(Mutex::new(commits.to_vec())), keep: Mutex::new(Some(keep)) }
    }
}

struct Remembered {
    index: MemIndex,
    commits: Arc<Mutex<Vec<Batch>>>,
}

impl Indexes for Remembering {
    fn open(&self, _dir: &Path, key: &[u8; 32]) -> std::result::Result<Opened, TableError> {
        let index = MemIndex::new(key);
        let keep = self.keep.lock().take();
        let mut commits = self.commits.lock();
        commits.truncate(keep.unwrap_or(0));
        commits.iter().try_for_each(|batch| index.commit(batch.clone()))?;
        let found = if keep.is_some() { Found::Older } else { Found::Nothing };
        Ok(Opened { index: Arc::new(Remembered { index, commits: self.commits.clone() }), found })
    }
}

impl Table for Remembered {
    fn get(&self, key: &Key) -> std::result::Result<Option<Vec<u8>>, TableError> {
        self.index.get(key)
    }
    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> std::result::Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        self.index.scan(table, group, after, limit)
    }
}

impl Index for Remembered {
    fn commit(&self, batch: Batch) -> std::result::Result<(), TableError> {
        self.commits.lock().push(batch.clone());
        self.index.commit(batch)
    }
    fn flush(&self) -> std::result::Result<(), TableError> {
        Ok(())
    }
    fn close(&self) -> std::result::Result<(), TableError> {
        Ok(())
    }
}

/// Everything by which two openings could differ, and the number of the next operation (which an
/// index may remember to be higher than the journal says).
fn state(drive: &Drive) -> ((Hash, String), u64) {
    let shared = &drive.shared;
    let core = shared.core.lock();
    let mut heads = core.fold.heads();
    heads.sort_by_key(|h| (h.log, h.seq));
    let pending = core.fold.pending_operations(&*shared.index).expect("readable");
    let told: Vec<_> = core.pending.all().map(|p| (&p.op, &p.chunks)).collect();
    let hash = state_hash(shared.view()).expect("readable");
    ((hash, format!("{:?}", (heads, pending, told))), core.next_n)
}

/// One random step.
async fn step(m: &Machine, dice: &Dice) {
    let path = format!("{}{}", ["", "a/", "b/"][dice.below(3) as usize], dice.below(6));
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let parent = m.drive.resolve(dir.as_bytes()).unwrap_or(ROOT_INO);
    // What cannot be done is no matter here.
    match dice.below(12) {
        0..5 => drop(m.write(&path, &dice.noise(dice.below(9000) as usize)).await),
        5 => drop(m.write(&path, &dice.noise(700_000)).await),
        6 => drop(m.drive.mkdir(ROOT_INO, ["a".as_bytes(), b"b"][dice.below(2) as usize], 0o755, ME)),
        7 => drop(m.drive.unlink(parent, name.as_bytes(), ME)),
        8 => {
            let to = format!("{}", dice.below(6));
            drop(m.drive.rename((parent, name.as_bytes()), (ROOT_INO, to.as_bytes()), false, false, ME));
        }
        9 => drop(m.fsync(&path).await),
        _ => {
            let ms = [3, 200, 1500, 6000][dice.below(4) as usize];
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

/// What a drive is that is opened on a disk, with no friend in reach.
async fn opened(setup: &DriveSetup, disk: SimDisk, indexes: Remembering) -> ((Hash, String), u64) {
    let mut setup = setup.clone();
    setup.world.disk = Arc::new(disk);
    setup.world.indexes = Arc::new(indexes);
    setup.grid = MemGrid::new(0).client();
    state(&Drive::open(setup).await.expect("opens"))
}

#[tokio::test(start_paused = true)]
async fn whatever_the_index_kept_the_drive_is_the_same() {
    for seed in model::seeds(12) {
        let (grid, founding, dice) = (MemGrid::new(3), found(2), Dice::new(seed));
        let indexes = Arc::new(Remembering::default());
        let other = Machine::start(&founding, 1, &grid).await;
        let mut m = Machine::with(Arc::new(SimDisk::new()), indexes.clone(), &founding, 0, &grid).await;
        for round in 0..5 {
            for _ in 0..5 + dice.below(40) {
                step(if dice.below(5) == 0 { &other } else { &m }, &dice).await;
            }
            let Machine { disk: dead, mut setup, client, drive } = m;
            dead.unplug();
            let commits = indexes.commits.lock().clone();
            drop(drive);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let disk = || dead.crash(Crash::Kill);
            let fresh = opened(&setup, disk(), Remembering::default()).await;
            let newest = commits.len();
            let some = newest - dice.below(newest as u64 / 2 + 1) as usize;
            for keep in [newest, newest.saturating_sub(1), some, 0] {
                let again = opened(&setup, disk(), Remembering::of(&commits, keep)).await;
                assert!(again.1 >= fresh.1, "seed {seed}, round {round}: a number would be used twice");
                assert_eq!(again.0, fresh.0, "seed {seed}, round {round}: {keep} of {newest} commits");
            }
            *indexes.commits.lock() = commits;
            *indexes.keep.lock() = Some(newest.saturating_sub(dice.below(20) as usize));
            let disk = Arc::new(disk());
            setup.world.disk = disk.clone();
            let drive = Drive::open(setup.clone()).await.expect("opens");
            m = Machine { disk, setup, client, drive };
        }
    }
}
