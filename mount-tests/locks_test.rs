//! Locks of files and of ranges, against another process.

use crate::harness::promise;
use crate::harness::sys::{Lock, Want, lock_in_the_way, set_lock};
use crate::harness::{child, compare};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn try_all(dir: &Path, kinds: &[&str]) -> Vec<String> {
    let ranges = [("0", "10"), ("10", "10"), ("20", "0"), ("0", "0")];
    let mut out = Vec::new();
    for kind in kinds {
        for (start, len) in ranges {
            for want in ["read", "write"] {
                let came = child::run(dir, None, &["lock", kind, want, start, len, "a"]);
                out.push(format!("{kind} {want} {start}+{len}: {came}"));
            }
        }
    }
    out
}

#[test]
fn locks_of_ranges_keep_other_processes_out() {
    promise(
        "Locks of ranges (POSIX and of open file descriptions) hold between all processes of this machine.",
    );
    compare(|dir, t| {
        fs::write(dir.join("a"), [0; 100]).unwrap();
        let file = open(&dir.join("a"));
        for kind in [Lock::Posix, Lock::Ofd] {
            t.did(format!("{kind:?} read"), set_lock(&file, kind, Want::Read, 0, 10));
            t.did(format!("{kind:?} write"), set_lock(&file, kind, Want::Write, 15, 5));
            t.note(try_all(dir, &["posix", "ofd"]));
            t.did("free in the middle", set_lock(&file, kind, Want::Free, 16, 2));
            t.note(child::run(dir, None, &["lock", "posix", "write", "16", "2", "a"]));
            t.note(child::run(dir, None, &["lock", "posix", "write", "16", "3", "a"]));
            t.did("free", set_lock(&file, kind, Want::Free, 0, 0));
            t.note(child::run(dir, None, &["lock", "posix", "write", "0", "0", "a"]));
        }
        // A lock of the process goes with any of its descriptors that is closed; the other kind stays.
        for kind in [Lock::Posix, Lock::Ofd] {
            t.did("again", set_lock(&file, kind, Want::Write, 0, 0));
            drop(open(&dir.join("a")));
            t.note((format!("{kind:?}"), child::run(dir, None, &["lock", "ofd", "write", "0", "0", "a"])));
        }
    });
}

/// A child that holds a lock until it is killed.
fn holder(dir: &Path, words: &[&str]) -> Child {
    let mut child = child::start(dir, None, words).stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap().contains("holding")), "it holds the lock");
    child
}

#[test]
fn a_killed_process_holds_no_lock() {
    promise("A process that was killed holds no lock.");
    compare(|dir, t| {
        fs::write(dir.join("a"), [0; 100]).unwrap();
        let file = open(&dir.join("a"));
        for kind in ["posix", "ofd", "flock"] {
            let mut child = holder(dir, &["hold", kind, "a"]);
            if kind == "flock" {
                t.note(file.try_lock().is_ok());
            } else {
                t.say("in the way", lock_in_the_way(&file, 0, 0));
                t.did("while it lives", set_lock(&file, Lock::Posix, Want::Write, 0, 1));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            if kind == "flock" {
                t.note(file.try_lock().is_ok());
                file.unlock().unwrap();
            } else {
                t.did("afterwards", set_lock(&file, Lock::Posix, Want::Write, 0, 1));
                t.did("free", set_lock(&file, Lock::Posix, Want::Free, 0, 0));
            }
        }
    });
}

#[test]
fn locks_of_whole_files_are_shared_or_alone() {
    promise("Locks of whole files (flock) hold between all processes of this machine.");
    compare(|dir, t| {
        fs::write(dir.join("a"), [0; 100]).unwrap();
        let file = open(&dir.join("a"));
        let other = |want: &str| child::run(dir, None, &["lock", "flock", want, "0", "0", "a"]);
        t.note((other("read"), other("write")));
        t.did("shared", file.try_lock_shared().map_err(std::io::Error::from));
        t.note((other("read"), other("write")));
        t.did("alone", file.try_lock().map_err(std::io::Error::from));
        t.note((other("read"), other("write")));
        t.did("free", file.unlock());
        t.note((other("read"), other("write")));
        // A lock of a deleted file is nobody's business.
        t.did("again", file.try_lock().map_err(std::io::Error::from));
        fs::remove_file(dir.join("a")).unwrap();
        fs::write(dir.join("a"), b"").unwrap();
        t.note(other("write"));
    });
}
