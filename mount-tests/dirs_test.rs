//! mkdir, rmdir, readdir.

use crate::harness::{Mounted, compare};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};

#[test]
fn making_and_removing() {
    compare(|dir, t| {
        let a = dir.join("a");
        t.did("mkdir", fs::create_dir(&a));
        t.did("again", fs::create_dir(&a));
        t.did("below", fs::create_dir(a.join("b")));
        t.did("in absent", fs::create_dir(dir.join("no/b")));
        t.stat(&a);
        t.did("not empty", fs::remove_dir(&a));
        t.did("empty", fs::remove_dir(a.join("b")));
        t.stat(&a);
        t.did("now empty", fs::remove_dir(&a));
        t.did("absent", fs::remove_dir(&a));
        fs::write(dir.join("f"), b"").unwrap();
        t.did("a file", fs::remove_dir(dir.join("f")));
        t.did("below a file", fs::create_dir(dir.join("f/d")));
    });
}

#[test]
fn a_removed_directory_that_is_somebodys() {
    compare(|dir, t| {
        let a = dir.join("a");
        fs::create_dir(&a).unwrap();
        let held = fs::File::open(&a).unwrap();
        t.did("rmdir", fs::remove_dir(&a));
        t.say("links", held.metadata().map(|m| m.nlink()));
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        t.did("create inside", rustix::fs::openat(&held, "x", flags, rustix::fs::Mode::RWXU));
    });
}

#[test]
fn a_listing_has_every_name_once() {
    compare(|dir, t| {
        for i in 0..1500 {
            fs::write(dir.join(format!("file-{i}-{}", "x".repeat(i % 60))), b"").unwrap();
        }
        for i in 0..50 {
            fs::create_dir(dir.join(format!("dir-{i}"))).unwrap();
        }
        let listed: Vec<_> = fs::read_dir(dir).unwrap().map(Result::unwrap).collect();
        let names: BTreeSet<_> = listed.iter().map(|e| e.file_name()).collect();
        t.note((listed.len(), &names));
        t.note(listed.iter().filter(|e| e.file_type().unwrap().is_dir()).count());
        t.note(listed.iter().all(|e| e.ino() == e.metadata().unwrap().ino()));
        t.note(fs::read_dir(dir).unwrap().count());
        t.stat(dir);
    });
}

#[test]
fn a_listing_while_entries_go() {
    compare(|dir, t| {
        for i in 0..2000 {
            fs::write(dir.join(format!("file-{i}")), b"").unwrap();
        }
        let mut seen = 0;
        for entry in fs::read_dir(dir).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
            seen += 1;
        }
        t.note(seen);
        t.note(fs::read_dir(dir).unwrap().count());
        t.did(
            "rmdir of nothing left",
            fs::create_dir(dir.join("d")).and_then(|()| fs::remove_dir(dir.join("d"))),
        );
    });
}

#[test]
fn a_tree_is_removed_whole() {
    compare(|dir, t| {
        let top = dir.join("top");
        for i in 0..30 {
            let sub = top.join(format!("{}/{}", i % 5, i));
            fs::create_dir_all(&sub).unwrap();
            fs::write(sub.join("f"), b"x").unwrap();
        }
        t.stat(&top);
        t.did("rm -r", fs::remove_dir_all(&top));
        t.did("gone", fs::metadata(&top));
    });
}

#[test]
fn changes_show_in_a_cached_listing() {
    let m = Mounted::new();
    let count = || fs::read_dir(m.dir()).unwrap().count();
    fs::write(m.path("a"), b"").unwrap();
    assert_eq!((count(), count()), (1, 1));
    fs::write(m.path("b"), b"").unwrap();
    assert_eq!(count(), 2);
    fs::rename(m.path("a"), m.path("c")).unwrap();
    fs::remove_file(m.path("b")).unwrap();
    let names: Vec<_> = fs::read_dir(m.dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["c"]);
}

#[test]
fn nothing_is_leaked() {
    let mut m = Mounted::new();
    for i in 0..200 {
        let path = m.path(&format!("f{i}"));
        fs::write(&path, b"x").unwrap();
        fs::read(&path).unwrap();
    }
    for entry in fs::read_dir(m.dir()).unwrap() {
        fs::metadata(entry.unwrap().path()).unwrap();
    }
    fs::remove_dir_all(m.path("none")).unwrap_err();
    for i in 0..200 {
        fs::remove_file(m.path(&format!("f{i}"))).unwrap();
    }
    let files = m.files.clone();
    crate::harness::eventually("unlinked inodes are forgotten and handles released", || {
        files.census() == (1, 0)
    });
    assert!(m.unmount(crate::harness::PATIENCE), "nothing in use");
}
