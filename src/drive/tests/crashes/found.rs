//! What the cuts and the random operations have found, one small test each.

use super::*;
use crate::world::Fault;

/// A version is published a moment after it was made. Its record in the journal must not be taken
/// by a power cut when friends have it: the writes would settle once more, beside it.
#[tokio::test(start_paused = true)]
async fn what_friends_have_is_in_the_journal() {
    for nth in 0..24 {
        let (grid, founding) = (MemGrid::new(2), found(1));
        let m = Machine::start(&founding, 0, &grid).await;
        m.write("f", b"a few bytes").await.unwrap();
        m.fsync("f").await.unwrap();
        m.disk.set_fault(Some(Fault::Cut { nth }));
        tokio::time::sleep(Duration::from_millis(3500)).await;
        let m = m.crash(Crash::Keep(0)).await;
        m.full().await;
        assert_eq!(m.names(""), vec!["f"], "cut {nth}");
        assert_eq!(m.read("f").await.unwrap(), b"a few bytes");
    }
}

/// A file is written, closed and put in another's place; only the directory is synced.
#[tokio::test(start_paused = true)]
async fn a_directorys_sync_is_for_what_was_closed_too() {
    let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(1));
    let m = Machine::start(&founding, 0, &grid).await;
    m.write("photo", &dice.noise(2_000_000)).await.unwrap();
    m.fsync("photo").await.unwrap();
    let better = dice.noise(2_300_000);
    m.write("new", &better).await.unwrap();
    m.drive.rename((ROOT_INO, b"new"), (ROOT_INO, b"photo"), false, false, ME).unwrap();
    m.drive.sync_inode(ROOT_INO).await.unwrap();
    let m = m.crash(Crash::Keep(0)).await;
    assert_eq!(m.names(""), vec!["photo"]);
    assert!(m.read("photo").await.unwrap() == better);
}

/// A chunk is being sealed and written over as a whole meanwhile: more than one record takes.
#[tokio::test(start_paused = true)]
async fn a_chunk_written_over_while_it_is_sealed_can_be_synced() {
    let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(2));
    let m = Machine::start(&founding, 0, &grid).await;
    let (_, handle) = m.drive.create(ROOT_INO, b"f", 0o644, RW, ME).unwrap();
    let mut last = Vec::new();
    for _ in 0..3 {
        // The sealers have not been there between one and the next.
        last = dice.noise(1 << 20);
        m.drive.try_write(handle, 0, &last).unwrap().unwrap();
    }
    m.drive.fsync(handle).await.unwrap();
    let m = m.crash(Crash::Keep(0)).await;
    assert!(m.read("f").await.unwrap() == last);
}
