//! One writer against an oracle: a tree in memory that does what POSIX says and knows
//! nothing of operations' bookkeeping.

use super::support::*;
use crate::content::Content;
use crate::tree::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq)]
struct Node {
    kind: Kind,
    attrs: Attrs,
    version: Option<OpId>,
    content: Content,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    entries: BTreeMap<Name, ObjectId>,
    links: u32,
}

struct Oracle {
    nodes: BTreeMap<ObjectId, Node>,
}

/// Everything a mount would show of one path.
type Shown = (ObjectId, Node, u32);

impl Oracle {
    fn new() -> Self {
        let root = Oracle::node(Kind::Dir, Inode::first_root().attrs);
        Oracle { nodes: BTreeMap::from([(ROOT, root)]) }
    }
    fn node(kind: Kind, attrs: Attrs) -> Node {
        let content = Content::Inline(Vec::new());
        let (xattrs, entries) = (BTreeMap::new(), BTreeMap::new());
        Node { kind, attrs, version: None, content, xattrs, entries, links: 0 }
    }
    fn at(&mut self, object: ObjectId) -> &mut Node {
        self.nodes.get_mut(&object).expect("known")
    }
    fn add(&mut self, dir: ObjectId, name: &Name, object: ObjectId, time: TimeNs) {
        assert!(self.at(dir).entries.insert(name.clone(), object).is_none());
        self.at(object).links += 1;
        self.stamp(dir, time);
    }
    fn remove(&mut self, dir: ObjectId, name: &Name, time: TimeNs) -> ObjectId {
        let object = self.at(dir).entries.remove(name).expect("there");
        self.at(object).links -= 1;
        self.at(object).attrs.ctime = time;
        self.stamp(dir, time);
        object
    }
    fn stamp(&mut self, dir: ObjectId, time: TimeNs) {
        let attrs = &mut self.at(dir).attrs;
        (attrs.mtime, attrs.ctime) = (time, time);
    }
    fn apply(&mut self, id: OpId, time: TimeNs, change: &Change) {
        match change {
            Change::Create { parent, name, kind, attrs } => {
                self.nodes.insert(id, Oracle::node(kind.clone(), *attrs));
                self.add(*parent, name, id, time);
            }
            Change::SetContent { object, content, mtime, .. } => {
                let node = self.at(*object);
                (node.content, node.version) = (content.clone(), Some(id));
                (node.attrs.mtime, node.attrs.ctime) = (*mtime, time);
            }
            Change::SetAttrs { object, change } => {
                let attrs = &mut self.at(*object).attrs;
                attrs.mode = change.mode.unwrap_or(attrs.mode);
                attrs.uid = change.uid.unwrap_or(attrs.uid);
                attrs.gid = change.gid.unwrap_or(attrs.gid);
                attrs.atime = change.atime.unwrap_or(attrs.atime);
                attrs.mtime = change.mtime.unwrap_or(attrs.mtime);
                attrs.ctime = change.ctime.unwrap_or(time);
            }
            Change::SetXattr { object, name, value } => {
                let node = self.at(*object);
                match value {
                    Some(value) => node.xattrs.insert(name.clone(), value.clone()),
                    None => node.xattrs.remove(name),
                };
                node.attrs.ctime = time;
            }
            Change::Link { object, parent, name } => {
                self.at(*object).attrs.ctime = time;
                self.add(*parent, name, *object, time);
            }
            Change::Unlink { parent, name, .. } | Change::Rmdir { parent, name, .. } => {
                self.remove(*parent, name, time);
            }
            Change::Rename { from_parent, from_name, to_parent, to_name, replaced, .. } => {
                if replaced.is_some() {
                    self.remove(*to_parent, to_name, time);
                }
                let object = self.remove(*from_parent, from_name, time);
                self.add(*to_parent, to_name, object, time);
            }
            Change::Exchange { a_parent, a_name, b_parent, b_name, .. } => {
                let a = self.remove(*a_parent, a_name, time);
                let b = self.remove(*b_parent, b_name, time);
                self.add(*b_parent, b_name, a, time);
                self.add(*a_parent, a_name, b, time);
            }
            _ => {}
        }
    }
    fn nlink(&self, object: ObjectId) -> u32 {
        let node = &self.nodes[&object];
        if node.kind != Kind::Dir {
            return node.links;
        }
        2 + node.entries.values().filter(|o| self.nodes[o].kind == Kind::Dir).count() as u32
    }
    fn paths(&self, dir: ObjectId, prefix: &[u8], out: &mut BTreeMap<Vec<u8>, Shown>) {
        for (name, object) in &self.nodes[&dir].entries {
            let path = [prefix, b"/", name].concat();
            let node = self.nodes[object].clone();
            let is_dir = node.kind == Kind::Dir;
            out.insert(path.clone(), (*object, node, self.nlink(*object)));
            if is_dir {
                self.paths(*object, &path, out);
            }
        }
    }
    fn everything(&self) -> BTreeMap<Vec<u8>, Shown> {
        let root = (ROOT, self.nodes[&ROOT].clone(), self.nlink(ROOT));
        let mut out = BTreeMap::from([(b"/".to_vec(), root)]);
        self.paths(ROOT, b"", &mut out);
        out
    }
    /// Live objects, those below `ROOT` only.
    fn live(&self, wanted: impl Fn(&Node) -> bool) -> Vec<ObjectId> {
        let reached: BTreeSet<ObjectId> = self.everything().values().map(|(o, _, _)| *o).collect();
        reached.into_iter().filter(|o| wanted(&self.nodes[o])).collect()
    }
    /// Live names: directory, name, object.
    fn names(&self) -> Vec<(ObjectId, Name, ObjectId)> {
        let dirs = self.live(|n| n.kind == Kind::Dir);
        let entries = |d: &ObjectId| {
            let d = *d;
            self.nodes[&d].entries.iter().map(move |(n, o)| (d, n.clone(), *o)).collect::<Vec<_>>()
        };
        dirs.iter().flat_map(entries).collect()
    }
    fn within(&self, dir: ObjectId, top: ObjectId) -> bool {
        dir == top || self.nodes[&top].entries.values().any(|o| self.within(dir, *o))
    }
}

/// The same of a state, by way of everything a mount calls.
fn shown(view: View<'_>) -> BTreeMap<Vec<u8>, Shown> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(Vec::new(), view.inode(ROOT).unwrap().unwrap())];
    while let Some((path, inode)) = todo.pop() {
        let mut entries = BTreeMap::new();
        let mut after = None;
        while inode.is_dir() {
            // Small pages, so that cursors matter.
            let page = view.children(inode.object, after, 3).unwrap();
            let more = page.len() >= 3;
            after = page.last().map(|c| c.cursor);
            for child in page {
                assert_eq!(view.lookup(inode.object, &child.name).unwrap().as_ref(), Some(&child.inode));
                assert!(
                    !child.inode.is_dir() || view.parent(child.inode.object).unwrap() == Some(inode.object)
                );
                assert!(entries.insert(child.name.clone(), child.inode.object).is_none());
                todo.push(([&path[..], b"/", &child.name].concat(), child.inode));
            }
            if !more {
                break;
            }
        }
        if inode.is_dir() {
            // A plain listing says the same.
            let mut names = BTreeMap::new();
            view.each_name(inode.object, None, &mut |_, name| {
                let child = view.inode(name.object).unwrap().unwrap();
                assert_eq!((name.ino, name.kind), (child.ino, FileKind::from(&child.kind)));
                names.insert(name.name.to_vec(), name.object).is_none()
            })
            .unwrap();
            assert_eq!(names, entries);
        }
        let content = view.content(inode.object).unwrap();
        if let (Kind::File, Content::Inline(bytes)) = (&inode.kind, &content) {
            assert_eq!(inode.size, bytes.len() as u64);
        }
        let xattrs = view.xattrs(inode.object).unwrap().into_iter().map(|x| (x.name, x.value)).collect();
        let links = if inode.object == ROOT { 0 } else { inode.names };
        let node = Node {
            kind: inode.kind.clone(),
            attrs: inode.attrs,
            version: inode.version,
            content,
            xattrs,
            entries,
            links,
        };
        let path = if path.is_empty() { b"/".to_vec() } else { path };
        out.insert(path, (inode.object, node, inode.nlink()));
    }
    out
}

/// A change that a local filesystem would let pass.
fn change(dice: &mut Dice, oracle: &Oracle) -> Option<Change> {
    let dirs = oracle.live(|n| n.kind == Kind::Dir);
    let files = oracle.live(|n| n.kind == Kind::File);
    let all = oracle.live(|_| true);
    let names = oracle.names();
    let name = |dice: &mut Dice| format!("n{}", dice.below(12)).into_bytes();
    let free = |dir: ObjectId, name: &Name| !oracle.nodes[&dir].entries.contains_key(name);
    let seen = |object: ObjectId| Seen { object, version: oracle.nodes[&object].version };
    let dir = *dice.pick(&dirs)?;
    let time = NOW + dice.below(1000) as i64;
    Some(match dice.below(14) {
        0..4 => {
            let name = name(dice);
            let kind = match dice.below(8) {
                0..3 => Kind::Dir,
                3..6 => Kind::File,
                6 => Kind::Symlink { target: b"somewhere".to_vec() },
                _ => Kind::Device { block: false, rdev: 259 },
            };
            return free(dir, &name).then(|| Change::Create {
                parent: dir,
                name,
                kind,
                attrs: attrs(0o640, time),
            });
        }
        4 | 5 => {
            let object = *dice.pick(&files)?;
            let text = format!("content {}", dice.below(1_000_000));
            Change::SetContent { object, base: seen(object).version, content: inline(&text), mtime: time }
        }
        6 => {
            let mut some = |value: u32| dice.one_in(2).then_some(value);
            let change = AttrChange {
                mode: some(0o751).map(|m| m as u16),
                uid: some(7),
                gid: some(8),
                atime: some(9).map(i64::from),
                mtime: some(10).map(i64::from),
                ctime: some(11).map(i64::from),
            };
            Change::SetAttrs { object: *dice.pick(&all)?, change }
        }
        7 => Change::SetXattr {
            object: *dice.pick(&all)?,
            name: format!("user.{}", dice.below(3)).into_bytes(),
            value: (!dice.one_in(3)).then(|| vec![dice.below(256) as u8; 3]),
        },
        8 => {
            let (object, name) = (*dice.pick(&files)?, name(dice));
            return free(dir, &name).then_some(Change::Link { object, parent: dir, name });
        }
        9 | 10 => {
            let (parent, name, object) = dice.pick(&names)?.clone();
            let node = &oracle.nodes[&object];
            match node.kind {
                Kind::Dir if !node.entries.is_empty() => return None,
                Kind::Dir => Change::Rmdir { parent, name, object },
                _ => Change::Unlink { parent, name, seen: seen(object) },
            }
        }
        11 | 12 => {
            let (from_parent, from_name, object) = dice.pick(&names)?.clone();
            let to_name = name(dice);
            let there = oracle.nodes[&dir].entries.get(&to_name).copied();
            let is_dir = |o: ObjectId| oracle.nodes[&o].kind == Kind::Dir;
            if (is_dir(object) && oracle.within(dir, object)) || there == Some(object) {
                return None;
            }
            if let Some(there) = there
                && (is_dir(there) != is_dir(object) || !oracle.nodes[&there].entries.is_empty())
            {
                return None;
            }
            let replaced = there.map(seen);
            Change::Rename { object, from_parent, from_name, to_parent: dir, to_name, replaced }
        }
        _ => {
            let (a_parent, a_name, a) = dice.pick(&names)?.clone();
            let (b_parent, b_name, b) = dice.pick(&names)?.clone();
            if a == b || oracle.within(b_parent, a) || oracle.within(a_parent, b) {
                return None;
            }
            Change::Exchange { a, a_parent, a_name, b, b_parent, b_name }
        }
    })
}

#[test]
fn one_writer_is_a_filesystem() {
    cases(60, |seed| {
        let mut dice = Dice(seed);
        let mut oracle = Oracle::new();
        let mut site = Site::new(1);
        for _ in 0..120 {
            let Some(change) = change(&mut dice, &oracle) else { continue };
            let time = NOW + site.next as i64;
            let before = shown(site.view());
            let id = site.local(change.clone());
            oracle.apply(id, time, &change);
            let after = shown(site.view());
            assert_eq!(after, oracle.everything(), "{change:?}\n{:#?}", before.keys());
            match dice.below(12) {
                0 => {
                    site.publish();
                }
                1 => {
                    let ops = site.fold.pending_operations(&site.table).unwrap();
                    let unready = ops.iter().map(|o| o.n).filter(|_| dice.one_in(3)).collect();
                    let ready = publishable(log(1), &ops, &unready);
                    site.publish_some(&ready);
                }
                2 => site.reopen(),
                _ => continue,
            }
            assert_eq!(shown(site.view()), oracle.everything());
        }
        check_sound(site.view());
        site.publish();
        let mut other = Site::new(2);
        other.take(site.has.clone());
        assert_eq!(shown(other.view()), oracle.everything());
    });
}
