//! Own chunks of an earlier process whose sync failed: the kernel takes them for written and shows them
//! for as long as it has them, so whoever builds on them must not trust what it reads.

use super::*;

/// Appends chunks until there are so many files; the numbers of the chunks.
async fn filled(segments: &Segments, disk: &SimDisk, files: usize) -> Vec<u64> {
    put(segments, 0).await.unwrap();
    segments.sync().await.unwrap();
    let mut all = vec![0];
    while all.len() < 2 || disk.paths().len() < files {
        let n = 4 * all.len() as u64 + 3;
        put(segments, n).await.unwrap();
        all.push(n);
    }
    all
}

/// The sync of each file fails in turn, the process ends, and the next one is given the same chunks
/// again. In the case of many files the first was named on the disk before, and is not among the last.
#[test]
fn what_a_failed_sync_lost_is_written_again_when_it_is_built_on() {
    for (files, syncs) in [(1, 1), (5, 6)] {
        let mut failures = 0;
        for nth in 0.. {
            let failed = run(async {
                let disk = SimDisk::new();
                let segments = open(&disk, SegmentsUse::Own).await;
                let all = filled(&segments, &disk, files).await;
                disk.set_fault(Some(Fault::Fail { nth, errno: 5, forever: false }));
                let failed = segments.sync().await.is_err();
                disk.set_fault(None);
                let places: Vec<_> = all.iter().map(|n| segments.place(&chunk(*n).0).unwrap()).collect();
                drop(segments);
                let segments = open(&disk, SegmentsUse::Own).await;
                for (n, place) in all.iter().zip(places) {
                    assert_eq!(put(&segments, *n).await.unwrap(), place, "chunk {n} is still shown");
                }
                put(&segments, 1).await.unwrap();
                segments.sync().await.unwrap();
                let segments = open(&disk.crash(Crash::Keep(0)), SegmentsUse::Own).await;
                for n in all.iter().chain(&[1]) {
                    assert!(there(&segments, *n).await, "{files} files, sync {nth} failed: chunk {n}");
                }
                failed
            });
            if !failed {
                break;
            }
            failures += 1;
        }
        assert_eq!(failures, syncs, "each file, and the directory where there are new ones");
    }
}

/// Where nothing is written in place there may be no room for that: then it is a chunk like any other.
#[test]
fn what_cannot_be_written_again_is_not_built_on() {
    run(async {
        let disk = SimDisk::new();
        let segments = open(&disk, SegmentsUse::Own).await;
        let all = filled(&segments, &disk, 1).await;
        let lost = *all.last().unwrap();
        disk.set_fault(Some(Fault::Fail { nth: 0, errno: 5, forever: false }));
        segments.sync().await.unwrap_err();
        let before = segments.place(&chunk(lost).0).unwrap();
        drop(segments);
        let segments = open(&disk, SegmentsUse::Own).await;
        disk.set_fault(Some(Fault::Fail { nth: 0, errno: 28, forever: false }));
        assert_ne!(put(&segments, lost).await.unwrap(), before);
        segments.sync().await.unwrap();
        let segments = open(&disk.crash(Crash::Keep(0)), SegmentsUse::Own).await;
        assert!(there(&segments, lost).await);
    });
}
