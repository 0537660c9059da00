//! The thin slice: files in, crash, files out on another node.

use super::*;
use crate::promises::promise;

#[tokio::test(start_paused = true)]
async fn files_written_are_read_back_before_and_after_they_settle() {
    let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(1));
    let m = Machine::start(&founding, 0, &grid).await;
    m.drive.mkdir(ROOT_INO, b"dir", 0o755, ME).unwrap();
    let sizes = [0, 1, 4096, 4097, 70_000, 1 << 20, (1 << 20) + 1, 5_000_000];
    let files: Vec<(String, Vec<u8>)> = sizes.iter().map(|s| (format!("dir/f{s}"), dice.noise(*s))).collect();
    for (path, bytes) in &files {
        m.write(path, bytes).await.unwrap();
        assert!(m.read(path).await.unwrap() == *bytes, "{path} at once");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(m.drive.shared.lives.lock().inodes.is_empty(), "all settled");
    m.drive.drop_caches().await;
    for (path, bytes) in &files {
        assert!(m.read(path).await.unwrap() == *bytes, "{path} settled");
    }
    assert_eq!(m.names("dir").len(), sizes.len());
    let m = m.restart().await;
    for (path, bytes) in &files {
        assert!(m.read(path).await.unwrap() == *bytes, "{path} after a restart");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_synced_survives_a_power_cut_settled_or_not() {
    promise("What fsync was asked for is there after a power cut.");
    for settle in [false, true] {
        for seed in 0..4 {
            let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(seed));
            let mut m = Machine::start(&founding, 0, &grid).await;
            m.drive.mkdir(ROOT_INO, b"d", 0o755, ME).unwrap();
            let files: Vec<(String, Vec<u8>)> =
                [10, 4500, 300_000, 2_500_000].iter().map(|s| (format!("d/{s}"), dice.noise(*s))).collect();
            for (path, bytes) in &files {
                m.write(path, bytes).await.unwrap();
                m.fsync(path).await.unwrap();
            }
            if settle {
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
            for round in 0..2 {
                m = m.crash(Crash::Seeded(seed * 7 + round)).await;
                for (path, bytes) in &files {
                    let found = m.read(path).await.unwrap();
                    assert!(
                        found == *bytes,
                        "{path} settle {settle} seed {seed} round {round}: {}",
                        found.len()
                    );
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn files_go_up_and_come_down_on_another_node_with_holders_gone() {
    let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(3));
    let a = Machine::start(&founding, 0, &grid).await;
    a.drive.mkdir(ROOT_INO, b"photos", 0o755, ME).unwrap();
    let files: Vec<(String, Vec<u8>)> =
        (0..12).map(|i| (format!("photos/{i}.jpg"), dice.noise(i * 170_000 + 13))).collect();
    for (path, bytes) in &files {
        a.write(path, bytes).await.unwrap();
    }
    a.full().await;
    let state = a.drive.getxattr(a.drive.resolve(b"photos/3.jpg").unwrap(), b"user.kith.state").unwrap();
    assert_eq!(String::from_utf8(state).unwrap(), "full, any 3 homes may vanish");
    drop(a);
    for holder in 0..3 {
        grid.set_up(holder, false);
    }
    let b = Machine::start(&founding, 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(b.names("photos").len(), files.len());
    for (path, bytes) in &files {
        assert!(b.read(path).await.unwrap() == *bytes, "{path}");
    }
}
