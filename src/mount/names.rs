//! Names and listings: what a lookup finds, what a directory has, what a filesystem has room for.

use super::adapter::FuseAdapter;
use super::convert::{BLOCK_SIZE, caller, file_attr, file_type};
use super::errno::logged;
use super::kernel::{FREE_FILES, GENERATION, LIST_BATCH, NAME_MAX, kept_for};
use crate::drive::{Attr, Caller, Error, FileKind, Files, Handle, Ino, ROOT_INO, Result, SetAttr};
use crate::tree::Cursor;
use fuser::{
    Errno, FileHandle, FopenFlags, INodeNo, ReplyCreate, ReplyDirectory, ReplyDirectoryPlus, ReplyEntry,
    ReplyStatfs, Request,
};
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

impl<F: Files> FuseAdapter<F> {
    pub(super) fn entry(&self, reply: ReplyEntry, outcome: Result<Attr>) {
        match outcome {
            Ok(attr) => reply.entry(&kept_for(attr.ino), &file_attr(&attr, &self.shared.owner), GENERATION),
            Err(e) => reply.error(logged(&e)),
        }
    }

    /// Whom something new is to belong to, made under `umask`.
    pub(super) fn maker(&self, req: &Request, umask: u32) -> Caller {
        let caller = Caller { umask: (umask & 0o777) as u16, ..caller(req) };
        let owner = &self.shared.owner;
        let root = if owner.gives_away() { self.files.getattr(ROOT_INO).ok() } else { None };
        root.map_or(caller, |root| owner.of_new(caller, &root))
    }

    /// What setattr is to store, where owners are shown as others than they are.
    pub(super) fn chowned(&self, set: SetAttr) -> Result<SetAttr> {
        let owner = &self.shared.owner;
        if !owner.gives_away() || set.uid.is_none() && set.gid.is_none() {
            return Ok(set);
        }
        owner.of_chown(set, &self.files.getattr(ROOT_INO)?)
    }

    pub(super) fn look(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        // Only an NFS server asks for these two (FUSE_EXPORT_SUPPORT).
        let ino = match name {
            b"." => parent,
            b".." => self.files.parent(parent)?,
            _ => return self.files.lookup(parent, fit(name)?),
        };
        let attr = self.files.getattr(ino)?;
        if attr.nlink == 0 {
            return Err(Error::Stale);
        }
        self.files.remember(&[ino]);
        Ok(attr)
    }

    pub(super) fn forget_one(&self, ino: Ino, count: u64) {
        self.shared.open.forgotten(ino);
        self.files.forget(ino, count);
    }

    /// Answers a CREATE with open(2)'s `flags`.
    pub(super) fn created(&self, made: Result<(Attr, Handle)>, flags: i32, reply: ReplyCreate) {
        let exclusive = OFlags::from_bits_retain(flags as u32).contains(OFlags::EXCL);
        match made {
            Ok((attr, handle)) => {
                self.shared.open.opened(attr.ino, self.files.content_epoch(attr.ino));
                let attrs = file_attr(&attr, &self.shared.owner);
                let (handle, flags) = (FileHandle(handle.0), FopenFlags::FOPEN_KEEP_CACHE);
                reply.created(&kept_for(attr.ino), &attrs, GENERATION, handle, flags);
            }
            // The kernel thought the name was free, and it came from elsewhere meanwhile.
            // Without O_EXCL that is no error: ESTALE makes the kernel look again.
            Err(Error::Exists) if !exclusive => reply.error(Errno::ESTALE),
            Err(e) => reply.error(logged(&e)),
        }
    }

    pub(super) fn listed(&self, dir: Ino, offset: u64, mut reply: ReplyDirectory) {
        match self.list_names(dir, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(logged(&e)),
        }
    }

    fn list_names(&self, dir: Ino, offset: u64, reply: &mut ReplyDirectory) -> Result<()> {
        let mut add = |ino, cursor, kind, name: &[u8]| {
            reply.add(INodeNo(ino), cursor, file_type(kind), OsStr::from_bytes(name))
        };
        if (offset < 1 && add(dir, 1, FileKind::Dir, b"."))
            || (offset < 2 && add(self.files.parent(dir)?, 2, FileKind::Dir, b".."))
        {
            return Ok(());
        }
        let after: Option<Cursor> = (offset > 2).then_some(offset);
        self.files.each_name(dir, after, &mut |name| !add(name.ino, name.cursor, name.kind, name.name))
    }

    pub(super) fn listed_with_attributes(&self, dir: Ino, offset: u64, mut reply: ReplyDirectoryPlus) {
        let mut shown = Vec::new();
        let listed = self.list(dir, offset, |cursor, name, attr| {
            let attrs = file_attr(attr, &self.shared.owner);
            let full = reply.add(
                attrs.ino,
                cursor,
                OsStr::from_bytes(name),
                &kept_for(attr.ino),
                &attrs,
                GENERATION,
            );
            if !full && name != b"." && name != b".." {
                shown.push(attr.ino);
            }
            full
        });
        match listed {
            Ok(()) => {
                // Before the answer: the kernel may forget them as soon as it has it.
                self.files.remember(&shown);
                reply.ok();
            }
            Err(e) => reply.error(logged(&e)),
        }
    }

    pub(super) fn room(&self, reply: ReplyStatfs) {
        match self.files.statfs() {
            Ok(s) => {
                let [total, free, available] =
                    [s.total, s.free, s.available].map(|b| b / u64::from(BLOCK_SIZE));
                let files = s.files.saturating_add(FREE_FILES);
                let names = NAME_MAX as u32;
                reply.statfs(total, free, available, files, FREE_FILES, BLOCK_SIZE, names, BLOCK_SIZE);
            }
            Err(e) => reply.error(logged(&e)),
        }
    }

    /// Hands `.`, `..` and then the entries after `offset` to `add`, until it says it is full.
    pub(super) fn list(
        &self,
        dir: Ino,
        offset: u64,
        mut add: impl FnMut(u64, &[u8], &Attr) -> bool,
    ) -> Result<()> {
        if offset < 1 && add(1, b".", &self.files.getattr(dir)?) {
            return Ok(());
        }
        if offset < 2 && add(2, b"..", &self.files.getattr(self.files.parent(dir)?)?) {
            return Ok(());
        }
        let mut after: Option<Cursor> = (offset > 2).then_some(offset);
        loop {
            let batch = self.files.readdir(dir, after, LIST_BATCH)?;
            let last = batch.len() < LIST_BATCH;
            for entry in &batch {
                if add(entry.cursor, &entry.name, &entry.attr) {
                    return Ok(());
                }
                after = Some(entry.cursor);
            }
            if last {
                return Ok(());
            }
        }
    }
}

/// The name, if it is not too long.
pub(super) fn fit(name: &[u8]) -> Result<&[u8]> {
    if name.len() > NAME_MAX { Err(Error::NameTooLong) } else { Ok(name) }
}
