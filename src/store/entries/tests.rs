use super::*;
use crate::store::testing::{Dice, key, run, seeds, world};
use crate::world::{Crash, Fault, SimDisk};

const DIR: &str = "/state/entries";
const DRIVE: DriveId = DriveId([5; 32]);

async fn open(disk: &SimDisk) -> Result<EntryLogOpened<Vec<(Lsn, Vec<u8>)>>, StoreError> {
    EntryLog::open(
        &world(disk.clone(), 1),
        Path::new(DIR),
        &DRIVE,
        &key(),
        false,
        Vec::new(),
        |all, lsn, entry| {
            all.push((lsn, entry.to_vec()));
        },
    )
    .await
}

fn entry(n: u64) -> Vec<u8> {
    Dice(n).bytes(100 + (n as usize * 7919) % 40_000)
}

#[test]
fn entries_come_back_in_order_until_they_are_in_a_checkpoint() {
    run(async {
        let disk = SimDisk::new();
        let log = open(&disk).await.unwrap().log;
        // More than a file holds.
        let mut lsns = Vec::new();
        for n in 0..600 {
            lsns.push(log.append(&entry(n)).await.unwrap());
        }
        log.sync().await.unwrap();
        let after = open(&disk.crash(Crash::Keep(0))).await.unwrap();
        assert!(after.damage.is_empty());
        assert_eq!(after.entries, 600);
        for (n, (lsn, bytes)) in after.state.iter().enumerate() {
            assert_eq!((*lsn, bytes), (lsns[n], &entry(n as u64)));
        }
        after.log.checkpointed(lsns[599]);
        let next = after.log.append(&entry(600)).await.unwrap();
        after.log.close().await.unwrap();
        assert_eq!(next, lsns[599] + 1);
    });
}

#[test]
fn a_crash_at_every_operation_keeps_synced_entries() {
    for seed in seeds(3) {
        for nth in 0..60 {
            run(async {
                let disk = SimDisk::new();
                disk.set_fault(Some(Fault::Cut { nth }));
                let (mut made, mut synced) = (0, 0);
                if let Ok(opened) = open(&disk).await {
                    let mut dice = Dice(seed);
                    for n in 0..40 {
                        if opened.log.append(&entry(n)).await.is_err() {
                            break;
                        }
                        made = n + 1;
                        if dice.below(2) == 0 {
                            if opened.log.sync().await.is_err() {
                                break;
                            }
                            synced = made;
                        }
                    }
                }
                let context = format!("seed {seed}, cut at {nth}");
                let after = open(&disk.crash(Crash::Seeded(seed ^ nth << 9))).await.unwrap();
                assert!(after.damage.is_empty(), "{context}: {:?}", after.damage);
                let count = after.state.len() as u64;
                assert!((synced..=made).contains(&count), "{context}: {synced} <= {count} <= {made}");
                for (n, (_, bytes)) in after.state.iter().enumerate() {
                    assert_eq!(bytes, &entry(n as u64), "{context}");
                }
            });
        }
    }
}

/// The very first entry is torn by a power cut: the log opens without it, and goes on.
#[test]
fn a_torn_first_entry_is_no_reason_not_to_open() {
    for seed in 0..200 {
        run(async {
            let disk = SimDisk::new();
            let log = open(&disk).await.unwrap().log;
            disk.set_fault(Some(Fault::Cut { nth: 0 }));
            log.append(&entry(3)).await.unwrap();
            log.sync().await.unwrap_err();
            let disk = disk.crash(Crash::Seeded(seed));
            let after = open(&disk).await.unwrap();
            assert!(after.damage.is_empty(), "seed {seed}: {:?}", after.damage);
            let there = after.entries;
            after.log.append(&entry(4)).await.unwrap();
            after.log.sync().await.unwrap();
            let again = open(&disk.crash(Crash::Keep(0))).await.unwrap();
            assert_eq!(again.entries, there + 1, "seed {seed}");
        });
    }
}
