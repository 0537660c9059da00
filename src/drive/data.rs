//! Opening, reading, writing, cutting, closing.

use super::api::{Attr, Caller, Error, Handle, Ino, OpenMode, Result, SetAttr};
use super::live::{Live, OpenFile};
use super::past::is_past;
use super::shared::{Shared, index_error};
use crate::content::{CHUNK_LEN, Content, SIZE_MAX};
use crate::tree::{Inode, Kind};
use bytes::Bytes;
use std::sync::Arc;

/// fallocate(2) modes.
const KEEP_SIZE: i32 = 0x01;
const PUNCH_HOLE: i32 = 0x02;
const ZERO_RANGE: i32 = 0x10;

impl Shared {
    /// The inode in memory, from the tree if it was not there.
    pub fn make_live(&self, ino: Ino) -> Result<Arc<Live>> {
        if let Some(live) = self.live(ino) {
            // An older entry that came late may have taken the number; what is taken back has none.
            return match self.view().by_ino(ino).map_err(index_error)? {
                Some(object) if object != live.object => Err(Error::Stale),
                _ => Ok(live),
            };
        }
        // Version and content are of one moment only while nothing is committed.
        let _still = self.core.lock();
        let mut lives = self.lives.lock();
        if let Some(live) = lives.inodes.get(&ino) {
            return Ok(live.clone());
        }
        let view = self.view();
        let object = view.by_ino(ino).map_err(index_error)?.ok_or(Error::Stale)?;
        let inode = view.inode(object).map_err(index_error)?.ok_or(Error::Stale)?;
        check_file(&inode)?;
        let content = view.content(inode.object).map_err(index_error)?;
        let live = Arc::new(Live::new(ino, inode.object, inode.version, content));
        lives.inodes.insert(ino, live.clone());
        Ok(live)
    }

    pub fn file(&self, handle: Handle) -> Result<Arc<OpenFile>> {
        self.lives.lock().handles.get(&handle.0).cloned().ok_or(Error::BadHandle)
    }

    pub fn create_file(
        &self,
        parent: Ino,
        name: &[u8],
        mode: u16,
        open: OpenMode,
        caller: Caller,
    ) -> Result<(Attr, Handle)> {
        let settles = self.settles();
        let inode = self.meta_create(parent, name, Kind::File, mode, caller)?;
        let attr = self.attr(&inode, settles);
        let live = Arc::new(Live::new(inode.ino, inode.object, None, Content::Inline(Vec::new())));
        let mut lives = self.lives.lock();
        let live = lives.inodes.entry(inode.ino).or_insert(live).clone();
        Ok((attr, Handle(lives.open(live, open))))
    }

    pub async fn open_file(&self, ino: Ino, open: OpenMode) -> Result<Handle> {
        if open.write {
            self.writable()?;
        }
        // Between finding the inode and counting the handle it may be dropped: try again.
        let handle = loop {
            let live = self.make_live(ino)?;
            let mut lives = self.lives.lock();
            if lives.inodes.get(&ino).is_some_and(|l| Arc::ptr_eq(l, &live)) {
                break lives.open(live, open);
            }
        };
        if open.truncate && open.write {
            let cut = self.cut(&self.file(Handle(handle))?.live.clone(), 0).await;
            if let Err(e) = cut.and_then(|cut| if cut { Ok(()) } else { self.touch(ino) }) {
                let _ = self.release_handle(Handle(handle)).await;
                return Err(e);
            }
        }
        Ok(Handle(handle))
    }

    pub async fn read_handle(self: &Arc<Self>, handle: Handle, offset: u64, len: u32) -> Result<Bytes> {
        let file = self.file(handle)?;
        if !file.mode.read {
            return Err(Error::BadHandle);
        }
        if offset > SIZE_MAX {
            return Err(Error::Invalid("offset"));
        }
        self.read_file(&file, offset, len).await
    }

    pub async fn write_handle(
        self: &Arc<Self>,
        handle: Handle,
        offset: u64,
        data: Bytes,
        kill_suid: bool,
    ) -> Result<u32> {
        let (file, len) = self.check_write(handle, offset, &data)?;
        if data.is_empty() {
            return Ok(0);
        }
        if kill_suid {
            self.kill_suid(file.live.ino)?;
        }
        self.write_live(&file.live, offset, &data).await?;
        Ok(len)
    }

    /// [`Shared::write_handle`], if there is nothing to wait for.
    pub fn try_write_handle(&self, handle: Handle, offset: u64, data: &[u8]) -> Option<Result<u32>> {
        if !self.has_room() {
            return None;
        }
        let write = || {
            let (file, len) = self.check_write(handle, offset, data)?;
            self.writable()?;
            if len > 0 {
                self.take_bytes(&file.live, offset, data);
            }
            Ok(len)
        };
        Some(write())
    }

    fn check_write(&self, handle: Handle, offset: u64, data: &[u8]) -> Result<(Arc<OpenFile>, u32)> {
        let file = self.file(handle)?;
        if !file.mode.write {
            return Err(Error::BadHandle);
        }
        let len = u32::try_from(data.len()).map_err(|_| Error::Invalid("length"))?;
        if offset.checked_add(u64::from(len)).is_none_or(|end| end > SIZE_MAX) {
            return Err(Error::TooBig);
        }
        Ok((file, len))
    }

    /// Set a file's length. False: it was that before, and nothing moved.
    pub async fn cut(&self, live: &Arc<Live>, size: u64) -> Result<bool> {
        self.writable()?;
        if size > SIZE_MAX {
            return Err(Error::TooBig);
        }
        let _order = live.order.lock().await;
        let (now, mtime) = (self.world.clock.monotonic(), self.now());
        let mut state = live.state.lock();
        if state.gone {
            return Err(Error::Stale);
        }
        if state.size() == size {
            return Ok(false);
        }
        let dirty = state.dirty(now, mtime);
        let before = dirty.buffered;
        dirty.truncate(size);
        self.account(before, dirty.buffered);
        drop(state);
        live.sealed.notify_waiters();
        Ok(true)
    }

    pub async fn truncate_inode(&self, ino: Ino, size: u64, set: SetAttr, caller: Caller) -> Result<Attr> {
        // Open meanwhile: what is in memory of a closed file goes when it has settled, and the
        // cut, which waits for that, would be of something that nobody looks at any more.
        let open = OpenMode { read: false, write: true, append: false, truncate: false };
        let handle = self.open_file(ino, open).await?;
        let live = self.file(handle)?.live.clone();
        let done = self.cut(&live, size).await;
        self.release_handle(handle).await?;
        let mut times = SetAttr { size: None, opened: false, ..set };
        if !done? {
            let now = self.now();
            times.ctime.get_or_insert(now);
            times.mtime = times.mtime.or(set.opened.then_some(now));
        }
        if times == SetAttr::default() {
            return self.meta_getattr(ino);
        }
        self.meta_setattr(ino, times, caller)
    }

    /// close(2): in the journal, in order, and the kernel has it; synced soon. Of what lies in the
    /// own segments the kernel hears a moment later, when they are synced: many are closed in a row.
    pub async fn flush_handle(&self, handle: Handle) -> Result<()> {
        let file = self.file(handle)?;
        if !file.mode.write {
            return Ok(());
        }
        self.journal_live(&file.live, false).await?;
        if !self.own.is_synced() {
            return Ok(());
        }
        self.journal.written().await.map_err(|e| self.fail(&e))
    }

    /// fsync(2).
    pub async fn fsync_live(&self, live: &Arc<Live>) -> Result<()> {
        self.journal_live(live, false).await?;
        self.own.sync().await.map_err(|e| self.fail(&e))?;
        self.journal.sync_all().await.map_err(|e| self.fail(&e))
    }

    /// fsync of an inode that may not be open.
    pub async fn fsync_inode(&self, ino: Ino) -> Result<()> {
        match self.live(ino) {
            Some(live) => self.fsync_live(&live).await,
            None => {
                // Chunks of what was closed before: a file that is written, closed and renamed
                // is whole under its new name when the directory was synced.
                self.own.sync().await.map_err(|e| self.fail(&e))?;
                self.journal.sync_all().await.map_err(|e| self.fail(&e))
            }
        }
    }

    pub async fn release_handle(&self, handle: Handle) -> Result<()> {
        let file = self.lives.lock().handles.remove(&handle.0).ok_or(Error::BadHandle)?;
        let live = file.live.clone();
        let last = {
            let mut state = live.state.lock();
            state.opens -= 1;
            state.opens == 0
        };
        // Of the past nothing is gone, whatever became of it since.
        if last && !is_past(live.ino) {
            self.discard_if_gone(&live);
            self.lives.lock().drop_if_idle(&live);
        }
        Ok(())
    }

    /// fallocate(2): room is never reserved; holes are punched, lengths change.
    pub async fn allocate(self: &Arc<Self>, handle: Handle, offset: u64, len: u64, mode: i32) -> Result<()> {
        let file = self.file(handle)?;
        if !file.mode.write {
            return Err(Error::BadHandle);
        }
        let end = offset.checked_add(len).filter(|e| *e <= SIZE_MAX).ok_or(Error::TooBig)?;
        let size = file.live.state.lock().size();
        match mode {
            0 if end > size => return self.cut(&file.live, end).await.map(|_| ()),
            0 | KEEP_SIZE => {}
            m if m == PUNCH_HOLE | KEEP_SIZE || m == ZERO_RANGE | KEEP_SIZE => {
                if offset < size {
                    return self.zero(&file.live, offset, end.min(size)).await;
                }
            }
            ZERO_RANGE => {
                self.zero(&file.live, offset, end.min(size)).await?;
                return if end > size { self.cut(&file.live, end).await.map(|_| ()) } else { Ok(()) };
            }
            _ => return Err(Error::Unsupported),
        }
        // Nothing of the file changed, but for its times: these move on a local disk as well.
        self.touch(file.live.ino)
    }

    /// The modification time is now, though the content is what it was.
    fn touch(&self, ino: Ino) -> Result<()> {
        let times = SetAttr { mtime: Some(self.now()), ..SetAttr::default() };
        let kernel = Caller { uid: 0, gid: 0, pid: 0, umask: 0 };
        self.meta_setattr(ino, times, kernel).map(|_| ())
    }

    /// Zeros from `from` to `to`; chunks that become all zeros become holes when content settles.
    async fn zero(self: &Arc<Self>, live: &Arc<Live>, from: u64, to: u64) -> Result<()> {
        let zeros = vec![0; CHUNK_LEN];
        let mut at = from;
        while at < to {
            let len = (to - at).min(CHUNK_LEN as u64 - at % CHUNK_LEN as u64);
            self.write_live(live, at, &zeros[..len as usize]).await?;
            at += len;
        }
        Ok(())
    }
}

pub fn check_file(inode: &Inode) -> Result<()> {
    match inode.kind {
        Kind::File => Ok(()),
        Kind::Dir => Err(Error::IsDir),
        _ => Err(Error::Invalid("not a regular file")),
    }
}
