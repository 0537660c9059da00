//! Real threads, real disk, sled: nothing hangs, nothing is wrong, and how long it takes.

use super::*;
use crate::store::SledIndexes;
use std::time::Instant;

async fn real(founding: &Founding, grid: &Arc<MemGrid>, dir: &std::path::Path) -> DriveSetup {
    DriveSetup {
        world: World::real(Arc::new(SledIndexes::default())),
        places: Places { state: dir.join("state"), cache: dir.join("cache"), lent: dir.join("lent") },
        keys: founding.keys.clone(),
        writer: founding.writers.first().cloned(),
        local: LocalKey::from_bytes([60; 32]),
        admin: founding.admin.clone(),
        account: founding.person,
        label: "real".into(),
        grid: grid.client(),
        options: DriveOptions::default(),
    }
}

async fn copy_in(drive: &Drive, parent: Ino, name: &str, bytes: &[u8]) -> Ino {
    let (attr, handle) = drive.create(parent, name.as_bytes(), 0o644, RW, ME).expect("created");
    for (i, part) in bytes.chunks(128 << 10).enumerate() {
        let at = (i * (128 << 10)) as u64;
        drive.write(handle, at, Bytes::copy_from_slice(part), false).await.expect("written");
    }
    drive.flush(handle).await.expect("flushed");
    drive.release(handle).await.expect("released");
    attr.ino
}

async fn read_all(drive: &Drive, ino: Ino, len: usize) -> Vec<u8> {
    let handle = drive.open(ino, RO).await.expect("opens");
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        let part = drive.read(handle, out.len() as u64, 128 << 10).await.expect("read");
        out.extend_from_slice(&part);
    }
    drive.release(handle).await.expect("released");
    out
}

/// `KITH_SPEED=1` makes it large enough to measure (with `--nocapture`).
#[test]
fn a_real_disk_and_threads() {
    let scale = if std::env::var("KITH_SPEED").is_ok() { 16 } else { 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (grid, founding, dice) = (MemGrid::new(5), found(1), Dice::new(1));
    let big = dice.noise(16 << 20);
    runtime.block_on(async {
        let setup = real(&founding, &grid, dir.path()).await;
        let drive = Drive::open(setup.clone()).await.unwrap();
        let mb = |bytes: usize, begun: Instant| bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();

        let begun = Instant::now();
        let mut inos = Vec::new();
        let unlike = |i: usize| {
            let mut bytes = big.clone();
            bytes.iter_mut().step_by(1 << 20).for_each(|b| *b ^= i as u8);
            bytes
        };
        for i in 0..scale {
            inos.push(copy_in(&drive, ROOT_INO, &format!("big{i}"), &unlike(i)).await);
        }
        drive.sync_inode(inos[0]).await.unwrap();
        eprintln!("write to local: {:.0} MB/s", mb(big.len() * scale, begun));

        let begun = Instant::now();
        let small = dice.noise(10_000);
        let dirs: Vec<Ino> = (0..4)
            .map(|d| drive.mkdir(ROOT_INO, format!("d{d}").as_bytes(), 0o755, ME).unwrap().ino)
            .collect();
        let count = 60 * scale;
        for i in 0..count {
            copy_in(&drive, dirs[i % 4], &format!("s{i}"), &small).await;
        }
        eprintln!("small files: {:.2} ms each", begun.elapsed().as_secs_f64() * 1e3 / count as f64);

        let begun = Instant::now();
        let done = drive.wait(ROOT_INO, crate::grid::Level::Full, Duration::from_secs(60)).await;
        assert_eq!(done, Ok(WaitOutcome::Reached), "{:#?}", drive.status());
        eprintln!(
            "full after {:.1} s, {:.0} MB/s",
            begun.elapsed().as_secs_f64(),
            mb(big.len() * scale, begun)
        );

        drive.drop_caches().await;
        let begun = Instant::now();
        for (i, ino) in inos.iter().enumerate() {
            assert!(read_all(&drive, *ino, big.len()).await == unlike(i));
        }
        eprintln!("cold read: {:.0} MB/s", mb(big.len() * scale, begun));
        drive.drop_pages();
        let begun = Instant::now();
        for (i, ino) in inos.iter().enumerate() {
            assert!(read_all(&drive, *ino, big.len()).await == unlike(i));
        }
        eprintln!("read from the cache: {:.0} MB/s", mb(big.len() * scale, begun));
        drive.close().await;
        drop(drive);

        // A clean start, then one with the index gone.
        for gone in [false, true] {
            if gone {
                std::fs::remove_dir_all(dir.path().join("state/index")).unwrap();
            }
            let begun = Instant::now();
            let drive = Drive::open(setup.clone()).await.unwrap();
            eprintln!("open, index gone {gone}: {:.3} s", begun.elapsed().as_secs_f64());
            let found: usize = dirs.iter().map(|d| drive.readdir(*d, None, 100_000).unwrap().len()).sum();
            assert_eq!(found, count);
            assert!(read_all(&drive, inos[0], big.len()).await == big);
            assert!(read_all(&drive, drive.resolve(b"d1/s1").unwrap(), small.len()).await == small);
            drive.close().await;
        }
    });
}
