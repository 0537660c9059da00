//! link, symlink, readlink, mknod.

use crate::harness::compare;
use crate::harness::promise;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

#[test]
fn hard_links() {
    compare(|dir, t| {
        let at = |name: &str| dir.join(name);
        fs::write(at("a"), b"x").unwrap();
        fs::create_dir(at("d")).unwrap();
        t.did("link", fs::hard_link(at("a"), at("d/b")));
        t.did("again", fs::hard_link(at("a"), at("d/b")));
        t.did("of a directory", fs::hard_link(at("d"), at("e")));
        t.did("of nothing", fs::hard_link(at("no"), at("e")));
        t.stat(&at("a"));
        t.did("write through one", fs::write(at("d/b"), b"longer"));
        t.say("read through the other", fs::read_to_string(at("a")));
        t.note(fs::metadata(at("a")).unwrap().ino() == fs::metadata(at("d/b")).unwrap().ino());
        t.did("unlink", fs::remove_file(at("a")));
        t.stat(&at("d/b"));
        t.did("long name", fs::hard_link(at("d/b"), at(&"n".repeat(256))));
    });
}

#[test]
fn symbolic_links() {
    promise("A symbolic link's target has up to 4,095 bytes.");
    compare(|dir, t| {
        let at = |name: &str| dir.join(name);
        fs::write(at("a"), b"x").unwrap();
        t.did("link", symlink("a", at("l")));
        t.did("again", symlink("b", at("l")));
        t.say("target", fs::read_link(at("l")));
        t.say("through", fs::read(at("l")));
        t.stat(&at("l"));
        t.did("dangling", symlink("nowhere/at/all", at("dangling")));
        t.did("follow it", fs::read(at("dangling")));
        t.did("itself", symlink("loop", at("loop")).and_then(|()| fs::read(at("loop"))));
        t.did("longest", symlink("x".repeat(4095), at("long")));
        t.say("its length", fs::read_link(at("long")).map(|l| l.as_os_str().len()));
        t.did("too long", symlink("x".repeat(4096), at("longer")));
        t.did("readlink of a file", fs::read_link(at("a")));
        t.did("unlink", fs::remove_file(at("l")));
        t.stat(&at("a"));
    });
}

#[test]
fn special_files() {
    compare(|dir, t| {
        let modes = Mode::from_raw_mode(0o640);
        let made = [
            ("fifo", FileType::Fifo, 0),
            ("socket", FileType::Socket, 0),
            ("file", FileType::RegularFile, 0),
            ("block", FileType::BlockDevice, makedev(7, 300)),
            ("char", FileType::CharacterDevice, makedev(1, 3)),
        ];
        for (name, kind, dev) in made {
            t.did(name, mknodat(CWD, dir.join(name), kind, modes, dev));
            t.stat(&dir.join(name));
        }
        t.did("again", mknodat(CWD, dir.join("fifo"), FileType::Fifo, modes, 0));
    });
}
