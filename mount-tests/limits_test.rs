//! The longest, the largest, the most.

use crate::harness::promise;
use crate::harness::real::RealMount;
use crate::harness::sys::Dir;
use crate::harness::{Mounted, Trace, child, compare};
use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, listxattr, makedev, mkdirat, mknodat, openat};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const RW: Mode = Mode::from_raw_mode(0o644);

#[test]
fn names_have_255_of_any_byte() {
    promise("A name has up to 255 bytes of any value but `/` and NUL.");
    compare(|dir, t| {
        let bytes = (1..=255_u8).filter(|b| *b != b'/');
        let name = |b: u8| dir.join(OsStr::from_bytes(&[b; 255]));
        for b in bytes.clone() {
            t.did(b, fs::write(name(b), [b]));
        }
        let listed: BTreeSet<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        t.note(listed.len());
        t.note(bytes.clone().all(|b| listed.contains(OsStr::from_bytes(&[b; 255]))));
        t.note(bytes.clone().all(|b| fs::read(name(b)).is_ok_and(|read| read == [b])));
        t.did("one more", fs::write(dir.join("n".repeat(256)), b""));
    });
}

#[test]
fn a_path_has_4095_bytes() {
    promise("A path has up to 4,095 bytes.");
    compare(|dir, t| {
        let top = File::open(dir).unwrap();
        let level = "d".repeat(255);
        let mut path = String::new();
        while path.len() + 256 < 4095 {
            path += &level;
            t.did(path.len(), mkdirat(&top, path.as_str(), Mode::RWXU));
            path.push('/');
        }
        for len in [4094, 4095, 4096] {
            let file = format!("{path}{}", "f".repeat(len - path.len()));
            t.did(len, openat(&top, file.as_str(), OFlags::CREATE | OFlags::WRONLY, RW));
        }
        let deepest = openat(&top, &path[..path.len() - 1], OFlags::RDONLY, RW).unwrap();
        t.note(rustix::fs::Dir::read_from(&deepest).unwrap().count());
        t.did("rm -r", fs::remove_dir_all(dir.join(&level)));
    });
}

#[test]
fn appends_of_many_threads_and_processes_lose_nothing() {
    promise("Appends of many threads and processes lose nothing and mix nothing.");
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"").unwrap();
        std::thread::scope(|scope| {
            for writer in 0..64_u8 {
                let path = &path;
                scope.spawn(move || {
                    let mut file = OpenOptions::new().append(true).open(path).unwrap();
                    for _ in 0..20 {
                        file.write_all(&[writer; 10]).unwrap();
                    }
                });
            }
            for writer in 64..68 {
                scope.spawn(move || {
                    child::run(dir, None, &["append-many", "a", &writer.to_string(), "50"]);
                });
            }
        });
        let all = fs::read(&path).unwrap();
        t.note(all.len());
        t.note(all.chunks(10).all(|c| c.iter().all(|b| *b == c[0])));
        t.note((0..68).map(|w| all.iter().filter(|b| **b == w).count()).collect::<Vec<_>>());
    });
}

#[test]
fn one_of_many_makes_a_name() {
    promise("Of many who create one name with O_EXCL exactly one succeeds.");
    compare(|dir, t| {
        for round in 0..20 {
            let path = dir.join(format!("lock{round}"));
            let made = std::thread::scope(|scope| {
                let path = &path;
                let racers: Vec<_> =
                    (0..16).map(|_| scope.spawn(move || File::create_new(path).is_ok())).collect();
                racers.into_iter().map(|r| usize::from(r.join().unwrap())).sum::<usize>()
            });
            t.note((made, child::run(dir, None, &["create", &format!("lock{round}")])));
        }
    });
}

#[test]
fn an_open_file_outlives_what_others_do_to_its_name() {
    promise("A file that was removed or replaced stays usable for whoever has it open.");
    compare(|dir, t| {
        for act in [&["unlink", "a"][..], &["rename", "b", "a"]] {
            fs::write(dir.join("a"), b"held").unwrap();
            fs::write(dir.join("b"), b"new").unwrap();
            let mut held = OpenOptions::new().read(true).write(true).open(dir.join("a")).unwrap();
            t.note(child::run(dir, None, act));
            held.write_all_at(b"HE", 0).unwrap();
            let mut text = String::new();
            t.say("held", held.read_to_string(&mut text));
            t.note(text);
            t.say("links", held.metadata().map(|m| m.nlink()));
            t.say("name", fs::read_to_string(dir.join("a")));
        }
    });
}

#[test]
fn offsets_at_the_limits() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let last = i64::MAX as u64;
        t.say("read far", file.read_at(&mut [0; 10], 1 << 62));
        t.say("read at the last", file.read_at(&mut [0; 1], last - 1));
        t.did("write beyond", file.write_at(b"xx", last));
        t.did("negative length", rustix::fs::ftruncate(&file, 1 << 63));
        t.did("nothing far away", file.write_at(b"", 1 << 40));
        t.stat(&path);
    });
}

/// Beyond what the local disk takes.
fn largest(path: &Path) {
    const AT: u64 = 1 << 60;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(AT).unwrap();
    assert_eq!(file.metadata().unwrap().len(), AT);
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    file.write_all_at(b"end", AT - 3).unwrap();
    file.write_all_at(b"beyond", AT).unwrap();
    let mut got = [0; 12];
    file.read_exact_at(&mut got[..9], AT - 3).unwrap();
    assert_eq!(&got[..9], b"endbeyond");
    file.read_exact_at(&mut got, AT / 2).unwrap();
    assert_eq!(got, [0; 12]);
    let last = i64::MAX as u64;
    file.write_all_at(b"z", last - 1).unwrap();
    assert_eq!(file.metadata().unwrap().len(), last);
    file.sync_all().unwrap();
    file.set_len(0).unwrap();
}

#[test]
fn a_file_of_two_to_the_sixty() {
    promise("A file may have 2^63 - 1 bytes, and its holes take no room.");
    let in_memory = Mounted::new();
    largest(&in_memory.path("a"));
    let real = RealMount::shared();
    largest(&real.case_dir().join("a"));
}

#[test]
fn a_listing_goes_on_from_where_it_was_told() {
    promise("An offset in a directory stays good while names are removed.");
    compare(|dir, t| {
        for i in 0..500 {
            fs::write(dir.join(format!("file-{i}")), b"").unwrap();
        }
        let mut stream = Dir::open(dir).unwrap();
        let mut read = Vec::new();
        let mut places = Vec::new();
        loop {
            places.push(stream.tell());
            let Some(name) = stream.next() else { break };
            read.push(name);
        }
        t.note(read.len());
        for from in [0, 1, 2, 3, 77, 250, 499, 501, 502] {
            stream.seek(places[from]);
            let rest: Vec<_> = std::iter::from_fn(|| stream.next()).collect();
            t.note((from, rest == read[from..]));
        }
        // A place stays one while other names go.
        for i in 0..250 {
            fs::remove_file(dir.join(format!("file-{i}"))).unwrap();
        }
        stream.seek(places[0]);
        t.note(std::iter::from_fn(|| stream.next()).count());
    });
}

#[test]
fn ten_thousand_names_go_while_others_list_them() {
    promise("A listing shows no name twice, also while names are removed.");
    compare(|dir, t| {
        let full = dir.join("full");
        fs::create_dir(&full).unwrap();
        for i in 0..10_000 {
            mknodat(CWD, full.join(format!("{i}")), FileType::RegularFile, RW, 0).unwrap();
        }
        let done = AtomicBool::new(false);
        let sound = std::thread::scope(|scope| {
            let lister = scope.spawn(|| {
                let mut sound = true;
                while !done.load(Ordering::Relaxed) {
                    let Ok(listing) = fs::read_dir(&full) else { continue };
                    let names: Vec<_> = listing.map_while(Result::ok).map(|e| e.file_name()).collect();
                    sound &= names.iter().collect::<BTreeSet<_>>().len() == names.len();
                }
                sound
            });
            t.did("rm -r", fs::remove_dir_all(&full));
            done.store(true, Ordering::Relaxed);
            lister.join().unwrap()
        });
        t.note(("no name twice", sound));
        t.did("gone", fs::metadata(&full));
        t.note(fs::read_dir(dir).unwrap().count());
    });
}

fn names_of(t: &mut Trace, path: &Path) {
    let size = xattr::list(path).unwrap().map(|name| name.len() + 1).sum::<usize>();
    let mut room = vec![0_u8; size];
    t.did("one byte too few", listxattr(path, &mut room[..size - 1]));
    t.say("exact", listxattr(path, &mut room[..]).map(|n| n == size));
}

#[test]
fn attributes_of_every_namespace() {
    promise("Attributes of `user.`, `trusted.` and `security.` are kept, with the errors of a local disk.");
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        let set = |name: &str, value: &[u8]| rustix::fs::setxattr(&path, name, value, XattrFlags::empty());
        for space in ["user", "trusted", "security"] {
            let name = |rest: &str| format!("{space}.{rest}");
            t.say("absent", xattr::get(&path, name("no")));
            t.did("remove absent", xattr::remove(&path, name("no")));
            t.did("set", set(&name("a"), b"some value"));
            let mut room = [0; 4];
            t.did("too little room", rustix::fs::getxattr(&path, name("a").as_str(), &mut room[..]));
            t.did("too big", set(&name("big"), &[0; 65_537]));
            t.did("no name", set(&name(""), b""));
            t.did("long name", set(&name(&"n".repeat(256)), b""));
            names_of(t, &path);
        }
        // What `user.` may be on is for the kernel to say.
        mknodat(CWD, dir.join("p"), FileType::Fifo, RW, 0).unwrap();
        t.did("user. of a pipe", rustix::fs::setxattr(dir.join("p"), "user.a", b"", XattrFlags::empty()));
        t.did(
            "trusted. of a pipe",
            rustix::fs::setxattr(dir.join("p"), "trusted.a", b"", XattrFlags::empty()),
        );
    });
}

#[test]
fn pipes_and_sockets_work() {
    promise("Pipes and sockets work as on a local disk.");
    compare(|dir, t| {
        mknodat(CWD, dir.join("p"), FileType::Fifo, RW, 0).unwrap();
        let said = std::thread::scope(|scope| {
            scope.spawn(|| fs::write(dir.join("p"), b"through the pipe").unwrap());
            fs::read_to_string(dir.join("p"))
        });
        t.say("pipe", said);
        // By way of /proc: the path of a socket has 107 bytes at most.
        let held = File::open(dir).unwrap();
        let short = format!("/proc/self/fd/{}/s", std::os::fd::AsRawFd::as_raw_fd(&held));
        let listener = UnixListener::bind(&short).unwrap();
        t.stat(&dir.join("s"));
        let said = std::thread::scope(|scope| {
            scope.spawn(|| UnixStream::connect(&short).unwrap().write_all(b"through the socket").unwrap());
            let mut text = String::new();
            listener.accept().unwrap().0.read_to_string(&mut text).map(|_| text)
        });
        t.say("socket", said);
        t.did("opened as a file", File::open(dir.join("s")));
    });
}

/// Differences from the local disk, on purpose.
#[test]
fn devices_are_kept_and_not_opened() {
    let m = Mounted::new();
    mknodat(CWD, m.path("null"), FileType::CharacterDevice, RW, makedev(1, 3)).unwrap();
    assert_eq!(fs::metadata(m.path("null")).unwrap().rdev(), makedev(1, 3));
    let refused = File::open(m.path("null")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::ACCESS.raw_os_error()));
}

/// A local disk wants whole sectors; a mount takes any.
#[test]
fn direct_io_needs_no_alignment() {
    promise("Direct reads and writes (O_DIRECT) are taken at any alignment.");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT;
    let mounted = Mounted::new();
    let real = RealMount::shared();
    for dir in [mounted.dir().to_owned(), real.case_dir()] {
        let file = rustix::fs::open(dir.join("a"), flags, RW).unwrap();
        assert_eq!(rustix::io::pwrite(&file, b"odd bytes", 3), Ok(9));
        let mut got = [0; 9];
        assert_eq!(rustix::io::pread(&file, &mut got, 3), Ok(9));
        assert_eq!(&got, b"odd bytes");
    }
}
