//! A panic is one request's I/O error, and nothing more.

use crate::harness::Mounted;
use crate::harness::memfs::{PANIC_ON_LOOKUP, PANIC_ON_READ};
use std::fs;

fn errno(error: std::io::Error) -> Option<i32> {
    error.raw_os_error()
}

const EIO: Option<i32> = Some(rustix::io::Errno::IO.raw_os_error());

#[test]
fn a_panic_in_a_handler_is_that_requests_error() {
    let m = Mounted::new();
    fs::write(m.path("a"), b"x").unwrap();
    for _ in 0..5 {
        assert_eq!(errno(fs::metadata(m.path(PANIC_ON_LOOKUP)).unwrap_err()), EIO);
        assert_eq!(fs::read(m.path("a")).unwrap(), b"x");
    }
    assert!(m.handle().probe(crate::harness::PATIENCE));
}

/// Times that overflow when they are turned over or scaled: kept as near as can be, and the
/// thread that reads requests lives on.
#[test]
fn times_at_both_ends_of_the_range_end_nothing() {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let m = Mounted::new();
    let path = m.path("a");
    fs::write(&path, b"x").unwrap();
    for tv_sec in [i64::MIN, i64::MIN + 1, i64::MIN / 2, -1, i64::MAX - 1, i64::MAX] {
        for tv_nsec in [0, 1, 999_999_999] {
            let time = Timespec { tv_sec, tv_nsec };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"x");
            assert!(m.handle().probe(crate::harness::PATIENCE), "alive after {tv_sec}.{tv_nsec}");
        }
    }
    use std::os::unix::fs::MetadataExt;
    let low = Timespec { tv_sec: i64::MIN, tv_nsec: 0 };
    utimensat(CWD, &path, &Timestamps { last_access: low, last_modification: low }, AtFlags::empty())
        .unwrap();
    assert!(fs::metadata(&path).unwrap().mtime() < -9_000_000_000, "the first that can be kept");
}

#[test]
fn a_panic_in_a_task_is_that_requests_error() {
    let m = Mounted::new();
    let path = m.path(PANIC_ON_READ);
    fs::write(&path, b"x").unwrap();
    // Pages from writing would hide the read.
    m.files.remote_write(PANIC_ON_READ, b"other");
    assert_eq!(errno(fs::read(&path).unwrap_err()), EIO);
    fs::write(m.path("a"), b"x").unwrap();
    assert_eq!(fs::read(m.path("a")).unwrap(), b"x");
    // A close does not wait for its RELEASE.
    crate::harness::eventually("no request left over", || m.handle().in_flight() == 0);
}
