//! chmod, chown, utimensat, and the times that change by themselves.

use crate::harness::promise;
use crate::harness::{Mounted, compare};
use filetime::FileTime;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

const NOW: i64 = rustix::fs::UTIME_NOW;
const OMIT: i64 = rustix::fs::UTIME_OMIT;

fn times(m: &Metadata) -> [(i64, i64); 2] {
    [(m.atime(), m.atime_nsec()), (m.mtime(), m.mtime_nsec())]
}

#[test]
fn modes_and_owners() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        for mode in [0o600, 0o7777, 0o000, 0o2755, 0o644] {
            t.did(mode, fs::set_permissions(&path, Permissions::from_mode(mode)));
            t.stat(&path);
        }
        t.did("chmod of a directory", fs::set_permissions(dir, Permissions::from_mode(0o1777)));
        t.stat(dir);
        if rustix::process::geteuid().is_root() {
            for (uid, gid) in [(Some(1), None), (None, Some(2)), (Some(3), Some(4)), (None, None)] {
                t.did("chown", chown(&path, uid, gid));
                t.stat(&path);
            }
        }
        t.did("absent", fs::set_permissions(dir.join("no"), Permissions::from_mode(0o644)));
    });
}

#[test]
fn set_id_bits_go_with_a_new_owner() {
    promise("Set-id bits go with a change of owner.");
    compare(|dir, t| {
        for (name, mode) in [("a", 0o6755), ("b", 0o6644), ("c", 0o4711)] {
            let path = dir.join(name);
            fs::write(&path, b"x").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            t.did("chown", chown(&path, Some(1), Some(1)));
            t.stat(&path);
        }
        let sub = dir.join("d");
        fs::create_dir(&sub).unwrap();
        fs::set_permissions(&sub, Permissions::from_mode(0o6755)).unwrap();
        t.did("chown of a directory", chown(&sub, Some(1), Some(1)));
        t.stat(&sub);
    });
}

#[test]
fn set_id_bits_stay_when_root_writes() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o6755)).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        t.did("write", file.write_all_at(b"yy", 0));
        t.stat(&path);
        t.did("truncate", file.set_len(1));
        t.stat(&path);
    });
}

#[test]
fn a_directory_hands_its_group_down() {
    compare(|dir, t| {
        let d = dir.join("d");
        fs::create_dir(&d).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(&d, None, Some(7)).unwrap();
        }
        fs::set_permissions(&d, Permissions::from_mode(0o2775)).unwrap();
        fs::write(d.join("f"), b"").unwrap();
        fs::create_dir(d.join("sub")).unwrap();
        t.stat(&d.join("f"));
        t.stat(&d.join("sub"));
    });
}

#[test]
fn times_are_kept_to_the_nanosecond() {
    promise("Times are kept to the nanosecond.");
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        let cases = [(0, 0), (1, 1), (1_700_000_000, 123_456_789), (-1, 250_000_000), (-86_400, 999_999_999)];
        for (s, ns) in cases {
            let time = FileTime::from_unix_time(s, ns);
            t.did("set", filetime::set_file_times(&path, time, FileTime::from_unix_time(s + 5, ns)));
            t.say("times", fs::metadata(&path).map(|m| times(&m)));
        }
        t.did("of a symlink", std::os::unix::fs::symlink("a", dir.join("l")));
        let time = FileTime::from_unix_time(77, 88);
        t.did("set", filetime::set_symlink_file_times(dir.join("l"), time, time));
        t.say("times", fs::symlink_metadata(dir.join("l")).map(|m| times(&m)));
        t.did("of a directory", filetime::set_file_times(dir, time, time));
        t.say("times", fs::metadata(dir).map(|m| times(&m)));
    });
}

fn set(path: &Path, atime: i64, mtime: i64) -> rustix::io::Result<()> {
    let spec = |nsec| Timespec { tv_sec: 9, tv_nsec: nsec };
    let times = Timestamps { last_access: spec(atime), last_modification: spec(mtime) };
    utimensat(CWD, path, &times, AtFlags::empty())
}

#[test]
fn now_and_omit() {
    promise("UTIME_NOW and UTIME_OMIT each do for one time what they do on a local disk.");
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        t.did("both", set(&path, 1, 2));
        t.say("times", fs::metadata(&path).map(|m| times(&m)));
        t.did("omit atime", set(&path, OMIT, 5));
        t.say("times", fs::metadata(&path).map(|m| times(&m)));
        t.did("omit both", set(&path, OMIT, OMIT));
        t.say("times", fs::metadata(&path).map(|m| times(&m)));
        t.did("now", set(&path, 6, NOW));
        let m = fs::metadata(&path).unwrap();
        t.note((m.atime(), m.modified().unwrap().elapsed().unwrap() < Duration::from_secs(60)));
        t.did("nonsense", set(&path, 1_500_000_000, 0));
    });
}

/// Runs `act` and names the times of `of` that it changed.
fn changed(dir: &Path, of: &str, act: impl FnOnce()) -> String {
    let look = || {
        let m = fs::symlink_metadata(dir.join(of)).unwrap();
        [(m.mtime(), m.mtime_nsec()), (m.ctime(), m.ctime_nsec())]
    };
    let before = look();
    // The disk's clock ticks every 4 ms.
    std::thread::sleep(Duration::from_millis(15));
    act();
    let after = look();
    let name = |i: usize, name: &str| if after[i] > before[i] { name.to_owned() } else { "-".to_owned() };
    format!("{}{}", name(0, "m"), name(1, "c"))
}

#[test]
fn times_that_change_by_themselves() {
    promise("Modification and change times move when they move on a local disk, and only then.");
    compare(|dir, t| {
        let at = |name: &str| dir.join(name);
        fs::write(at("f"), b"x").unwrap();
        fs::create_dir(at("d")).unwrap();
        fs::create_dir(at("e")).unwrap();
        let f = fs::OpenOptions::new().write(true).open(at("f")).unwrap();
        t.note(("write", changed(dir, "f", || f.write_all_at(b"yy", 0).unwrap())));
        t.note(("longer", changed(dir, "f", || f.set_len(10).unwrap())));
        t.note(("read", changed(dir, "f", || drop(fs::read(at("f")).unwrap()))));
        let mode = Permissions::from_mode(0o600);
        t.note(("chmod", changed(dir, "f", || fs::set_permissions(at("f"), mode).unwrap())));
        t.note(("link", changed(dir, "f", || fs::hard_link(at("f"), at("g")).unwrap())));
        t.note(("unlink", changed(dir, "f", || fs::remove_file(at("g")).unwrap())));
        t.note(("xattr", changed(dir, "f", || xattr::set(at("f"), "user.a", b"1").unwrap())));
        t.note(("create", changed(dir, "d", || fs::write(at("d/x"), b"").unwrap())));
        t.note(("rename within", changed(dir, "d", || fs::rename(at("d/x"), at("d/y")).unwrap())));
        t.note(("rename out", changed(dir, "d", || fs::rename(at("d/y"), at("e/y")).unwrap())));
        t.note(("rename in", changed(dir, "d", || fs::rename(at("e/y"), at("d/y")).unwrap())));
        t.note(("unlink in", changed(dir, "d", || fs::remove_file(at("d/y")).unwrap())));
        t.note(("mkdir in", changed(dir, "d", || fs::create_dir(at("d/s")).unwrap())));
        t.note(("rmdir in", changed(dir, "d", || fs::remove_dir(at("d/s")).unwrap())));
        t.note(("list", changed(dir, "d", || assert!(fs::read_dir(at("d")).unwrap().count() < 9))));
    });
}

#[test]
fn attributes_are_served_from_the_kernels_cache() {
    let m = Mounted::new();
    fs::write(m.path("a"), b"x").unwrap();
    fs::metadata(m.path("a")).unwrap();
    let before = m.handle().heartbeat();
    for _ in 0..1000 {
        fs::metadata(m.path("a")).unwrap();
    }
    assert!(m.handle().heartbeat() - before < 10, "stat(2) of a known file reaches us");
}
