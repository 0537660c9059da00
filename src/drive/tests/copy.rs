//! copy_file_range: whole chunks are named again, and never taken for more than they are.

use super::*;
use crate::drive::SetAttr;
use crate::drive::api::Handle;

const MIB: u64 = 1 << 20;

async fn open(m: &Machine, path: &str) -> Handle {
    m.drive.open(m.drive.resolve(path.as_bytes()).unwrap(), RW).await.unwrap()
}

fn create(m: &Machine, name: &str) -> Handle {
    m.drive.create(ROOT_INO, name.as_bytes(), 0o644, RW, ME).unwrap().1
}

/// As programs do: until all is copied.
async fn copy(m: &Machine, from: (Handle, u64), to: (Handle, u64), len: u64) -> u64 {
    let mut done = 0;
    while done < len {
        let (at, offset) = ((from.0, from.1 + done), (to.0, to.1 + done));
        match m.drive.copy_range(at, offset, len - done).await.unwrap() {
            0 => break,
            n => done += u64::from(n),
        }
    }
    done
}

#[tokio::test(start_paused = true)]
async fn a_copy_inside_the_drive_needs_no_friend_and_goes_up_no_more() {
    let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(31));
    let m = Machine::start(&founding, 0, &grid).await;
    let bytes = dice.noise(5 * MIB as usize + 123);
    m.write("a", &bytes).await.unwrap();
    m.full().await;
    // Nothing of it is here any more, and no friend is there.
    m.drive.drop_caches().await;
    (0..5).for_each(|holder| grid.set_up(holder, false));
    let before = *grid.uploaded.lock();
    let (a, b) = (open(&m, "a").await, create(&m, "b"));
    assert_eq!(copy(&m, (a, 0), (b, 0), u64::MAX >> 2).await, bytes.len() as u64);
    m.drive.fsync(b).await.unwrap();
    let m = m.crash(Crash::Seeded(7)).await;
    (0..5).for_each(|holder| grid.set_up(holder, true));
    assert!(m.read("b").await.unwrap() == bytes, "after a power cut");
    m.full().await;
    let sent = *grid.uploaded.lock() - before;
    assert!(sent < 100_000, "{sent} bytes for a copy");
    let other = Machine::start(&founding, 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(other.read("b").await.unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_what_has_not_settled_outlives_its_source() {
    let (grid, founding, dice) = (MemGrid::new(5), found(1), Dice::new(32));
    let m = Machine::start(&founding, 0, &grid).await;
    let bytes = dice.noise(3 * MIB as usize);
    let (a, b) = (create(&m, "a"), create(&m, "b"));
    m.drive.write(a, 0, Bytes::from(bytes.clone()), false).await.unwrap();
    m.drive.flush(a).await.unwrap();
    assert_eq!(copy(&m, (a, 0), (b, 0), 3 * MIB).await, 3 * MIB);
    m.drive.release(a).await.unwrap();
    m.drive.unlink(ROOT_INO, b"a", ME).unwrap();
    m.drive.release(b).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    m.full().await;
    m.drive.drop_caches().await;
    assert!(m.read("b").await.unwrap() == bytes);
}

/// Any ranges between two files, one of which may be dirty, against bytes in memory.
#[tokio::test(start_paused = true)]
async fn any_ranges_as_bytes_in_memory() {
    for seed in 0..6 {
        println!("seed={seed}");
        let (grid, founding, dice) = (MemGrid::new(3), found(1), Dice::new(100 + seed));
        let mut m = Machine::start(&founding, 0, &grid).await;
        let mut want: [Vec<u8>; 2] = [dice.noise(4 * MIB as usize + 77), dice.noise(MIB as usize)];
        for (name, bytes) in ["a", "b"].iter().zip(&want) {
            m.write(name, bytes).await.unwrap();
        }
        for round in 0..30 {
            let files = [open(&m, "a").await, open(&m, "b").await];
            let from = dice.below(2) as usize;
            let (source, target) = (want[from].clone(), 1 - from);
            let place = |len: usize| match dice.below(3) {
                0 => dice.below(len as u64 + 1),
                _ => dice.below(len as u64 / MIB + 2) * MIB,
            };
            let (at, to) = (place(source.len()), place(want[target].len()));
            let len = if dice.below(2) == 0 { dice.below(3 * MIB) + 1 } else { (dice.below(4) + 1) * MIB };
            let all = len.min((source.len() as u64).saturating_sub(at));
            assert_eq!(copy(&m, (files[from], at), (files[target], to), len).await, all, "round {round}");
            if all > 0 {
                let end = (to + all) as usize;
                let old = want[target].len();
                want[target].resize(old.max(end), 0);
                want[target][to as usize..end].copy_from_slice(&source[at as usize..(at + all) as usize]);
            }
            if dice.below(4) == 0 {
                let cut = dice.below(want[target].len() as u64 + 1);
                let ino = m.drive.resolve([b"a", b"b"][target]).unwrap();
                m.drive.truncate(ino, cut, SetAttr::default(), ME).await.unwrap();
                want[target].truncate(cut as usize);
            }
            for file in files {
                m.drive.fsync(file).await.unwrap();
                m.drive.release(file).await.unwrap();
            }
            match dice.below(5) {
                0 => tokio::time::sleep(Duration::from_secs(90)).await,
                1 => m = m.crash(Crash::Seeded(seed * 100 + round)).await,
                _ => {}
            }
            for (name, bytes) in ["a", "b"].iter().zip(&want) {
                assert!(m.read(name).await.unwrap() == *bytes, "{name} in round {round}");
            }
        }
    }
}
