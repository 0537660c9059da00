//! What the adapter costs, over memory, beside the do-nothing filesystem. Run by hand:
//! `cargo test --release --test mount figures -- --ignored --nocapture --test-threads=1`

use crate::harness::Mounted;
use kithfs::mount::donothing;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const FILES: u32 = 5000;
const BYTES: u64 = 512 << 20;
const UNIT: usize = 1 << 20;

fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

/// Forgets what the kernel has cached, so that the filesystem is asked.
fn drop_caches() {
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
}

fn measure(name: &str, dir: &Path) {
    let file = |i: u32| dir.join(format!("file-{i:05}"));
    let create = timed(|| (0..FILES).for_each(|i| drop(File::create(file(i)).unwrap())));
    let mkdir = timed(|| (0..FILES).for_each(|i| fs::create_dir(dir.join(format!("dir-{i:05}"))).unwrap()));
    drop_caches();
    let list = timed(|| {
        let lengths = fs::read_dir(dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
        assert_eq!(lengths.count(), 2 * FILES as usize);
    });
    drop_caches();
    let lookup = timed(|| {
        (0..FILES).for_each(|i| {
            fs::metadata(file(i)).unwrap();
        })
    });
    let unlink = timed(|| (0..FILES).for_each(|i| fs::remove_file(file(i)).unwrap()));
    let big = dir.join("big");
    let buffer = vec![7; UNIT];
    let write = timed(|| {
        let mut out = File::create(&big).unwrap();
        (0..BYTES / UNIT as u64).for_each(|_| out.write_all(&buffer).unwrap());
        out.sync_all().unwrap();
    });
    drop_caches();
    let mut buffer = vec![0; UNIT];
    let read = timed(|| {
        let mut from = File::open(&big).unwrap();
        let mut n = 0;
        while n < BYTES {
            n += from.read(&mut buffer).unwrap() as u64;
        }
    });
    let small = File::create(dir.join("small")).unwrap();
    let writes =
        timed(|| (0..20_000_u64).for_each(|i| small.write_all_at(&buffer[..4096], i * 4096).unwrap()));
    let each = |d: Duration, n: u32| d.as_secs_f64() * 1e6 / f64::from(n);
    let rate = |d: Duration| BYTES as f64 / d.as_secs_f64() / 1e6;
    println!(
        "{name:24} create {:5.1} us  mkdir {:5.1} us  lookup {:5.1} us  unlink {:5.1} us  ls -l of 10,000 cold {:5.1} ms  4 KiB write {:5.1} us  write {:5.0} MB/s  read cold {:5.0} MB/s",
        each(create, FILES),
        each(mkdir, FILES),
        each(lookup, FILES),
        each(unlink, FILES),
        list.as_secs_f64() * 1e3,
        each(writes, 20_000),
        rate(write),
        rate(read),
    );
}

#[test]
#[ignore = "a measurement, not a test"]
fn figures() {
    for _ in 0..2 {
        for keep in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let nothing = donothing::mount(&dir.path().join("m"), keep).unwrap();
            measure(if keep { "do-nothing, data kept" } else { "do-nothing" }, nothing.dir());
        }
        let m = Mounted::new();
        measure("adapter over memory", m.dir());
    }
}
