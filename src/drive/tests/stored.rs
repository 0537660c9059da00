//! A machine's disk as an earlier kith left it: journal, entries, segments and state files. Today's
//! must open it and find what is in it.

use super::*;
use crate::world::stored::{pack, sample, unpack};

const SENT: &str = "photos/a.jpg";
const NOT_SENT: &str = "draft.txt";

/// A tree that friends have, one share of it lost; a file settled that they do not have; one not
/// settled.
#[tokio::test(start_paused = true)]
#[ignore = "writes the sample anew"]
async fn write_the_sample() {
    let (grid, founding) = (MemGrid::new(3), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    m.drive.mkdir(ROOT_INO, b"photos", 0o755, ME).unwrap();
    m.write(SENT, &Dice::new(1).noise(20_000)).await.unwrap();
    m.write("note.txt", b"a short one").await.unwrap();
    m.full().await;
    (0..3).for_each(|holder| grid.set_up(holder, false));
    let (_, info) = m.drive.shared.view().packs(None, 1).unwrap().remove(0);
    let record = m.drive.shared.view().pack(&info.pack).unwrap().unwrap();
    assert!(m.drive.shared.note_share(&info.pack, &record.shares[0], true).await);
    m.write(NOT_SENT, &Dice::new(2).noise(9_000)).await.unwrap();
    m.fsync(NOT_SENT).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    m.write("fresh.txt", b"in the journal alone").await.unwrap();
    m.fsync("fresh.txt").await.unwrap();
    let image = pack(&m.disk.crash(Crash::Keep(u64::MAX)));
    std::fs::write(sample("drive.disk"), image).unwrap();
    m.drive.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stored_disk_opens() {
    let image = std::fs::read(sample("drive.disk")).unwrap();
    let paths: Vec<String> =
        unpack(&image).paths().iter().map(|p| p.to_string_lossy().into_owned()).collect();
    for part in ["/journal/", "/entries/", "/own/", "/admin.", "/lost."] {
        assert!(paths.iter().any(|p| p.contains(part)), "{part} in {paths:?}");
    }
    let (grid, founding) = (MemGrid::new(3), found(1));
    (0..3).for_each(|holder| grid.set_up(holder, false));
    let m = Machine::on(Arc::new(unpack(&image)), &founding, 0, &grid).await;
    assert_eq!(m.names(""), ["draft.txt", "fresh.txt", "note.txt", "photos"]);
    assert_eq!(m.names("photos"), ["a.jpg"]);
    assert_eq!(m.read(SENT).await.unwrap(), Dice::new(1).noise(20_000));
    assert_eq!(m.read(NOT_SENT).await.unwrap(), Dice::new(2).noise(9_000));
    assert_eq!(m.read("note.txt").await.unwrap(), b"a short one");
    assert_eq!(m.read("fresh.txt").await.unwrap(), b"in the journal alone");
    let status = m.drive.status();
    assert_eq!(status.losses.values().sum::<u64>(), 1);
    assert!(status.notes.is_empty() && status.failed.is_none(), "{status:#?}");
    // It goes on from there: what was not sent goes up when friends are back.
    (0..3).for_each(|holder| grid.set_up(holder, true));
    m.write("after.txt", b"written by today's").await.unwrap();
    m.full().await;
    m.drive.close().await;
}
