//! Who may do what: owners, groups, sticky directories. Root does these things as others.

use crate::harness::child::{self, User};
use crate::harness::promise;
use crate::harness::{Mounted, compare};
use kithfs::mount::MountOptions;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

const ANN: User = User(1001, 1001);
const BEN: User = User(1002, 1002);

/// A file of a user with a mode.
fn file(path: &Path, User(uid, gid): User, mode: u32) {
    fs::write(path, b"x").unwrap();
    chown(path, Some(uid), Some(gid)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn sticky_directories_keep_names_for_their_owners() {
    promise("In a sticky directory only a file's owner, the directory's, or root removes or renames it.");
    if !child::may_change_users() {
        return;
    }
    compare(|dir, t| {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [("sticky", 0o1777), ("open", 0o777), ("closed", 0o755)] {
            let d = dir.join(name);
            fs::create_dir(&d).unwrap();
            fs::set_permissions(&d, Permissions::from_mode(mode)).unwrap();
            for f in ["a", "b", "c"] {
                file(&d.join(f), ANN, 0o666);
            }
            file(&d.join("bens"), BEN, 0o666);
            for (who, act) in [
                (BEN, &["unlink", "a"][..]),
                (BEN, &["rename", "a", "z"]),
                (BEN, &["rename", "bens", "b"]),
                (BEN, &["create", "new"]),
                (ANN, &["unlink", "c"]),
                (ANN, &["unlink", "new"]),
                (BEN, &["append", "a"]),
            ] {
                t.note((name, who, act, child::run(&d, Some(who), act)));
            }
            let mut left: Vec<_> = fs::read_dir(&d).unwrap().map(|e| e.unwrap().file_name()).collect();
            left.sort();
            t.note(left);
        }
    });
}

#[test]
fn attributes_are_their_owners_to_change() {
    promise("Attributes are changed by a file's owner or root, as on a local disk.");
    if !child::may_change_users() {
        return;
    }
    compare(|dir, t| {
        fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
        for (who, act) in [
            (ANN, &["chown", "f", "1002", "-"][..]),
            (ANN, &["chown", "f", "-", "1001"]),
            (ANN, &["chown", "f", "-", "1002"]),
            (ANN, &["chown", "f", "1001", "1001"]),
            (BEN, &["chown", "f", "1002", "1002"]),
            (ANN, &["chmod", "f", "6755"]),
            (BEN, &["chmod", "f", "777"]),
            (ANN, &["touch", "f"]),
            (BEN, &["touch", "f"]),
            (ANN, &["touch-to", "f"]),
            (BEN, &["touch-to", "f"]),
            (BEN, &["setxattr", "f", "user.a", "00"]),
            (BEN, &["setxattr", "f", "trusted.a", "00"]),
        ] {
            file(&dir.join("f"), ANN, 0o666);
            t.note((who, act, child::run(dir, Some(who), act)));
            t.stat(&dir.join("f"));
        }
        // Ann is not in this group: her chmod cannot give set-gid for it.
        file(&dir.join("g"), User(1001, 77), 0o644);
        t.note(child::run(dir, Some(ANN), &["chmod", "g", "2755"]));
        t.stat(&dir.join("g"));
    });
}

#[test]
fn set_id_bits_go_when_an_ordinary_user_writes() {
    promise("Set-user-id, and set-group-id of what the group may execute, go when an ordinary user writes.");
    if !child::may_change_users() {
        return;
    }
    compare(|dir, t| {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        let both = [ANN, BEN];
        for (mode, users) in [(0o6777, &both[..]), (0o4766, &both), (0o2777, &both), (0o2767, &both[..1])] {
            for who in users {
                file(&dir.join("f"), ANN, mode);
                t.note((who, child::run(dir, Some(*who), &["append", "f"])));
                t.stat(&dir.join("f"));
            }
        }
    });
}

/// A difference from the local disk: FUSE does not say whether a writer is in the file's group.
#[test]
fn set_gid_that_nobody_may_execute_stays_when_an_outsider_writes() {
    if !child::may_change_users() {
        return;
    }
    let m = Mounted::with(&MountOptions { allow_other: true, ..MountOptions::default() });
    file(&m.path("f"), ANN, 0o2767);
    assert_eq!(child::run(m.dir(), Some(BEN), &["append", "f"]), "appended");
    assert_eq!(fs::metadata(m.path("f")).unwrap().permissions().mode() & 0o7777, 0o2767);
}

#[test]
fn a_set_gid_directory_gives_users_its_group() {
    promise("What is made in a set-group-id directory has the directory's group.");
    if !child::may_change_users() {
        return;
    }
    compare(|dir, t| {
        chown(dir, None, Some(77)).unwrap();
        fs::set_permissions(dir, Permissions::from_mode(0o2777)).unwrap();
        t.note(child::run(dir, Some(ANN), &["create", "f"]));
        t.stat(&dir.join("f"));
    });
}
