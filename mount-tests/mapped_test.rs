//! mmap, shared and private.

use crate::harness::compare;
use crate::harness::promise;
use crate::harness::sys::Map;
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

const LEN: usize = 20_000;

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

/// What the filesystem has, whatever the kernel kept of it.
fn stored(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn a_shared_mapping_writes_the_file() {
    promise("What is written is seen at once through every descriptor and every mapping on this machine.");
    promise("A shared mapping writes the file, also when its descriptor is closed before it is used.");
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, vec![1; LEN]).unwrap();
        let file = open(&path);
        let mut map = Map::new(&file, LEN, true, true).unwrap();
        t.note((map.get(0), map.get(LEN - 1)));
        map.put(5000, b"mapped");
        t.say("read(2) sees it", fs::read(&path).map(|d| d[5000..5006].to_vec()));
        t.did("msync", map.sync());
        t.note(&stored(&path)[4999..5007]);
        file.write_all_at(b"written", 9000).unwrap();
        t.note((9000..9007).map(|i| map.get(i)).collect::<Vec<_>>());
        // The mapping outlives the descriptor, and what it wrote outlives the mapping.
        drop(file);
        map.put(LEN - 4, b"last");
        drop(map);
        t.note(&stored(&path)[LEN - 5..]);
        t.stat(&path);
    });
}

#[test]
fn a_private_mapping_does_not() {
    promise("A private mapping never writes the file.");
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, vec![1; LEN]).unwrap();
        let file = File::open(&path).unwrap();
        let mut map = Map::new(&file, LEN, true, false).unwrap();
        map.put(100, b"mine alone");
        t.note((map.get(100), map.get(110)));
        t.note(stored(&path) == vec![1; LEN]);
        t.did("shared and writable, of a reader's file", Map::new(&file, LEN, true, true));
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        t.did("of a writer's file", Map::new(&writer, LEN, false, true));
    });
}

#[test]
fn a_mapping_of_a_file_without_a_name() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, vec![3; LEN]).unwrap();
        let file = open(&path);
        let mut map = Map::new(&file, LEN, true, true).unwrap();
        t.did("unlink", fs::remove_file(&path));
        map.put(7, b"still here");
        t.did("msync", map.sync());
        let mut got = [0; 10];
        t.did("read", file.read_exact_at(&mut got, 7));
        t.note(got);
    });
}

#[test]
fn a_mapping_follows_the_length() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, vec![4; 3 * 4096]).unwrap();
        let file = open(&path);
        let map = Map::new(&file, 3 * 4096, false, true).unwrap();
        t.note(map.get(2 * 4096));
        // Cut inside its second page: the rest of that page is zeros, and stays so.
        t.did("cut", file.set_len(4096 + 10));
        t.note((map.get(4096 + 9), map.get(4096 + 10), map.get(2 * 4096 - 1)));
        t.did("longer", file.set_len(3 * 4096));
        t.note((map.get(4096 + 10), map.get(3 * 4096 - 1)));
        file.write_all_at(&[5; 4096], 2 * 4096).unwrap();
        t.note(map.get(3 * 4096 - 1));
    });
}
