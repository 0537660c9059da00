use super::*;
use crate::store::testing::{Dice, key, run, seeds, world};
use crate::world::{Crash, Disk, Fault, SimDisk};

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
