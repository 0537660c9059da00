//! The admin log on this machine's disk: a record that was signed and told, and is not known after a
//! start, would have another in its place.

use super::*;
use crate::world::Fault;

const ENOSPC: i32 = 28;

/// Lets one more device write.
fn enrol(log: &mut AdminLog) -> std::result::Result<(), String> {
    let device = log.len() as u8;
    let signing = SigningKey::from_seed(&Seed::from_bytes([1; 32]));
    let person = PersonKey::from_seed(&Seed::from_bytes([2; 32])).id();
    let writer = WriterKey::new(&Seed::from_bytes([50 + device; 32]), [device; 16]);
    let node = DeviceKeys::from_seed(Seed::from_bytes([80 + device; 32])).node();
    let (key, from) = (writer.public(), Epoch::FIRST);
    let enrolled = Writer { key, person, node, power: Power::Write, from, ticket: None };
    log.enrol_writer(&signing, enrolled).map(drop).map_err(|e| e.to_string())
}

/// What a drive was founded with, and one record more.
fn longer(founding: &Founding) -> Vec<Signed> {
    let mut log = AdminLog::load(&founding.keys.drive(), &founding.admin).expect("sound");
    enrol(&mut log).expect("enrolled");
    log.records(0).to_vec()
}

/// The longest admin log that a friend has.
fn told(grid: &MemGrid) -> usize {
    grid.holders.lock().iter().map(|holder| holder.admin.len()).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_record_that_finds_no_room_never_was_and_is_made_later() {
    for nth in 0.. {
        let (grid, founding) = (MemGrid::new(3), found(1));
        let a = Machine::start(&founding, 0, &grid).await;
        a.write("file", b"of an entry").await.expect("written");
        a.full().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let before = founding.admin.len();
        a.disk.set_fault(Some(Fault::Fail { nth, errno: ENOSPC, forever: true }));
        let done = a.drive.author(enrol).await;
        let met = a.disk.counts().faults > 0;
        a.disk.set_fault(None);
        assert_eq!(done.is_err(), met, "no room from change {nth} on: {done:?}");
        let len = before + usize::from(done.is_ok());
        assert_eq!(a.drive.admin_records().len(), len, "change {nth}");
        // What goes to friends anyway has the admin log with it.
        a.write("more", b"of the next").await.expect("written");
        a.full().await;
        assert_eq!(told(&grid), len, "change {nth}");
        a.drive.author(enrol).await.expect("there is room");
        let a = a.crash(Crash::Keep(0)).await;
        assert_eq!(a.drive.admin_records().len(), len + 1, "change {nth}");
        if !met {
            assert!(nth > 2, "a file is made, written, synced and renamed");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_friends_were_told_of_is_known_after_a_power_cut() {
    for nth in 0.. {
        let (grid, founding) = (MemGrid::new(3), found(1));
        let a = Machine::start(&founding, 0, &grid).await;
        a.disk.set_fault(Some(Fault::Cut { nth }));
        let done = a.drive.author(enrol).await;
        let cut = a.disk.counts().faults > 0;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = told(&grid);
        assert!(done.is_err() || told > founding.admin.len(), "told without an entry");
        let a = a.crash(Crash::Keep(0)).await;
        let known = a.drive.admin_records().len();
        assert!(known >= told, "cut at {nth}: friends know {told} records, it knows {known}");
        if !cut {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_from_others_that_found_no_room_is_stored_when_there_is() {
    let (grid, founding) = (MemGrid::new(0), found(1));
    let longer = longer(&founding);
    let a = Machine::start(&founding, 0, &grid).await;
    a.disk.set_fault(Some(Fault::Fail { nth: 0, errno: ENOSPC, forever: true }));
    assert_eq!(a.drive.extend_admin(longer.clone()).await, Err(Error::NoSpace));
    tokio::time::sleep(Duration::from_secs(40)).await;
    let status = a.drive.status();
    assert!(status.failed.is_none(), "{status:#?}");
    a.disk.set_fault(None);
    // Nobody tells it again.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let a = a.crash(Crash::Keep(0)).await;
    assert_eq!(a.drive.admin_records().len(), longer.len());
}
