//! rename and renameat2.

use crate::harness::compare;
use crate::harness::promise;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::io::Read;

#[test]
fn files_and_directories_over_each_other() {
    compare(|dir, t| {
        let at = |name: &str| dir.join(name);
        fs::write(at("a"), b"a").unwrap();
        fs::write(at("b"), b"b").unwrap();
        for d in ["empty", "full", "other"] {
            fs::create_dir(at(d)).unwrap();
        }
        fs::write(at("full/f"), b"").unwrap();
        t.did("absent", fs::rename(at("no"), at("x")));
        t.did("file over file", fs::rename(at("a"), at("b")));
        t.say("content", fs::read(at("b")));
        t.did("old name", fs::metadata(at("a")));
        t.did("file over directory", fs::rename(at("b"), at("empty")));
        t.did("directory over file", fs::rename(at("empty"), at("b")));
        t.did("directory over full", fs::rename(at("empty"), at("full")));
        t.did("directory over empty", fs::rename(at("full"), at("empty")));
        t.did("into itself", fs::rename(at("other"), at("other/x")));
        t.did("to itself", fs::rename(at("b"), at("b")));
        t.did("into absent", fs::rename(at("b"), at("no/b")));
        t.did("down", fs::rename(at("b"), at("empty/b")));
        t.did("a directory down", fs::rename(at("other"), at("empty/other")));
        for name in ["empty", "empty/b", "empty/other", "empty/f", "full"] {
            t.stat(&at(name));
        }
        t.stat(dir);
        t.did("long name", fs::rename(at("empty/b"), at(&"n".repeat(256))));
    });
}

#[test]
fn noreplace_and_exchange() {
    promise("A rename replaces what is there, or refuses to, or exchanges the two, as it is asked.");
    compare(|dir, t| {
        let at = |name: &str| dir.join(name);
        let rename = |a: &str, b: &str, flags| renameat_with(CWD, at(a), CWD, at(b), flags);
        fs::write(at("a"), b"a").unwrap();
        fs::write(at("b"), b"b").unwrap();
        fs::create_dir(at("d")).unwrap();
        fs::create_dir(at("d/sub")).unwrap();
        t.did("noreplace over", rename("a", "b", RenameFlags::NOREPLACE));
        t.did("noreplace free", rename("a", "c", RenameFlags::NOREPLACE));
        t.did("exchange absent", rename("b", "no", RenameFlags::EXCHANGE));
        t.did("exchange files", rename("b", "c", RenameFlags::EXCHANGE));
        t.say("b", fs::read(at("b")));
        t.say("c", fs::read(at("c")));
        t.did("exchange file and directory", rename("b", "d/sub", RenameFlags::EXCHANGE));
        t.did("both", rename("b", "c", RenameFlags::EXCHANGE | RenameFlags::NOREPLACE));
        for name in ["b", "c", "d", "d/sub"] {
            t.stat(&at(name));
        }
        t.stat(dir);
    });
}

#[test]
fn an_open_file_outlives_its_replacement() {
    compare(|dir, t| {
        fs::write(dir.join("a"), b"old").unwrap();
        fs::write(dir.join("b"), b"new").unwrap();
        let mut old = fs::File::open(dir.join("a")).unwrap();
        t.did("over", fs::rename(dir.join("b"), dir.join("a")));
        let mut text = String::new();
        t.say("old", old.read_to_string(&mut text));
        t.note(&text);
        t.say("new", fs::read_to_string(dir.join("a")));
        t.say("links", old.metadata().map(|m| std::os::unix::fs::MetadataExt::nlink(&m)));
    });
}

#[test]
fn one_inode_under_two_names() {
    compare(|dir, t| {
        fs::write(dir.join("a"), b"x").unwrap();
        fs::hard_link(dir.join("a"), dir.join("b")).unwrap();
        t.did("onto its other name", fs::rename(dir.join("a"), dir.join("b")));
        t.stat(&dir.join("a"));
        t.stat(&dir.join("b"));
    });
}

#[test]
fn save_as_editors_do() {
    compare(|dir, t| {
        for i in 0..20 {
            let tmp = dir.join(".tmp");
            fs::write(&tmp, format!("version {i}")).unwrap();
            fs::File::open(&tmp).unwrap().sync_all().unwrap();
            t.did("over", fs::rename(&tmp, dir.join("doc")));
            t.say("read", fs::read_to_string(dir.join("doc")));
        }
        t.note(fs::read_dir(dir).unwrap().count());
    });
}
