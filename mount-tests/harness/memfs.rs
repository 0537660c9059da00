//! A complete filesystem in memory: the double that the mount is tested over.

use bytes::Bytes;
use kithfs::drive::{
    Attr, Caller, DirEntry, DirName, Error, FileKind, Files, Handle, Ino, Invalidation, NodeKind, OpenMode,
    ROOT_INO, Result, SetAttr, StatFs,
};
use kithfs::tree::{ACL_ACCESS, ACL_DEFAULT, Acl, Cursor, TimeNs, inherit};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

const PAGE: u64 = 4096;
const TOTAL: u64 = 1 << 40;
const FIRST_CURSOR: Cursor = 1000;
const SUID: u16 = 0o4000;
const SGID: u16 = 0o2000;
const GROUP_EXEC: u16 = 0o010;
const KEEP_SIZE: i32 = 1;
const PUNCH_HOLE: i32 = 2;
const ZERO_RANGE: i32 = 0x10;

/// A lookup of this name panics.
pub const PANIC_ON_LOOKUP: &str = "panic-on-lookup";
/// Reading a file of this name panics.
pub const PANIC_ON_READ: &str = "panic-on-read";
/// Reading a file of this name takes ten seconds.
pub const SLOW_READ: &str = "slow-read";

struct Node {
    attr: Attr,
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
    names: BTreeMap<Vec<u8>, (Ino, Cursor)>,
    listing: BTreeMap<Cursor, Vec<u8>>,
    parent: Ino,
    target: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    lookups: u64,
    handles: u32,
    epoch: u64,
    fault: &'static str,
}

struct State {
    nodes: HashMap<Ino, Node>,
    handles: HashMap<u64, (Ino, OpenMode)>,
    next: u64,
}

/// The filesystem.
pub struct MemFs {
    state: Mutex<State>,
    changes: mpsc::UnboundedSender<Invalidation>,
    changed: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invalidation>>,
}

fn now() -> TimeNs {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as TimeNs
}

impl Node {
    fn new(ino: Ino, kind: FileKind, mode: u16, (uid, gid): (u32, u32), parent: Ino) -> Node {
        let t = now();
        let dir = kind == FileKind::Dir;
        let attr = Attr {
            ino,
            kind,
            size: if dir { PAGE } else { 0 },
            blocks: if dir { 8 } else { 0 },
            mode,
            nlink: if dir { 2 } else { 1 },
            uid,
            gid,
            rdev: 0,
            atime: t,
            mtime: t,
            ctime: t,
            btime: t,
        };
        Node {
            attr,
            pages: BTreeMap::new(),
            names: BTreeMap::new(),
            listing: BTreeMap::new(),
            parent,
            target: Vec::new(),
            xattrs: BTreeMap::new(),
            lookups: 0,
            handles: 0,
            epoch: 0,
            fault: "",
        }
    }

    fn modified(&mut self) {
        self.attr.mtime = now();
        self.attr.ctime = self.attr.mtime;
        if self.attr.kind == FileKind::File {
            self.attr.blocks = self.pages.len() as u64 * (PAGE / 512);
        }
    }

    fn accessed(&mut self) {
        let (a, t) = (self.attr.atime, now());
        if a <= self.attr.mtime || a <= self.attr.ctime || t - a > 86_400_000_000_000 {
            self.attr.atime = t;
        }
    }

    fn kill_suid(&mut self) {
        if self.attr.kind == FileKind::File {
            self.attr.mode &= !SUID;
            if self.attr.mode & GROUP_EXEC != 0 {
                self.attr.mode &= !SGID;
            }
        }
    }

    fn put(&mut self, offset: u64, data: &[u8]) {
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let start = (at % PAGE) as usize;
            let n = rest.len().min(PAGE as usize - start);
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
            page[start..start + n].copy_from_slice(&rest[..n]);
            at += n as u64;
            rest = &rest[n..];
        }
        self.attr.size = self.attr.size.max(at);
    }

    fn get(&self, offset: u64, len: u64) -> Vec<u8> {
        let end = offset.saturating_add(len).min(self.attr.size);
        let mut out = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let mut at = offset;
        while at < end {
            let start = (at % PAGE) as usize;
            let n = (end - at).min(PAGE - start as u64) as usize;
            match self.pages.get(&(at / PAGE)) {
                Some(page) => out.extend_from_slice(&page[start..start + n]),
                None => out.resize(out.len() + n, 0),
            }
            at += n as u64;
        }
        out
    }

    /// Zeros over a range; whole pages become holes.
    fn clear(&mut self, offset: u64, end: u64) {
        let whole = offset.div_ceil(PAGE)..end / PAGE;
        let gone: Vec<u64> = if whole.start < whole.end {
            self.pages.range(whole).map(|(i, _)| *i).collect()
        } else {
            Vec::new()
        };
        for page in gone {
            self.pages.remove(&page);
        }
        for (index, page) in self.pages.range_mut(offset / PAGE..end.div_ceil(PAGE)) {
            let base = index * PAGE;
            let from = offset.saturating_sub(base).min(PAGE) as usize;
            let to = end.saturating_sub(base).min(PAGE) as usize;
            page[from..to].fill(0);
        }
    }

    fn resize(&mut self, size: u64) {
        if size < self.attr.size {
            let old = self.attr.size;
            self.clear(size, old.div_ceil(PAGE) * PAGE);
        }
        self.attr.size = size;
    }
}

impl State {
    fn node(&mut self, ino: Ino) -> Result<&mut Node> {
        self.nodes.get_mut(&ino).ok_or(Error::Stale)
    }

    fn dir(&mut self, ino: Ino) -> Result<&mut Node> {
        let node = self.node(ino)?;
        if node.attr.kind == FileKind::Dir { Ok(node) } else { Err(Error::NotDir) }
    }

    fn child(&mut self, parent: Ino, name: &[u8]) -> Result<Ino> {
        self.dir(parent)?.names.get(name).map(|(ino, _)| *ino).ok_or(Error::NotFound)
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn of(&mut self, handle: Handle) -> Result<(Ino, OpenMode)> {
        self.handles.get(&handle.0).copied().ok_or(Error::BadHandle)
    }

    fn attach(&mut self, parent: Ino, name: &[u8], ino: Ino) -> Result<()> {
        let cursor = self.fresh();
        let dir = self.dir(parent)?;
        dir.names.insert(name.to_vec(), (ino, cursor));
        dir.listing.insert(cursor, name.to_vec());
        dir.modified();
        Ok(())
    }

    fn detach(&mut self, parent: Ino, name: &[u8]) -> Result<Ino> {
        let dir = self.dir(parent)?;
        let (ino, cursor) = dir.names.remove(name).ok_or(Error::NotFound)?;
        dir.listing.remove(&cursor);
        dir.modified();
        Ok(ino)
    }

    fn make(&mut self, parent: Ino, name: &[u8], kind: FileKind, mode: u16, who: Caller) -> Result<Ino> {
        if self.dir(parent)?.names.contains_key(name) {
            return Err(Error::Exists);
        }
        let above = self.dir(parent)?.attr;
        let inherits = above.mode & SGID != 0;
        let gid = if inherits { above.gid } else { who.gid };
        let mode = if inherits && kind == FileKind::Dir { mode | SGID } else { mode };
        let default = self.dir(parent)?.xattrs.get(ACL_DEFAULT).cloned();
        let start = match kind {
            FileKind::Symlink => inherit(None, false, mode, 0),
            _ => inherit(default.as_deref(), kind == FileKind::Dir, mode, who.umask),
        };
        let ino = self.fresh();
        let mut node = Node::new(ino, kind, start.mode, (who.uid, gid), parent);
        let lists = [(ACL_ACCESS, start.access), (ACL_DEFAULT, start.default)];
        node.xattrs = lists.into_iter().filter_map(|(name, list)| Some((name.to_vec(), list?))).collect();
        node.fault = match name {
            n if n == PANIC_ON_READ.as_bytes() => PANIC_ON_READ,
            n if n == SLOW_READ.as_bytes() => SLOW_READ,
            _ => "",
        };
        self.nodes.insert(ino, node);
        self.attach(parent, name, ino)?;
        if kind == FileKind::Dir {
            self.dir(parent)?.attr.nlink += 1;
        }
        Ok(ino)
    }

    fn shown(&mut self, ino: Ino) -> Result<Attr> {
        let node = self.node(ino)?;
        node.lookups += 1;
        Ok(node.attr)
    }

    /// Drops one name of an inode that was detached.
    fn unlinked(&mut self, ino: Ino, parent: Ino) -> Result<()> {
        let node = self.node(ino)?;
        node.attr.ctime = now();
        if node.attr.kind == FileKind::Dir {
            node.attr.nlink = 0;
            self.dir(parent)?.attr.nlink -= 1;
        } else {
            node.attr.nlink -= 1;
        }
        self.sweep(ino);
        Ok(())
    }

    fn sweep(&mut self, ino: Ino) {
        if self.nodes.get(&ino).is_some_and(|n| n.attr.nlink == 0 && n.lookups == 0 && n.handles == 0) {
            self.nodes.remove(&ino);
        }
    }

    fn opened(&mut self, ino: Ino, open: OpenMode) -> Result<Handle> {
        self.node(ino)?.handles += 1;
        let id = self.fresh();
        self.handles.insert(id, (ino, open));
        Ok(Handle(id))
    }

    /// Whether what is there may be replaced by what comes.
    fn may_replace(&mut self, coming: Ino, there: Ino) -> Result<()> {
        let coming_is_dir = self.node(coming)?.attr.kind == FileKind::Dir;
        let node = self.node(there)?;
        match (coming_is_dir, node.attr.kind == FileKind::Dir) {
            (true, true) if !node.names.is_empty() => Err(Error::NotEmpty),
            (true, false) => Err(Error::NotDir),
            (false, true) => Err(Error::IsDir),
            _ => Ok(()),
        }
    }

    /// Tells a moved inode, and the directories if it is one, where it is now.
    fn moved(&mut self, ino: Ino, from: Ino, to: Ino) -> Result<()> {
        let node = self.node(ino)?;
        node.attr.ctime = now();
        node.parent = to;
        if node.attr.kind == FileKind::Dir && from != to {
            self.dir(from)?.attr.nlink -= 1;
            self.dir(to)?.attr.nlink += 1;
        }
        Ok(())
    }
}

impl Default for MemFs {
    fn default() -> Self {
        let mut nodes = HashMap::new();
        let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        nodes.insert(ROOT_INO, Node::new(ROOT_INO, FileKind::Dir, 0o755, owner, ROOT_INO));
        let (changes, changed) = mpsc::unbounded_channel();
        let state = State { nodes, handles: HashMap::new(), next: FIRST_CURSOR };
        MemFs { state: Mutex::new(state), changes, changed: tokio::sync::Mutex::new(changed) }
    }
}

/// What other machines do.
#[allow(dead_code)]
impl MemFs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The content of a file in the root is replaced.
    pub fn remote_write(&self, name: &str, data: &[u8]) {
        let mut state = self.state();
        let ino = state.child(ROOT_INO, name.as_bytes()).expect("the file is there");
        let node = state.node(ino).expect("the inode is there");
        node.resize(0);
        node.put(0, data);
        node.modified();
        node.epoch += 1;
        let _ = self.changes.send(Invalidation::Inode { ino, data: true });
    }

    /// A file comes into the root.
    pub fn remote_create(&self, name: &str, data: &[u8]) {
        let mut state = self.state();
        let who = Caller { uid: 0, gid: 0, pid: 0, umask: 0 };
        let ino = state.make(ROOT_INO, name.as_bytes(), FileKind::File, 0o644, who).expect("a free name");
        state.node(ino).expect("the inode is there").put(0, data);
        self.told(name);
    }

    /// A name in the root goes.
    pub fn remote_remove(&self, name: &str) {
        let mut state = self.state();
        let ino = state.detach(ROOT_INO, name.as_bytes()).expect("the name is there");
        state.unlinked(ino, ROOT_INO).expect("the inode is there");
        self.told(name);
    }

    fn told(&self, name: &str) {
        let name = name.as_bytes().to_vec();
        let _ = self.changes.send(Invalidation::Entry { parent: ROOT_INO, name });
        let _ = self.changes.send(Invalidation::Inode { ino: ROOT_INO, data: true });
    }

    /// Inodes alive, and handles open: after a test, what was leaked.
    pub fn census(&self) -> (usize, usize) {
        let state = self.state();
        (state.nodes.len(), state.handles.len())
    }
}

impl Files for MemFs {
    fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        assert!(name != PANIC_ON_LOOKUP.as_bytes(), "as the name asks");
        let mut state = self.state();
        let ino = state.child(parent, name)?;
        state.shown(ino)
    }

    fn forget(&self, ino: Ino, count: u64) {
        let mut state = self.state();
        if let Ok(node) = state.node(ino) {
            assert!(node.lookups >= count || ino == ROOT_INO, "inode {ino} forgotten more often than shown");
            node.lookups = node.lookups.saturating_sub(count);
            state.sweep(ino);
        }
    }

    fn remember(&self, inos: &[Ino]) {
        let mut state = self.state();
        for ino in inos {
            let _ = state.shown(*ino);
        }
    }

    fn content_epoch(&self, ino: Ino) -> u64 {
        self.state().node(ino).map_or(0, |node| node.epoch)
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.state().node(ino).map(|node| node.attr)
    }

    fn setattr(&self, ino: Ino, set: SetAttr, _caller: Caller) -> Result<Attr> {
        let mut state = self.state();
        let node = state.node(ino)?;
        if set.kill_suid {
            node.kill_suid();
        }
        let a = &mut node.attr;
        a.mode = set.mode.unwrap_or(a.mode);
        a.uid = set.uid.unwrap_or(a.uid);
        a.gid = set.gid.unwrap_or(a.gid);
        a.atime = set.atime.unwrap_or(a.atime);
        a.mtime = set.mtime.unwrap_or(a.mtime);
        a.ctime = set.ctime.unwrap_or_else(now);
        Ok(*a)
    }

    async fn truncate(&self, ino: Ino, size: u64, set: SetAttr, caller: Caller) -> Result<Attr> {
        {
            let mut state = self.state();
            let node = state.node(ino)?;
            node.resize(size);
            node.modified();
        }
        self.setattr(ino, set, caller)
    }

    fn each_name(
        &self,
        dir: Ino,
        after: Option<Cursor>,
        each: &mut dyn FnMut(DirName<'_>) -> bool,
    ) -> Result<()> {
        for e in self.readdir(dir, after, usize::MAX)? {
            if !each(DirName { cursor: e.cursor, name: &e.name, ino: e.attr.ino, kind: e.attr.kind }) {
                break;
            }
        }
        Ok(())
    }
    fn readdir(&self, dir: Ino, after: Option<Cursor>, limit: usize) -> Result<Vec<DirEntry>> {
        let mut state = self.state();
        let from = after.map_or(0, |c| c + 1);
        let node = state.dir(dir)?;
        node.accessed();
        let picked: Vec<(Cursor, Vec<u8>)> =
            node.listing.range(from..).take(limit).map(|(c, n)| (*c, n.clone())).collect();
        picked
            .into_iter()
            .map(|(cursor, name)| {
                let ino = state.child(dir, &name)?;
                Ok(DirEntry { cursor, name, attr: state.node(ino)?.attr })
            })
            .collect()
    }

    fn parent(&self, dir: Ino) -> Result<Ino> {
        self.state().dir(dir).map(|node| node.parent)
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        self.state().node(ino).map(|node| node.target.clone())
    }

    fn mknod(&self, parent: Ino, name: &[u8], kind: NodeKind, mode: u16, caller: Caller) -> Result<Attr> {
        let mut state = self.state();
        let (kind, rdev) = match kind {
            NodeKind::File => (FileKind::File, 0),
            NodeKind::Fifo => (FileKind::Fifo, 0),
            NodeKind::Socket => (FileKind::Socket, 0),
            NodeKind::Block(dev) => (FileKind::BlockDevice, dev),
            NodeKind::Char(dev) => (FileKind::CharDevice, dev),
        };
        let ino = state.make(parent, name, kind, mode, caller)?;
        state.node(ino)?.attr.rdev = rdev;
        state.shown(ino)
    }

    fn mkdir(&self, parent: Ino, name: &[u8], mode: u16, caller: Caller) -> Result<Attr> {
        let mut state = self.state();
        let ino = state.make(parent, name, FileKind::Dir, mode, caller)?;
        state.shown(ino)
    }

    fn symlink(&self, parent: Ino, name: &[u8], target: &[u8], caller: Caller) -> Result<Attr> {
        let mut state = self.state();
        let ino = state.make(parent, name, FileKind::Symlink, 0o777, caller)?;
        let node = state.node(ino)?;
        node.target = target.to_vec();
        node.attr.size = target.len() as u64;
        state.shown(ino)
    }

    fn link(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<Attr> {
        let mut state = self.state();
        if state.dir(parent)?.names.contains_key(name) {
            return Err(Error::Exists);
        }
        if state.node(ino)?.attr.kind == FileKind::Dir {
            return Err(Error::NotPermitted);
        }
        state.attach(parent, name, ino)?;
        let node = state.node(ino)?;
        node.attr.nlink += 1;
        node.attr.ctime = now();
        state.shown(ino)
    }

    fn unlink(&self, parent: Ino, name: &[u8], _caller: Caller) -> Result<()> {
        let mut state = self.state();
        let ino = state.child(parent, name)?;
        if state.node(ino)?.attr.kind == FileKind::Dir {
            return Err(Error::IsDir);
        }
        state.detach(parent, name)?;
        state.unlinked(ino, parent)
    }

    fn rmdir(&self, parent: Ino, name: &[u8], _caller: Caller) -> Result<()> {
        let mut state = self.state();
        let ino = state.child(parent, name)?;
        if !state.dir(ino)?.names.is_empty() {
            return Err(Error::NotEmpty);
        }
        state.detach(parent, name)?;
        state.unlinked(ino, parent)
    }

    fn rename(
        &self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        noreplace: bool,
        exchange: bool,
        _caller: Caller,
    ) -> Result<()> {
        let mut state = self.state();
        let coming = state.child(from.0, from.1)?;
        let there = state.child(to.0, to.1).ok();
        match there {
            None if exchange => return Err(Error::NotFound),
            Some(_) if noreplace => return Err(Error::Exists),
            Some(there) if there == coming => return Ok(()),
            Some(there) if exchange => {
                state.detach(from.0, from.1)?;
                state.detach(to.0, to.1)?;
                state.attach(from.0, from.1, there)?;
                state.attach(to.0, to.1, coming)?;
                state.moved(there, to.0, from.0)?;
                return state.moved(coming, from.0, to.0);
            }
            Some(there) => {
                state.may_replace(coming, there)?;
                state.detach(to.0, to.1)?;
                state.unlinked(there, to.0)?;
            }
            None => {}
        }
        state.detach(from.0, from.1)?;
        state.attach(to.0, to.1, coming)?;
        state.moved(coming, from.0, to.0)
    }

    fn create(
        &self,
        parent: Ino,
        name: &[u8],
        mode: u16,
        open: OpenMode,
        caller: Caller,
    ) -> Result<(Attr, Handle)> {
        let mut state = self.state();
        let ino = state.make(parent, name, FileKind::File, mode, caller)?;
        let handle = state.opened(ino, open)?;
        Ok((state.shown(ino)?, handle))
    }

    async fn open(&self, ino: Ino, open: OpenMode) -> Result<Handle> {
        let mut state = self.state();
        if open.truncate {
            let node = state.node(ino)?;
            node.resize(0);
            node.modified();
        }
        state.opened(ino, open)
    }

    async fn read(&self, handle: Handle, offset: u64, len: u32) -> Result<Bytes> {
        let (fault, bytes) = {
            let mut state = self.state();
            let (ino, _) = state.of(handle)?;
            let node = state.node(ino)?;
            node.accessed();
            (node.fault, node.get(offset, len.into()))
        };
        assert!(fault != PANIC_ON_READ, "as the name asks");
        if fault == SLOW_READ {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        Ok(bytes.into())
    }

    async fn write(&self, handle: Handle, offset: u64, data: Bytes, kill_suid: bool) -> Result<u32> {
        let mut state = self.state();
        let (ino, open) = state.of(handle)?;
        let node = state.node(ino)?;
        let offset = if open.append { node.attr.size } else { offset };
        node.put(offset, &data);
        if kill_suid {
            node.kill_suid();
        }
        node.modified();
        Ok(data.len() as u32)
    }

    async fn flush(&self, handle: Handle) -> Result<()> {
        self.state().of(handle).map(|_| ())
    }

    async fn fsync(&self, handle: Handle) -> Result<()> {
        self.state().of(handle).map(|_| ())
    }

    async fn sync_inode(&self, ino: Ino) -> Result<()> {
        self.state().node(ino).map(|_| ())
    }

    async fn release(&self, handle: Handle) -> Result<()> {
        let mut state = self.state();
        let (ino, _) = state.of(handle)?;
        state.handles.remove(&handle.0);
        state.node(ino)?.handles -= 1;
        state.sweep(ino);
        Ok(())
    }

    async fn seek(&self, handle: Handle, offset: u64, data: bool) -> Result<u64> {
        let mut state = self.state();
        let (ino, _) = state.of(handle)?;
        let node = state.node(ino)?;
        if offset >= node.attr.size {
            return Err(Error::NoData);
        }
        let page = offset / PAGE;
        let found = if data {
            let next = node.pages.range(page..).next().map(|(i, _)| *i).ok_or(Error::NoData)?;
            next * PAGE
        } else {
            (page..).find(|i| !node.pages.contains_key(i)).unwrap_or(u64::MAX / PAGE) * PAGE
        };
        let found = found.max(offset);
        if data && found >= node.attr.size { Err(Error::NoData) } else { Ok(found.min(node.attr.size)) }
    }

    async fn fallocate(&self, handle: Handle, offset: u64, len: u64, mode: i32) -> Result<()> {
        let mut state = self.state();
        let (ino, _) = state.of(handle)?;
        let node = state.node(ino)?;
        let end = offset.checked_add(len).ok_or(Error::TooBig)?;
        if mode & (PUNCH_HOLE | ZERO_RANGE) != 0 {
            node.clear(offset, end);
        }
        if mode & KEEP_SIZE == 0 {
            node.attr.size = node.attr.size.max(end);
        }
        node.modified();
        Ok(())
    }

    fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        let mut state = self.state();
        let node = state.node(ino)?;
        let value = node.xattrs.get(name).cloned().ok_or(Error::NoAttr)?;
        match Acl::parse(&value) {
            Some(list) if name == ACL_ACCESS => Ok(list.with_mode(node.attr.mode).encode()),
            _ => Ok(value),
        }
    }

    fn setxattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
        _caller: Caller,
    ) -> Result<()> {
        let mut state = self.state();
        let node = state.node(ino)?;
        match node.xattrs.contains_key(name) {
            true if create => return Err(Error::Exists),
            false if replace => return Err(Error::NoAttr),
            _ => {}
        }
        node.attr.ctime = now();
        if name == ACL_ACCESS {
            let list = Acl::parse(value).ok_or(Error::Invalid("list"))?;
            node.attr.mode = list.over(node.attr.mode);
            if list.is_mode() {
                node.xattrs.remove(name);
                return Ok(());
            }
        }
        node.xattrs.insert(name.to_vec(), value.to_vec());
        Ok(())
    }

    fn removexattr(&self, ino: Ino, name: &[u8], _caller: Caller) -> Result<()> {
        let mut state = self.state();
        let node = state.node(ino)?;
        node.xattrs.remove(name).ok_or(Error::NoAttr)?;
        node.attr.ctime = now();
        Ok(())
    }

    fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        Ok(self.state().node(ino)?.xattrs.keys().cloned().collect())
    }

    fn statfs(&self) -> Result<StatFs> {
        let state = self.state();
        let used: u64 = state.nodes.values().map(|n| n.pages.len() as u64 * PAGE).sum();
        let free = TOTAL - used;
        Ok(StatFs { total: TOTAL, free, available: free, files: state.nodes.len() as u64 })
    }

    async fn next_invalidation(&self) -> Option<Invalidation> {
        self.changed.lock().await.recv().await
    }
}
