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
    assert_eq!(m.handle().in_flight(), 0);
}
