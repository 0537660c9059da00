//! The do-nothing filesystem: names and attributes in memory, data kept or thrown away, every
//! request answered on the spot. What it costs is what FUSE itself costs, so it is the limit
//! that measurements of a real mount are held against.

use super::convert::BLOCK_SIZE;
use super::kernel::{KEPT_FOR, negotiate};
use super::session::{MountError, MountOptions, start, widen_read_ahead};
use super::{mountpoint, pool};
use fuser::{
    BackgroundSession, Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const GENERATION: Generation = Generation(0);
/// Bytes and blocks it claims to have.
const SIZE: u64 = 1 << 40;
/// First cursor of a real entry.
const FIRST_CURSOR: u64 = 16;

/// A mounted do-nothing filesystem; unmounts when dropped.
#[derive(Debug)]
pub struct DoNothing {
    dir: PathBuf,
    session: Option<BackgroundSession>,
}

/// Mounts a do-nothing filesystem at `dir`. With `keep`, what is written can be read back;
/// without, data is thrown away and files read as zeros.
pub fn mount(dir: &Path, keep: bool) -> Result<DoNothing, MountError> {
    let dir = mountpoint::prepare(dir, false)?;
    let session = start(&dir, "do-nothing", Nothing::new(keep), &MountOptions::default())?;
    widen_read_ahead(&dir);
    Ok(DoNothing { dir, session: Some(session) })
}

impl DoNothing {
    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for DoNothing {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        if mountpoint::unmount(&self.dir, true).is_ok() && !session.guard.is_finished() {
            // Somebody may still hold a file; the loop then ends with him.
            drop(session);
        }
    }
}

struct Node {
    attr: FileAttr,
    data: Vec<u8>,
    /// Name to inode and cursor.
    names: HashMap<Vec<u8>, (u64, u64)>,
    /// Cursor to name and inode.
    listing: BTreeMap<u64, (Vec<u8>, u64)>,
}

struct Nothing {
    keep: bool,
    zeros: Vec<u8>,
    state: Mutex<State>,
}

struct State {
    nodes: HashMap<u64, Node>,
    next_ino: u64,
    next_cursor: u64,
}

impl Nothing {
    fn new(keep: bool) -> Self {
        let mut nodes = HashMap::new();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        nodes.insert(1, Node::new(1, FileType::Directory, 0o755, (uid, gid)));
        let state = State { nodes, next_ino: 2, next_cursor: FIRST_CURSOR };
        Nothing { keep, zeros: vec![0; pool::LARGEST], state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Node {
    fn new(ino: u64, kind: FileType, perm: u16, (uid, gid): (u32, u32)) -> Self {
        let now = SystemTime::now();
        let attr = FileAttr {
            ino: INodeNo(ino),
            size: 0,
            blocks: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: now,
            kind,
            perm,
            nlink: 1,
            uid,
            gid,
            rdev: 0,
            blksize: BLOCK_SIZE,
            flags: 0,
        };
        Node { attr, data: Vec::new(), names: HashMap::new(), listing: BTreeMap::new() }
    }

    fn resize(&mut self, size: u64, keep: bool) {
        self.attr.size = size;
        self.attr.blocks = size.div_ceil(512);
        if keep {
            self.data.resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
        }
    }
}

impl State {
    fn make(&mut self, req: &Request, parent: u64, name: &OsStr, kind: FileType, mode: u32) -> FileAttr {
        let ino = self.next_ino;
        self.next_ino += 1;
        let node = Node::new(ino, kind, (mode & 0o7777) as u16, (req.uid(), req.gid()));
        let attr = node.attr;
        self.nodes.insert(ino, node);
        self.name(parent, name.as_bytes(), ino);
        attr
    }

    fn name(&mut self, parent: u64, name: &[u8], ino: u64) {
        let cursor = self.next_cursor;
        self.next_cursor += 1;
        if let Some(dir) = self.nodes.get_mut(&parent) {
            dir.names.insert(name.to_vec(), (ino, cursor));
            dir.listing.insert(cursor, (name.to_vec(), ino));
        }
    }

    fn unname(&mut self, parent: u64, name: &[u8]) -> Option<u64> {
        let dir = self.nodes.get_mut(&parent)?;
        let (ino, cursor) = dir.names.remove(name)?;
        dir.listing.remove(&cursor);
        Some(ino)
    }

    fn list(&self, dir: u64, offset: u64, mut add: impl FnMut(u64, &[u8], &FileAttr) -> bool) {
        let Some(node) = self.nodes.get(&dir) else { return };
        if offset < 1 && add(1, b".", &node.attr) || offset < 2 && add(2, b"..", &node.attr) {
            return;
        }
        for (cursor, (name, ino)) in node.listing.range(offset.max(2) + 1..) {
            if let Some(child) = self.nodes.get(ino)
                && add(*cursor, name, &child.attr)
            {
                return;
            }
        }
    }
}

impl fuser::Filesystem for Nothing {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        negotiate(config);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        let found = state.nodes.get(&parent.0).and_then(|dir| dir.names.get(name.as_bytes()));
        match found.and_then(|(ino, _)| state.nodes.get(ino)) {
            Some(node) => reply.entry(&KEPT_FOR, &node.attr, GENERATION),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().nodes.get(&ino.0) {
            Some(node) => reply.attr(&KEPT_FOR, &node.attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        let Some(node) = state.nodes.get_mut(&ino.0) else { return reply.error(Errno::ENOENT) };
        node.attr.perm = mode.map_or(node.attr.perm, |m| (m & 0o7777) as u16);
        node.attr.uid = uid.unwrap_or(node.attr.uid);
        node.attr.gid = gid.unwrap_or(node.attr.gid);
        if let Some(size) = size {
            node.resize(size, self.keep);
        }
        if let Some(TimeOrNow::SpecificTime(t)) = mtime {
            node.attr.mtime = t;
        }
        reply.attr(&KEPT_FOR, &node.attr);
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        let attr = self.state().make(req, parent.0, name, FileType::Directory, mode);
        reply.entry(&KEPT_FOR, &attr, GENERATION);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let attr = self.state().make(req, parent.0, name, FileType::RegularFile, mode);
        let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
        reply.created(&KEPT_FOR, &attr, GENERATION, FileHandle(0), flags);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        match state.unname(parent.0, name.as_bytes()) {
            Some(ino) => {
                state.nodes.remove(&ino);
                reply.ok();
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.unlink(req, parent, name, reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        let Some(ino) = state.unname(parent.0, name.as_bytes()) else { return reply.error(Errno::ENOENT) };
        if let Some(replaced) = state.unname(newparent.0, newname.as_bytes()) {
            state.nodes.remove(&replaced);
        }
        state.name(newparent.0, newname.as_bytes(), ino);
        reply.ok();
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.state();
        let Some(node) = state.nodes.get(&ino.0) else { return reply.error(Errno::ENOENT) };
        let from = offset.min(node.attr.size);
        let to = (offset + u64::from(size)).min(node.attr.size);
        let (from, to) = (from as usize, to as usize);
        if self.keep {
            reply.data(&node.data[from..to]);
        } else {
            reply.data(&self.zeros[..(to - from).min(self.zeros.len())]);
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        let Some(node) = state.nodes.get_mut(&ino.0) else { return reply.error(Errno::ENOENT) };
        let end = offset + data.len() as u64;
        if self.keep {
            let at = offset as usize;
            if node.data.len() < end as usize {
                node.data.resize(at, 0);
                node.data.extend_from_slice(data);
            } else {
                node.data[at..end as usize].copy_from_slice(data);
            }
        }
        if end > node.attr.size {
            node.attr.size = end;
            node.attr.blocks = end.div_ceil(512);
        }
        reply.written(data.len() as u32);
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.state().list(ino.0, offset, |cursor, name, attr| {
            reply.add(attr.ino, cursor, attr.kind, OsStr::from_bytes(name))
        });
        reply.ok();
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.state().list(ino.0, offset, |cursor, name, attr| {
            reply.add(attr.ino, cursor, OsStr::from_bytes(name), &KEPT_FOR, attr, GENERATION)
        });
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let blocks = SIZE / u64::from(BLOCK_SIZE);
        reply.statfs(blocks, blocks, blocks, SIZE, SIZE, BLOCK_SIZE, 255, BLOCK_SIZE);
    }

    fn getxattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENODATA);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, size: u32, reply: ReplyXattr) {
        if size == 0 { reply.size(0) } else { reply.data(&[]) }
    }
}
