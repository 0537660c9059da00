//! Tests of when records reach the disk, and on which thread.

use super::*;
use crate::store::testing::{key, run, world};
use crate::world::{MemIndexes, SimDisk, World, run_apart};
use std::time::Duration;

const DIR: &str = "/state/journal";

async fn open(world: &World, dir: &Path) -> Journal {
    let options = JournalOptions { sync_after: Duration::from_millis(900), ..JournalOptions::default() };
    Journal::open(world, dir, &key(), options, (), |_, _| {}).await.expect("a journal").journal
}

#[test]
fn whatever_came_before_a_record_is_with_the_kernel_within_50_ms() {
    run(async {
        let journal = open(&world(SimDisk::new(), 1), Path::new(DIR)).await;
        let written = || journal.inner.shared.state.lock().written;
        for pause in [0, 10, 24, 26, 40, 60, 200, 895, 2000] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let lsn = journal.append(1, b"record").expect("accepted");
            tokio::time::sleep(Duration::from_millis(51)).await;
            assert!(written() >= lsn, "{pause} ms after the one before");
        }
    });
}

#[test]
fn an_idle_journal_sleeps() {
    run(async {
        let disk = SimDisk::new();
        let journal = open(&world(disk.clone(), 1), Path::new(DIR)).await;
        journal.append(1, b"record").expect("accepted");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let status = journal.status();
        assert_eq!(status.durable, status.last);
        assert!(!journal.inner.shared.state.lock().looks, "it looks for records still");
    });
}

#[test]
fn who_syncs_on_a_thread_of_its_own_and_who_waits_for_others_are_served_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let journal = runtime.block_on(open(&World::real(std::sync::Arc::new(MemIndexes)), dir.path()));
    let (told, all) = std::sync::mpsc::channel();
    for who in 0..8u8 {
        let (journal, told) = (journal.clone(), told.clone());
        let work = async move {
            let mut sound = true;
            for n in 0..100u8 {
                let lsn = journal.append(who, &[n]).expect("accepted");
                if n % 7 == 0 {
                    journal.written().await.expect("written");
                }
                journal.sync(lsn).await.expect("synced");
                sound &= journal.status().durable >= lsn;
            }
            told.send(sound).expect("heard");
        };
        if who % 2 == 0 { run_apart(runtime.handle(), work) } else { drop(runtime.spawn(work)) }
    }
    drop(told);
    assert_eq!(all.iter().collect::<Vec<_>>(), [true; 8]);
    runtime.block_on(journal.close()).expect("closed");
    let world = World::real(std::sync::Arc::new(MemIndexes));
    let again =
        runtime.block_on(Journal::open(&world, dir.path(), &key(), JournalOptions::default(), (), |_, _| {}));
    assert_eq!(again.expect("a journal").records, 800);
}

#[test]
fn who_is_faster_than_the_disk_is_slowed_down_and_not_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let world = World::real(std::sync::Arc::new(MemIndexes));
    let options =
        JournalOptions { buffer: 16 << 10, prewrite: false, reserve: 0, ..JournalOptions::default() };
    let key = key();
    let opened = Journal::open(&world, dir.path(), &key, options, (), |_, _| {});
    let journal = runtime.block_on(opened).expect("a journal").journal;
    journal.precede(Before {
        ready: Box::new(|| false),
        run: Box::new(|| {
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(())
            })
        }),
    });
    // 200 kB, of which 32 kB have room.
    let refused = |slowly: bool| {
        let append = |_: &i32| {
            if slowly {
                journal.slow_down();
            }
            journal.append(1, &[0; 100]).is_err()
        };
        (0..2000).filter(append).count()
    };
    assert_eq!(refused(true), 0);
    assert!(refused(false) > 0, "the disk was not slow");
    assert!(!journal.has_room());
    runtime.block_on(journal.sync_all()).expect("synced");
    assert!(journal.has_room());
}
