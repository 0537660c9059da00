//! What a drive may be after a crash.
//!
//! What kith promises is this. Names, modes, attributes and links are those of one moment: the
//! journal has them in order, and what of it is there is a beginning of it. Every sync, of
//! whatever, says that all of them so far are there. The content of a file is what it was at one
//! moment: not before its last sync, and not before it was last closed when anything was synced
//! since. What closing it told the journal is there with all that the journal has after it: the
//! own segments are synced before the journal is written. A truncation alone is told a little
//! later.

use super::*;
use std::collections::{BTreeMap, btree_map::Entry};

/// A file or directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub dir: bool,
    pub bytes: Arc<Vec<u8>>,
    pub mode: u16,
    pub mtime: i64,
    pub nlink: u32,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    pub fn new(dir: bool, mode: u16) -> Node {
        Node { dir, bytes: Arc::default(), mode, mtime: 0, nlink: 0, xattrs: BTreeMap::new() }
    }
}

/// All of a drive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    pub names: BTreeMap<String, Ino>,
    pub nodes: BTreeMap<Ino, Node>,
}

impl Tree {
    /// Links as they follow from the names; what has no name is gone.
    pub fn count_links(&mut self) {
        let names: Vec<(String, Ino)> = self.names.iter().map(|(n, i)| (n.clone(), *i)).collect();
        self.nodes.retain(|ino, _| *ino == ROOT_INO || names.iter().any(|(_, i)| i == ino));
        let dirs: BTreeMap<String, Ino> =
            names.iter().filter(|(_, i)| self.nodes[i].dir).map(|(n, i)| (n.clone(), *i)).collect();
        let below = |path: Option<&str>| {
            dirs.keys().filter(|n| n.rsplit_once('/').map(|(dir, _)| dir) == path).count() as u32
        };
        for (ino, node) in &mut self.nodes {
            let paths: Vec<&str> = names.iter().filter(|(_, i)| i == ino).map(|(n, _)| n.as_str()).collect();
            node.nlink = match (node.dir, *ino == ROOT_INO) {
                (true, true) => 2 + below(None),
                (true, false) => 2 + below(Some(paths[0])),
                _ => paths.len() as u32,
            };
        }
    }
    pub fn rename(&mut self, from: &str, to: &str, exchange: bool) {
        let moved = |path: &str| {
            let at = |root: &str| path == root || path.starts_with(&format!("{root}/"));
            if at(from) {
                format!("{to}{}", &path[from.len()..])
            } else if exchange && at(to) {
                format!("{from}{}", &path[to.len()..])
            } else {
                path.to_string()
            }
        };
        if !exchange {
            self.names.remove(to);
        }
        self.names = self.names.iter().map(|(path, ino)| (moved(path), *ino)).collect();
    }
}

/// How the journal hears of a new content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// At close.
    Told,
    /// Soon, by itself.
    Late,
}

/// A state that the drive was in, and what content changed on the way to it.
#[derive(Clone)]
pub struct Moment {
    pub tree: Tree,
    pub content: Option<(Ino, How)>,
}

/// How far a run has come.
#[derive(Clone, Default, Debug)]
pub struct Progress {
    /// No moment after this one can be found.
    pub begun: usize,
    /// No moment before this one may be, but for contents.
    pub synced: usize,
    /// No content before this moment's.
    pub files: BTreeMap<Ino, usize>,
}

/// Reads all of a drive.
pub async fn capture(m: &Machine) -> std::result::Result<Tree, String> {
    let mut tree = Tree::default();
    let mut todo = vec![(String::new(), ROOT_INO)];
    tree.nodes.insert(ROOT_INO, node(m, ROOT_INO).await.map_err(|e| format!("the root: {e}"))?);
    while let Some((path, dir)) = todo.pop() {
        let entries = m.drive.readdir(dir, None, 10_000).map_err(|e| format!("listing {path}: {e}"))?;
        for entry in entries {
            let path = format!("{path}{}", String::from_utf8_lossy(&entry.name));
            let ino = entry.attr.ino;
            if entry.attr.kind == FileKind::Dir {
                todo.push((format!("{path}/"), ino));
            }
            if let Entry::Vacant(place) = tree.nodes.entry(ino) {
                place.insert(node(m, ino).await.map_err(|e| format!("{path}: {e}"))?);
            }
            if tree.names.insert(path.clone(), ino).is_some() {
                return Err(format!("{path} twice in its directory"));
            }
        }
    }
    // What has no name must not be counted either.
    let files = tree.nodes.values().filter(|n| !n.dir).count() as u64;
    let counted = m.drive.status().files;
    if files != counted {
        return Err(format!("{files} files have names, {counted} are counted"));
    }
    Ok(tree)
}

async fn node(m: &Machine, ino: Ino) -> Result<Node> {
    let attr = m.drive.getattr(ino)?;
    let dir = attr.kind == FileKind::Dir;
    let bytes = if dir { Vec::new() } else { m.read_ino(ino).await? };
    if !dir && attr.size != bytes.len() as u64 {
        return Err(Error::Internal(format!("{} bytes, its size is {}", bytes.len(), attr.size)));
    }
    let mut xattrs = BTreeMap::new();
    for name in m.drive.listxattr(ino)? {
        let value = m.drive.getxattr(ino, &name)?;
        xattrs.insert(name, value);
    }
    Ok(Node { dir, bytes: Arc::new(bytes), mode: attr.mode, mtime: attr.mtime, nlink: attr.nlink, xattrs })
}

/// Whether a drive found after a crash is one that there may be; why not, if not.
pub fn judge(found: &Tree, moments: &[Moment], progress: &Progress) -> std::result::Result<(), String> {
    let last = progress.begun.min(moments.len() - 1);
    let mut why = Vec::new();
    for p in (progress.synced..=last).rev() {
        match fits(found, moments, progress, p) {
            Ok(()) => return Ok(()),
            Err(e) => why.push(format!("  not moment {p}: {e}")),
        }
    }
    Err(format!("{progress:?}\n{}", why.join("\n")))
}

fn fits(found: &Tree, moments: &[Moment], progress: &Progress, p: usize) -> std::result::Result<(), String> {
    let want = &moments[p].tree;
    if found.names != want.names {
        return Err(format!("names are {:?}, not {:?}", found.names, want.names));
    }
    for (ino, node) in &found.nodes {
        let wanted = &want.nodes[ino];
        let plain = |n: &Node| (n.dir, n.mode, n.nlink, n.xattrs.clone());
        if plain(node) != plain(wanted) {
            return Err(format!("{ino} is {:?}, not {:?}", plain(node), plain(wanted)));
        }
        let done = if node.dir {
            dir_time(node, moments, *ino, p)
        } else {
            content(node, moments, progress, *ino, p)
        };
        done.map_err(|e| format!("{ino}: {e}"))?;
    }
    Ok(())
}

/// What came and went in a directory may be taken back, and with it the time when it did.
fn dir_time(node: &Node, moments: &[Moment], ino: Ino, p: usize) -> std::result::Result<(), String> {
    let time = |m: &Moment| m.tree.nodes.get(&ino).map(|n| n.mtime);
    let removed = moments[..=p].windows(2).any(|w| w[0].tree.nodes.len() > w[1].tree.nodes.len());
    let from = if removed { 0 } else { p };
    if moments[from..=p].iter().any(|m| time(m) == Some(node.mtime)) {
        return Ok(());
    }
    Err(format!("a directory's time is {}, not {:?}", node.mtime, time(&moments[p])))
}

fn content(
    node: &Node,
    moments: &[Moment],
    progress: &Progress,
    ino: Ino,
    p: usize,
) -> std::result::Result<(), String> {
    let at = |q: usize| moments[q].tree.nodes.get(&ino);
    let mut floor = progress.files.get(&ino).copied().unwrap_or(0).min(p);
    for (q, moment) in moments.iter().enumerate().take(p + 1).skip(floor + 1) {
        match moment.content {
            Some((of, How::Told)) if of == ino => floor = q,
            _ => {}
        }
    }
    let mut times = Vec::new();
    for q in (floor..=p).rev() {
        let Some(then) = at(q) else { break };
        times.push(then.mtime);
        if then.bytes == node.bytes && times.contains(&node.mtime) {
            return Ok(());
        }
    }
    let same = (0..moments.len()).filter(|q| at(*q).is_some_and(|n| n.bytes == node.bytes));
    Err(format!(
        "{} bytes with time {}; content may be of {floor}..={p}, times {times:?}; the bytes are those of {:?}",
        node.bytes.len(),
        node.mtime,
        same.collect::<Vec<_>>()
    ))
}
