//! Extended attributes.

use crate::harness::{Mounted, compare};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use std::fs;
use std::os::unix::fs::{FileExt, symlink};

#[test]
fn set_get_list_remove() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        let sorted = || {
            xattr::list(&path).map(|names| {
                let mut names: Vec<_> = names.collect();
                names.sort();
                names
            })
        };
        t.say("none", sorted());
        t.say("absent", xattr::get(&path, "user.no"));
        t.did("set", xattr::set(&path, "user.one", b"1"));
        t.did("set", xattr::set(&path, "user.two", &[0; 1000]));
        t.did("empty", xattr::set(&path, "user.empty", b""));
        t.say("list", sorted());
        t.say("get", xattr::get(&path, "user.one"));
        t.say("get empty", xattr::get(&path, "user.empty"));
        t.did("replace", xattr::set(&path, "user.one", b"uno"));
        t.say("get", xattr::get(&path, "user.one"));
        t.did("remove", xattr::remove(&path, "user.one"));
        t.did("remove absent", xattr::remove(&path, "user.one"));
        t.say("list", sorted());
        t.did("on a directory", xattr::set(dir, "user.d", b"d"));
        t.say("get", xattr::get(dir, "user.d"));
    });
}

#[test]
fn flags_and_sizes() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        t.did("replace absent", setxattr(&path, "user.a", b"1", XattrFlags::REPLACE));
        t.did("create", setxattr(&path, "user.a", b"12345", XattrFlags::CREATE));
        t.did("create again", setxattr(&path, "user.a", b"2", XattrFlags::CREATE));
        let mut room = [0_u8; 3];
        t.did("too little room", getxattr(&path, "user.a", &mut room[..]));
        let mut none: [u8; 0] = [];
        t.say("size", getxattr(&path, "user.a", &mut none[..]));
        let mut exact = [0_u8; 5];
        t.say("exact", getxattr(&path, "user.a", &mut exact[..]));
        t.did(
            "name too long",
            setxattr(&path, format!("user.{}", "n".repeat(251)), b"", XattrFlags::empty()),
        );
        t.did("longest name", setxattr(&path, format!("user.{}", "n".repeat(250)), b"", XattrFlags::empty()));
        t.did("value too big", setxattr(&path, "user.b", &[0; 65_537], XattrFlags::empty()));
        t.did("unknown namespace", setxattr(&path, "other.a", b"", XattrFlags::empty()));
        t.did("no namespace", setxattr(&path, "a", b"", XattrFlags::empty()));
        symlink("a", dir.join("l")).unwrap();
        t.did("on a symlink", rustix::fs::lsetxattr(dir.join("l"), "user.a", b"", XattrFlags::empty()));
        if rustix::process::geteuid().is_root() {
            t.did("trusted", setxattr(&path, "trusted.a", b"t", XattrFlags::empty()));
            t.say("trusted", xattr::get(&path, "trusted.a"));
            t.did("security", setxattr(&path, "security.other", b"s", XattrFlags::empty()));
            t.say("security", xattr::get(&path, "security.other"));
        }
    });
}

#[test]
fn what_the_kernel_asks_for_is_absent() {
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        t.say("security.capability", xattr::get(&path, "security.capability"));
    });
}

/// The difference from the local disk, on purpose: `ls -l` asks for labels of every file of a
/// filesystem until one says that it has no such thing.
#[test]
fn labels_are_unsupported_and_not_just_absent() {
    let m = Mounted::new();
    fs::write(m.path("a"), b"x").unwrap();
    let mut room = [0_u8; 100];
    let asked = getxattr(m.path("a"), "security.selinux", &mut room[..]);
    assert_eq!(asked, Err(rustix::io::Errno::OPNOTSUPP));
}

/// FUSE_HANDLE_KILLPRIV_V2: the kernel asks for `security.capability` before the first write,
/// not before each.
#[test]
fn a_write_costs_one_request() {
    let m = Mounted::new();
    let file = fs::File::create(m.path("a")).unwrap();
    let before = m.handle().heartbeat();
    for i in 0..256_u64 {
        file.write_all_at(&[1; 1024], i * 1024).unwrap();
    }
    let requests = m.handle().heartbeat() - before;
    assert!((256..=260).contains(&requests), "{requests} requests for 256 writes");
}
