//! statfs: the filesystem's own numbers, whatever the local disk has.

use crate::harness::Mounted;
use rustix::fs::statvfs;
use std::fs;

#[test]
fn room_and_names() {
    let m = Mounted::new();
    let empty = statvfs(m.dir()).unwrap();
    assert_eq!(empty.f_blocks * empty.f_frsize, 1 << 40);
    assert_eq!(empty.f_namemax, 255);
    assert!(empty.f_ffree > 1_000_000);
    fs::write(m.path("a"), vec![1; 1 << 20]).unwrap();
    let used = statvfs(m.dir()).unwrap();
    assert_eq!((empty.f_bfree - used.f_bfree) * used.f_frsize, 1 << 20);
    assert_eq!(used.f_bavail, used.f_bfree);
    assert_eq!(used.f_files - used.f_ffree, 2, "the root and one file");
}
