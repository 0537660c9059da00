//! The live drive as a filesystem: [`Files`] over the parts.

use super::api::*;
use super::live_drive::Drive;
use super::past::is_past;
use crate::tree::{Cursor, Kind};
use bytes::Bytes;

impl Files for Drive {
    fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        match self.shared.past_lookup(parent, name) {
            Some(found) => found,
            None => self.shared.meta_lookup(parent, name),
        }
    }
    /// Inodes without names stay in the tree (an edit elsewhere may revive them), so nothing
    /// has to be kept for the kernel, but for those of the past.
    fn forget(&self, ino: Ino, count: u64) {
        if is_past(ino) {
            self.shared.past_forget(ino, count);
        }
    }
    fn remember(&self, inos: &[Ino]) {
        if inos.iter().any(|ino| is_past(*ino)) {
            self.shared.past_remember(inos);
        }
    }
    fn content_epoch(&self, ino: Ino) -> u64 {
        if is_past(ino) { self.shared.past.content_epoch() } else { self.shared.epochs.lock().get(ino) }
    }
    fn getattr(&self, ino: Ino) -> Result<Attr> {
        if is_past(ino) {
            return self.shared.past_getattr(ino);
        }
        self.shared.meta_getattr(ino)
    }
    fn setattr(&self, ino: Ino, set: SetAttr, caller: Caller) -> Result<Attr> {
        self.shared.is_present_inode(ino)?;
        self.shared.meta_setattr(ino, set, caller)
    }
    async fn truncate(&self, ino: Ino, size: u64, set: SetAttr, caller: Caller) -> Result<Attr> {
        self.shared.is_present_inode(ino)?;
        self.shared.truncate_inode(ino, size, set, caller).await
    }
    fn readdir(&self, dir: Ino, after: Option<Cursor>, limit: usize) -> Result<Vec<DirEntry>> {
        if is_past(dir) {
            return self.shared.past_readdir(dir, after, limit);
        }
        self.shared.meta_readdir(dir, after, limit)
    }
    fn each_name(
        &self,
        dir: Ino,
        after: Option<Cursor>,
        each: &mut dyn FnMut(DirName<'_>) -> bool,
    ) -> Result<()> {
        if is_past(dir) {
            return self.shared.past_each_name(dir, after, each);
        }
        self.shared.meta_each_name(dir, after, each)
    }
    fn parent(&self, dir: Ino) -> Result<Ino> {
        if is_past(dir) {
            return self.shared.past_parent(dir);
        }
        self.shared.meta_parent(dir)
    }
    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        if is_past(ino) {
            return self.shared.past_readlink(ino);
        }
        self.shared.meta_readlink(ino)
    }
    fn mknod(&self, parent: Ino, name: &[u8], kind: NodeKind, mode: u16, caller: Caller) -> Result<Attr> {
        self.shared.is_present(parent, name)?;
        self.shared.meta_mknod(parent, name, kind, mode, caller)
    }
    fn mkdir(&self, parent: Ino, name: &[u8], mode: u16, caller: Caller) -> Result<Attr> {
        self.shared.is_present(parent, name)?;
        let settles = self.shared.settles();
        let inode = self.shared.meta_create(parent, name, Kind::Dir, mode, caller)?;
        Ok(self.shared.attr(&inode, settles))
    }
    fn symlink(&self, parent: Ino, name: &[u8], target: &[u8], caller: Caller) -> Result<Attr> {
        self.shared.is_present(parent, name)?;
        self.shared.meta_symlink(parent, name, target, caller)
    }
    fn link(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<Attr> {
        self.shared.is_present_inode(ino)?;
        self.shared.is_present(parent, name)?;
        self.shared.meta_link(ino, parent, name)
    }
    fn unlink(&self, parent: Ino, name: &[u8], _caller: Caller) -> Result<()> {
        self.shared.is_present(parent, name)?;
        self.shared.meta_unlink(parent, name)
    }
    fn rmdir(&self, parent: Ino, name: &[u8], _caller: Caller) -> Result<()> {
        self.shared.is_present(parent, name)?;
        self.shared.meta_rmdir(parent, name)
    }
    fn rename(
        &self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        noreplace: bool,
        exchange: bool,
        _caller: Caller,
    ) -> Result<()> {
        self.shared.is_present(from.0, from.1)?;
        self.shared.is_present(to.0, to.1)?;
        self.shared.meta_rename(from, to, noreplace, exchange)
    }
    fn create(
        &self,
        parent: Ino,
        name: &[u8],
        mode: u16,
        open: OpenMode,
        caller: Caller,
    ) -> Result<(Attr, Handle)> {
        self.shared.is_present(parent, name)?;
        self.shared.create_file(parent, name, mode, open, caller)
    }
    async fn open(&self, ino: Ino, open: OpenMode) -> Result<Handle> {
        if is_past(ino) {
            return self.shared.past_open(ino, open);
        }
        self.shared.open_file(ino, open).await
    }
    async fn read(&self, handle: Handle, offset: u64, len: u32) -> Result<Bytes> {
        self.shared.read_handle(handle, offset, len).await
    }
    async fn write(&self, handle: Handle, offset: u64, data: Bytes, kill_suid: bool) -> Result<u32> {
        self.shared.write_handle(handle, offset, data, kill_suid).await
    }
    fn try_write(&self, handle: Handle, offset: u64, data: &[u8]) -> Option<Result<u32>> {
        self.shared.try_write_handle(handle, offset, data)
    }
    async fn flush(&self, handle: Handle) -> Result<()> {
        self.shared.flush_handle(handle).await
    }
    async fn fsync(&self, handle: Handle) -> Result<()> {
        let file = self.shared.file(handle)?;
        self.shared.fsync_live(&file.live).await
    }
    async fn sync_inode(&self, ino: Ino) -> Result<()> {
        self.shared.fsync_inode(ino).await
    }
    async fn release(&self, handle: Handle) -> Result<()> {
        self.shared.release_handle(handle).await
    }
    async fn seek(&self, handle: Handle, offset: u64, data: bool) -> Result<u64> {
        let file = self.shared.file(handle)?;
        self.shared.seek_file(&file, offset, data).await
    }
    async fn fallocate(&self, handle: Handle, offset: u64, len: u64, mode: i32) -> Result<()> {
        self.shared.allocate(handle, offset, len, mode).await
    }
    async fn copy_range(&self, from: (Handle, u64), to: (Handle, u64), len: u64) -> Result<u32> {
        self.shared.copy_range(from, to, len).await
    }
    fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        if is_past(ino) {
            return self.shared.past_getxattr(ino, name);
        }
        self.shared.meta_getxattr(ino, name)
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
        self.shared.is_present_inode(ino)?;
        self.shared.meta_setxattr(ino, name, value, create, replace)
    }
    fn removexattr(&self, ino: Ino, name: &[u8], _caller: Caller) -> Result<()> {
        self.shared.is_present_inode(ino)?;
        self.shared.meta_removexattr(ino, name)
    }
    fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        if is_past(ino) {
            return self.shared.past_listxattr(ino);
        }
        self.shared.meta_listxattr(ino)
    }
    fn statfs(&self) -> Result<StatFs> {
        self.shared.meta_statfs()
    }
    async fn next_invalidation(&self) -> Option<Invalidation> {
        self.news.lock().await.recv().await
    }
}
