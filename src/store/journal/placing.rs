//! Frames to their places. A disk that writes nothing in place (btrfs, say) may find no room even in a
//! file that is long enough: then what was accepted waits, in order, and is written when there is.

use super::Lsn;
use super::frame::{Draft, Header};
use super::make::no_room;
use super::recover::Recovery;
use super::writer::Writer;
use crate::store::StoreError;
use std::collections::VecDeque;

/// A frame as it is written.
struct Frame {
    header: Header,
    bytes: Vec<u8>,
    last: Lsn,
}

/// What found no room.
#[derive(Default)]
pub(super) struct Held {
    /// The first of it: sealed for its place, so nothing may come before it.
    first: Option<Frame>,
    rest: VecDeque<Draft>,
}

impl Held {
    pub(super) fn frames(&self) -> u64 {
        u64::from(self.first.is_some()) + self.rest.len() as u64
    }
}

impl Writer {
    /// Writes what was held and then these, as far as there is room.
    pub(super) fn place_all(&mut self, drafts: Vec<Draft>, trimmed: Lsn) -> Result<(), StoreError> {
        if self.held.frames() == 0 {
            let mut drafts = drafts.into_iter();
            while let Some(draft) = drafts.next() {
                if !self.put(draft, trimmed)? {
                    self.held.rest.extend(drafts);
                    break;
                }
            }
            return Ok(());
        }
        self.held.rest.extend(drafts);
        if let Some(frame) = self.held.first.take()
            && !self.place(frame)?
        {
            return Ok(());
        }
        while let Some(draft) = self.held.rest.pop_front() {
            if !self.put(draft, trimmed)? {
                break;
            }
        }
        Ok(())
    }

    /// Writes and syncs again what is not known to be synced. After a mere kill the kernel still has it; but
    /// after a sync that failed it takes it for written, and shows it until it forgets it. (All of it is in
    /// the last file.)
    pub(super) fn write_again(&mut self, recovery: &Recovery) -> Result<(), StoreError> {
        let known = recovery.chain.iter().map(|f| f.header.durable).max().unwrap_or(0);
        for found in recovery.chain.iter().filter(|f| f.header.seq > known) {
            let file = &recovery.files[found.file];
            let mut bytes = vec![0; found.header.span() as usize];
            let read = file.file.read_at(&mut bytes, found.offset);
            bytes.truncate(read.map_err(|e| StoreError::io(&file.path, "read", e))?);
            let write = || file.file.write_at(&bytes, found.offset);
            let write = || write().map_err(|e| StoreError::io(&file.path, "write", e));
            let mut done = write();
            if self.reserve && done.as_ref().is_err_and(no_room) {
                self.release_reserve()?;
                done = write();
            }
            // Nothing may be built on it: without room it is opened another time.
            done.map_err(StoreError::or_full)?;
        }
        self.sync()
    }

    /// Writes a frame behind the last one. False: there is no room, and it is held.
    pub(super) fn put(&mut self, mut draft: Draft, trimmed: Lsn) -> Result<bool, StoreError> {
        if self.at + draft.span() > self.end() {
            // Not in `advance`: no room for a sync is no mere want of room.
            if self.unsynced {
                self.sync()?;
            }
            match self.advance() {
                Err(e) if no_room(&e) => {
                    self.held.rest.push_front(draft);
                    self.cramped = true;
                    return Ok(false);
                }
                done => done?,
            }
        }
        draft.seal_once(&self.keys, self.seq + 1);
        let last = draft.last();
        let (header, bytes) = draft.finish(&self.keys, self.run, self.durable_seq, trimmed, self.prev);
        self.place(Frame { header, bytes, last })
    }

    fn place(&mut self, frame: Frame) -> Result<bool, StoreError> {
        let mut written = self.write(&frame);
        if self.reserve && written.as_ref().is_err_and(no_room) {
            self.cramped = true;
            self.release_reserve()?;
            written = self.write(&frame);
        }
        match written {
            Ok(()) => {}
            Err(e) if no_room(&e) => {
                self.cramped = true;
                self.held.first = Some(frame);
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
        let Frame { header, last, .. } = frame;
        self.unsynced = true;
        self.at += header.span();
        self.bytes += header.span();
        self.seq = header.seq;
        self.prev = header.check;
        self.written = last;
        self.trimmed_written = self.trimmed_written.max(header.trimmed);
        Ok(true)
    }

    fn write(&self, frame: &Frame) -> Result<(), StoreError> {
        let done = self.current.file.write_at(&frame.bytes, self.at);
        done.map_err(|e| StoreError::io(&self.current.path, "write", e))
    }
}
