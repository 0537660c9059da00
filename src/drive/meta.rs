//! Metadata: answered from local state, at once.

use super::api::{Attr, Caller, DirEntry, DirName, Error, Ino, ROOT_INO, Result, SetAttr, StatFs};
use super::attrs::{attr_change, without_suid};
use super::live::Live;
use super::shared::{Shared, index_error};
use crate::tree::{
    AttrChange, Change, Cursor, DirentRef, Inode, Kind, NAME_MAX, ObjectId, Seen, View, is_name,
};
use std::sync::Arc;

/// Most names of one file.
const LINKS_MAX: u32 = 65_000;
/// Whether a name may be given.
pub fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong);
    }
    if is_name(name) { Ok(()) } else { Err(Error::Invalid("name")) }
}

/// The inode of a directory that is there.
pub fn dir(view: View<'_>, ino: Ino) -> Result<Inode> {
    let inode = inode(view, ino)?;
    if !inode.is_dir() {
        return Err(Error::NotDir);
    }
    if !inode.is_live() {
        return Err(Error::NotFound);
    }
    Ok(inode)
}

pub fn inode(view: View<'_>, ino: Ino) -> Result<Inode> {
    let object = view.by_ino(ino).map_err(index_error)?.ok_or(Error::Stale)?;
    view.inode(object).map_err(index_error)?.ok_or(Error::Stale)
}

fn child(view: View<'_>, parent: &Inode, name: &[u8]) -> Result<Inode> {
    view.lookup(parent.object, name).map_err(index_error)?.ok_or(Error::NotFound)
}

fn seen(inode: &Inode) -> Seen {
    Seen { object: inode.object, version: inode.version }
}

impl Shared {
    /// The version that this machine shows of an inode, for what is replaced or removed.
    fn seen_here(&self, inode: &Inode) -> Seen {
        match self.live(inode.ino) {
            Some(live) => Seen { object: inode.object, version: live.state.lock().base },
            None => seen(inode),
        }
    }

    fn attr_of(&self, object: ObjectId) -> Result<Attr> {
        let settles = self.settles();
        let inode = self.view().inode(object).map_err(index_error)?.ok_or(Error::Stale)?;
        Ok(self.attr(&inode, settles))
    }

    pub fn meta_lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        let settles = self.settles();
        let view = self.view();
        let parent = dir(view, parent)?;
        Ok(self.attr(&child(view, &parent, name)?, settles))
    }

    pub fn meta_getattr(&self, ino: Ino) -> Result<Attr> {
        let settles = self.settles();
        Ok(self.attr(&inode(self.view(), ino)?, settles))
    }

    pub fn meta_parent(&self, ino: Ino) -> Result<Ino> {
        let view = self.view();
        let inode = inode(view, ino)?;
        if !inode.is_dir() {
            return Err(Error::NotDir);
        }
        let parent = view.inode(inode.home.parent).map_err(index_error)?.ok_or(Error::Stale)?;
        Ok(parent.ino)
    }

    pub fn meta_readdir(&self, ino: Ino, after: Option<Cursor>, limit: usize) -> Result<Vec<DirEntry>> {
        let view = self.view();
        let inode = inode(view, ino)?;
        if !inode.is_dir() {
            return Err(Error::NotDir);
        }
        let settles = self.settles();
        let children = view.children(inode.object, after, limit).map_err(index_error)?;
        Ok(children
            .into_iter()
            .map(|c| DirEntry { cursor: c.cursor, attr: self.attr(&c.inode, settles), name: c.name })
            .collect())
    }

    pub fn meta_each_name(
        &self,
        ino: Ino,
        after: Option<Cursor>,
        each: &mut dyn FnMut(DirName<'_>) -> bool,
    ) -> Result<()> {
        let view = self.view();
        let mut name =
            |cursor, d: DirentRef<'_>| each(DirName { cursor, name: d.name, ino: d.ino, kind: d.kind });
        view.each_name(dir(view, ino)?.object, after, &mut name).map_err(index_error)
    }

    pub fn meta_readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        match inode(self.view(), ino)?.kind {
            Kind::Symlink { target } => Ok(target),
            _ => Err(Error::Invalid("not a symbolic link")),
        }
    }

    pub fn meta_link(&self, ino: Ino, parent: Ino, name: &[u8]) -> Result<Attr> {
        check_name(name)?;
        let mut object = None;
        self.change(|view| {
            let inode = inode(view, ino)?;
            let parent = dir(view, parent)?;
            if inode.is_dir() {
                return Err(Error::NotPermitted);
            }
            if !inode.is_live() {
                return Err(Error::NotFound);
            }
            if inode.names >= LINKS_MAX {
                return Err(Error::TooManyLinks);
            }
            if view.dirent(parent.object, name).map_err(index_error)?.is_some() {
                return Err(Error::Exists);
            }
            object = Some(inode.object);
            Ok(Change::Link { object: inode.object, parent: parent.object, name: name.to_vec() })
        })?;
        self.attr_of(object.ok_or(Error::Stale)?)
    }

    pub fn meta_unlink(&self, parent: Ino, name: &[u8]) -> Result<()> {
        let mut gone = None;
        self.change(|view| {
            let parent = dir(view, parent)?;
            let inode = child(view, &parent, name)?;
            if inode.is_dir() {
                return Err(Error::IsDir);
            }
            gone = Some(inode.clone());
            Ok(Change::Unlink { parent: parent.object, name: name.to_vec(), seen: self.seen_here(&inode) })
        })?;
        self.dropped(gone);
        Ok(())
    }

    pub fn meta_rmdir(&self, parent: Ino, name: &[u8]) -> Result<()> {
        if name == b"." {
            return Err(Error::Invalid("name"));
        }
        self.change(|view| {
            let parent = dir(view, parent)?;
            let inode = child(view, &parent, name)?;
            if !inode.is_dir() {
                return Err(Error::NotDir);
            }
            if inode.children > 0 {
                return Err(Error::NotEmpty);
            }
            Ok(Change::Rmdir { parent: parent.object, name: name.to_vec(), object: inode.object })
        })
        .map(|_| ())
    }

    pub fn meta_rename(
        &self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        noreplace: bool,
        exchange: bool,
    ) -> Result<()> {
        check_name(to.1)?;
        if noreplace && exchange {
            return Err(Error::Invalid("flags"));
        }
        let mut gone = None;
        let same = self.same_file(from, to)?;
        if same && !noreplace {
            return Ok(()); // rename(2): two names of one file, nothing happens
        }
        self.change(|view| {
            let (from_dir, to_dir) = (dir(view, from.0)?, dir(view, to.0)?);
            let moved = child(view, &from_dir, from.1)?;
            let there = view.lookup(to_dir.object, to.1).map_err(index_error)?;
            self.check_cycle(view, &moved, &to_dir)?;
            if exchange {
                let other = there.ok_or(Error::NotFound)?;
                self.check_cycle(view, &other, &from_dir)?;
                return Ok(Change::Exchange {
                    a: moved.object,
                    a_parent: from_dir.object,
                    a_name: from.1.to_vec(),
                    b: other.object,
                    b_parent: to_dir.object,
                    b_name: to.1.to_vec(),
                });
            }
            if let Some(there) = &there {
                check_replace(&moved, there, noreplace)?;
            }
            gone = there.clone();
            Ok(Change::Rename {
                object: moved.object,
                from_parent: from_dir.object,
                from_name: from.1.to_vec(),
                to_parent: to_dir.object,
                to_name: to.1.to_vec(),
                replaced: there.as_ref().map(|i| self.seen_here(i)),
            })
        })?;
        self.dropped(gone);
        Ok(())
    }

    fn same_file(&self, from: (Ino, &[u8]), to: (Ino, &[u8])) -> Result<bool> {
        let view = self.view();
        let a = view.dirent(dir(view, from.0)?.object, from.1).map_err(index_error)?;
        let b = view.dirent(dir(view, to.0)?.object, to.1).map_err(index_error)?;
        Ok(a.is_some() && a == b)
    }

    /// A directory must not go below itself.
    fn check_cycle(&self, view: View<'_>, moved: &Inode, to: &Inode) -> Result<()> {
        if !moved.is_dir() {
            return Ok(());
        }
        let mut at = to.clone();
        loop {
            if at.object == moved.object {
                return Err(Error::Invalid("a directory cannot go below itself"));
            }
            if at.ino == ROOT_INO {
                return Ok(());
            }
            at = view.inode(at.home.parent).map_err(index_error)?.ok_or(Error::Stale)?;
        }
    }

    /// A name of an inode is gone: with the last one, and no handle, so is what was written.
    fn dropped(&self, inode: Option<Inode>) {
        let Some(inode) = inode else { return };
        match self.live(inode.ino) {
            Some(live) => self.discard_if_gone(&live),
            None => self.cancel_gone(inode.object),
        }
    }

    /// Throw away what was written to a file that has neither a name nor a handle.
    pub fn discard_if_gone(&self, live: &Arc<Live>) {
        match self.view().inode(live.object) {
            Ok(Some(inode)) if !inode.is_live() => {}
            _ => return,
        }
        let mut lives = self.lives.lock();
        let mut state = live.state.lock();
        if state.opens > 0 {
            return;
        }
        let had = state.dirty.take();
        self.account(had.as_ref().map_or(0, |d| d.buffered), 0);
        state.gone = true;
        drop(state);
        if lives.inodes.get(&live.ino).is_some_and(|l| Arc::ptr_eq(l, live)) {
            lives.inodes.remove(&live.ino);
        }
        drop(lives);
        if had.is_some() {
            // Without the record the file is only replayed in vain.
            let _ = self.journal.append(super::records::DISCARDED, &super::records::encode(&live.object));
        }
        self.cancel_gone(live.object);
    }

    /// All of setattr but the size.
    pub fn meta_setattr(&self, ino: Ino, set: SetAttr, caller: Caller) -> Result<Attr> {
        let now = self.now();
        let mut object = None;
        // Before a file in memory is changed.
        self.index_takes(false)?;
        self.change(|view| {
            let inode = inode(view, ino)?;
            object = Some(inode.object);
            // While nothing is committed: a version that settles comes wholly before or after.
            if let (Some(mtime), Some(live)) = (set.mtime, self.live(ino)) {
                let mut state = live.state.lock();
                (state.mtime, state.set_mtime) = (mtime, Some(mtime));
                if let Some(dirty) = &mut state.dirty {
                    dirty.size_unjournaled = true;
                }
            }
            Ok(Change::SetAttrs { object: inode.object, change: attr_change(&inode, set, caller, now) })
        })?;
        if set.mtime.is_some() {
            object.map(|object| self.dir_times.lock().remove(&object));
        }
        self.attr_of(object.ok_or(Error::Stale)?)
    }

    /// A write by an ordinary user takes suid and sgid away.
    pub fn kill_suid(&self, ino: Ino) -> Result<()> {
        let inode = inode(self.view(), ino)?;
        let mode = without_suid(inode.attrs.mode);
        if mode == inode.attrs.mode {
            return Ok(());
        }
        let change = AttrChange { mode: Some(mode), ..AttrChange::default() };
        self.change(|_| Ok(Change::SetAttrs { object: inode.object, change })).map(|_| ())
    }

    pub fn meta_statfs(&self) -> Result<StatFs> {
        let room = self.grid.room(&self.drive);
        let totals = self.view().totals().map_err(index_error)?;
        let total = room.total.max(totals.bytes);
        Ok(StatFs { total, free: room.free, available: room.free, files: totals.objects })
    }

    /// The inode at a path, `/` between names.
    pub fn resolve(&self, path: &[u8]) -> Result<Ino> {
        let mut at = ROOT_INO;
        for name in path.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
            at = self.meta_lookup(at, name)?.ino;
        }
        Ok(at)
    }
}

fn check_replace(moved: &Inode, there: &Inode, noreplace: bool) -> Result<()> {
    if noreplace {
        return Err(Error::Exists);
    }
    match (moved.is_dir(), there.is_dir()) {
        (true, false) => Err(Error::NotDir),
        (false, true) => Err(Error::IsDir),
        (true, true) if there.children > 0 => Err(Error::NotEmpty),
        _ => Ok(()),
    }
}
