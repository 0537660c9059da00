//! File handles, on which NFS and Samba servers stand: files without their names.

use crate::harness::sys::Handle;
use crate::harness::{child, compare, eventually, promise};
use std::fs::{self, File};
use std::io::Read;

/// What the kernel knows of names and inodes is forgotten, and the filesystem asked again.
fn forget() {
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
}

#[test]
fn a_handle_opens_its_file_wherever_that_is_until_it_is_gone() {
    promise(
        "A file's handle (`name_to_handle_at`) opens it, wherever it was moved, and is stale when it is gone.",
    );
    if !child::may_change_users() {
        return;
    }
    compare(|dir, t| {
        let at = |name: &str| dir.join(name);
        fs::create_dir_all(at("d/e")).unwrap();
        fs::write(at("d/e/f"), b"content").unwrap();
        let (file, inner) = (Handle::of(&at("d/e/f")).unwrap(), Handle::of(&at("d/e")).unwrap());
        let on = File::open(dir).unwrap();
        let read = |handle: &Handle| {
            let mut text = String::new();
            handle.open(&on)?.read_to_string(&mut text).map(|_| text)
        };
        forget();
        t.say("forgotten by the kernel", read(&file));
        t.did("a directory", inner.open(&on));
        fs::rename(at("d/e/f"), at("g")).unwrap();
        forget();
        t.say("moved", read(&file));
        fs::hard_link(at("g"), at("h")).unwrap();
        fs::remove_file(at("g")).unwrap();
        forget();
        t.say("under its other name", read(&file));
        let open = File::open(at("h")).unwrap();
        fs::remove_file(at("h")).unwrap();
        drop(open);
        // The kernel tells a FUSE filesystem of the last close when it comes to it, and keeps the file
        // until then.
        eventually("a file that is gone is stale", || {
            forget();
            read(&file).is_err()
        });
        t.say("gone", read(&file));
        fs::remove_dir(at("d/e")).unwrap();
        forget();
        t.did("a directory that is gone", inner.open(&on));
    });
}
