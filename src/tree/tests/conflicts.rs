//! The rows of the conflict table, one test or more each.

use super::support::*;
use crate::promises::promise;
use crate::tree::*;

const A: usize = 0;
const B: usize = 1;
/// Site 2's log id is below site 1's or not: what is "later" in one test depends on it only
/// when both entries have one counter, so tests that care publish in turn.
pub(super) fn later(sites: &mut [Site], site: usize) {
    // An entry of its own raises the counter of what this site publishes next.
    let pending = sites[site].fold.pending();
    assert!(pending.is_empty());
    let at = sites[site].create(ROOT, "tick", Kind::Fifo);
    sites[site].publish();
    let seen = Seen { object: at, version: None };
    sites[site].local(Change::Unlink { parent: ROOT, name: "tick".into(), seen });
    sites[site].publish();
}

#[test]
fn two_contents_from_one_base_make_one_conflict_copy() {
    promise(
        "Of two contents written at once on two machines one keeps the name and the other is a conflict copy beside it.",
    );
    let mut sites = two(|s| {
        s.file(ROOT, "Plan.odt", "plan");
    });
    let plan = sites[A].seen(ROOT, "Plan.odt").unwrap().object;
    later(&mut sites, B);
    sites[A].write(plan, "from A");
    let old = sites[B].seen(ROOT, "Plan.odt").unwrap().version;
    let first = sites[B].write(plan, "from B, morning");
    // A day of saves, each on the one before; some published, some not.
    let mut base = first;
    for hour in 0..5 {
        if hour % 2 == 0 {
            sites[B].publish();
        }
        base = sites[B].write_from(plan, Some(base), &format!("from B, hour {hour}"));
    }
    assert!(old.is_some());
    settle(&mut sites);
    let copy = "Plan (conflict, dev2, 2026-11-23 14.05).odt: from B, hour 4";
    assert_eq!(sites[A].tree(), [copy, "Plan.odt: from A"]);
    // Open handles follow, and so do saves after the merge.
    let followed = sites[B].view().diverted(base).unwrap().unwrap();
    sites[B].write_from(plan, Some(base), "from B, evening");
    settle(&mut sites);
    assert_eq!(sites[A].view().content(followed).unwrap(), inline("from B, evening"));
    assert_eq!(sites[A].tree().len(), 2);
}

#[test]
fn a_conflict_copy_has_the_attributes_of_its_file() {
    let mut sites = two(|s| {
        let f = s.file(ROOT, "f", "0");
        s.local(Change::SetXattr { object: f, name: b"user.a".to_vec(), value: Some(b"1".to_vec()) });
        let change = AttrChange { mode: Some(0o600), ..Default::default() };
        s.local(Change::SetAttrs { object: f, change });
    });
    let f = sites[A].seen(ROOT, "f").unwrap().object;
    later(&mut sites, B);
    sites[A].write(f, "A");
    let v = sites[B].write(f, "B");
    settle(&mut sites);
    let copy = sites[A].view().diverted(v).unwrap().unwrap();
    assert_eq!(sites[A].view().inode(copy).unwrap().unwrap().attrs.mode, 0o600);
    assert_eq!(sites[A].view().xattr(copy, b"user.a").unwrap(), Some(b"1".to_vec()));
}

#[test]
fn offline_saves_by_rename_against_one_online_save_make_one_conflict_copy() {
    let mut sites = two(|s| {
        s.file(ROOT, "doc.txt", "v0");
    });
    later(&mut sites, B);
    let doc = sites[A].seen(ROOT, "doc.txt").unwrap().object;
    sites[A].write(doc, "online");
    for save in 0..6 {
        sites[B].file(ROOT, ".tmp", &format!("offline {save}"));
        sites[B].rename((ROOT, ".tmp"), (ROOT, "doc.txt"));
    }
    settle(&mut sites);
    let copy = "doc (conflict, dev2, 2026-11-23 14.05).txt: offline 5";
    assert_eq!(sites[A].tree(), [copy, "doc.txt: online"]);
}

#[test]
fn same_new_directory_is_united() {
    promise("A directory made at once on two machines is one directory.");
    let mut sites = two(|_| {});
    let a = sites[A].dir(ROOT, "photos");
    sites[A].file(a, "1.jpg", "one");
    let b = sites[B].dir(ROOT, "photos");
    sites[B].file(b, "2.jpg", "two");
    let inner = sites[B].dir(b, "2026");
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["photos/", "photos/1.jpg: one", "photos/2.jpg: two", "photos/2026/"]);
    let one = sites[A].view().resolve(a).unwrap();
    assert_eq!(one, sites[A].view().resolve(b).unwrap());
    // Both ids go on meaning the one directory.
    sites[A].file(a, "3.jpg", "three");
    sites[B].file(b, "4.jpg", "four");
    sites[B].file(inner, "5.jpg", "five");
    settle(&mut sites);
    assert_eq!(sites[A].tree().len(), 7);
}

#[test]
fn same_new_name_otherwise_takes_a_conflict_name() {
    let mut sites = two(|_| {});
    later(&mut sites, B);
    sites[A].file(ROOT, "notes", "A's");
    let b = sites[B].file(ROOT, "notes", "B's");
    sites[B].write(b, "B's again");
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["notes (conflict, dev2, 2026-11-23 14.05): B's again", "notes: A's"]);
    // B removes what it knew as `notes`, before and after the merge alike: by seen object.
    let version = sites[B].view().inode(b).unwrap().unwrap().version;
    let seen = Seen { object: b, version };
    sites[B].local(Change::Unlink { parent: ROOT, name: "notes".into(), seen });
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["notes: A's"]);
}

#[test]
fn file_against_directory_under_one_new_name() {
    let mut sites = two(|_| {});
    later(&mut sites, B);
    sites[A].file(ROOT, "x.d", "file");
    let d = sites[B].dir(ROOT, "x.d");
    sites[B].file(d, "in", "side");
    settle(&mut sites);
    let dir = "x.d (conflict, dev2, 2026-11-23 14.05)/";
    assert_eq!(sites[A].tree(), [dir.to_string(), format!("{dir}in: side"), "x.d: file".into()]);
}

#[test]
fn unlink_of_what_was_changed_meanwhile_does_nothing() {
    let mut sites = two(|s| {
        s.file(ROOT, "f", "old");
    });
    let f = sites[A].seen(ROOT, "f").unwrap().object;
    later(&mut sites, B);
    sites[A].write(f, "new");
    sites[B].unlink(ROOT, "f");
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["f: new"]);
}

#[test]
fn rename_over_what_was_changed_meanwhile_takes_a_conflict_name() {
    let mut sites = two(|s| {
        s.file(ROOT, "f", "old");
        s.file(ROOT, "g", "other");
    });
    let f = sites[A].seen(ROOT, "f").unwrap().object;
    later(&mut sites, B);
    sites[A].write(f, "new");
    sites[B].rename((ROOT, "g"), (ROOT, "f"));
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["f (conflict, dev2, 2026-11-23 14.05): other", "f: new"]);
}

#[test]
fn exchange_of_what_moved_does_nothing() {
    let mut sites = two(|s| {
        s.file(ROOT, "a", "A");
        s.file(ROOT, "b", "B");
    });
    let (a, b) = (sites[B].seen(ROOT, "a").unwrap().object, sites[B].seen(ROOT, "b").unwrap().object);
    later(&mut sites, B);
    sites[A].rename((ROOT, "a"), (ROOT, "c"));
    let exchange = |a_name: &str| Change::Exchange {
        a,
        a_parent: ROOT,
        a_name: a_name.into(),
        b,
        b_parent: ROOT,
        b_name: "b".into(),
    };
    sites[B].local(exchange("a"));
    assert_eq!(sites[B].tree(), ["a: B", "b: A"]);
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["b: B", "c: A"]);
    sites[A].local(exchange("c"));
    settle(&mut sites);
    assert_eq!(sites[B].tree(), ["b: A", "c: B"]);
}

#[test]
fn an_edit_revives_a_deleted_file_and_its_directories() {
    let mut sites = two(|s| {
        let d = s.dir(ROOT, "d");
        let e = s.dir(d, "e");
        s.file(e, "f", "old");
    });
    let d = sites[A].seen(ROOT, "d").unwrap().object;
    let e = sites[A].seen(d, "e").unwrap().object;
    let f = sites[A].seen(e, "f").unwrap().object;
    later(&mut sites, B);
    sites[A].unlink(e, "f");
    sites[A].rmdir(d, "e");
    sites[A].rmdir(ROOT, "d");
    sites[B].write(f, "new");
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["d/", "d/e/", "d/e/f: new"]);
}

#[test]
fn a_create_revives_deleted_directories() {
    let mut sites = two(|s| {
        let d = s.dir(ROOT, "d");
        s.dir(d, "e");
    });
    let d = sites[A].seen(ROOT, "d").unwrap().object;
    let e = sites[A].seen(d, "e").unwrap().object;
    later(&mut sites, B);
    sites[A].rmdir(d, "e");
    sites[A].rmdir(ROOT, "d");
    sites[B].file(e, "f", "1");
    sites[B].file(e, "g", "2");
    sites[B].unlink(e, "g");
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["d/", "d/e/", "d/e/f: 1"]);
}

#[test]
fn a_directory_made_anew_stands_for_the_deleted_one() {
    let mut sites = two(|s| {
        s.dir(ROOT, "d");
    });
    let old = sites[A].seen(ROOT, "d").unwrap().object;
    later(&mut sites, B);
    sites[A].rmdir(ROOT, "d");
    let new = sites[A].dir(ROOT, "d");
    sites[A].file(new, "a", "A");
    sites[B].file(old, "b", "B");
    sites[B].file(old, "c", "C");
    sites[B].unlink(old, "c");
    sites[B].rename((old, "b"), (old, "b2"));
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["d/", "d/a: A", "d/b2: B"]);
}

#[test]
fn rmdir_against_a_new_child_does_nothing() {
    let mut sites = two(|s| {
        s.dir(ROOT, "d");
    });
    let d = sites[A].seen(ROOT, "d").unwrap().object;
    later(&mut sites, B);
    sites[A].file(d, "f", "1");
    sites[B].rmdir(ROOT, "d");
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["d/", "d/f: 1"]);
}

#[test]
fn moves_that_form_a_circle_the_later_does_nothing() {
    let mut sites = two(|s| {
        s.dir(ROOT, "x");
        s.dir(ROOT, "y");
    });
    let x = sites[A].seen(ROOT, "x").unwrap().object;
    let y = sites[A].seen(ROOT, "y").unwrap().object;
    later(&mut sites, B);
    sites[A].rename((ROOT, "x"), (y, "x"));
    sites[B].rename((ROOT, "y"), (x, "y"));
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["y/", "y/x/"]);
}

#[test]
fn circles_are_judged_on_united_directories() {
    let mut sites = two(|s| {
        s.dir(ROOT, "x");
    });
    let x = sites[A].seen(ROOT, "x").unwrap().object;
    later(&mut sites, B);
    // Both make `new`; A moves x into its own, B moves its own into x.
    let a = sites[A].dir(ROOT, "new");
    sites[A].rename((ROOT, "x"), (a, "x"));
    sites[B].dir(ROOT, "new");
    sites[B].rename((ROOT, "new"), (x, "new"));
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["new/", "new/x/"]);
}

#[test]
fn of_two_moves_the_later_wins() {
    let mut sites = two(|s| {
        s.file(ROOT, "f", "1");
    });
    later(&mut sites, B);
    sites[A].rename((ROOT, "f"), (ROOT, "to A"));
    sites[B].rename((ROOT, "f"), (ROOT, "to B"));
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["to B: 1"]);
}

#[test]
fn a_move_revives_what_was_deleted() {
    let mut sites = two(|s| {
        s.file(ROOT, "f", "1");
    });
    later(&mut sites, B);
    sites[A].unlink(ROOT, "f");
    sites[B].rename((ROOT, "f"), (ROOT, "g"));
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["g: 1"]);
}

#[test]
fn attributes_merge_field_by_field() {
    let mut sites = two(|s| {
        s.file(ROOT, "f", "1");
    });
    let f = sites[A].seen(ROOT, "f").unwrap().object;
    later(&mut sites, B);
    let set = |change| Change::SetAttrs { object: f, change };
    sites[A].local(set(AttrChange { mode: Some(0o600), uid: Some(5), ..Default::default() }));
    sites[B].local(set(AttrChange { mode: Some(0o640), gid: Some(6), ..Default::default() }));
    let xattr = |name: &str, value: &str| Change::SetXattr {
        object: f,
        name: name.into(),
        value: Some(value.into()),
    };
    sites[A].local(xattr("user.x", "A"));
    sites[A].local(xattr("user.a", "A"));
    sites[B].local(xattr("user.x", "B"));
    settle(&mut sites);
    let inode = sites[A].view().inode(f).unwrap().unwrap();
    assert_eq!((inode.attrs.mode, inode.attrs.uid, inode.attrs.gid), (0o640, 5, 6));
    let all: Vec<_> = sites[A].view().xattrs(f).unwrap().into_iter().map(|x| (x.name, x.value)).collect();
    assert_eq!(all, [(b"user.a".to_vec(), b"A".to_vec()), (b"user.x".to_vec(), b"B".to_vec())]);
}

#[test]
fn attributes_of_a_deleted_file_do_not_revive_it() {
    let mut sites = two(|s| {
        s.file(ROOT, "f", "1");
    });
    let f = sites[A].seen(ROOT, "f").unwrap().object;
    later(&mut sites, B);
    sites[A].unlink(ROOT, "f");
    sites[B]
        .local(Change::SetAttrs { object: f, change: AttrChange { mode: Some(0), ..Default::default() } });
    settle(&mut sites);
    assert!(sites[A].tree().is_empty());
}

#[test]
fn an_unlink_of_one_of_two_links_leaves_the_other() {
    let mut sites = two(|s| {
        let f = s.file(ROOT, "a", "1");
        s.local(Change::Link { object: f, parent: ROOT, name: "b".into() });
    });
    let f = sites[A].seen(ROOT, "a").unwrap().object;
    later(&mut sites, B);
    sites[A].unlink(ROOT, "a");
    sites[B].unlink(ROOT, "b");
    sites[B].local(Change::Link { object: f, parent: ROOT, name: "c".into() });
    settle(&mut sites);
    assert_eq!(sites[A].tree(), ["c: 1"]);
}

#[test]
fn three_conflict_copies_of_one_minute_are_numbered() {
    let mut sites = two(|s| {
        s.file(ROOT, "f.txt", "0");
    });
    let f = sites[A].seen(ROOT, "f.txt").unwrap();
    later(&mut sites, B);
    sites[A].write(f.object, "A");
    for i in 0..3 {
        sites[B].write_from(f.object, f.version, &format!("B{i}"));
    }
    settle(&mut sites);
    // The first of B's is in force where it was made; the others conflict there already.
    let names = |n: &str| format!("f (conflict, dev2, 2026-11-23 14.05{n}).txt");
    let want = [
        format!("{}: B1", names(" 2")),
        format!("{}: B2", names(" 3")),
        format!("{}: B0", names("")),
        "f.txt: A".into(),
    ];
    assert_eq!(sites[A].tree(), want);
}
