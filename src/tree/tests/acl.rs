//! Access control lists and modes, changed on two machines.

use super::conflicts::later;
use super::support::*;
use crate::promises::promise;
use crate::tree::*;

const A: usize = 0;
const B: usize = 1;

/// owner rwx, user 7 `named`, owning group r, mask `mask`, other none.
fn access_list(named: u8, mask: u8) -> Vec<u8> {
    let entry = |tag: u8, rights: u8, id: [u8; 4]| [&[tag, 0, rights, 0][..], &id].concat();
    let (none, user) = ([0xff; 4], [7, 0, 0, 0]);
    let entries = [entry(1, 7, none), entry(2, named, user), entry(4, 4, none), entry(16, mask, none)];
    [&[2, 0, 0, 0][..], &entries.concat(), &entry(32, 0, none)].concat()
}

#[test]
fn an_access_list_and_a_mode_never_disagree() {
    promise(
        "A change of a list on one machine and of the mode on another leave one list and one mode, that agree.",
    );
    let mut sites = two(|s| {
        s.file(ROOT, "f", "1");
    });
    let f = sites[A].seen(ROOT, "f").unwrap().object;
    later(&mut sites, B);
    let list = |value| Change::SetXattr { object: f, name: ACL_ACCESS.to_vec(), value };
    let mode = |s: &Site| s.view().inode(f).unwrap().unwrap().attrs.mode;
    let kept = |s: &Site| s.view().xattr(f, ACL_ACCESS).unwrap();
    sites[A].local(list(Some(access_list(6, 7))));
    assert_eq!((mode(&sites[A]), kept(&sites[A])), (0o770, Some(access_list(6, 7))));
    let change = AttrChange { mode: Some(0o4640), ..Default::default() };
    sites[B].local(Change::SetAttrs { object: f, change });
    settle(&mut sites);
    // B's chmod is later: the named entry stays, under B's mask.
    assert_eq!(mode(&sites[A]), 0o4640);
    let shown = Acl::parse(&kept(&sites[A]).unwrap()).unwrap().with_mode(0o640);
    let expected = [&access_list(6, 4)[..12 - 8], &[1, 0, 6, 0], &access_list(6, 4)[8..]].concat();
    assert_eq!(shown.encode(), expected);
    // What is malformed, or nothing for a file, does nothing.
    let before = sites[A].view().inode(f).unwrap();
    sites[A].local(list(Some(b"nonsense".to_vec())));
    let default = Some(access_list(7, 7));
    sites[A].local(Change::SetXattr { object: f, name: ACL_DEFAULT.to_vec(), value: default });
    assert_eq!(sites[A].view().inode(f).unwrap(), before);
    // A list of three is a mode, and takes the place of the other.
    let three = [&access_list(6, 5)[..12], &access_list(6, 5)[20..28], &access_list(6, 5)[36..]].concat();
    sites[A].local(list(Some(three)));
    assert_eq!((mode(&sites[A]), kept(&sites[A])), (0o4740, None));
    settle(&mut sites);
    assert_eq!(mode(&sites[B]), 0o4740);
}
