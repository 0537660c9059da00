//! open, create, read, write, truncate, unlink.

use crate::harness::compare;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, open, statx};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

const RW: Mode = Mode::from_raw_mode(0o644);

#[test]
fn what_was_written_is_read_back() {
    compare(|dir, t| {
        let path = dir.join("a");
        let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i / 7) as u8).collect();
        t.did("write", fs::write(&path, &data));
        t.stat(&path);
        t.note(fs::read(&path).is_ok_and(|read| read == data));
        t.did("rewrite", fs::write(&path, b"short"));
        t.say("read", fs::read(&path));
        t.stat(&path);
    });
}

#[test]
fn creation_flags() {
    compare(|dir, t| {
        let path = dir.join("a");
        t.did("absent", open(&path, OFlags::RDONLY, RW));
        t.did("excl", open(&path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, RW));
        t.did("excl again", open(&path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, RW));
        t.did("create again", open(&path, OFlags::WRONLY | OFlags::CREATE, RW));
        t.did("as directory", open(&path, OFlags::RDONLY | OFlags::DIRECTORY, RW));
        t.did("below a file", open(path.join("b"), OFlags::RDONLY, RW));
        t.did("write a directory", open(dir, OFlags::WRONLY, RW));
        t.did("create in absent", open(dir.join("no/a"), OFlags::WRONLY | OFlags::CREATE, RW));
        t.stat(&path);
    });
}

#[test]
fn truncation() {
    compare(|dir, t| {
        let path = dir.join("a");
        t.did("write", fs::write(&path, vec![7; 10_000]));
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        t.did("shorter", file.set_len(5_000));
        t.say("cut", fs::read(&path).map(|d| (d.len(), d.iter().all(|b| *b == 7))));
        t.did("longer", file.set_len(9_000));
        t.say("grown", fs::read(&path).map(|d| (d.len(), d[5_000..].iter().all(|b| *b == 0))));
        t.did("trunc", OpenOptions::new().write(true).truncate(true).open(&path));
        t.stat(&path);
        t.did("read-only", File::open(&path).unwrap().set_len(1));
        t.did("huge", rustix::fs::ftruncate(&file, 1 << 40));
        t.stat(&path);
        t.did("a directory", OpenOptions::new().write(true).open(dir).map(|d| d.set_len(0)));
    });
}

#[test]
fn appends_go_to_the_end() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"start").unwrap();
        let mut one = OpenOptions::new().append(true).open(&path).unwrap();
        let mut two = OpenOptions::new().append(true).open(&path).unwrap();
        for i in 0..50 {
            t.did("one", one.write_all(format!("one{i};").as_bytes()));
            t.did("two", two.write_all(format!("two{i};").as_bytes()));
        }
        t.say("seek", one.seek(SeekFrom::Start(2)));
        t.did("after a seek", one.write_all(b"end"));
        t.say("all", fs::read_to_string(&path));
    });
}

#[test]
fn appends_of_many_threads_lose_nothing() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"").unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4_u8 {
                let path = &path;
                scope.spawn(move || {
                    let mut file = OpenOptions::new().append(true).open(path).unwrap();
                    for _ in 0..100 {
                        file.write_all(&[writer; 10]).unwrap();
                    }
                });
            }
        });
        let mut all = fs::read(&path).unwrap();
        t.note(all.chunks(10).all(|c| c.iter().all(|b| *b == c[0])));
        all.sort_unstable();
        t.note(all.len());
        t.note((0..4).map(|w| all.iter().filter(|b| **b == w).count()).collect::<Vec<_>>());
    });
}

#[test]
fn an_unlinked_file_lives_while_it_is_open() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"still here").unwrap();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        t.did("unlink", fs::remove_file(&path));
        t.did("gone", fs::metadata(&path));
        let mut text = String::new();
        t.say("read", file.read_to_string(&mut text));
        t.note(&text);
        t.did("write", file.write_all_at(b"STILL", 0));
        t.did("cut", file.set_len(7));
        t.say("stat", file.metadata().map(|m| (m.len(), std::os::unix::fs::MetadataExt::nlink(&m))));
        text.clear();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        t.note(&text);
        t.did("same name again", fs::write(&path, b"other"));
        t.say("other", fs::read_to_string(&path));
        t.did("unlink absent", fs::remove_file(dir.join("no")));
        t.did(
            "unlink directory",
            fs::create_dir(dir.join("d")).and_then(|()| fs::remove_file(dir.join("d"))),
        );
    });
}

#[test]
fn handles_know_what_they_may() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"abc").unwrap();
        t.did("write through read-only", File::open(&path).unwrap().write_all(b"x"));
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        t.say("read through write-only", writer.read(&mut [0; 3]));
        t.say("read past the end", File::open(&path).unwrap().read_at(&mut [0; 3], 100));
        t.say("read across the end", File::open(&path).unwrap().read_at(&mut [0; 10], 1));
        t.did("fsync", writer.sync_all());
        t.did("fdatasync", writer.sync_data());
        t.did("fsync of the directory", File::open(dir).and_then(|d| d.sync_all()));
    });
}

#[test]
fn names() {
    compare(|dir, t| {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        for len in [1, 254, 255, 256, 1000, 1025] {
            t.did(len, fs::write(dir.join("n".repeat(len)), b""));
        }
        t.did("long lookup", fs::metadata(dir.join("m".repeat(256))));
        let odd = dir.join(OsStr::from_bytes(b"\xff\xfe new\nline \x01"));
        t.did("not UTF-8", fs::write(&odd, b"x"));
        t.say("read", fs::read(&odd));
        t.did("umlaut", fs::write(dir.join("Gr\u{fc}\u{df}e"), b""));
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        t.note(names);
    });
}

#[test]
fn a_mapped_file() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, vec![1; 20_000]).unwrap();
        // cp reads through mmap or read; `cmp` against itself goes through both caches.
        let copy = dir.join("b");
        t.say("copy", fs::copy(&path, &copy));
        t.note(fs::read(&copy).unwrap() == fs::read(&path).unwrap());
        t.stat(&copy);
    });
}

#[test]
fn direct_io() {
    compare(|dir, t| {
        let path = dir.join("a");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT;
        let Some(fd) = t.did("open", open(&path, flags, RW)) else { return };
        // Aligned memory: the middle of a larger buffer.
        let mut buffer = vec![5_u8; 3 * 4096];
        let start = buffer.as_ptr().align_offset(4096);
        t.say("write", rustix::io::pwrite(&fd, &buffer[start..start + 4096], 4096));
        buffer.fill(0);
        t.say("read", rustix::io::pread(&fd, &mut buffer[start..start + 4096], 4096));
        t.note(buffer[start..start + 4096].iter().all(|b| *b == 5));
        t.say("buffered", fs::read(&path).map(|d| (d.len(), d[0], d[5000])));
    });
}

/// O_TRUNC counts whatever the file is opened for; a program that runs is not cut.
#[test]
fn cut_while_opened_for_reading() {
    compare(|dir, t| {
        let (path, program) = (dir.join("a"), dir.join("program"));
        // Asked of the filesystem: the kernel may have an idea of its own.
        let size = |path| statx(CWD, path, AtFlags::STATX_FORCE_SYNC, StatxFlags::SIZE).map(|s| s.stx_size);
        t.did("write", fs::write(&path, b"12345"));
        t.did("cut", open(&path, OFlags::RDONLY | OFlags::TRUNC, RW));
        t.say("size", size(&path));

        fs::copy("/bin/sleep", &program).unwrap();
        let before = fs::read(&program).unwrap();
        let mut running = std::process::Command::new(&program).arg("60").spawn().unwrap();
        for flags in [OFlags::WRONLY, OFlags::RDWR, OFlags::RDONLY | OFlags::TRUNC] {
            t.did("open", open(&program, flags, RW));
        }
        running.kill().unwrap();
        running.wait().unwrap();
        t.note(size(&program).is_ok_and(|n| n == before.len() as u64));
        t.note(fs::read(&program).is_ok_and(|now| now == before));
    });
}
