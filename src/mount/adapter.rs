//! Kernel requests to [`Files`] calls.
//!
//! Threads: one thread (or as many as asked for) reads requests from the kernel and answers
//! those about names and attributes itself, since [`Files`] answers them from memory. Whatever
//! may wait for content or for a disk moves to the runtime together with its reply (`data.rs`).
//!
//! Caching: the kernel keeps names and attributes for [`kept_for`]; whatever changes them
//! elsewhere is told to it by `invalidate.rs`. It never holds writes back: with its writeback
//! cache, remote changes were shown with old sizes and stray zeros, one-byte writes pushed
//! whole stale pages, and SEEK_DATA missed unflushed data.

use super::convert::{caller, file_attr, node_kind, nothing, open_mode, set_attr, time_ns};
use super::errno::logged;
use super::kernel::{ABSENT_FOR, GENERATION, kept_for, negotiate};
use super::names::fit;
use super::shared::Shared;
use super::xattr;
use crate::drive::{Error, Files, Result};
use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, FopenFlags, INodeNo, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// A [`Files`] as the kernel's FUSE driver sees it.
pub struct FuseAdapter<F: Files> {
    pub(super) files: Arc<F>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) shared: Arc<Shared>,
    /// The kernel opens directories without asking, and caches listings.
    no_opendir: bool,
}

impl<F: Files> FuseAdapter<F> {
    pub(super) fn new(files: Arc<F>, runtime: tokio::runtime::Handle, shared: Arc<Shared>) -> Self {
        FuseAdapter { files, runtime, shared, no_opendir: false }
    }

    /// Runs one handler. A panic ends that request only: its reply is dropped on the way out,
    /// which answers EIO.
    fn guarded(&self, what: &'static str, handler: impl FnOnce()) {
        self.shared.beat();
        if catch_unwind(AssertUnwindSafe(handler)).is_err() {
            tracing::error!(what, "a request panicked and was answered with an I/O error");
        }
    }
}

fn empty(reply: ReplyEmpty, outcome: Result<()>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(e) => reply.error(logged(&e)),
    }
}

impl<F: Files> fuser::Filesystem for FuseAdapter<F> {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        self.no_opendir = negotiate(config);
        Ok(())
    }

    fn destroy(&mut self) {
        self.shared.end();
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.guarded("lookup", || match self.look(parent.0, name.as_bytes()) {
            Err(Error::NotFound) => reply.entry(&ABSENT_FOR, &nothing(), GENERATION),
            outcome => self.entry(reply, outcome),
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.guarded("forget", || self.forget_one(ino.0, nlookup));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.guarded("getattr", || match self.files.getattr(ino.0) {
            Ok(attr) => reply.attr(&kept_for(attr.ino), &file_attr(&attr, &self.shared.owner)),
            Err(e) => reply.error(logged(&e)),
        });
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.guarded("setattr", || {
            let caller = caller(req);
            let now = time_ns(SystemTime::now());
            let set = set_attr((mode, uid, gid, size), (atime, mtime, ctime), fh, now, caller);
            self.set(ino.0, set, caller, reply);
        });
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        self.guarded("readlink", || match self.files.readlink(ino.0) {
            Ok(target) => reply.data(&target),
            Err(e) => reply.error(logged(&e)),
        });
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        self.guarded("mknod", || {
            let made = node_kind(mode, rdev)
                .ok_or(Error::Invalid("mknod makes files, pipes, sockets and devices"))
                .and_then(|kind| {
                    let name = fit(name.as_bytes())?;
                    self.files.mknod(parent.0, name, kind, (mode & 0o7777) as u16, self.maker(req, umask))
                });
            self.entry(reply, made);
        });
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.guarded("mkdir", || {
            let made = fit(name.as_bytes()).and_then(|name| {
                self.files.mkdir(parent.0, name, (mode & 0o7777) as u16, self.maker(req, umask))
            });
            self.entry(reply, made);
        });
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guarded("unlink", || {
            empty(reply, self.files.unlink(parent.0, name.as_bytes(), caller(req)));
        });
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guarded("rmdir", || {
            empty(reply, self.files.rmdir(parent.0, name.as_bytes(), caller(req)));
        });
    }

    fn symlink(&self, req: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.guarded("symlink", || {
            let target = target.as_os_str().as_bytes();
            let made = fit(name.as_bytes())
                .and_then(|name| self.files.symlink(parent.0, name, target, self.maker(req, 0)));
            self.entry(reply, made);
        });
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.guarded("rename", || {
            let noreplace = flags.contains(RenameFlags::RENAME_NOREPLACE);
            let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
            let known = RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE;
            if !(flags - known).is_empty() {
                return reply.error(Errno::EINVAL);
            }
            let done = fit(newname.as_bytes()).and_then(|newname| {
                let (from, to) = ((parent.0, name.as_bytes()), (newparent.0, newname));
                self.files.rename(from, to, noreplace, exchange, caller(req))
            });
            empty(reply, done);
        });
    }

    fn link(&self, _req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        self.guarded("link", || {
            let made =
                fit(newname.as_bytes()).and_then(|newname| self.files.link(ino.0, newparent.0, newname));
            self.entry(reply, made);
        });
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.guarded("create", || {
            let open = open_mode(flags);
            let made = fit(name.as_bytes()).and_then(|name| {
                self.files.create(parent.0, name, (mode & 0o7777) as u16, open, self.maker(req, umask))
            });
            self.created(made, flags, reply);
        });
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.guarded("open", || self.start_open(ino.0, open_mode(flags.0), reply));
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.guarded("read", || self.start_read(fh, offset, size, reply));
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let kill_suid = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        self.guarded("write", || self.start_write(fh, offset, data, kill_suid, reply));
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        self.guarded("flush", || self.start_flush(fh, reply));
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.guarded("release", || self.start_release(ino.0, fh, reply));
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.guarded("fsync", || self.start_fsync(fh, reply));
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.guarded("fsyncdir", || self.start_sync_inode(ino.0, reply));
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.guarded("opendir", || {
            if self.no_opendir {
                // "Do not ask again": directories then open and close inside the kernel.
                return reply.error(Errno::ENOSYS);
            }
            reply.opened(FileHandle(0), FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE);
        });
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.guarded("readdir", || self.listed(ino.0, offset, reply));
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.guarded("readdirplus", || self.listed_with_attributes(ino.0, offset, reply));
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.guarded("statfs", || self.room(reply));
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.guarded("setxattr", || {
            let set = xattr::set(
                &*self.files,
                &self.shared.owner,
                ino.0,
                (name.as_bytes(), value),
                flags,
                caller(req),
            );
            empty(reply, set);
        });
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.guarded("getxattr", || {
            xattr::sized(reply, size, xattr::get(&*self.files, ino.0, name.as_bytes()))
        });
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.guarded("listxattr", || xattr::sized(reply, size, xattr::list(&*self.files, ino.0)));
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.guarded("removexattr", || {
            empty(reply, xattr::remove(&*self.files, ino.0, name.as_bytes(), caller(req)));
        });
    }

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.guarded("lseek", || self.start_seek(fh, offset, whence, reply));
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        self.guarded("copy_file_range", || {
            self.start_copy((fh_in, offset_in), (fh_out, offset_out), len, reply)
        });
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.guarded("fallocate", || self.start_fallocate(fh, offset, length, mode, reply));
    }
}
