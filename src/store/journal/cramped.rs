//! A disk that finds no room for what is written into files that are long enough.

use crate::keys::LocalKey;
use crate::store::testing::{key, run, world};
use crate::store::{Journal, JournalOpened, JournalOptions, StoreError};
use crate::world::{Crash, Fault, SimDisk, run_apart};
use std::path::Path;
use std::time::Duration;

const ENOSPC: i32 = 28;

type Opened = JournalOpened<Vec<Vec<u8>>>;

async fn try_open(disk: &SimDisk, seed: u64, reserve: u64) -> Result<Opened, StoreError> {
    let options = JournalOptions {
        file_len: 64 << 10,
        buffer: 16 << 10,
        max_len: 1 << 20,
        reserve,
        prewrite: false,
        ..JournalOptions::default()
    };
    let key: LocalKey = key();
    let world = world(disk.clone(), seed);
    Journal::open(&world, Path::new("/state/journal"), &key, options, Vec::new(), |log, r| {
        log.push(r.payload.to_vec());
    })
    .await
}

async fn open(disk: &SimDisk, seed: u64, reserve: u64) -> Opened {
    try_open(disk, seed, reserve).await.unwrap()
}

fn full<T: std::fmt::Debug>(done: Result<T, StoreError>) {
    assert!(matches!(done, Err(StoreError::Full(_))), "{done:?}");
}

/// As an fsync of a mount: on a thread of its own.
async fn apart_sync(journal: Journal) -> Result<(), StoreError> {
    let (done, told) = tokio::sync::oneshot::channel();
    run_apart(&tokio::runtime::Handle::current(), async move {
        done.send(journal.sync_all().await).unwrap();
    });
    told.await.unwrap()
}

#[test]
fn what_was_accepted_waits_for_room_in_order_and_who_asks_is_told() {
    for apart in [false, true] {
        run(async move {
            let disk = SimDisk::new();
            let journal = open(&disk, 1, 0).await.journal;
            let mut accepted = vec![b"before".to_vec()];
            journal.append(1, b"before").unwrap();
            journal.sync_all().await.unwrap();
            disk.set_fault(Some(Fault::Fail { nth: 0, errno: ENOSPC, forever: true }));
            for i in 0..30u32 {
                // More than one frame.
                let payload = [&i.to_le_bytes()[..], &[7; 1000]].concat();
                match journal.append(1, &payload) {
                    Ok(_) => accepted.push(payload),
                    Err(e) => full::<()>(Err(e)),
                }
            }
            assert!(accepted.len() > 10);
            match apart {
                true => full(apart_sync(journal.clone()).await),
                false => full(journal.sync_all().await),
            }
            full(journal.written().await);
            full(journal.append(1, b"more"));
            full(journal.append_wait(1, &[b"more"]).await);
            full(journal.append_urgent(1, &[b"more"]));
            tokio::time::sleep(Duration::from_secs(60)).await;
            full(journal.sync_all().await);
            let status = journal.status();
            assert!(status.full && status.failed.is_none(), "{status:?}");
            disk.set_fault(None);
            tokio::time::sleep(Duration::from_secs(2)).await;
            journal.sync_all().await.unwrap();
            accepted.push(b"after".to_vec());
            journal.append(1, b"after").unwrap();
            journal.sync_all().await.unwrap();
            let again = open(&disk.crash(Crash::Keep(0)), 2, 0).await;
            assert!(again.damage.is_empty(), "{:?}", again.damage);
            assert!(again.state == accepted, "{} of {}", again.state.len(), accepted.len());
        });
    }
}

#[test]
fn the_reserve_is_given_for_it_and_no_more_is_taken() {
    run(async {
        let disk = SimDisk::new();
        let journal = open(&disk, 1, 1 << 20).await.journal;
        disk.set_capacity(disk.used());
        let before = disk.used();
        disk.set_fault(Some(Fault::Fail { nth: 0, errno: ENOSPC, forever: false }));
        journal.append(1, b"one").unwrap();
        journal.sync_all().await.unwrap();
        assert!(disk.used() + (1 << 20) <= before, "the reserve is gone");
        disk.set_capacity(disk.used() + 1000);
        tokio::time::sleep(Duration::from_secs(5)).await;
        full(journal.append(1, b"more"));
        journal.append_urgent(1, &[b"what makes room"]).unwrap();
        journal.sync_all().await.unwrap();
        disk.set_capacity(1 << 30);
        tokio::time::sleep(Duration::from_secs(5)).await;
        journal.append(1, b"more").unwrap();
        journal.sync_all().await.unwrap();
    });
}

#[test]
fn closing_without_room_says_so() {
    run(async {
        let disk = SimDisk::new();
        let journal = open(&disk, 1, 0).await.journal;
        disk.set_fault(Some(Fault::Fail { nth: 0, errno: ENOSPC, forever: true }));
        journal.append(1, b"one").unwrap();
        full(journal.close().await);
    });
}

/// A journal whose last sync failed, as the next process finds it: the kernel shows what the disk has not.
async fn with_a_lost_tail(reserve: u64) -> SimDisk {
    let disk = SimDisk::new();
    let journal = open(&disk, 1, reserve).await.journal;
    journal.append(1, b"synced").unwrap();
    journal.sync_all().await.unwrap();
    for n in 0..3u8 {
        // A frame each.
        journal.append(1, &[b't', n]).unwrap();
        journal.written().await.unwrap();
    }
    disk.set_fault(Some(Fault::Fail { nth: 0, errno: 5, forever: false }));
    journal.sync_all().await.unwrap_err();
    disk.set_fault(None);
    disk
}

fn lost_tail() -> Vec<Vec<u8>> {
    vec![b"synced".to_vec(), vec![b't', 0], vec![b't', 1], vec![b't', 2]]
}

#[test]
fn a_tail_that_a_failed_sync_lost_is_written_again_before_it_is_built_on() {
    run(async {
        let disk = with_a_lost_tail(0).await;
        let again = open(&disk, 2, 0).await;
        assert!(again.state == lost_tail(), "the kernel shows it: {:?}", again.state);
        assert_eq!(again.journal.status().durable, again.journal.status().last);
        let at_once = open(&disk.snapshot().crash(Crash::Keep(0)), 3, 0).await;
        assert!(at_once.state == lost_tail(), "and it is said to be durable: {:?}", at_once.state);
        again.journal.append(1, b"built on it").unwrap();
        again.journal.sync_all().await.unwrap();
        let after = open(&disk.crash(Crash::Keep(0)), 4, 0).await;
        assert!(after.damage.is_empty(), "{:?}", after.damage);
        let all = [lost_tail(), vec![b"built on it".to_vec()]].concat();
        assert!(after.state == all, "{:?}", after.state);
    });
}

#[test]
fn a_lost_tail_that_finds_no_room_is_not_built_on() {
    run(async {
        let disk = with_a_lost_tail(0).await;
        for nth in 0..3 {
            disk.set_fault(Some(Fault::Fail { nth, errno: ENOSPC, forever: true }));
            full(try_open(&disk, 2, 0).await.map(|opened| opened.records));
        }
        disk.set_fault(None);
        let again = open(&disk, 3, 0).await;
        assert!(again.state == lost_tail(), "{:?}", again.state);
    });
}

#[test]
fn the_reserve_is_given_for_a_lost_tail() {
    run(async {
        let disk = with_a_lost_tail(1 << 20).await;
        disk.set_capacity(disk.used());
        let before = disk.used();
        disk.set_fault(Some(Fault::Fail { nth: 0, errno: ENOSPC, forever: false }));
        let again = open(&disk, 2, 1 << 20).await;
        assert!(again.state == lost_tail(), "{:?}", again.state);
        assert!(disk.used() + (1 << 20) <= before, "the reserve is gone");
        let after = open(&disk.crash(Crash::Keep(0)), 3, 0).await;
        assert!(after.state == lost_tail(), "{:?}", after.state);
    });
}
