//! What stat(2) says, and what a change of attributes means.

use super::api::{Attr, Caller, FileKind, SetAttr};
use super::live::Live;
use super::shared::Shared;
use crate::content::CHUNK_LEN;
use crate::tree::{AttrChange, Inode, Kind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub const SETGID: u16 = 0o2000;
const SETUID: u16 = 0o4000;
const GROUP_EXEC: u16 = 0o010;
/// What stat(2) counts room in: a disk's blocks, whole.
const BLOCK: u32 = 4096;
/// Bytes and blocks of 512 that a directory is said to take.
const DIR_SIZE: (u64, u64) = (4096, 8);

impl Shared {
    /// Attributes of an inode as it was read. `settles`: [`Shared::settles`] from before that.
    /// A file that settles between the two is found neither changed in the tree nor in memory:
    /// it is read again.
    pub fn attr(&self, inode: &Inode, settles: u64) -> Attr {
        let live = if inode.is_file() { self.live(inode.ino) } else { None };
        if inode.is_file()
            && live.is_none()
            && self.settles() != settles
            && let Ok(Some(now)) = self.view().inode(inode.object)
        {
            return self.attr_with(&now, self.live(now.ino));
        }
        self.attr_with(inode, live)
    }

    /// Contents that have gone from memory into the tree so far.
    pub fn settles(&self) -> u64 {
        self.settles.load(Ordering::Acquire)
    }

    fn attr_with(&self, inode: &Inode, live: Option<Arc<Live>>) -> Attr {
        let mut attr = plain(inode);
        if inode.is_dir() {
            if let Some((mtime, ctime)) = self.later_times(inode) {
                (attr.mtime, attr.ctime) = (attr.mtime.max(mtime), attr.ctime.max(ctime));
            }
        } else if let Some(live) = live {
            overlay(&mut attr, &live);
        }
        attr
    }
}

/// What the tree says.
pub fn plain(inode: &Inode) -> Attr {
    let a = inode.attrs;
    let (size, blocks) = if inode.is_dir() { DIR_SIZE } else { (inode.size, inode.allocated.div_ceil(512)) };
    Attr {
        ino: inode.ino,
        kind: FileKind::from(&inode.kind),
        size,
        blocks,
        mode: a.mode,
        nlink: inode.nlink(),
        uid: a.uid,
        gid: a.gid,
        rdev: if let Kind::Device { rdev, .. } = inode.kind { rdev } else { 0 },
        atime: a.atime,
        mtime: a.mtime,
        ctime: a.ctime,
        btime: a.btime,
    }
}

/// What an inode in memory says differently.
fn overlay(attr: &mut Attr, live: &Live) {
    let state = live.state.lock();
    attr.size = state.size();
    if let Some(dirty) = &state.dirty {
        attr.mtime = state.mtime;
        attr.ctime = attr.ctime.max(state.mtime);
        let written: u64 = dirty.chunks.values().map(|l| blocks_of(l.valid().pairs())).sum();
        let base = (attr.blocks * 512).min(dirty.clip.next_multiple_of(CHUNK_LEN as u64));
        let touched = dirty.chunks.len() as u64 * CHUNK_LEN as u64;
        // What was written may lie over what was there: the larger of the two, not the sum.
        let all =
            if base > touched { base - touched + written.max(touched.min(base)) } else { base.max(written) };
        attr.blocks = all.min(attr.size.next_multiple_of(u64::from(BLOCK))).div_ceil(512);
    }
}

/// Bytes of the blocks that ranges of a chunk (disjoint, rising) touch.
fn blocks_of(ranges: &[(u32, u32)]) -> u64 {
    let (mut blocks, mut counted) = (0, 0);
    for &(from, to) in ranges {
        let (first, end) = ((from / BLOCK).max(counted), to.div_ceil(BLOCK));
        blocks += u64::from(end.saturating_sub(first));
        counted = counted.max(end);
    }
    blocks * u64::from(BLOCK)
}

pub fn without_suid(mode: u16) -> u16 {
    let mode = mode & !SETUID;
    if mode & GROUP_EXEC != 0 { mode & !SETGID } else { mode }
}

pub fn attr_change(inode: &Inode, set: SetAttr, caller: Caller, now: i64) -> AttrChange {
    let mut mode = set.mode.map(|m| m & 0o7777);
    let owner_changes = set.uid.is_some() || set.gid.is_some();
    let kills = set.kill_suid || (owner_changes && mode.is_none() && caller.uid != 0);
    // Of a directory these bits say something else, and a new owner changes nothing about that.
    if kills && !inode.is_dir() {
        let killed = without_suid(mode.unwrap_or(inode.attrs.mode));
        if mode.is_some() || killed != inode.attrs.mode {
            mode = Some(killed);
        }
    }
    AttrChange {
        mode,
        uid: set.uid,
        gid: set.gid,
        atime: set.atime,
        mtime: set.mtime,
        ctime: Some(set.ctime.unwrap_or(now)),
    }
}
