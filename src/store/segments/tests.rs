use super::*;
use crate::store::testing::{Dice, key, run, seeds, world};
use crate::world::{Crash, Disk, Fault, SimDisk};

mod again;

const DIR: &str = "/cache/segments";

fn options(purpose: SegmentsUse) -> SegmentsOptions {
    SegmentsOptions { purpose, segment_len: 256 << 10, capacity: 2 << 20, free_kept: 0 }
}

async fn open(disk: &SimDisk, purpose: SegmentsUse) -> Segments {
    Segments::open(&world(disk.clone(), 1), Path::new(DIR), &key(), options(purpose)).await.unwrap()
}

/// Chunk number `n`: its id, note and bytes follow from the number.
fn chunk(n: u64) -> (ChunkId, Vec<u8>, Bytes) {
    let mut dice = Dice(n);
    let len = match n % 4 {
        0 => dice.below(600),
        1 => dice.below(20_000),
        2 => 65_576 + dice.below(3),
        _ => 100_000 + dice.below(60_000),
    };
    let id = ChunkId(dice.bytes(32).try_into().unwrap());
    let note = dice.bytes((n % 90) as usize);
    (id, note, Bytes::from(dice.bytes(len as usize)))
}

async fn put(segments: &Segments, n: u64) -> Result<Place, StoreError> {
    let (id, note, bytes) = chunk(n);
    segments.append(&id, &note, bytes).await
}

/// Present and right, or absent. Panics when it is something else.
async fn there(segments: &Segments, n: u64) -> bool {
    let (id, note, bytes) = chunk(n);
    let Some(read) = segments.read(&id, 0..u32::MAX).await.unwrap() else { return false };
    assert_eq!(read, bytes, "chunk {n}");
    if let Some(found) = segments.note(&id).await.unwrap() {
        assert_eq!(found, note, "note {n}");
    }
    true
}

#[test]
fn what_was_appended_reads_back_in_any_range_and_after_opening() {
    run(async {
        let disk = SimDisk::new();
        let segments = open(&disk, SegmentsUse::Own).await;
        let mut dice = Dice(1);
        for n in 0..60 {
            let place = put(&segments, n).await.unwrap();
            assert_eq!(put(&segments, n).await.unwrap(), place, "not written twice");
        }
        let reopened = open(&disk, SegmentsUse::Own).await;
        for segments in [&segments, &reopened] {
            for n in 0..60 {
                assert!(there(segments, n).await);
                let (id, _, bytes) = chunk(n);
                let place = segments.place(&id).unwrap();
                for _ in 0..5 {
                    let start = dice.below(bytes.len() as u64 + 1) as u32;
                    let end = start + dice.below(80_000) as u32;
                    let read = segments.read_at(&id, place, start..end).await.unwrap().unwrap();
                    let end = (end as usize).min(bytes.len());
                    assert_eq!(read, bytes[start as usize..end]);
                }
            }
        }
        assert_eq!(segments.list(), reopened.list());
        assert_eq!(segments.list().len(), 60);
    });
}

#[test]
fn a_crash_at_every_operation_keeps_what_was_synced() {
    for seed in seeds(3) {
        let changes = crash_at(seed, None);
        for nth in 0..changes {
            crash_at(seed, Some(nth));
            crash_at(seed ^ 0x8000_0000, Some(nth));
        }
    }
}

fn crash_at(seed: u64, nth: Option<u64>) -> u64 {
    run(async {
        let disk = SimDisk::new();
        disk.set_fault(nth.map(|nth| Fault::Cut { nth }));
        let mut dice = Dice(seed);
        let (mut put_ok, mut synced, mut freed) = (Vec::new(), Vec::new(), Vec::new());
        let w = world(disk.clone(), 1);
        let opened = Segments::open(&w, Path::new(DIR), &key(), options(SegmentsUse::Own)).await;
        if let Ok(segments) = opened {
            for n in 0..25 {
                match dice.below(6) {
                    0 => match segments.sync().await {
                        Ok(()) => synced = put_ok.clone(),
                        Err(_) => break,
                    },
                    1 if !synced.is_empty() => {
                        let n = synced[dice.below(synced.len() as u64) as usize];
                        freed.push(n);
                        if segments.free(&chunk(n).0).await.is_err() {
                            break;
                        }
                    }
                    _ => match put(&segments, n).await {
                        Ok(_) => put_ok.push(n),
                        Err(_) => break,
                    },
                }
            }
        }
        let after = open(&disk.crash(Crash::Seeded(seed ^ nth.unwrap_or(0) << 20)), SegmentsUse::Own).await;
        for n in 0..25 {
            let here = there(&after, n).await;
            let must = synced.contains(&n) && !freed.contains(&n);
            assert!(here || !must, "seed {seed}, cut at {nth:?}: synced chunk {n} is gone");
            put(&after, n).await.unwrap();
            assert!(there(&after, n).await);
        }
        disk.counts().changes
    })
}

#[test]
fn every_flipped_byte_is_a_miss_at_most() {
    run(async {
        let disk = SimDisk::new();
        let segments = open(&disk, SegmentsUse::Cache).await;
        let mut dice = Dice(5);
        for n in [0, 4, 8] {
            put(&segments, n).await.unwrap();
        }
        let path = segments.inner.files.path(1);
        let len = segments.used().0;
        for byte in 0..len {
            let copy = disk.copy();
            if !copy.flip(&path, byte * 8 + dice.below(8)) {
                break;
            }
            let damaged = open(&copy, SegmentsUse::Cache).await;
            let mut missing = 0;
            for n in [0, 4, 8] {
                missing += u32::from(!there(&damaged, n).await);
            }
            assert!(missing <= 1, "byte {byte}: one record holds it");
        }
        for cut in (0..len as usize).step_by(97) {
            let copy = disk.copy();
            copy.damage(&path, |bytes| bytes.truncate(cut));
            let damaged = open(&copy, SegmentsUse::Cache).await;
            for n in [0, 4, 8] {
                there(&damaged, n).await;
                put(&damaged, n).await.unwrap();
                assert!(there(&damaged, n).await);
            }
        }
    });
}

#[test]
fn damage_under_an_open_set_is_a_miss_and_heals_by_appending() {
    run(async {
        let disk = SimDisk::new();
        let segments = open(&disk, SegmentsUse::Cache).await;
        put(&segments, 3).await.unwrap();
        disk.damage(&segments.inner.files.path(1), |bytes| bytes[90_000] ^= 4);
        let (id, _, bytes) = chunk(3);
        assert_eq!(segments.read(&id, 0..100).await.unwrap().unwrap(), bytes[..100], "another block");
        assert!(!there(&segments, 3).await);
        assert_eq!(segments.damaged(), 1);
        put(&segments, 3).await.unwrap();
        assert!(there(&segments, 3).await);
        disk.fail_reads(Some(5));
        assert_eq!(segments.read(&id, 0..1).await.unwrap(), None, "in a cache a bad sector is a miss");
    });
}

#[test]
fn a_cache_stays_within_its_bound_and_keeps_what_is_used_or_pinned() {
    run(async {
        let disk = SimDisk::new();
        let segments = open(&disk, SegmentsUse::Cache).await;
        let pinned = chunk(2).0;
        segments.pin(&pinned);
        for n in 0..400 {
            put(&segments, n).await.unwrap();
            assert!(there(&segments, 2).await || n < 2);
            if n >= 3 {
                assert!(there(&segments, 3).await, "used all the time");
            }
        }
        let (files, live) = segments.used();
        assert!(live <= (2 << 20) + (300 << 10), "{live}");
        assert!(files <= (2 << 20) + (600 << 10), "{files}");
        assert!(!there(&segments, 5).await);
        segments.unpin(&pinned);
        for n in 400..800 {
            put(&segments, n).await.unwrap();
        }
        assert!(segments.place(&pinned).is_none());
    });
}

#[test]
fn own_chunks_stay_until_released_and_empty_segments_go() {
    run(async {
        let disk = SimDisk::new();
        let segments = open(&disk, SegmentsUse::Own).await;
        for n in 0..100 {
            put(&segments, n).await.unwrap();
        }
        assert!(segments.used().1 > 2 << 20, "more than the bound for released ones");
        for n in 0..100 {
            assert!(there(&segments, n).await);
            segments.release(&chunk(n).0);
        }
        for n in 100..140 {
            put(&segments, n).await.unwrap();
        }
        let left = (0..100).filter(|n| segments.place(&chunk(*n).0).is_some()).count();
        assert!(left < 90, "{left}");
        for n in 0..140 {
            segments.free(&chunk(n).0).await.unwrap();
        }
        assert_eq!(segments.used().1, 0);
        assert!(disk.paths().len() <= 1, "{:?}", disk.paths());
    });
}

#[test]
fn a_full_disk_is_said_and_a_failed_sync_is_final() {
    run(async {
        let disk = SimDisk::new();
        disk.set_capacity(1 << 20);
        let segments = open(&disk, SegmentsUse::Own).await;
        let mut n = 0;
        while put(&segments, n).await.is_ok() {
            n += 1;
        }
        assert!(matches!(put(&segments, n).await, Err(StoreError::Full(_))));
        for n in 0..n {
            assert!(there(&segments, n).await);
        }
        disk.set_capacity(1 << 30);
        put(&segments, n).await.unwrap();
        disk.set_fault(Some(Fault::Fail { nth: 0, errno: 5, forever: false }));
        assert!(segments.sync().await.is_err());
        assert!(segments.sync().await.is_err());
        assert!(put(&segments, 999).await.is_err());
        assert!(there(&segments, 0).await, "reads go on");
    });
}

#[test]
fn a_place_that_holds_another_chunk_now_is_no_answer() {
    run(async {
        let disk = SimDisk::new();
        let segments = open(&disk, SegmentsUse::Own).await;
        let place = put(&segments, 1).await.unwrap();
        let (other, _, _) = chunk(2);
        assert_eq!(segments.read_at(&other, place, 0..10).await.unwrap(), None);
        let wrong = Place { segment: 77, ..place };
        let (id, _, bytes) = chunk(1);
        let read = segments.read_at(&id, wrong, 0..10).await.unwrap().unwrap();
        assert_eq!(read, bytes[..10], "found by its id");
    });
}

#[test]
fn an_append_leaves_room_for_what_must_be_written_even_on_a_full_disk() {
    run(async {
        let disk = SimDisk::new();
        disk.set_capacity(1 << 20);
        let kept = SegmentsOptions { free_kept: 600 << 10, ..options(SegmentsUse::Own) };
        let segments = Segments::open(&world(disk.clone(), 1), Path::new(DIR), &key(), kept).await.unwrap();
        let refused = loop {
            let n = 2 + 4 * segments.list().len() as u64;
            if let Err(e) = put(&segments, n).await {
                break e;
            }
        };
        assert!(matches!(refused, StoreError::Full(_)), "{refused}");
        assert!(!segments.list().is_empty());
        assert!(disk.space(Path::new(DIR)).unwrap().free >= 600 << 10);
        // It is no failure: freed room is room.
        for n in 0..segments.list().len() as u64 {
            assert!(there(&segments, 2 + 4 * n).await);
        }
        for (id, _) in segments.list() {
            segments.free(&id).await.unwrap();
        }
        segments.sync().await.unwrap();
        put(&segments, 2).await.unwrap();
    });
}

#[test]
fn on_a_disk_that_is_short_what_is_safe_elsewhere_goes_before_an_append_is_refused() {
    run(async {
        let disk = SimDisk::new();
        disk.set_capacity(1 << 20);
        let kept = SegmentsOptions { free_kept: 200 << 10, ..options(SegmentsUse::Own) };
        let segments = Segments::open(&world(disk.clone(), 1), Path::new(DIR), &key(), kept).await.unwrap();
        let (mut n, mut all) = (2, Vec::new());
        while put(&segments, n).await.is_ok() {
            all.push(n);
            n += 4;
        }
        // One must stay; the others are safe elsewhere, and far below the capacity.
        for released in &all[1..] {
            segments.release(&chunk(*released).0);
        }
        for more in 0..50 {
            let n = n + 4 * more;
            put(&segments, n).await.unwrap_or_else(|e| panic!("append {more}: {e}"));
            segments.release(&chunk(n).0);
            let files: u64 = segments.inner.book.lock().segments.values().map(|s| s.bytes()).sum();
            assert_eq!(segments.used().0, files);
        }
        assert!(there(&segments, all[0]).await, "what is not safe elsewhere stays");
    });
}

/// The head of a record reached the disk, its body did not: whoever has the bytes still must be
/// able to bring them again.
#[test]
fn a_chunk_that_a_power_cut_tore_is_written_again() {
    for seed in 0..100 {
        run(async {
            let disk = SimDisk::new();
            let segments = open(&disk, SegmentsUse::Own).await;
            put(&segments, 0).await.unwrap();
            segments.sync().await.unwrap();
            put(&segments, 3).await.unwrap();
            let disk = disk.crash(Crash::Seeded(seed));
            let segments = open(&disk, SegmentsUse::Own).await;
            put(&segments, 3).await.unwrap();
            segments.sync().await.unwrap();
            assert!(there(&segments, 3).await, "seed {seed}");
            let segments = open(&disk.crash(Crash::Keep(0)), SegmentsUse::Own).await;
            assert!(there(&segments, 0).await && there(&segments, 3).await, "seed {seed}");
        });
    }
}

/// The process ends and the kernel lives on: what the next process finds is not on the disk yet,
/// and its syncs have to bring it there.
#[test]
fn what_a_killed_process_left_in_the_kernel_is_synced_by_the_next() {
    for again in [false, true] {
        run(async {
            let disk = SimDisk::new();
            let segments = open(&disk, SegmentsUse::Own).await;
            put(&segments, 3).await.unwrap();
            let disk = disk.snapshot();
            drop(segments);
            let segments = open(&disk, SegmentsUse::Own).await;
            if again {
                put(&segments, 3).await.unwrap();
            }
            segments.sync().await.unwrap();
            let segments = open(&disk.crash(Crash::Keep(0)), SegmentsUse::Own).await;
            assert!(there(&segments, 3).await, "brought again: {again}");
        });
    }
}
