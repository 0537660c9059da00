//! Random reads, writes, truncations and holes against bytes in memory, and sparse files.

use crate::harness::promise;
use crate::harness::{Mounted, compare};
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};

/// splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

const LARGEST: u64 = 3 << 20;

fn exercise(seed: u64, steps: u32) {
    let m = Mounted::new();
    let path = m.path("file");
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
    let (mut file, mut oracle, mut dice) = (open(), Vec::new(), Dice(seed));
    for step in 0..steps {
        let at = dice.roll(LARGEST);
        let len = match dice.roll(4) {
            0 => dice.roll(16),
            1 => dice.roll(5000),
            _ => dice.roll(400_000),
        };
        let end = (at + len) as usize;
        match dice.roll(10) {
            0..4 => {
                let data: Vec<u8> = (0..len).map(|_| dice.roll(256) as u8).collect();
                file.write_all_at(&data, at).unwrap();
                if len > 0 && oracle.len() < end {
                    oracle.resize(end, 0);
                }
                oracle[at.min(end as u64) as usize..].iter_mut().zip(&data).for_each(|(o, d)| *o = *d);
            }
            4..8 => {
                let mut got = vec![0; len as usize];
                let n = read_full(&file, &mut got, at);
                let expected = oracle.get(at as usize..end.min(oracle.len())).unwrap_or(&[]);
                assert!(got[..n] == *expected, "seed={seed} step {step}: read at {at} of {len}");
            }
            8 => {
                file.set_len(at).unwrap();
                oracle.resize(at as usize, 0);
            }
            _ => {
                drop(file);
                file = open();
                assert_eq!(file.metadata().unwrap().len(), oracle.len() as u64, "seed={seed} step {step}");
            }
        }
    }
    assert!(fs::read(&path).unwrap() == oracle, "seed={seed}: the whole file");
}

fn read_full(file: &fs::File, into: &mut [u8], at: u64) -> usize {
    let mut n = 0;
    while n < into.len() {
        match file.read_at(&mut into[n..], at + n as u64).unwrap() {
            0 => break,
            got => n += got,
        }
    }
    n
}

#[test]
fn random_io_matches_bytes_in_memory() {
    for seed in 1..=4 {
        println!("seed={seed}");
        exercise(seed, 250);
    }
}

#[test]
fn sparse_files() {
    promise("SEEK_DATA and SEEK_HOLE find what they find on a local disk.");
    compare(|dir, t| {
        let path = dir.join("a");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        t.did("far", file.write_all_at(b"end", 10 << 20));
        t.did("near", file.write_all_at(&[1; 4096], 1 << 20));
        file.sync_all().unwrap();
        t.say("size and blocks", file.metadata().map(|m| (m.size(), m.blocks())));
        for from in [0, 1 << 20, (1 << 20) + 4096, 10 << 20, (10 << 20) + 3, 20 << 20] {
            t.say(("data", from).0, seek(&file, SeekFrom::Data(from)));
            t.say(("hole", from).0, seek(&file, SeekFrom::Hole(from)));
        }
        t.say("end", seek(&file, SeekFrom::End(-1)));
        t.say("past", seek(&file, SeekFrom::Start(1 << 40)));
        t.did("huge", file.set_len(1 << 43));
        t.say("size and blocks", file.metadata().map(|m| (m.size(), m.blocks())));
        t.say("zeros", file.read_at(&mut [9; 16], 1 << 42));
    });
}

#[test]
fn allocation_and_holes() {
    promise("Ranges can be punched and zeroed, with and without a change of length.");
    compare(|dir, t| {
        let path = dir.join("a");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all_at(&[7; 20_000], 0).unwrap();
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let cases = [
            ("punch", punch, 4096, 8192),
            ("punch unaligned", punch, 100, 200),
            ("punch past the end", punch, 19_000, 50_000),
            ("zero", FallocateFlags::ZERO_RANGE, 16_000, 1000),
            ("zero past the end", FallocateFlags::ZERO_RANGE, 19_000, 3000),
            ("longer", FallocateFlags::empty(), 30_000, 1000),
            ("kept", FallocateFlags::KEEP_SIZE, 50_000, 1000),
            ("nothing", FallocateFlags::empty(), 0, 0),
        ];
        for (what, flags, at, len) in cases {
            t.did(what, fallocate(&file, flags, at, len));
            let bytes = fs::read(&path).unwrap();
            t.note((bytes.len(), bytes.iter().map(|b| u64::from(*b)).sum::<u64>(), bytes[99], bytes[100]));
        }
    });
}

#[test]
fn copies_inside_the_filesystem() {
    promise("A copy by copy_file_range gives the bytes that reading and writing give.");
    compare(|dir, t| {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        fs::write(dir.join("a"), &bytes).unwrap();
        let open = |name: &str| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(name))
        };
        let (a, b) = (open("a").unwrap(), open("b").unwrap());
        let copy = |from: u64, to: u64, len: usize| {
            let (mut from, mut to) = (from, to);
            let (mut done, mut left) = (0, len);
            while left > 0 {
                match rustix::fs::copy_file_range(&a, Some(&mut from), &b, Some(&mut to), left)? {
                    0 => break,
                    n => (done, left) = (done + n, left - n),
                }
            }
            Ok::<_, rustix::io::Errno>(done)
        };
        for (from, to, len) in [
            (0, 0, 4_000_000),
            (0, 1 << 20, 1 << 20),
            (1 << 20, 5 << 20, 1 << 20),
            (7, 100, 2_000_000),
            (2_999_999, 0, 10),
            (3_000_000, 0, 10),
            (9_000_000, 0, 10),
        ] {
            t.say(format!("{from} to {to}"), copy(from, to, len));
            let now = fs::read(dir.join("b")).unwrap();
            t.note((now.len(), blake3::hash(&now)));
        }
        let read_only = fs::File::open(dir.join("b")).unwrap();
        t.did("into a reader's file", rustix::fs::copy_file_range(&a, None, &read_only, None, 10));
        t.did("onto itself", rustix::fs::copy_file_range(&a, Some(&mut 0), &a, Some(&mut 5), 10));
    });
}

/// A difference from the local disk, on purpose: the kernel does not hand these to FUSE.
#[test]
fn ranges_are_neither_collapsed_nor_inserted() {
    let m = Mounted::new();
    let file = fs::File::create(m.path("a")).unwrap();
    file.write_all_at(&[7; 20_000], 0).unwrap();
    for flags in [FallocateFlags::COLLAPSE_RANGE, FallocateFlags::INSERT_RANGE] {
        assert_eq!(fallocate(&file, flags, 4096, 4096), Err(rustix::io::Errno::OPNOTSUPP));
    }
}

#[test]
fn many_threads_read_and_write_their_own_files() {
    let m = Mounted::new();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let path = m.path(&format!("file-{thread}"));
            scope.spawn(move || {
                let mut dice = Dice(thread);
                for _ in 0..10 {
                    let data: Vec<u8> = (0..dice.roll(300_000)).map(|i| (i * (thread + 1)) as u8).collect();
                    fs::write(&path, &data).unwrap();
                    assert!(fs::read(&path).unwrap() == data);
                }
            });
        }
    });
}

#[test]
fn pages_stay_in_the_kernel_across_opens() {
    let m = Mounted::new();
    fs::write(m.path("a"), vec![3; 1 << 20]).unwrap();
    fs::read(m.path("a")).unwrap();
    let before = m.handle().heartbeat();
    fs::read(m.path("a")).unwrap();
    let requests = m.handle().heartbeat() - before;
    // Open, release and perhaps attributes, but no READ.
    assert!(requests <= 4, "{requests} requests for a second reading");
}
