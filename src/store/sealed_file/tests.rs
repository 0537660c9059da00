use super::*;
use crate::store::testing::{Dice, key, run, seeds, world};
use crate::world::{Crash, Disk, Fault, Open, SimDisk};

const DIR: &str = "/state";

fn file(disk: &SimDisk, sealed: bool) -> SealedFile {
    let key = key();
    SealedFile::new(&world(disk.clone(), 1), Path::new(DIR), "roster", sealed.then_some(&key))
}

fn content(n: u64) -> Vec<u8> {
    Dice(n).bytes(40 + n as usize % 700)
}

#[test]
fn replaced_content_reads_back() {
    for sealed in [true, false] {
        run(async {
            let disk = SimDisk::new();
            let f = file(&disk, sealed);
            assert_eq!(f.load().await.unwrap(), None);
            for n in 1..6 {
                assert_eq!(f.store(&content(n)).await.unwrap(), n);
                let stored = file(&disk, sealed).load().await.unwrap().unwrap();
                assert_eq!(stored, Stored { bytes: content(n), generation: n, damage: None });
            }
            assert!(file(&disk, !sealed).load().await.is_err(), "another key is not the same file");
        });
    }
}

#[test]
fn a_crash_anywhere_leaves_the_old_content_or_the_new() {
    for seed in seeds(8) {
        for nth in 0..40 {
            run(async {
                let disk = SimDisk::new();
                disk.set_fault(Some(Fault::Cut { nth }));
                let f = file(&disk, true);
                let (mut acknowledged, mut tried) = (0, 0);
                for n in 1..6 {
                    tried = n;
                    if f.store(&content(n)).await.is_err() {
                        break;
                    }
                    acknowledged = n;
                }
                let masks = 1u64 << disk.pending().min(6);
                let crashes = (0..masks).map(Crash::Keep).chain([Crash::Seeded(seed)]);
                for crash in crashes {
                    let after = disk.crash(crash);
                    let context = format!("seed {seed}, cut at {nth}, {crash:?}");
                    let found = file(&after, true).load().await.unwrap();
                    let generation = found.as_ref().map_or(0, |s| s.generation);
                    assert!((acknowledged..=tried).contains(&generation), "{context}");
                    if let Some(found) = found {
                        assert_eq!(found.bytes, content(generation), "{context}");
                        assert_eq!(found.damage, None, "{context}");
                    }
                    let next = file(&after, true).store(&content(50)).await.unwrap();
                    assert_eq!(next, generation + 1);
                }
            });
        }
    }
}

#[test]
fn every_flipped_bit_falls_back_and_is_said() {
    run(async {
        let disk = SimDisk::new();
        let f = file(&disk, true);
        f.store(&content(1)).await.unwrap();
        f.store(&content(2)).await.unwrap();
        for (slot, survivor) in [(0, 1), (1, 2)] {
            let path = f.form.path(slot);
            let len = disk.open(&path, Open::Existing).unwrap().len().unwrap();
            for bit in 0..len * 8 {
                let copy = disk.copy();
                assert!(copy.flip(&path, bit));
                let found = file(&copy, true).load().await.unwrap().unwrap();
                assert_eq!((found.generation, found.bytes), (survivor, content(survivor)));
                assert_eq!(found.damage.map(|d| d.file), Some(path.clone()), "bit {bit}");
            }
            for cut in 0..len as usize {
                let copy = disk.copy();
                copy.damage(&path, |bytes| bytes.truncate(cut));
                let found = file(&copy, true).load().await.unwrap().unwrap();
                assert_eq!(found.generation, survivor);
                assert!(found.damage.is_some());
            }
        }
        for slot in [0, 1] {
            disk.flip(&f.form.path(slot), 900);
        }
        assert!(matches!(file(&disk, true).load().await, Err(StoreError::Damaged(_))));
    });
}

#[test]
fn every_failing_operation_is_an_error_and_loses_nothing() {
    run(async {
        for nth in 0..8 {
            let disk = SimDisk::new();
            let f = file(&disk, true);
            f.store(&content(1)).await.unwrap();
            disk.set_fault(Some(Fault::Fail { nth, errno: 28, forever: false }));
            let result = f.store(&content(2)).await;
            let found = file(&disk.crash(Crash::Keep(0)), true).load().await.unwrap().unwrap();
            match result {
                Ok(_) => assert_eq!(found.bytes, content(2)),
                Err(_) => assert!(found.generation <= 2 && found.bytes == content(found.generation)),
            }
        }
    });
}

fn twice(disk: &SimDisk) -> SealedFile {
    SealedFile::twice(&world(disk.clone(), 1), Path::new(DIR), "roster", None)
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list(Path::new(DIR)).unwrap().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn what_is_written_twice_survives_every_flipped_bit_and_is_mended() {
    run(async {
        for generations in [1, 2] {
            let disk = SimDisk::new();
            for n in 1..=generations {
                twice(&disk).store(&content(n)).await.unwrap();
            }
            for slot in [0, 1] {
                let path = twice(&disk).form.path(slot);
                let len = disk.open(&path, Open::Read).unwrap().len().unwrap();
                for bit in 0..len * 8 {
                    let copy = disk.copy();
                    assert!(copy.flip(&path, bit));
                    let found = twice(&copy).load_and_mend().await.unwrap().unwrap();
                    assert_eq!(found.bytes, content(generations), "bit {bit}");
                    assert_eq!(found.damage.map(|d| d.file), Some(path.clone()), "it is told");
                    assert!(names(&copy).contains(&format!("roster.{slot}.damaged-1")), "it is kept");
                    // Mended: now the other one may go bad.
                    assert!(copy.flip(&twice(&copy).form.path(1 - slot), bit));
                    let found = twice(&copy).load_and_mend().await.unwrap().unwrap();
                    assert_eq!(found.bytes, content(generations));
                }
            }
        }
    });
}

#[test]
fn what_is_written_twice_is_refused_when_the_newest_cannot_be_read() {
    run(async {
        // Both damaged.
        let disk = SimDisk::new();
        twice(&disk).store(&content(1)).await.unwrap();
        let path = |n| twice(&disk).form.path(n);
        disk.flip(&path(0), 600);
        disk.flip(&path(1), 601);
        let before = names(&disk);
        let file = twice(&disk);
        let Err(StoreError::Damaged(damage)) = file.load_and_mend().await else { panic!("it was taken") };
        assert!(damage.to_string().contains("roster.0") && damage.to_string().contains("roster.1"));
        assert!(file.store(&content(2)).await.is_err(), "and nothing is written over");
        assert_eq!(names(&disk), before);
        // One damaged that says it was newer than the whole one.
        let disk = SimDisk::new();
        twice(&disk).store(&content(1)).await.unwrap();
        let older = disk.copy();
        twice(&disk).store(&content(2)).await.unwrap();
        let mut bytes = Vec::new();
        older.damage(&path(1), |b| bytes = b.clone());
        disk.damage(&path(1), |b| *b = bytes);
        disk.flip(&path(0), 600);
        let Err(StoreError::Damaged(damage)) = twice(&disk).load().await else { panic!("it was taken") };
        assert!(damage.to_string().contains("roster.0") && damage.to_string().contains("roster.1"));
    });
}

/// As keystores were before: one generation in each file.
#[test]
fn what_was_written_once_is_written_twice_from_then_on_or_refused() {
    run(async {
        let disk = SimDisk::new();
        let once = file(&disk, false);
        for n in [1, 2] {
            once.store(&content(n)).await.unwrap();
        }
        let damaged = disk.copy();
        assert_eq!(twice(&disk).load_and_mend().await.unwrap().unwrap().bytes, content(2));
        disk.flip(&once.form.path(0), 600);
        assert_eq!(twice(&disk).load().await.unwrap().unwrap().bytes, content(2));
        damaged.flip(&once.form.path(0), 600);
        assert!(matches!(twice(&damaged).load_and_mend().await, Err(StoreError::Damaged(_))));
    });
}

#[test]
fn a_crash_anywhere_leaves_two_copies_of_the_old_or_the_new() {
    for seed in seeds(8) {
        for nth in 0..40 {
            run(async {
                let disk = SimDisk::new();
                disk.set_fault(Some(Fault::Cut { nth }));
                let (f, mut acknowledged) = (twice(&disk), 0);
                while acknowledged < 3 && f.store(&content(acknowledged + 1)).await.is_ok() {
                    acknowledged += 1;
                }
                let after = disk.crash(Crash::Seeded(seed));
                let found = twice(&after).load_and_mend().await.unwrap();
                let generation = found.as_ref().map_or(0, |s| s.generation);
                assert!((acknowledged..=acknowledged + 1).contains(&generation));
                let Some(found) = found else { return };
                assert_eq!((found.damage, &found.bytes), (None, &content(generation)));
                for slot in [0, 1] {
                    let copy = after.copy();
                    copy.flip(&f.form.path(slot), 600);
                    assert_eq!(twice(&copy).load().await.unwrap().unwrap().bytes, found.bytes);
                }
            });
        }
    }
}

#[test]
fn a_damaged_file_is_told_until_the_next_write_and_kept_aside() {
    run(async {
        let disk = SimDisk::new();
        let f = file(&disk, true);
        for n in [1, 2] {
            f.store(&content(n)).await.unwrap();
        }
        for round in 1..=form::DAMAGED_KEPT + 2 {
            let f = file(&disk, true);
            disk.flip(&f.form.path(0), 600);
            assert_eq!(f.load().await.unwrap().unwrap().generation, 1);
            assert!(f.damage().is_some());
            f.store(&content(round as u64)).await.unwrap();
            assert_eq!(f.damage(), None);
        }
        let kept = names(&disk).iter().filter(|n| n.contains("damaged")).count();
        assert_eq!(kept, form::DAMAGED_KEPT, "bounded");
        // All damaged: an error, and it may be begun anew without losing what is left.
        disk.flip(&f.form.path(0), 600);
        disk.flip(&f.form.path(1), 600);
        let f = file(&disk, true);
        assert!(f.load().await.is_err());
        f.store(&content(9)).await.unwrap();
        assert_eq!(file(&disk, true).load().await.unwrap().unwrap().bytes, content(9));
        assert!(names(&disk).contains(&"roster.1.damaged-1".to_string()));
    });
}

#[test]
fn a_planted_link_is_not_written_through_and_reading_needs_no_write_permission() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(&victim, "precious").unwrap();
    run(async {
        let file = || SealedFile::new(&world(crate::world::RealDisk, 1), &state, "roster", None);
        symlink(&victim, state.join("roster.tmp")).unwrap();
        file().store(b"new").await.unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        let path = state.join("roster.1");
        let mode = |p: &Path| std::fs::symlink_metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(file().load().await.unwrap().unwrap().bytes, b"new");
        let disk = crate::world::RealDisk;
        assert!(disk.open(&path, Open::Read).unwrap().write_at(b"x", 0).is_err(), "only to be read");
        symlink(&victim, state.join("link")).unwrap();
        for how in [Open::Existing, Open::OrCreate, Open::New] {
            assert!(disk.open(&state.join("link"), how).is_err(), "{how:?}");
        }
    });
}
