//! Bits that flip and disks that fill up on this machine, and what of it friends can make good.

use super::*;
use crate::content::Coding;
use crate::grid::Level;

/// Friends that are there and take nothing, or take everything.
fn take(grid: &MemGrid, takes: bool) {
    for holder in 0..5 {
        grid.holders.lock()[holder].refuses = !takes;
        grid.set_up(holder, true);
    }
}

fn state(m: &Machine, path: &str) -> FileState {
    m.drive.state(m.drive.resolve(path.as_bytes()).unwrap()).unwrap()
}

/// Flip a bit in the middle of an own chunk.
fn rot(m: &Machine, which: usize) {
    let (_, place) = m.drive.shared.own.list()[which];
    let path = m.setup.places.state.join("own").join(format!("{:016x}.seg", place.segment));
    let at = place.offset as usize + place.len as usize / 2;
    assert!(m.disk.damage(&path, |bytes| bytes[at] ^= 1));
}

#[tokio::test(start_paused = true)]
async fn one_rotten_chunk_takes_no_other_file_with_it() {
    one_rotten_chunk(false).await;
    one_rotten_chunk(true).await;
}

/// In the end the file is written again, or deleted.
async fn one_rotten_chunk(delete: bool) {
    let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(1));
    *grid.coding.lock() = Some(Coding { k: 2, n: 5 });
    take(&grid, false);
    let m = Machine::start(&founding, 0, &grid).await;
    let files: Vec<_> = (0..8).map(|i| (format!("f{i}"), dice.noise(120_000))).collect();
    for (path, bytes) in &files {
        m.write(path, bytes).await.unwrap();
        m.fsync(path).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(m.drive.status().packs_below_safe, 1, "all in one pack");
    rot(&m, 3);
    take(&grid, true);
    let waited = m.drive.wait(ROOT_INO, Level::Safe, Duration::from_secs(120)).await;
    assert_eq!(waited, Ok(WaitOutcome::Lost { files: 1 }));
    let status = m.drive.status();
    assert!(!status.notes.iter().any(|n| n.contains("cannot be made again")), "{:?}", status.notes);
    assert_eq!((status.unsafe_files, status.unsafe_list[0].state), (1, FileState::Unreadable));
    let bad = status.unsafe_list[0].path.clone().unwrap();
    for (path, _) in &files {
        assert_eq!(state(&m, path).is_safe(), *path != bad, "{path}: {}", state(&m, path));
    }
    // A start finds out again.
    let m = m.restart().await;
    let waited = m.drive.wait(ROOT_INO, Level::Safe, Duration::from_secs(60)).await;
    assert_eq!(waited, Ok(WaitOutcome::Lost { files: 1 }));
    assert_eq!(state(&m, &bad), FileState::Unreadable);
    // Another machine has the others.
    let other = Machine::start(&founding, 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (path, bytes) in files.iter().filter(|(path, _)| *path != bad) {
        assert!(other.read(path).await.unwrap() == *bytes, "{path}");
    }
    if delete {
        m.drive.unlink(ROOT_INO, bad.as_bytes(), ME).unwrap();
        m.write("after", b"more").await.unwrap();
        m.full().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(other.read("after").await.unwrap(), b"more");
        assert!(!other.names("").contains(&bad));
        return;
    }
    // Written again it is as good as ever.
    let bytes = &files.iter().find(|(path, _)| *path == bad).unwrap().1;
    m.write(&bad, bytes).await.unwrap();
    m.full().await;
    assert!(state(&m, &bad).is_full());
}

#[tokio::test(start_paused = true)]
async fn a_disk_filled_by_what_friends_have_takes_more() {
    const FREE_KEPT: u64 = 64 << 20;
    let (grid, founding, dice) = (MemGrid::new(5), found(1), Dice::new(2));
    let m = Machine::start(&founding, 0, &grid).await;
    for i in 0..9 {
        m.write(&format!("f{i}"), &dice.noise(8 << 20)).await.unwrap();
        m.full().await;
    }
    assert!(m.drive.status().own_bytes > 72 << 20);
    // What is to be kept free is not there any more.
    m.disk.set_capacity(m.disk.used() + FREE_KEPT / 2);
    m.write("more", &dice.noise(6 << 20)).await.unwrap();
    m.full().await;
    assert!(m.drive.status().own_bytes < 72 << 20);
    assert_eq!(m.drive.status().disk_short, None);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_short_is_called_so_until_it_has_room() {
    let (grid, founding, dice) = (MemGrid::new(5), found(1), Dice::new(3));
    let m = Machine::start(&founding, 0, &grid).await;
    (0..5).for_each(|holder| grid.set_up(holder, false));
    m.write("kept", &dice.noise(3 << 20)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    m.disk.set_capacity(m.disk.used() + (48 << 20));
    // The writer is told; what was written stays in memory.
    assert!(m.write("f", &dice.noise(300_000)).await.is_err());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let short = m.drive.status().disk_short;
    assert!(short.as_deref().is_some_and(|why| why.contains("disk")), "{short:?}");
    // There is room: nobody has to wait for long.
    m.disk.set_capacity(1 << 40);
    (0..5).for_each(|holder| grid.set_up(holder, true));
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(m.drive.status().disk_short, None);
    m.full().await;
}
