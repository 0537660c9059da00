//! What a mount asks of a filesystem. [`Files`] is implemented by the live drive, and by
//! doubles in tests; nothing here knows of FUSE.
//!
//! Metadata calls are synchronous: they are answered from local state in bounded time and
//! never wait for the network. Calls that may wait for content or for a disk are async.

pub use crate::tree::FileKind;
use crate::tree::{Cursor, TimeNs};
use bytes::Bytes;
use std::future::Future;

/// Inode number on every mount of a drive; the root is 1.
pub type Ino = u64;
/// The root directory's inode number.
pub const ROOT_INO: Ino = 1;

/// An open file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle(pub u64);

/// stat(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    pub ino: Ino,
    pub kind: FileKind,
    pub size: u64,
    /// Units of 512 bytes; holes do not count.
    pub blocks: u64,
    pub mode: u16,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub atime: TimeNs,
    pub mtime: TimeNs,
    pub ctime: TimeNs,
    pub btime: TimeNs,
}

/// setattr: absent fields stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttr {
    pub mode: Option<u16>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<TimeNs>,
    pub mtime: Option<TimeNs>,
    pub ctime: Option<TimeNs>,
    /// Clear suid and sgid (the kernel's KILL_SUIDGID).
    pub kill_suid: bool,
    /// The length is set through an open file: the modification time moves even if the length
    /// stays, as it does not when it is set by name.
    pub opened: bool,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
    /// Permissions that what is made is not to have, where the directory has no default ACL.
    pub umask: u16,
}

/// A name in a directory, and what never changes of what it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirName<'a> {
    pub cursor: Cursor,
    pub name: &'a [u8],
    pub ino: Ino,
    pub kind: FileKind,
}

/// One entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    pub cursor: Cursor,
    pub name: Vec<u8>,
    pub attr: Attr,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenMode {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub truncate: bool,
}

/// statfs(2), in bytes and files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatFs {
    pub total: u64,
    pub free: u64,
    pub available: u64,
    pub files: u64,
}

/// A node of a kind that `mknod` makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    File,
    Fifo,
    Socket,
    Block(u64),
    Char(u64),
}

/// What the kernel should forget, because a remote change arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Invalidation {
    /// A name in a directory (it came, went, or now means another inode).
    Entry { parent: Ino, name: Vec<u8> },
    /// An inode's attributes, and its data unless it is open here.
    Inode { ino: Ino, data: bool },
}

/// Why a call was refused; the mount has one table to errno.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no such file or directory")]
    NotFound,
    #[error("already there")]
    Exists,
    #[error("not a directory")]
    NotDir,
    #[error("is a directory")]
    IsDir,
    #[error("directory not empty")]
    NotEmpty,
    #[error("name too long")]
    NameTooLong,
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    #[error("not permitted")]
    NotPermitted,
    #[error("permission denied")]
    Denied,
    #[error("read-only")]
    ReadOnly,
    #[error("no such attribute")]
    NoAttr,
    #[error("too large")]
    TooBig,
    #[error("buffer too small")]
    Range,
    #[error("too many links")]
    TooManyLinks,
    #[error("stale inode")]
    Stale,
    #[error("bad file handle")]
    BadHandle,
    #[error("not supported")]
    Unsupported,
    #[error("no room on this machine's disk")]
    NoSpace,
    #[error("no room left at friends")]
    Quota,
    /// Absent friends, damaged shares: named in the text and in the log.
    #[error("unreadable: {0}")]
    Unreadable(String),
    /// This machine's disk failed: writes stop, reads go on.
    #[error("local disk: {0}")]
    Disk(String),
    #[error("timed out")]
    TimedOut,
    #[error("no data at that offset")]
    NoData,
    #[error("internal: {0}")]
    Internal(String),
}

/// Results of filesystem calls.
pub type Result<T> = std::result::Result<T, Error>;

/// A filesystem, as the mount sees it.
pub trait Files: Send + Sync + 'static {
    fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr>;
    /// The kernel dropped `count` lookups of an inode. One lookup is counted for every answer
    /// of lookup, mknod, mkdir, symlink, link and create, and for every mention in
    /// [`Files::remember`]; the root is never forgotten. An inode without names lives until its
    /// count is zero and its last handle is released.
    fn forget(&self, ino: Ino, count: u64);
    /// One lookup more for each of these: a directory listing gave them to the kernel.
    fn remember(&self, _inos: &[Ino]) {}
    /// A number that changes whenever this file's content changes by anything but writes,
    /// truncations and fallocates through this mount; while it stays, the kernel keeps its
    /// pages of the file from one open to the next.
    fn content_epoch(&self, _ino: Ino) -> u64 {
        0
    }
    fn getattr(&self, ino: Ino) -> Result<Attr>;
    /// Size changes go through [`Files::truncate`].
    fn setattr(&self, ino: Ino, set: SetAttr, caller: Caller) -> Result<Attr>;
    fn truncate(
        &self,
        ino: Ino,
        size: u64,
        set: SetAttr,
        caller: Caller,
    ) -> impl Future<Output = Result<Attr>> + Send;
    /// Entries after `after` (None: from the start), without `.` and `..`.
    fn readdir(&self, dir: Ino, after: Option<Cursor>, limit: usize) -> Result<Vec<DirEntry>>;
    /// The same without attributes, which costs less, until `each` wants no more (false). It must ask
    /// nothing meanwhile.
    fn each_name(
        &self,
        dir: Ino,
        after: Option<Cursor>,
        each: &mut dyn FnMut(DirName<'_>) -> bool,
    ) -> Result<()>;
    /// The parent of a directory (the root's is the root).
    fn parent(&self, dir: Ino) -> Result<Ino>;
    fn readlink(&self, ino: Ino) -> Result<Vec<u8>>;
    fn mknod(&self, parent: Ino, name: &[u8], kind: NodeKind, mode: u16, caller: Caller) -> Result<Attr>;
    fn mkdir(&self, parent: Ino, name: &[u8], mode: u16, caller: Caller) -> Result<Attr>;
    fn symlink(&self, parent: Ino, name: &[u8], target: &[u8], caller: Caller) -> Result<Attr>;
    fn link(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<Attr>;
    fn unlink(&self, parent: Ino, name: &[u8], caller: Caller) -> Result<()>;
    fn rmdir(&self, parent: Ino, name: &[u8], caller: Caller) -> Result<()>;
    /// `exchange` and `noreplace` as renameat2(2).
    fn rename(
        &self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        noreplace: bool,
        exchange: bool,
        caller: Caller,
    ) -> Result<()>;
    fn create(
        &self,
        parent: Ino,
        name: &[u8],
        mode: u16,
        open: OpenMode,
        caller: Caller,
    ) -> Result<(Attr, Handle)>;
    fn open(&self, ino: Ino, open: OpenMode) -> impl Future<Output = Result<Handle>> + Send;
    fn read(&self, handle: Handle, offset: u64, len: u32) -> impl Future<Output = Result<Bytes>> + Send;
    /// [`Files::write`] without waiting, where nothing has to be waited for; None otherwise,
    /// and nothing was taken.
    fn try_write(&self, _handle: Handle, _offset: u64, _data: &[u8]) -> Option<Result<u32>> {
        None
    }
    /// Bytes taken: all of them.
    fn write(
        &self,
        handle: Handle,
        offset: u64,
        data: Bytes,
        kill_suid: bool,
    ) -> impl Future<Output = Result<u32>> + Send;
    /// close(2): everything is in the journal when this returns.
    fn flush(&self, handle: Handle) -> impl Future<Output = Result<()>> + Send;
    /// fsync(2): everything is on this machine's disk when this returns.
    fn fsync(&self, handle: Handle) -> impl Future<Output = Result<()>> + Send;
    /// fsync of a directory, or of an inode without handle.
    fn sync_inode(&self, ino: Ino) -> impl Future<Output = Result<()>> + Send;
    fn release(&self, handle: Handle) -> impl Future<Output = Result<()>> + Send;
    /// SEEK_DATA (`data`) or SEEK_HOLE.
    fn seek(&self, handle: Handle, offset: u64, data: bool) -> impl Future<Output = Result<u64>> + Send;
    fn fallocate(
        &self,
        handle: Handle,
        offset: u64,
        len: u64,
        mode: i32,
    ) -> impl Future<Output = Result<()>> + Send;
    /// copy_file_range(2): how much was copied, which may be less than asked for. Where a
    /// filesystem has nothing better, the kernel reads and writes.
    fn copy_range(
        &self,
        _from: (Handle, u64),
        _to: (Handle, u64),
        _len: u64,
    ) -> impl Future<Output = Result<u32>> + Send {
        async { Err(Error::Unsupported) }
    }
    fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>>;
    fn setxattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
        caller: Caller,
    ) -> Result<()>;
    fn removexattr(&self, ino: Ino, name: &[u8], caller: Caller) -> Result<()>;
    fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>>;
    fn statfs(&self) -> Result<StatFs>;
    /// The next thing the kernel should forget; None when the filesystem ends.
    fn next_invalidation(&self) -> impl Future<Output = Option<Invalidation>> + Send;
}
