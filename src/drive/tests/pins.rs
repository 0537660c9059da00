//! What is pinned stays on this machine, and what is freed does not.

use super::*;
use crate::promises::promise;

/// Less than a quarter of what is pinned.
const CACHE: u64 = 2 << 20;

struct Two {
    grid: Arc<MemGrid>,
    a: Machine,
    b: Machine,
    files: Vec<(String, Vec<u8>)>,
}

/// Machine a writes some photos, a large file with a hole and a note; b has a small cache.
async fn two() -> Two {
    let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(8));
    let a = Machine::start(&founding, 0, &grid).await;
    a.drive.mkdir(ROOT_INO, b"photos", 0o755, ME).unwrap();
    let photos = a.drive.resolve(b"photos").unwrap();
    a.drive.mkdir(photos, b"2026", 0o755, ME).unwrap();
    let mut files: Vec<(String, Vec<u8>)> =
        (0..5).map(|i| (format!("photos/2026/{i}.jpg"), dice.noise(1_700_000))).collect();
    files.push(("photos/film".into(), dice.noise(12 << 20)));
    files.push(("photos/note".into(), b"small".to_vec()));
    for (path, bytes) in &files {
        a.write(path, bytes).await.unwrap();
    }
    a.full().await;
    let mut b = Machine::start(&founding, 1, &grid).await;
    b.setup.options.cache_disk = CACHE;
    b.setup.options.page_memory = 1 << 20;
    let b = b.restart().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    Two { grid, a, b, files }
}

impl Two {
    fn friends(&self, up: bool) {
        (0..5).for_each(|holder| self.grid.set_up(holder, up));
    }
    async fn pass(&self) -> Vec<PinReport> {
        tokio::time::sleep(Duration::from_secs(60)).await;
        self.b.drive.pins()
    }
    async fn all_readable(&self) {
        for (path, bytes) in &self.files {
            assert!(self.b.read(path).await.unwrap() == *bytes, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_pinned_is_read_without_friends_and_after_a_restart() {
    promise("What is pinned is read with all friends away.");
    let mut t = two().await;
    let photos = t.b.drive.resolve(b"photos").unwrap();
    t.b.drive.pin(photos).await.unwrap();
    assert!(matches!(&t.b.drive.pins()[..], [r] if !r.looked && r.path.as_deref() == Some("photos")));
    let reports = t.pass().await;
    assert!(reports.len() == 1 && reports[0].looked);
    let all: u64 = t.files.iter().map(|f| f.1.len() as u64).sum();
    let r = &reports[0];
    assert_eq!((r.path.as_deref(), r.files, r.bytes, r.missing), (Some("photos"), 7, all, 0), "{r:?}");
    // Other reading, much more than the cache holds, evicts none of it.
    let other = Dice::new(9).noise(9 << 20);
    t.a.write("other", &other).await.unwrap();
    t.a.full().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(t.b.read("other").await.unwrap() == other);
    t.friends(false);
    t.b.drive.drop_caches().await;
    t.all_readable().await;
    assert!(t.b.read("other").await.is_err(), "what is not pinned went");
    let b = t.b.restart().await;
    t.b = b;
    assert_eq!(t.pass().await[0].missing, 0);
    t.all_readable().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_below_a_pinned_directory_comes_here_and_old_versions_go() {
    let t = two().await;
    let photos = t.b.drive.resolve(b"photos").unwrap();
    t.b.drive.pin(photos).await.unwrap();
    t.pass().await;
    let (_, before) = t.b.drive.shared.cache.used();
    let dice = Dice::new(10);
    let (new, over) = (dice.noise(3 << 20), dice.noise(12 << 20));
    t.a.write("photos/2026/new.jpg", &new).await.unwrap();
    t.a.write("photos/film", &over).await.unwrap();
    t.a.full().await;
    assert_eq!(t.pass().await[0].missing, 0);
    let (_, after) = t.b.drive.shared.cache.used();
    assert!(after < before + (4 << 20) + CACHE, "the old film is kept by no pin: {before} {after}");
    t.friends(false);
    assert!(t.b.read("photos/2026/new.jpg").await.unwrap() == new);
    assert!(t.b.read("photos/film").await.unwrap() == over);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_had_is_said_and_comes_later() {
    let t = two().await;
    t.friends(false);
    let film = t.b.drive.resolve(b"photos/film").unwrap();
    t.b.drive.pin(film).await.unwrap();
    let reports = t.pass().await;
    assert_eq!((reports[0].files, reports[0].missing), (1, 1));
    assert!(reports[0].why.is_some());
    t.friends(true);
    assert_eq!(t.pass().await[0].missing, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_freed_is_fetched_again_and_nothing_is_lost() {
    let t = two().await;
    let (photos, film) = (t.b.drive.resolve(b"photos").unwrap(), t.b.drive.resolve(b"photos/film").unwrap());
    t.b.drive.pin(photos).await.unwrap();
    t.pass().await;
    assert_eq!(t.b.drive.unpin(film).await, Ok(Unpin::PinnedAbove("photos".into())));
    let freed = match t.b.drive.unpin(photos).await.unwrap() {
        Unpin::Freed(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    assert!(freed > 12 << 20, "{freed}");
    assert!(t.b.drive.pins().is_empty());
    t.b.drive.drop_pages();
    t.friends(false);
    assert!(t.b.read("photos/film").await.is_err(), "it is not here");
    t.friends(true);
    tokio::time::sleep(Duration::from_secs(20)).await;
    t.all_readable().await;

    // What no friend has yet is freed on no machine.
    t.friends(false);
    let unsafe_bytes = Dice::new(11).noise(5 << 20);
    t.a.write("fresh", &unsafe_bytes).await.unwrap();
    t.a.drive.sync_local().await.unwrap();
    let fresh = t.a.drive.resolve(b"fresh").unwrap();
    assert_eq!(t.a.drive.unpin(fresh).await, Ok(Unpin::Freed(0)));
    assert!(t.a.read("fresh").await.unwrap() == unsafe_bytes);
}

#[tokio::test(start_paused = true)]
async fn what_is_pinned_survives_a_start_on_a_full_disk() {
    let t = two().await;
    let photos = t.b.drive.resolve(b"photos").unwrap();
    t.b.drive.pin(photos).await.unwrap();
    assert_eq!(t.pass().await[0].missing, 0);
    t.friends(false);
    t.b.disk.set_capacity(t.b.disk.used() + (1 << 20));
    let Two { grid, a, b, files } = t;
    let t = Two { grid, a, b: b.restart().await, files };
    t.all_readable().await;
}
