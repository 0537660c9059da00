//! Inodes that are open here, or differ from their content: the only per-file memory there is.

use super::api::{Error, Ino, OpenMode};
use super::dirty::Dirty;
use super::records::Base;
use crate::content::{Content, Nodes};
use crate::tree::{ObjectId, OpId, TimeNs};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// An inode in memory.
pub struct Live {
    pub ino: Ino,
    pub object: ObjectId,
    pub state: Mutex<LiveState>,
    /// Held while a journal group is made, while content settles, and while a file is cut:
    /// each sees the others whole.
    pub order: Arc<tokio::sync::Mutex<()>>,
    /// A seal ended.
    pub sealed: Notify,
    /// Opened nodes of the content tree.
    pub nodes: Mutex<NodeCache>,
}

/// Opened nodes, and how many.
#[derive(Default)]
pub struct NodeCache {
    pub nodes: Nodes,
    pub count: usize,
}

/// What changes of it.
pub struct LiveState {
    /// The version its readers and writers see below their own changes: pinned while open.
    pub base: Option<OpId>,
    pub content: Arc<Content>,
    pub dirty: Option<Dirty>,
    /// The base is in the journal already.
    pub base_journaled: bool,
    /// Modification time of what is dirty.
    pub mtime: TimeNs,
    /// Somebody set it since the moment that settles, and nobody wrote since: it is the new
    /// version's, in the place of the moment's.
    pub set_mtime: Option<TimeNs>,
    pub opens: u32,
    /// On the monotonic clock: the first write that has not settled, the last one.
    pub first_write: Duration,
    pub last_write: Duration,
    /// Settling: a moment is being sealed, newer writes stay in buffers.
    pub frozen: bool,
    /// Settle again not before (its content could not be fetched).
    pub not_before: Duration,
    /// Nothing of it will be kept: it has no name and no handle.
    pub gone: bool,
    /// Why it did not settle the last time.
    pub settle_error: Option<Error>,
    /// Why the last seal failed.
    pub seal_error: Option<Error>,
}

impl Live {
    /// Clean, with a version.
    pub fn new(ino: Ino, object: ObjectId, base: Option<OpId>, content: Content) -> Live {
        Live {
            ino,
            object,
            state: Mutex::new(LiveState {
                base,
                content: Arc::new(content),
                dirty: None,
                base_journaled: false,
                mtime: 0,
                set_mtime: None,
                opens: 0,
                first_write: Duration::ZERO,
                last_write: Duration::ZERO,
                frozen: false,
                not_before: Duration::ZERO,
                gone: false,
                seal_error: None,
                settle_error: None,
            }),
            order: Arc::default(),
            sealed: Notify::new(),
            nodes: Mutex::default(),
        }
    }
}

impl Live {
    /// Returns when no seal of a chunk is under way.
    pub async fn wait_sealed(&self, index: u64) {
        loop {
            let sealed = self.sealed.notified();
            tokio::pin!(sealed);
            sealed.as_mut().enable();
            match &self.state.lock().dirty {
                Some(dirty) if dirty.is_sealing(index) => {}
                _ => return,
            }
            sealed.await;
        }
    }
}

impl LiveState {
    /// Length of the file now.
    pub fn size(&self) -> u64 {
        self.dirty.as_ref().map_or_else(|| content_size(&self.content), |d| d.size)
    }
    /// What is dirty, from now on if nothing was.
    pub fn dirty(&mut self, now: Duration, mtime: TimeNs) -> &mut Dirty {
        if self.dirty.is_none() {
            self.first_write = now;
            self.base_journaled = false;
        }
        self.last_write = now;
        (self.mtime, self.set_mtime) = (mtime, None);
        let size = content_size(&self.content);
        self.dirty.get_or_insert_with(|| Dirty::over(size))
    }
    /// The base, if the journal does not know it yet.
    pub fn base_to_journal(&mut self) -> Option<Base> {
        if std::mem::replace(&mut self.base_journaled, true) {
            return None;
        }
        Some(Base { version: self.base, content: (*self.content).clone() })
    }
}

/// Bytes of a content.
pub fn content_size(content: &Content) -> u64 {
    match content {
        Content::Inline(bytes) => bytes.len() as u64,
        Content::Tree { size, .. } => *size,
    }
}

/// An open file.
pub struct OpenFile {
    pub live: Arc<Live>,
    pub mode: OpenMode,
    pub reading: Mutex<Reading>,
}

/// Where its reader is.
#[derive(Default)]
pub struct Reading {
    /// Where a sequential reader would go on.
    pub next: u64,
    /// Bytes read in sequence so far.
    pub run: u64,
    /// Fetched ahead up to here.
    pub ahead: u64,
}

/// All inodes in memory and all handles.
#[derive(Default)]
pub struct LiveTable {
    pub inodes: BTreeMap<Ino, Arc<Live>>,
    pub handles: BTreeMap<u64, Arc<OpenFile>>,
    pub next_handle: u64,
}

impl LiveTable {
    /// A handle on an inode.
    pub fn open(&mut self, live: Arc<Live>, mode: OpenMode) -> u64 {
        live.state.lock().opens += 1;
        self.next_handle += 1;
        let file = OpenFile { live, mode, reading: Mutex::default() };
        self.handles.insert(self.next_handle, Arc::new(file));
        self.next_handle
    }
    /// Forget an inode that is neither open nor dirty.
    pub fn drop_if_idle(&mut self, live: &Arc<Live>) {
        let state = live.state.lock();
        if state.opens == 0
            && state.dirty.is_none()
            && self.inodes.get(&live.ino).is_some_and(|l| Arc::ptr_eq(l, live))
        {
            self.inodes.remove(&live.ino);
        }
    }
}
