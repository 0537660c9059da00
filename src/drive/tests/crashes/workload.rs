//! The operations, all on two directories of three names, and what each should do.

use super::oracle::{How, Moment, Node, Progress, Tree};
use super::*;

/// One operation on fixed paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Create(&'static str),
    /// Overwrite so many bytes at an offset.
    Write(&'static str, u64, usize),
    Append(&'static str, usize),
    Cut(&'static str, u64),
    Rename(&'static str, &'static str),
    Exchange(&'static str, &'static str),
    Link(&'static str, &'static str),
    Unlink(&'static str),
    Mkdir(&'static str),
    Rmdir(&'static str),
    Chmod(&'static str, u16),
    Utimens(&'static str),
    Xattr(&'static str),
    /// fsync of a file or of a directory.
    Fsync(&'static str),
    /// All files, as syncfs(2).
    SyncAll,
    /// The journal is told anew, and shortened.
    Compact,
}

const MIB: u64 = 1 << 20;

/// All of them. `a/x` is small, `a/y` crosses a chunk, `a/z` is empty, `b/x` is between; `b/y`,
/// `b/z` and `c` are not there at first, and `e` is an empty directory.
pub const OPS: [Op; 46] = [
    Op::Create("b/y"),
    Op::Create("a/n"),
    Op::Write("a/x", 100, 60),
    Op::Write("a/y", MIB - 3000, 6000),
    Op::Write("a/y", 0, MIB as usize),
    Op::Write("a/z", 0, 5000),
    Op::Write("b/x", 7000, 5000),
    Op::Append("a/x", 50),
    Op::Append("a/x", 8000),
    Op::Append("a/y", 9000),
    Op::Append("a/z", 10),
    Op::Append("b/x", MIB as usize + 2000),
    Op::Cut("a/x", 10),
    Op::Cut("a/x", 9000),
    Op::Cut("a/y", 70_001),
    Op::Cut("a/y", 0),
    Op::Cut("b/x", 4097),
    Op::Cut("b/x", 2 * MIB + 5),
    Op::Cut("a/z", 100),
    Op::Rename("a/x", "b/y"),
    Op::Rename("a/x", "a/y"),
    Op::Rename("b/x", "a/y"),
    Op::Rename("a/y", "a/x"),
    Op::Rename("a/z", "b/x"),
    Op::Rename("a", "c"),
    Op::Rename("e", "a/d"),
    Op::Exchange("a/x", "b/x"),
    Op::Exchange("a/y", "e"),
    Op::Link("a/x", "b/z"),
    Op::Link("a/y", "b/y"),
    Op::Unlink("a/x"),
    Op::Unlink("a/y"),
    Op::Unlink("b/x"),
    Op::Mkdir("c"),
    Op::Rmdir("e"),
    Op::Chmod("a/y", 0o600),
    Op::Chmod("b", 0o700),
    Op::Utimens("a/x"),
    Op::Utimens("a/y"),
    Op::Xattr("a/x"),
    Op::Xattr("b"),
    Op::Fsync("a/x"),
    Op::Fsync("a/y"),
    Op::Fsync("a"),
    Op::SyncAll,
    Op::Compact,
];

/// Text that compresses well, no piece of which is like another.
pub fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 64);
    while out.len() < len {
        let line = format!("{seed:04x} at {:08x}: forty bytes of a text that compresses\n", out.len());
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(len);
    out
}

/// The files that there are at first.
pub async fn lay(m: &Machine) {
    for dir in [&b"a"[..], b"b", b"e"] {
        m.drive.mkdir(ROOT_INO, dir, 0o755, ME).expect("made");
    }
    for (path, len) in [("a/x", 300), ("a/y", MIB as usize + 5000), ("a/z", 0), ("b/x", 20_000)] {
        m.write(path, &text(path.len() as u64 + len as u64, len)).await.expect("written");
    }
    m.drive.shared.journal_everything(false).await.expect("synced");
}

/// A machine at work, and every state that its drive has been in.
pub struct Work<'a> {
    pub m: &'a Machine,
    pub moments: Vec<Moment>,
    pub progress: Arc<Mutex<Progress>>,
    /// Calls may fail (the disk does).
    pub failing: bool,
    pub refused: u64,
}

/// Why a sequence ends early.
pub enum Stop {
    /// It makes no sense: something is not there that one before it took away.
    Senseless,
    /// The disk failed.
    Refused,
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl<'a> Work<'a> {
    /// Nothing done yet, and all that there is synced.
    pub fn new(m: &'a Machine, tree: Tree) -> Work<'a> {
        let first = Moment { tree, content: None };
        Work { m, moments: vec![first], progress: Arc::default(), failing: false, refused: 0 }
    }
    /// Time passes: the journal is synced within a second, and content settles and is published.
    pub async fn settle(&mut self) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        if !self.failing {
            self.all_synced();
        }
        tokio::time::sleep(Duration::from_secs(35)).await;
    }
    fn now(&self) -> Tree {
        self.moments[self.moments.len() - 1].tree.clone()
    }
    fn ino(&self, path: &str) -> std::result::Result<Ino, Stop> {
        self.moments[self.moments.len() - 1].tree.names.get(path).copied().ok_or(Stop::Senseless)
    }
    /// What a failing disk may answer; nothing else may.
    fn refuse<T>(&mut self, done: Result<T>) -> std::result::Result<T, Stop> {
        match done {
            Ok(value) => Ok(value),
            Err(Error::NoSpace | Error::Disk(_) | Error::TimedOut) if self.failing => {
                self.refused += 1;
                Err(Stop::Refused)
            }
            Err(e) => panic!("{e}"),
        }
    }
    /// The drive is in this state now, times as it says; what the test expects else is compared.
    fn push(&mut self, mut tree: Tree, content: Option<(Ino, How)>) {
        tree.count_links();
        for (ino, node) in &mut tree.nodes {
            let attr = self.m.drive.getattr(*ino).expect("attributes");
            node.mtime = attr.mtime;
            assert_eq!((attr.mode, attr.nlink), (node.mode, node.nlink), "mode and links of {ino}");
            assert!(node.dir || attr.size == node.bytes.len() as u64, "size of {ino}: {}", attr.size);
        }
        self.moments.push(Moment { tree, content });
    }
    /// From here on the next state may be found after a crash.
    fn begin(&self) {
        self.progress.lock().begun = self.moments.len();
    }
    /// Everything in the journal is on the disk, and what was closed; and all of these files.
    fn synced(&self, files: &[Ino]) {
        let mut progress = self.progress.lock();
        let last = self.moments.len() - 1;
        progress.synced = last;
        for (i, moment) in self.moments.iter().enumerate() {
            if let Some((ino, How::Told)) = moment.content {
                let floor = progress.files.entry(ino).or_insert(0);
                *floor = i.max(*floor);
            }
        }
        files.iter().for_each(|ino| {
            progress.files.insert(*ino, last);
        });
    }
    fn parent<'p>(&self, path: &'p str) -> std::result::Result<(Ino, &'p str), Stop> {
        let (dir, name) = split(path);
        let parent = if dir.is_empty() { ROOT_INO } else { self.ino(dir)? };
        let is_dir = self.now().nodes[&parent].dir;
        if is_dir { Ok((parent, name)) } else { Err(Stop::Senseless) }
    }
    fn file(&self, path: &str) -> std::result::Result<Ino, Stop> {
        let ino = self.ino(path)?;
        if self.now().nodes[&ino].dir { Err(Stop::Senseless) } else { Ok(ino) }
    }
    fn absent(&self, path: &str) -> std::result::Result<(), Stop> {
        if self.now().names.contains_key(path) { Err(Stop::Senseless) } else { Ok(()) }
    }

    /// Do one operation; `seed` says what is written.
    pub async fn apply(&mut self, op: Op, seed: u64) -> std::result::Result<(), Stop> {
        // Every moment has a time of its own.
        tokio::time::sleep(Duration::from_millis(3)).await;
        match op {
            Op::Write(path, at, len) => self.write(self.file(path)?, at, len, seed).await,
            Op::Append(path, len) => {
                let ino = self.file(path)?;
                let at = self.now().nodes[&ino].bytes.len() as u64;
                self.write(ino, at, len, seed).await
            }
            Op::Cut(path, size) => {
                let ino = self.file(path)?;
                let mut tree = self.now();
                let node = tree.nodes.get_mut(&ino).expect("there");
                if node.bytes.len() as u64 == size {
                    return Err(Stop::Senseless);
                }
                Arc::make_mut(&mut node.bytes).resize(size as usize, 0);
                self.begin();
                let done = self.m.drive.truncate(ino, size, SetAttr::default(), ME).await;
                self.refuse(done)?;
                self.push(tree, Some((ino, How::Late)));
                Ok(())
            }
            Op::Fsync(path) => {
                let ino = self.ino(path)?;
                let done = self.m.drive.sync_inode(ino).await;
                self.refuse(done)?;
                let dir = self.now().nodes[&ino].dir;
                self.synced(if dir { &[] } else { std::slice::from_ref(&ino) });
                Ok(())
            }
            Op::SyncAll => {
                let done = self.m.drive.shared.journal_everything(false).await;
                self.refuse(done)?;
                self.all_synced();
                Ok(())
            }
            Op::Compact => {
                let done = self.m.drive.shared.compact_journal().await;
                self.refuse(done)?;
                self.all_synced();
                Ok(())
            }
            _ => self.metadata(op, seed),
        }
    }
    pub fn all_synced(&self) {
        let all: Vec<Ino> = self.now().nodes.keys().copied().collect();
        self.synced(&all);
    }
    async fn write(&mut self, ino: Ino, at: u64, len: usize, seed: u64) -> std::result::Result<(), Stop> {
        let bytes = text(seed, len);
        let mut tree = self.now();
        let node = tree.nodes.get_mut(&ino).expect("there");
        let old = Arc::make_mut(&mut node.bytes);
        let end = at as usize + len;
        old.resize(old.len().max(end), 0);
        old[at as usize..end].copy_from_slice(&bytes);
        let handle = self.m.drive.open(ino, RW).await;
        let handle = self.refuse(handle)?;
        self.begin();
        let done = self.m.drive.write(handle, at, Bytes::from(bytes), false).await;
        self.refuse(done)?;
        let done = self.m.drive.flush(handle).await;
        let _ = self.m.drive.release(handle).await;
        let how = if done.is_ok() { How::Told } else { How::Late };
        self.push(tree, Some((ino, how)));
        self.refuse(done)
    }
    fn metadata(&mut self, op: Op, seed: u64) -> std::result::Result<(), Stop> {
        let drive = self.m.drive.clone();
        let mut tree = self.now();
        match op {
            Op::Create(path) | Op::Mkdir(path) => {
                let (parent, name) = self.parent(path)?;
                self.absent(path)?;
                self.begin();
                let dir = matches!(op, Op::Mkdir(_));
                let made = if dir {
                    drive.mkdir(parent, name.as_bytes(), 0o750, ME)
                } else {
                    drive.mknod(parent, name.as_bytes(), NodeKind::File, 0o640, ME)
                };
                let attr = self.refuse(made)?;
                tree.names.insert(path.into(), attr.ino);
                tree.nodes.insert(attr.ino, Node::new(dir, attr.mode));
            }
            Op::Rename(from, to) | Op::Exchange(from, to) => {
                let (a, b) = (self.parent(from)?, self.parent(to)?);
                let moved = self.ino(from)?;
                let there = tree.names.get(to).copied();
                let exchange = matches!(op, Op::Exchange(..));
                let kinds = there.map(|t| tree.nodes[&t].dir == tree.nodes[&moved].dir);
                if there == Some(moved)
                    || (exchange && there.is_none())
                    || (!exchange && kinds == Some(false))
                    || there.is_some_and(|t| !exchange && tree.nodes[&t].dir)
                {
                    return Err(Stop::Senseless);
                }
                self.begin();
                let (from_name, to_name) = ((a.0, a.1.as_bytes()), (b.0, b.1.as_bytes()));
                let done = drive.rename(from_name, to_name, false, exchange, ME);
                self.refuse(done)?;
                tree.rename(from, to, exchange);
            }
            Op::Link(from, to) => {
                let (ino, (parent, name)) = (self.file(from)?, self.parent(to)?);
                self.absent(to)?;
                self.begin();
                let done = drive.link(ino, parent, name.as_bytes());
                self.refuse(done)?;
                tree.names.insert(to.into(), ino);
            }
            Op::Unlink(path) | Op::Rmdir(path) => {
                let dir = matches!(op, Op::Rmdir(_));
                let (parent, name) = self.parent(path)?;
                let ino = self.ino(path)?;
                let inside = tree.names.keys().any(|n| n.starts_with(&format!("{path}/")));
                if tree.nodes[&ino].dir != dir || inside {
                    return Err(Stop::Senseless);
                }
                self.begin();
                let done = if dir {
                    drive.rmdir(parent, name.as_bytes(), ME)
                } else {
                    drive.unlink(parent, name.as_bytes(), ME)
                };
                self.refuse(done)?;
                tree.names.remove(path);
            }
            Op::Chmod(path, _) | Op::Utimens(path) => {
                let ino = self.ino(path)?;
                self.begin();
                let mut set = SetAttr::default();
                match op {
                    Op::Chmod(_, mode) => set.mode = Some(mode ^ seed as u16 & 0o7),
                    _ => set.mtime = Some(1_000_000_000_000_000_000 + seed as i64),
                }
                let done = drive.setattr(ino, set, ME);
                self.refuse(done)?;
                let node = tree.nodes.get_mut(&ino).expect("there");
                node.mode = set.mode.unwrap_or(node.mode);
            }
            Op::Xattr(path) => {
                let ino = self.ino(path)?;
                self.begin();
                let value = text(seed, 200);
                let done = drive.setxattr(ino, b"user.note", &value, false, false, ME);
                self.refuse(done)?;
                let node = tree.nodes.get_mut(&ino).expect("there");
                node.xattrs.insert(b"user.note".to_vec(), value);
            }
            _ => unreachable!("not metadata"),
        }
        self.push(tree, None);
        Ok(())
    }
}
