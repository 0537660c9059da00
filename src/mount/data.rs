//! Requests that may wait for content or for a disk: each becomes a task with its own reply
//! and its own deadline. A panic in one drops its reply, which answers EIO.

use super::adapter::FuseAdapter;
use super::convert::file_attr;
use super::errno::logged;
use super::in_flight::{Late, OPEN_DEADLINE, READ_DEADLINE, SYNC_DEADLINE, WRITE_DEADLINE, answer};
use super::kernel::kept_for;
use crate::drive::{Caller, Error, Files, Handle, Ino, OpenMode, Result, SetAttr};
use crate::world::run_apart;
use fuser::{
    Errno, FileHandle, FopenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyLseek, ReplyOpen, ReplyWrite,
};
use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

/// lseek(2): next data at or after the offset.
const SEEK_DATA: i32 = 3;
/// lseek(2): next hole at or after the offset.
const SEEK_HOLE: i32 = 4;

impl<F: Files> FuseAdapter<F> {
    /// Runs `task` on the runtime and counts it until it ends.
    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let busy = self.shared.flight.busy();
        self.runtime.spawn(async move {
            task.await;
            drop(busy);
        });
    }

    /// [`FuseAdapter::start`] for work that seldom has to wait: what can be done at once is
    /// done on this thread, which saves waking another.
    fn start_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut task = Box::pin(task);
        let ended = {
            let _inside = self.runtime.enter();
            task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        if !ended {
            self.start(task);
        }
    }

    /// Runs work that ends in "done" or an error; it is finished even when late.
    fn start_empty<W>(&self, deadline: Duration, reply: ReplyEmpty, work: W)
    where
        W: Future<Output = Result<()>> + Send + 'static,
    {
        self.start_here(answer(work, deadline, Late::Finish, |done| match done {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(logged(&e)),
        }));
    }

    /// [`FuseAdapter::start_empty`] for work that waits for this machine's disk and for nothing
    /// else: on a thread of its own it does that itself, and is answered from there. (Where the disk
    /// hangs, so does who waits for it, as on any local filesystem.)
    fn start_sync<W>(&self, reply: ReplyEmpty, work: W)
    where
        W: Future<Output = Result<()>> + Send + 'static,
    {
        let Some(apart) = self.shared.flight.apart() else {
            return self.start_empty(SYNC_DEADLINE, reply, work);
        };
        let busy = self.shared.flight.busy();
        run_apart(&self.runtime, async move {
            answer(work, SYNC_DEADLINE, Late::Finish, |done| match done {
                Ok(()) => reply.ok(),
                Err(e) => reply.error(logged(&e)),
            })
            .await;
            drop((apart, busy));
        });
    }

    pub(super) fn start_open(&self, ino: Ino, mode: OpenMode, reply: ReplyOpen) {
        let (files, shared) = (self.files.clone(), self.shared.clone());
        self.start_here(async move {
            let mut open = std::pin::pin!(files.open(ino, mode));
            let opened = tokio::select! {
                biased;
                opened = &mut open => opened,
                () = tokio::time::sleep(OPEN_DEADLINE) => {
                    reply.error(logged(&Error::TimedOut));
                    // The kernel never hears of this handle, so it will not release it.
                    if let Ok(handle) = open.await {
                        let _ = files.release(handle).await;
                    }
                    return;
                }
            };
            match opened {
                Ok(handle) => {
                    let keep = shared.open.opened(ino, files.content_epoch(ino));
                    reply.opened(FileHandle(handle.0), open_flags(mode, keep));
                }
                Err(e) => reply.error(logged(&e)),
            }
        });
    }

    pub(super) fn start_read(&self, fh: FileHandle, offset: u64, size: u32, reply: ReplyData) {
        let files = self.files.clone();
        let (turns, share) = self.shared.flight.read_turn(size);
        let work = async move {
            let _turn = turns.acquire_many(share).await.map_err(|e| Error::Internal(e.to_string()))?;
            files.read(Handle(fh.0), offset, size).await
        };
        self.start_here(answer(work, READ_DEADLINE, Late::Abandon, |read| match read {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(logged(&e)),
        }));
    }

    pub(super) fn start_write(
        &self,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        kill_suid: bool,
        reply: ReplyWrite,
    ) {
        // Most writes find room and are answered here, without a copy and without a task.
        let taken = if kill_suid { None } else { self.files.try_write(Handle(fh.0), offset, data) };
        match taken {
            Some(Ok(taken)) => return reply.written(taken),
            Some(Err(e)) => return reply.error(logged(&e)),
            None => {}
        }
        let room = match self.shared.flight.admit_write(data.len(), &self.runtime) {
            Ok(room) => room,
            Err(e) => return reply.error(logged(&e)),
        };
        let (files, bytes) = (self.files.clone(), self.shared.pool.copy(data));
        let work = async move {
            let _room = room;
            files.write(Handle(fh.0), offset, bytes, kill_suid).await
        };
        self.start(answer(work, WRITE_DEADLINE, Late::Finish, |taken| match taken {
            Ok(taken) => reply.written(taken),
            Err(e) => reply.error(logged(&e)),
        }));
    }

    pub(super) fn set(&self, ino: Ino, set: SetAttr, caller: Caller, reply: ReplyAttr) {
        let set = match self.chowned(set) {
            Ok(set) => set,
            Err(e) => return reply.error(logged(&e)),
        };
        if let Some(size) = set.size {
            return self.start_truncate(ino, size, set, caller, reply);
        }
        match self.files.setattr(ino, set, caller) {
            Ok(attr) => reply.attr(&kept_for(attr.ino), &file_attr(&attr, &self.shared.owner)),
            Err(e) => reply.error(logged(&e)),
        }
    }

    pub(super) fn start_truncate(&self, ino: Ino, size: u64, set: SetAttr, caller: Caller, reply: ReplyAttr) {
        let files = self.files.clone();
        let shared = self.shared.clone();
        let work = async move { files.truncate(ino, size, set, caller).await };
        self.start(answer(work, WRITE_DEADLINE, Late::Finish, move |cut| match cut {
            Ok(attr) => reply.attr(&kept_for(attr.ino), &file_attr(&attr, &shared.owner)),
            Err(e) => reply.error(logged(&e)),
        }));
    }

    pub(super) fn start_copy(
        &self,
        from: (FileHandle, u64),
        to: (FileHandle, u64),
        len: u64,
        reply: ReplyWrite,
    ) {
        let files = self.files.clone();
        let work =
            async move { files.copy_range((Handle(from.0.0), from.1), (Handle(to.0.0), to.1), len).await };
        self.start(answer(work, WRITE_DEADLINE, Late::Finish, |copied| match copied {
            Ok(copied) => reply.written(copied),
            Err(e) => reply.error(logged(&e)),
        }));
    }

    pub(super) fn start_fallocate(
        &self,
        fh: FileHandle,
        offset: u64,
        len: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let files = self.files.clone();
        self.start_empty(WRITE_DEADLINE, reply, async move {
            files.fallocate(Handle(fh.0), offset, len, mode).await
        });
    }

    pub(super) fn start_flush(&self, fh: FileHandle, reply: ReplyEmpty) {
        let files = self.files.clone();
        self.start_empty(SYNC_DEADLINE, reply, async move { files.flush(Handle(fh.0)).await });
    }

    pub(super) fn start_fsync(&self, fh: FileHandle, reply: ReplyEmpty) {
        let files = self.files.clone();
        self.start_sync(reply, async move { files.fsync(Handle(fh.0)).await });
    }

    pub(super) fn start_sync_inode(&self, ino: Ino, reply: ReplyEmpty) {
        let files = self.files.clone();
        self.start_sync(reply, async move { files.sync_inode(ino).await });
    }

    pub(super) fn start_release(&self, ino: Ino, fh: FileHandle, reply: ReplyEmpty) {
        let files = self.files.clone();
        self.shared.open.closed(ino);
        self.start_empty(SYNC_DEADLINE, reply, async move { files.release(Handle(fh.0)).await });
    }

    pub(super) fn start_seek(&self, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let (Ok(offset), SEEK_DATA | SEEK_HOLE) = (u64::try_from(offset), whence) else {
            // The kernel does the other kinds itself, and refuses negative offsets.
            return reply.error(Errno::EINVAL);
        };
        let files = self.files.clone();
        let work = async move { files.seek(Handle(fh.0), offset, whence == SEEK_DATA).await };
        self.start(answer(work, READ_DEADLINE, Late::Abandon, |found| {
            match found.and_then(|at| i64::try_from(at).map_err(|_| Error::TooBig)) {
                Ok(at) => reply.offset(at),
                Err(e) => reply.error(logged(&e)),
            }
        }));
    }
}

fn open_flags(mode: OpenMode, keep: bool) -> FopenFlags {
    let mut flags = FopenFlags::empty();
    if keep {
        flags |= FopenFlags::FOPEN_KEEP_CACHE;
    }
    if !mode.write {
        // Nothing to flush: saves one request at each close.
        flags |= FopenFlags::FOPEN_NOFLUSH;
    }
    flags
}
