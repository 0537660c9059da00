//! Names and listings: what a lookup finds and what a directory has.

use super::adapter::{FuseAdapter, logged};
use super::convert::file_attr;
use super::kernel::{GENERATION, KEPT_FOR, LIST_BATCH, NAME_MAX};
use crate::drive::{Attr, Error, Files, Ino, Result};
use crate::tree::Cursor;
use fuser::ReplyEntry;

impl<F: Files> FuseAdapter<F> {
    pub(super) fn entry(&self, reply: ReplyEntry, outcome: Result<Attr>) {
        match outcome {
            Ok(attr) => reply.entry(&KEPT_FOR, &file_attr(&attr, &self.shared.owner), GENERATION),
            Err(e) => reply.error(logged(&e)),
        }
    }

    pub(super) fn look(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        // Only an NFS server asks for these two (FUSE_EXPORT_SUPPORT).
        let ino = match name {
            b"." => parent,
            b".." => self.files.parent(parent)?,
            _ => return self.files.lookup(parent, fit(name)?),
        };
        let attr = self.files.getattr(ino)?;
        self.files.remember(&[ino]);
        Ok(attr)
    }

    pub(super) fn forget_one(&self, ino: Ino, count: u64) {
        self.shared.open.forgotten(ino);
        self.files.forget(ino, count);
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
