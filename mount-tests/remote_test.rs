//! What other machines change is seen here.

use crate::harness::{Mounted, eventually};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

fn all(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; 100_000];
    let n = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(n);
    bytes
}

#[test]
fn a_longer_and_a_shorter_file_is_seen_by_who_has_it_open() {
    let m = Mounted::new();
    fs::write(m.path("a"), b"first").unwrap();
    let reader = File::open(m.path("a")).unwrap();
    assert_eq!(all(&reader), b"first");
    for next in [vec![7; 50_000], b"x".to_vec(), vec![8; 70_000]] {
        m.files.remote_write("a", &next);
        eventually("the open reader sees the change", || all(&reader) == next);
        assert_eq!(reader.metadata().unwrap().len(), next.len() as u64);
    }
}

#[test]
fn a_change_of_equal_length_is_seen_at_once_by_new_openers() {
    let m = Mounted::new();
    fs::write(m.path("a"), b"first").unwrap();
    let reader = File::open(m.path("a")).unwrap();
    assert_eq!(all(&reader), b"first");
    m.files.remote_write("a", b"other");
    // No waiting for the invalidation: the epoch says it.
    assert_eq!(fs::read(m.path("a")).unwrap(), b"other");
    // Opening dropped the pages of everybody.
    assert_eq!(all(&reader), b"other");
}

#[test]
fn a_change_of_a_closed_file_is_seen() {
    let m = Mounted::new();
    fs::write(m.path("a"), b"first").unwrap();
    assert_eq!(fs::read(m.path("a")).unwrap(), b"first");
    m.files.remote_write("a", b"much longer");
    eventually("the new size", || fs::metadata(m.path("a")).unwrap().len() == 11);
    assert_eq!(fs::read(m.path("a")).unwrap(), b"much longer");
}

#[test]
fn names_come_and_go() {
    let m = Mounted::new();
    // The kernel now believes the name is absent, for seconds, and the listing empty.
    fs::metadata(m.path("a")).unwrap_err();
    assert_eq!(fs::read_dir(m.dir()).unwrap().count(), 0);
    m.files.remote_create("a", b"from afar");
    eventually("the name comes", || fs::read(m.path("a")).is_ok_and(|d| d == b"from afar"));
    eventually("the listing has it", || fs::read_dir(m.dir()).unwrap().count() == 1);
    m.files.remote_remove("a");
    eventually("the name goes", || fs::metadata(m.path("a")).is_err());
    eventually("the listing too", || fs::read_dir(m.dir()).unwrap().count() == 0);
}

#[test]
fn creating_what_came_meanwhile_opens_it() {
    let m = Mounted::new();
    for i in 0..20 {
        let name = format!("a{i}");
        fs::metadata(m.path(&name)).unwrap_err();
        m.files.remote_create(&name, b"from afar");
        // O_CREAT without O_EXCL, with the kernel's belief in an absent name fresh or not.
        let mut open = fs::OpenOptions::new();
        let file = open.read(true).write(true).create(true).truncate(false).open(m.path(&name)).unwrap();
        assert_eq!(all(&file), b"from afar");
        fs::OpenOptions::new().write(true).create_new(true).open(m.path(&name)).unwrap_err();
    }
}

#[test]
fn a_slow_read_does_not_hold_up_changes_elsewhere() {
    let m = Mounted::new();
    fs::write(m.path(crate::harness::memfs::SLOW_READ), vec![1; 9000]).unwrap();
    fs::write(m.path("a"), b"first").unwrap();
    assert_eq!(fs::read(m.path("a")).unwrap(), b"first");
    let path = m.path(crate::harness::memfs::SLOW_READ);
    // Pages from writing are there; a new epoch makes the reader ask us.
    m.files.remote_write(crate::harness::memfs::SLOW_READ, &[2; 9000]);
    let reader = std::thread::spawn(move || fs::read(path).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(300));
    let start = std::time::Instant::now();
    m.files.remote_write(crate::harness::memfs::SLOW_READ, &[3; 9001]);
    m.files.remote_write("a", b"second!");
    eventually("the other file", || fs::metadata(m.path("a")).unwrap().len() == 7);
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "held up by the slow read");
    assert!(!reader.is_finished(), "the read is not slow: this test shows nothing");
    reader.join().unwrap();
}
