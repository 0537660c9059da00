//! Several writers, any order of delivery: one state, and no content lost.

use super::support::*;
use crate::tree::*;
use std::collections::{BTreeMap, BTreeSet};

/// A random change as a mount would make it of what it shows (sometimes of what it showed
/// some time ago, as an open handle does).
pub(super) fn change(dice: &mut Dice, site: &Site, old: &[Inode]) -> Option<Change> {
    let view = site.view();
    let mut dirs = vec![ROOT];
    let mut names: Vec<(ObjectId, Name, Inode)> = Vec::new();
    let mut at = 0;
    while at < dirs.len() {
        for child in view.children(dirs[at], None, usize::MAX).unwrap() {
            if child.inode.is_dir() {
                dirs.push(child.inode.object);
            }
            names.push((dirs[at], child.name, child.inode));
        }
        at += 1;
    }
    names.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    dirs.sort();
    let dir = *dice.pick(&dirs)?;
    let dir = if dice.one_in(10) { old.iter().rfind(|i| i.is_dir()).map_or(dir, |i| i.object) } else { dir };
    let name = format!("n{}", dice.below(5)).into_bytes();
    let (parent, from, inode) = match dice.pick(&names) {
        Some(some) => some.clone(),
        None => (ROOT, b"none".to_vec(), Inode::first_root()),
    };
    let object = inode.object;
    let seen = Seen { object, version: inode.version };
    let there = view.lookup(dir, &name).unwrap();
    Some(match dice.below(12) {
        0..3 => {
            if there.is_some() {
                return None;
            }
            let kind = if dice.one_in(2) { Kind::Dir } else { Kind::File };
            Change::Create { parent: dir, name, kind, attrs: attrs(0o644, NOW) }
        }
        3..6 => {
            let inode = if dice.one_in(5) { dice.pick(old)?.clone() } else { inode };
            if !inode.is_file() {
                return None;
            }
            let content = inline(&format!("{}", dice.roll()));
            Change::SetContent { object: inode.object, base: inode.version, content, mtime: NOW }
        }
        6 if object != ROOT => {
            if inode.is_dir() {
                return (inode.children == 0).then_some(Change::Rmdir { parent, name: from, object });
            }
            Change::Unlink { parent, name: from, seen }
        }
        7..10 if object != ROOT => {
            if there.as_ref().is_some_and(|t| t.object == object) {
                return None;
            }
            let replaced = there.map(|t| Seen { object: t.object, version: t.version });
            Change::Rename {
                object,
                from_parent: parent,
                from_name: from,
                to_parent: dir,
                to_name: name,
                replaced,
            }
        }
        10 if object != ROOT && !inode.is_dir() => {
            if there.is_some() {
                return None;
            }
            Change::Link { object, parent: dir, name }
        }
        11 if object != ROOT => {
            let (b_parent, b_name, b) = dice.pick(&names)?.clone();
            Change::Exchange { a: object, a_parent: parent, a_name: from, b: b.object, b_parent, b_name }
        }
        _ => {
            let change = AttrChange { mode: Some(dice.below(0o1000) as u16), ..Default::default() };
            Change::SetAttrs { object, change }
        }
    })
}

/// Every version is in the tree, with its content, or its author's successor or remover had
/// seen it.
fn nothing_lost(sites: &[Site]) {
    let mut written: BTreeMap<OpId, crate::content::Content> = BTreeMap::new();
    let mut seen: BTreeSet<OpId> = BTreeSet::new();
    for entry in sites.iter().flat_map(|s| &s.has) {
        for op in &entry.operations {
            match &op.change {
                Change::SetContent { base, content, .. } => {
                    written.insert(OpId { log: entry.header.log(), n: op.n }, content.clone());
                    seen.extend(*base);
                }
                Change::Unlink { seen: s, .. } | Change::Rename { replaced: Some(s), .. } => {
                    seen.extend(s.version);
                }
                _ => {}
            }
        }
    }
    let mut there = BTreeMap::new();
    let view = sites[0].view();
    let mut dirs = vec![ROOT];
    while let Some(dir) = dirs.pop() {
        for child in view.children(dir, None, usize::MAX).unwrap() {
            if child.inode.is_dir() {
                dirs.push(child.inode.object);
            }
            if let Some(version) = child.inode.version {
                there.insert(version, view.content(child.inode.object).unwrap());
            }
        }
    }
    for (version, content) in written {
        match there.get(&version) {
            Some(found) => assert_eq!(*found, content),
            None => assert!(seen.contains(&version), "version {version:?} is lost"),
        }
    }
}

#[test]
fn any_number_of_writers_in_any_order_converge() {
    cases(150, |seed| {
        let mut dice = Dice(seed);
        let count = 2 + dice.below(3);
        let mut sites: Vec<Site> = (1..=count as u8).map(Site::new).collect();
        let mut old: Vec<Vec<Inode>> = vec![Vec::new(); count];
        for _ in 0..60 + dice.below(120) {
            let i = dice.below(count);
            match dice.below(10) {
                0..6 => {
                    if let Some(change) = change(&mut dice, &sites[i], &old[i]) {
                        let id = sites[i].local(change);
                        old[i].extend(sites[i].view().inode(id).unwrap());
                    }
                }
                6 if !sites[i].fold.pending().is_empty() => {
                    let ops = sites[i].fold.pending_operations(&sites[i].table).unwrap();
                    let unready = ops.iter().map(|o| o.n).filter(|_| dice.one_in(6)).collect();
                    let ready = publishable(sites[i].fold.log(), &ops, &unready);
                    sites[i].publish_some(&ready);
                }
                7 if dice.one_in(3) => sites[i].reopen(),
                _ => {
                    // Some entries of another, in no order, some twice.
                    let from = dice.below(count);
                    let all = sites[from].has.clone();
                    let some: Vec<Opened> =
                        (0..dice.below(6)).filter_map(|_| dice.pick(&all).cloned()).collect();
                    let some = if dice.one_in(3) { all } else { some };
                    sites[i].take(some);
                }
            }
        }
        settle(&mut sites);
        nothing_lost(&sites);
        // One who comes late gets the same.
        let mut late = Site::new(9);
        late.take(sites[0].has.clone());
        assert_eq!(state_of(&late.table), state_of(&sites[0].table));
    });
}
