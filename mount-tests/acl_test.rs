//! Access control lists, by the attributes' bytes: `setfacl` need not be there.

use crate::harness::child::{self, User};
use crate::harness::promise;
use crate::harness::{Mounted, Trace, compare};
use kithfs::mount::MountOptions;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const NONE: u32 = u32::MAX;
const OWNER: u16 = 1;
const USER: u16 = 2;
const OWNING: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;

/// A list in the kernel's form.
fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(rights.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

/// owner rwx, user 1234 rw, owning group r-x, group 77 r, mask, other r.
fn full(mask: u16) -> Vec<u8> {
    let named = [(OWNER, 7, NONE), (USER, 6, 1234), (OWNING, 5, NONE), (GROUP, 4, 77)];
    list(&[&named[..], &[(MASK, mask, NONE), (OTHER, 4, NONE)]].concat())
}

fn three(owner: u16, group: u16, other: u16) -> Vec<u8> {
    list(&[(OWNER, owner, NONE), (OWNING, group, NONE), (OTHER, other, NONE)])
}

/// Whether the local disk, the oracle, has lists.
fn local_disk_has_lists() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let set = rustix::fs::setxattr(dir.path(), ACCESS, &full(7), XattrFlags::empty());
    if let Err(e) = set {
        eprintln!("NOT RUN: the directory for temporary files has no access control lists ({e})");
    }
    set.is_ok()
}

fn get(path: &Path, name: &str) -> rustix::io::Result<Vec<(u16, u16, u32)>> {
    let mut room = vec![0; 4096];
    let len = rustix::fs::lgetxattr(path, name, &mut room[..])?;
    assert_eq!(room[..4], 2_u32.to_le_bytes());
    let entry = |e: &[u8]| {
        let half = |at: usize| u16::from_le_bytes([e[at], e[at + 1]]);
        (half(0), half(2), u32::from_le_bytes([e[4], e[5], e[6], e[7]]))
    };
    Ok(room[4..len].chunks(8).map(entry).collect())
}

fn set(path: &Path, name: &str, value: &[u8]) -> rustix::io::Result<()> {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
}

fn show(t: &mut Trace, path: &Path) {
    t.stat(path);
    t.say("access", get(path, ACCESS));
    t.say("default", get(path, DEFAULT));
    let mut names: Vec<_> = xattr::list(path).unwrap().collect();
    names.sort();
    t.note(names);
}

#[test]
fn lists_and_modes_follow_each_other() {
    promise("An access control list and the mode say the same, as on a local disk.");
    if !local_disk_has_lists() {
        return;
    }
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        show(t, &path);
        t.did("set", set(&path, ACCESS, &full(7)));
        show(t, &path);
        for mode in [0o4751, 0o600, 0o2070, 0o644] {
            t.did(mode, fs::set_permissions(&path, Permissions::from_mode(mode)));
            show(t, &path);
        }
        t.did("smaller mask", set(&path, ACCESS, &full(1)));
        show(t, &path);
        t.did("a mode", set(&path, ACCESS, &three(6, 4, 0)));
        show(t, &path);
        t.did(
            "a mask alone",
            set(
                &path,
                ACCESS,
                &list(&[(OWNER, 7, NONE), (OWNING, 7, NONE), (MASK, 5, NONE), (OTHER, 0, NONE)]),
            ),
        );
        show(t, &path);
        t.did("remove", xattr::remove(&path, ACCESS));
        show(t, &path);
        t.did("remove again", xattr::remove(&path, ACCESS));
        t.did("set", set(&path, ACCESS, &full(7)));
        t.did("empty", set(&path, ACCESS, &list(&[])));
        show(t, &path);
        t.did(
            "rename keeps it",
            set(&path, ACCESS, &full(3))
                .map_err(std::io::Error::from)
                .and_then(|()| fs::rename(&path, dir.join("b"))),
        );
        show(t, &dir.join("b"));
    });
}

#[test]
fn what_is_no_list_is_refused() {
    if !local_disk_has_lists() {
        return;
    }
    compare(|dir, t| {
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        let bad: [&[(u16, u16, u32)]; 7] = [
            &[(OWNER, 7, NONE)],
            &[(OWNER, 7, NONE), (USER, 7, 1), (OWNING, 7, NONE), (OTHER, 7, NONE)],
            &[(OWNING, 7, NONE), (OWNER, 7, NONE), (OTHER, 7, NONE)],
            &[(OWNER, 7, NONE), (OWNER, 7, NONE), (OWNING, 7, NONE), (OTHER, 7, NONE)],
            &[(OWNER, 8, NONE), (OWNING, 7, NONE), (OTHER, 7, NONE)],
            &[(OWNER, 7, NONE), (3, 7, NONE), (OWNING, 7, NONE), (OTHER, 7, NONE)],
            &[(OWNER, 7, NONE), (USER, 7, NONE), (OWNING, 7, NONE), (MASK, 7, NONE), (OTHER, 7, NONE)],
        ];
        for entries in bad {
            t.did(format!("{entries:?}"), set(&path, ACCESS, &list(entries)));
            t.did(format!("default {entries:?}"), set(dir, DEFAULT, &list(entries)));
        }
        t.did("cut short", set(&path, ACCESS, &full(7)[..13]));
        t.did("no head", set(&path, ACCESS, &[2, 0]));
        t.did("version 1", set(&path, ACCESS, &[&[1, 0, 0, 0], &full(7)[4..]].concat()));
        t.did("default of a file", set(&path, DEFAULT, &full(7)));
        t.did("no default of a file", xattr::remove(&path, DEFAULT));
        t.did("absent", set(&dir.join("no"), ACCESS, &full(7)));
        symlink("a", dir.join("l")).unwrap();
        t.did("of a link", set(&dir.join("l"), ACCESS, &full(7)));
        t.did("of a link", get(&dir.join("l"), ACCESS));
        show(t, &path);
        show(t, dir);
    });
}

#[test]
fn what_is_made_takes_after_its_directory() {
    promise("What is made in a directory with a default list starts with that list, and not with the umask.");
    if !local_disk_has_lists() {
        return;
    }
    compare(|dir, t| {
        for (name, default) in [("full", full(7)), ("narrow", full(4)), ("mode", three(7, 5, 1))] {
            let d = dir.join(name);
            fs::create_dir(&d).unwrap();
            t.did(name, set(&d, DEFAULT, &default));
            show(t, &d);
            for mode in [0o666, 0o600, 0o4777, 0o040] {
                let modes = Mode::from_raw_mode(mode);
                let at = |what: &str| d.join(format!("{what}-{mode:o}"));
                let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
                t.did("file", rustix::fs::open(at("file"), flags, modes));
                show(t, &at("file"));
                t.did("fifo", mknodat(CWD, at("fifo"), FileType::Fifo, modes, 0));
                show(t, &at("fifo"));
                t.did("directory", rustix::fs::mkdir(at("dir"), modes));
                show(t, &at("dir"));
            }
            t.did("link", symlink("x", d.join("link")));
            t.stat(&d.join("link"));
            t.did("below", fs::write(d.join("dir-4777/x"), b""));
            show(t, &d.join("dir-4777/x"));
            t.did("remove", xattr::remove(&d, DEFAULT));
            t.did("after", fs::create_dir(d.join("after")));
            show(t, &d.join("after"));
        }
    });
}

#[test]
fn the_umask_counts_where_there_is_no_default_list() {
    if !local_disk_has_lists() {
        return;
    }
    compare(|dir, t| {
        fs::create_dir(dir.join("listed")).unwrap();
        t.did("set", set(&dir.join("listed"), DEFAULT, &full(7)));
        for umask in ["000", "027", "077", "777"] {
            // A process of its own: the mask belongs to all threads of one.
            let script = format!(
                "umask {umask}; for d in . listed; do : > $d/f{umask}; mkdir $d/d{umask}; mkfifo $d/p{umask}; done"
            );
            let done = std::process::Command::new("sh").args(["-c", &script]).current_dir(dir).status();
            t.note(done.unwrap().success());
            for d in [".", "listed"] {
                for kind in ["f", "d", "p"] {
                    let path = dir.join(d).join(format!("{kind}{umask}"));
                    t.say(format!("{d}/{kind}{umask}"), fs::metadata(&path).map(|m| m.mode()));
                    t.say("access", get(&path, ACCESS));
                }
            }
        }
    });
}

#[test]
fn lists_are_enforced() {
    promise("Access control lists are enforced.");
    if !local_disk_has_lists() || !child::may_change_users() {
        return;
    }
    compare(|dir, t| {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        let path = dir.join("a");
        fs::write(&path, b"x").unwrap();
        let users = [User(1234, 1234), User(1235, 77), User(1235, 1235)];
        let mut try_all = |what: &str| {
            for user in users {
                for act in ["read", "append"] {
                    t.note((what, user, act, child::run(dir, Some(user), &[act, "a"])));
                }
            }
        };
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        try_all("mode alone");
        set(&path, ACCESS, &full(7)).unwrap();
        try_all("list");
        fs::set_permissions(&path, Permissions::from_mode(0o740)).unwrap();
        try_all("smaller mask");
        set(&path, ACCESS, &three(6, 0, 0)).unwrap();
        try_all("mode again");
    });
}

#[test]
fn set_gid_goes_when_somebody_outside_the_group_sets_a_list() {
    if !local_disk_has_lists() || !child::may_change_users() {
        return;
    }
    compare(|dir, t| {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        for (name, user) in [("inside", User(1234, 77)), ("outside", User(1234, 1234))] {
            let path = dir.join(name);
            fs::write(&path, b"x").unwrap();
            chown(&path, Some(1234), Some(77)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o2755)).unwrap();
            let hex: String = full(7).iter().map(|b| format!("{b:02x}")).collect();
            t.note(child::run(dir, Some(user), &["setxattr", name, ACCESS, &hex]));
            show(t, &path);
        }
        t.note(child::run(dir, Some(User(9, 9)), &["setxattr", "inside", ACCESS, "02000000"]));
    });
}

/// The kernel keeps the lists: who is not the owner costs one question per file, not one per look.
#[test]
fn lists_are_served_from_the_kernels_cache() {
    let m = Mounted::with(&MountOptions::default());
    fs::write(m.path("a"), b"x").unwrap();
    let _ = get(&m.path("a"), ACCESS);
    let before = m.handle().heartbeat();
    for _ in 0..1000 {
        let _ = get(&m.path("a"), ACCESS);
    }
    assert!(m.handle().heartbeat() - before < 10, "a known list reaches us");
}
