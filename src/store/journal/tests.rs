use super::frame::{HEADER, Header, Keys};
use super::*;
use crate::store::testing::{Dice, key, run, seeds, world};
use crate::world::{Crash, Disk, Fault, Open, SimDisk};
use std::time::Duration;

const DIR: &str = "/state/journal";

fn small() -> JournalOptions {
    JournalOptions {
        file_len: 64 << 10,
        buffer: 16 << 10,
        max_len: 1 << 20,
        reserve: 0,
        prewrite: false,
        skim: false,
        sync_after: Duration::from_millis(900),
    }
}

type Log = Vec<(Lsn, u8, Vec<u8>)>;

async fn open(disk: &SimDisk, seed: u64, options: JournalOptions) -> Result<JournalOpened<Log>, StoreError> {
    let world = world(disk.clone(), seed);
    Journal::open(&world, Path::new(DIR), &key(), options, Log::new(), |log, r| {
        log.push((r.lsn, r.kind, r.payload.to_vec()));
    })
    .await
}

/// What was asked of a journal, and what it promised.
#[derive(Default)]
struct Model {
    accepted: Log,
    synced: Lsn,
    trimmed: Lsn,
}

impl Model {
    /// A script of appends, syncs, trims and waits; ends early when the journal fails.
    async fn drive(&mut self, journal: &Journal, dice: &mut Dice, steps: usize) -> Result<(), StoreError> {
        for _ in 0..steps {
            match dice.below(10) {
                0..=5 => {
                    let len = if dice.below(8) == 0 { dice.below(9000) } else { dice.below(300) };
                    let (kind, payload) = (dice.next() as u8, dice.bytes(len as usize));
                    let lsn = match journal.append_wait(kind, &[&payload]).await {
                        Err(StoreError::Full(_)) => continue,
                        done => done?,
                    };
                    assert_eq!(lsn, self.accepted.last().map_or(lsn, |r| r.0 + 1));
                    self.accepted.push((lsn, kind, payload));
                }
                6 | 7 => {
                    let last = journal.status().last;
                    journal.sync(last).await?;
                    self.synced = last;
                }
                8 => {
                    let lsn = dice.below(journal.status().durable + 1);
                    journal.trim(lsn);
                    self.trimmed = self.trimmed.max(lsn);
                }
                _ => {
                    let last = journal.status().last;
                    tokio::time::sleep(Duration::from_millis(950)).await;
                    let status = journal.status();
                    // On a full disk whoever asks is told.
                    if status.failed.is_none() && !status.full {
                        assert!(status.durable >= last, "a change waited longer than a second");
                        self.synced = last;
                    }
                }
            }
        }
        Ok(())
    }

    /// What was read back is what may be there.
    fn check(&self, opened: &JournalOpened<Log>, context: &str) {
        assert!(opened.damage.is_empty(), "{context}: {:?}", opened.damage);
        let log = &opened.state;
        let first = log.first().map_or(self.synced + 1, |r| r.0);
        assert!(first <= self.trimmed.max(self.synced) + 1, "{context}: first is {first}");
        if self.synced > self.trimmed {
            assert!(first <= self.trimmed + 1, "{context}: first is {first}, trimmed {}", self.trimmed);
        }
        for (n, record) in log.iter().enumerate() {
            assert_eq!(record.0, first + n as u64, "{context}: a gap");
            let known = self.accepted.iter().find(|r| r.0 == record.0);
            assert_eq!(Some(record), known, "{context}: another record");
        }
        let last = log.last().map_or(0, |r| r.0);
        if self.synced > self.trimmed {
            assert!(last >= self.synced, "{context}: synced {} but last is {last}", self.synced);
        }
        assert!(last <= self.accepted.last().map_or(0, |r| r.0));
    }

    /// After reading back, what was not there was never said.
    fn adopt(&mut self, opened: &JournalOpened<Log>) {
        let last = opened.journal.status().last;
        self.accepted.retain(|r| r.0 <= last);
        self.synced = last;
        self.trimmed = self.trimmed.min(opened.journal.status().trimmed);
    }
}

/// One life until operation `nth` cuts the power, a crash, and a second life that must go on.
fn life(seed: u64, nth: Option<u64>, crash: Crash) -> (u64, usize) {
    run(async {
        let disk = SimDisk::new();
        disk.set_fault(nth.map(|nth| Fault::Cut { nth }));
        let mut dice = Dice(seed);
        let mut model = Model::default();
        let mut after = disk.clone();
        let mut context = format!("seed {seed}, cut at {nth:?}, {crash:?}");
        for round in 0..3 {
            if let Ok(opened) = open(&after, seed ^ round, small()).await {
                model.check(&opened, &context);
                model.adopt(&opened);
                let _ = model.drive(&opened.journal, &mut dice, 30).await;
            }
            context.push('.');
            if after.pending() > 0 || round == 0 {
                after = after.crash(crash);
            }
        }
        after.set_fault(None);
        let opened = open(&after, seed, small()).await.unwrap();
        model.check(&opened, &context);
        (disk.counts().changes, disk.pending())
    })
}

#[test]
fn a_crash_at_every_operation_loses_nothing_synced() {
    for seed in seeds(6) {
        let (changes, _) = life(seed, None, Crash::Seeded(seed));
        for nth in 0..changes {
            for variant in 0..3 {
                life(seed, Some(nth), Crash::Seeded(seed ^ nth << 8 ^ variant << 40));
            }
        }
    }
}

#[test]
fn every_subset_of_few_pending_operations_is_a_good_journal() {
    for seed in seeds(2) {
        let (changes, _) = life(seed, None, Crash::Keep(0));
        for nth in 0..changes.min(60) {
            let (_, pending) = life(seed, Some(nth), Crash::Keep(0));
            if pending <= 6 {
                for mask in 1..1u64 << pending {
                    life(seed, Some(nth), Crash::Keep(mask));
                }
            }
        }
    }
}

/// A journal of `frames` synced frames, each with a few records; what it holds.
async fn filled(disk: &SimDisk, frames: usize) -> Log {
    let opened = open(disk, 1, small()).await.unwrap();
    let mut dice = Dice(9);
    let mut log = Log::new();
    for _ in 0..frames {
        for _ in 0..3 {
            let (kind, payload) = (dice.next() as u8, dice.bytes(60));
            log.push((opened.journal.append(kind, &payload).unwrap(), kind, payload));
        }
        opened.journal.sync_all().await.unwrap();
    }
    opened.journal.close().await.unwrap();
    log
}

/// Where the frames are: offset and bytes without padding.
fn frames(disk: &SimDisk) -> Vec<(u64, u64)> {
    let keys = Keys::new(&key(), Kind::Journal, "journal");
    let file = disk.open(&Path::new(DIR).join("00000001.jnl"), Open::Existing).unwrap();
    let mut found = Vec::new();
    let mut at = 0;
    let mut bytes = [0; HEADER];
    while file.read_at(&mut bytes, at).unwrap() == HEADER {
        let Some(header) = Header::read(&keys, &bytes) else { break };
        found.push((at, (HEADER + header.len as usize) as u64));
        at += header.span();
    }
    found
}

#[test]
fn every_flipped_byte_is_harmless_or_reported() {
    run(async {
        let disk = SimDisk::new();
        let log = filled(&disk, 4).await;
        let frames = frames(&disk);
        assert_eq!(frames.len(), 5, "the first frame and four with records");
        let mut dice = Dice(3);
        for (n, (at, len)) in frames.iter().enumerate().skip(1) {
            for byte in *at..at + len {
                let copy = disk.copy();
                let bit = byte * 8 + dice.below(8);
                assert!(copy.flip(&Path::new(DIR).join("00000001.jnl"), bit));
                let opened = open(&copy, 2, small()).await.unwrap();
                let lost = 3 * (n - 1)..3 * n;
                let left: Log = log
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| !lost.contains(i))
                    .map(|(_, r)| r.clone())
                    .collect();
                assert_eq!(opened.state, left, "bit {bit}");
                let last = n + 1 == frames.len();
                assert_eq!(
                    opened.damage.is_empty(),
                    last,
                    "bit {bit}: only the last frame may be a torn tail"
                );
                assert_eq!(opened.aside.is_some(), !last);
                // It goes on, and next time there is nothing to say.
                let lsn = opened.journal.append(1, b"on").unwrap();
                opened.journal.sync(lsn).await.unwrap();
                opened.journal.close().await.unwrap();
                let again = open(&copy, 3, small()).await.unwrap();
                assert!(again.damage.is_empty());
                assert_eq!(again.state.len(), left.len() + 1);
                assert_eq!(again.state[..left.len()], left);
            }
        }
    });
}

#[test]
fn every_truncation_is_reported_or_a_torn_tail() {
    run(async {
        let disk = SimDisk::new();
        let log = filled(&disk, 4).await;
        let path = Path::new(DIR).join("00000001.jnl");
        for len in (0..24 << 10).step_by(256) {
            let copy = disk.copy();
            copy.damage(&path, |bytes| bytes.truncate(len));
            let opened = open(&copy, 2, small()).await.unwrap();
            assert!(log.starts_with(&opened.state), "length {len}");
            let lsn = opened.journal.append(1, b"on").unwrap();
            opened.journal.sync(lsn).await.unwrap();
        }
    });
}

#[test]
fn another_key_is_damage_and_the_original_is_kept() {
    run(async {
        let disk = SimDisk::new();
        let log = filled(&disk, 2).await;
        let w = world(disk.clone(), 1);
        let other = LocalKey::from_bytes([8; 32]);
        let opened = Journal::open(&w, Path::new(DIR), &other, small(), 0, |n, _| *n += 1).await.unwrap();
        assert_eq!((opened.state, opened.damage.len()), (0, 1));
        let aside = opened.aside.unwrap();
        opened.journal.close().await.unwrap();
        disk.remove_dir_all(Path::new(DIR)).unwrap();
        disk.rename(&aside, Path::new(DIR)).unwrap();
        assert_eq!(open(&disk, 1, small()).await.unwrap().state, log);
    });
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    run(async {
        let disk = SimDisk::new();
        disk.set_capacity(4 * (64 << 10) + 4096);
        let opened = open(&disk, 1, small()).await.unwrap();
        let journal = opened.journal;
        let mut accepted = 0;
        let full = loop {
            match journal.append_wait(1, &[&[5; 3000]]).await {
                Ok(_) => accepted += 1,
                Err(e) => break e,
            }
            assert!(accepted < 1000);
        };
        assert!(matches!(full, StoreError::Full(_)), "{full}");
        journal.sync_all().await.unwrap();
        assert!(journal.status().full);
        assert!(matches!(journal.append(1, b"x"), Err(StoreError::Full(_))));
        let urgent = journal.append_urgent(2, &[b"made room"]).unwrap();
        journal.sync(urgent).await.unwrap();
        let reread = open(&disk.crash(Crash::Keep(0)), 2, small()).await.unwrap();
        assert_eq!(reread.records, accepted + 1);
        // Back on the disk as it was before that look.
        let disk = disk.copy();
        let journal = open(&disk, 3, small()).await.unwrap().journal;
        journal.trim(urgent);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!journal.status().full);
        journal.append(1, b"again").unwrap();
        journal.sync_all().await.unwrap();
    });
}

#[test]
fn a_failed_sync_is_never_taken_back() {
    for seed in seeds(4) {
        let changes = run(async {
            let disk = SimDisk::new();
            let opened = open(&disk, seed, small()).await.unwrap();
            let _ = Model::default().drive(&opened.journal, &mut Dice(seed), 40).await;
            disk.counts().changes
        });
        for nth in 0..changes {
            for code in [5, 28] {
                failing(seed, nth, code);
            }
        }
    }
}

/// Operation `nth` fails once; whatever was acknowledged survives a power cut.
fn failing(seed: u64, nth: u64, code: i32) {
    run(async {
        let context = format!("seed {seed}, operation {nth} fails with {code}");
        let disk = SimDisk::new();
        disk.set_fault(Some(Fault::Fail { nth, errno: code, forever: false }));
        let mut model = Model::default();
        if let Ok(opened) = open(&disk, seed, small()).await {
            let journal = opened.journal;
            let result = model.drive(&journal, &mut Dice(seed), 40).await;
            if let Some(failed) = journal.status().failed {
                assert!(journal.append(1, b"").is_err(), "{context}");
                assert!(
                    journal.sync_all().await.is_err() || journal.status().last == journal.status().durable
                );
                assert!(result.is_err() || matches!(failed, StoreError::Io { .. }), "{context}");
            }
        }
        let after = disk.crash(Crash::Keep(0));
        let opened = open(&after, seed, small()).await.unwrap();
        model.check(&opened, &context);
    });
}

#[test]
fn files_are_used_again_and_old_records_never_come_back() {
    run(async {
        let disk = SimDisk::new();
        let opened = open(&disk, 1, small()).await.unwrap();
        let journal = opened.journal;
        let mut last = 0;
        for round in 0..200u32 {
            for _ in 0..5 {
                last = journal.append_wait(1, &[&[round as u8; 2000]]).await.unwrap();
            }
            journal.sync(last).await.unwrap();
            journal.trim(last - 3);
        }
        journal.close().await.unwrap();
        assert!(disk.used() <= 7 * (64 << 10), "{} bytes for three live records", disk.used());
        let again = open(&disk, 2, small()).await.unwrap();
        let lsns: Vec<Lsn> = again.state.iter().map(|r| r.0).collect();
        assert!(lsns.first().unwrap() >= &(last - 20), "only what a file still held");
        assert_eq!(lsns.last(), Some(&last));
    });
}

#[test]
fn closing_is_final_and_dropping_saves_what_was_appended() {
    run(async {
        let disk = SimDisk::new();
        let journal = open(&disk, 1, small()).await.unwrap().journal;
        journal.append(1, b"one").unwrap();
        journal.close().await.unwrap();
        assert!(matches!(journal.append(1, b"two"), Err(StoreError::Closed(_))));
        let journal = open(&disk, 2, small()).await.unwrap().journal;
        journal.append(1, b"three").unwrap();
        drop(journal);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let opened = open(&disk.crash(Crash::Keep(0)), 3, small()).await.unwrap();
        assert_eq!(opened.records, 2);
    });
}

#[test]
fn the_reserve_can_be_released() {
    run(async {
        let disk = SimDisk::new();
        let options = JournalOptions { reserve: 1 << 20, ..small() };
        let journal = open(&disk, 1, options).await.unwrap().journal;
        let before = disk.used();
        assert!(before >= 1 << 20);
        disk.set_capacity(before);
        journal.release_reserve().await.unwrap();
        assert!(disk.used() + (1 << 20) <= before);
    });
}
