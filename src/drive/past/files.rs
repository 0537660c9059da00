//! The past as files: what [`super::super::Files`] answers for inodes of the past.

use super::super::api::{Attr, DirEntry, DirName, Error, FileKind, Handle, Ino, OpenMode, ROOT_INO, Result};
use super::super::live::Live;
use super::super::shared::{Shared, tree_error};
use super::{AT, AT_INO, OWN_DIR, OWN_INO, Then, is_past, time};
use crate::tree::{ACL_ACCESS, Acl, Cursor, Inode, Kind, NAME_MAX, ROOT, TimeNs, cursor_of_number};
use std::sync::Arc;

/// Days that a listing of the moments goes back; older ones can be named all the same.
const DAYS_LISTED: i64 = 366;
const MINUTE: i64 = 60_000_000_000;

/// A directory that is no object's: its name, its number.
type Fixed = (&'static [u8], Ino);

impl Shared {
    /// A lookup that leads into the past, or in it; None: it does not.
    pub fn past_lookup(&self, parent: Ino, name: &[u8]) -> Option<Result<Attr>> {
        match parent {
            ROOT_INO if name == OWN_DIR => Some(self.fixed_attr(OWN_INO)),
            OWN_INO if name == AT => Some(self.fixed_attr(AT_INO)),
            OWN_INO => Some(Err(Error::NotFound)),
            AT_INO => Some(self.lookup_moment(name)),
            _ if is_past(parent) => Some(self.lookup_then(parent, name)),
            _ => None,
        }
    }

    fn lookup_moment(&self, name: &[u8]) -> Result<Attr> {
        let time = time::parse(name, self.options.utc_offset_min).ok_or(Error::NotFound)?;
        let begun = self.history_begins()?.is_some_and(|first| first <= time);
        if !begun || time > self.last_moment()? {
            return Err(Error::NotFound);
        }
        let root = self.at(time, |moment, now| moment.inode(now, ROOT))?.ok_or(Error::NotFound)?;
        self.known(time, &root, 1)
    }

    fn lookup_then(&self, parent: Ino, name: &[u8]) -> Result<Attr> {
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        let (Then { time, .. }, dir) = self.dir_then(parent)?;
        let found = self.at(time, |moment, now| moment.lookup(now, dir.object, name))?;
        self.known(time, &found.ok_or(Error::NotFound)?, 1)
    }

    /// Its attributes, under its number, which is remembered.
    fn known(&self, time: TimeNs, inode: &Inode, lookups: u64) -> Result<Attr> {
        let ino = self.past.known.lock().know(Then { time, object: inode.object }, lookups);
        Ok(self.attr_then(ino, inode))
    }

    fn attr_then(&self, ino: Ino, inode: &Inode) -> Attr {
        Attr { ino, ..super::super::attrs::plain(inode) }
    }

    fn fixed_attr(&self, ino: Ino) -> Result<Attr> {
        let root = self.meta_getattr(ROOT_INO)?;
        Ok(Attr { ino, mode: 0o555, nlink: 2, ..root })
    }

    fn inode_then(&self, ino: Ino) -> Result<(Then, Inode)> {
        let then = self.then(ino)?;
        let inode = self.at(then.time, |moment, now| moment.inode(now, then.object))?;
        Ok((then, inode.ok_or(Error::Stale)?))
    }

    fn dir_then(&self, ino: Ino) -> Result<(Then, Inode)> {
        let (then, inode) = self.inode_then(ino)?;
        if inode.is_dir() { Ok((then, inode)) } else { Err(Error::NotDir) }
    }

    pub fn past_forget(&self, ino: Ino, count: u64) {
        let mut known = self.past.known.lock();
        if let Some((_, lookups)) = known.inodes.get_mut(&ino) {
            *lookups = lookups.saturating_sub(count);
            if *lookups == 0 {
                known.inodes.remove(&ino);
            }
        }
    }

    pub fn past_remember(&self, inos: &[Ino]) {
        let mut known = self.past.known.lock();
        for ino in inos.iter().filter(|ino| is_past(**ino)) {
            if let Some((_, lookups)) = known.inodes.get_mut(ino) {
                *lookups += 1;
            }
        }
    }

    pub fn past_getattr(&self, ino: Ino) -> Result<Attr> {
        match ino {
            OWN_INO | AT_INO => self.fixed_attr(ino),
            _ => self.inode_then(ino).map(|(_, inode)| self.attr_then(ino, &inode)),
        }
    }

    pub fn past_parent(&self, ino: Ino) -> Result<Ino> {
        match ino {
            OWN_INO => return Ok(ROOT_INO),
            AT_INO => return Ok(OWN_INO),
            _ => {}
        }
        let (Then { time, object }, inode) = self.dir_then(ino)?;
        if object == ROOT {
            return Ok(AT_INO);
        }
        Ok(self.past.known.lock().know(Then { time, object: inode.home.parent }, 0))
    }

    /// Moments that are listed, with their cursors.
    fn landmarks(&self) -> Result<Vec<(Cursor, Vec<u8>, TimeNs)>> {
        let Some(first) = self.history_begins()? else { return Ok(Vec::new()) };
        let offset = self.options.utc_offset_min;
        let all = time::landmarks(first, self.now(), offset, DAYS_LISTED);
        let number = |time: TimeNs| u64::try_from(time.div_euclid(MINUTE)).unwrap_or(0);
        let named = |time| (cursor_of_number(number(time)), time::name(time, offset).into_bytes(), time);
        Ok(all.into_iter().map(named).collect())
    }

    pub fn past_readdir(&self, dir: Ino, after: Option<Cursor>, limit: usize) -> Result<Vec<DirEntry>> {
        if let Some((name, ino)) = fixed_in(dir) {
            let entry = DirEntry { cursor: FIXED, name: name.to_vec(), attr: self.fixed_attr(ino)? };
            return Ok(if after.is_none_or(|c| c < FIXED) { vec![entry] } else { Vec::new() });
        }
        if dir == AT_INO {
            let later =
                self.landmarks()?.into_iter().filter(|(cursor, ..)| after.is_none_or(|c| *cursor > c));
            return later
                .take(limit)
                .map(|(cursor, name, time)| {
                    let root = self.core.lock().fold.root_at(&*self.index, time).map_err(tree_error)?;
                    Ok(DirEntry { cursor, name, attr: self.known(time, &root, 0)? })
                })
                .collect();
        }
        let (Then { time, .. }, inode) = self.dir_then(dir)?;
        let children = self.at(time, |moment, now| moment.children(now, inode.object, after, limit))?;
        children
            .into_iter()
            .map(|c| Ok(DirEntry { cursor: c.cursor, attr: self.known(time, &c.inode, 0)?, name: c.name }))
            .collect()
    }

    pub fn past_each_name(
        &self,
        dir: Ino,
        after: Option<Cursor>,
        each: &mut dyn FnMut(DirName<'_>) -> bool,
    ) -> Result<()> {
        if let Some((name, ino)) = fixed_in(dir) {
            if after.is_none_or(|c| c < FIXED) {
                each(DirName { cursor: FIXED, name, ino, kind: FileKind::Dir });
            }
            return Ok(());
        }
        if dir == AT_INO {
            for (cursor, name, time) in self.landmarks()? {
                let ino = self.past.known.lock().number(Then { time, object: ROOT });
                let wanted = after.is_none_or(|c| cursor > c);
                if wanted && !each(DirName { cursor, name: &name, ino, kind: FileKind::Dir }) {
                    break;
                }
            }
            return Ok(());
        }
        let (Then { time, .. }, inode) = self.dir_then(dir)?;
        self.at(time, |moment, now| {
            moment.each_name(now, inode.object, after, |cursor, d| {
                let ino = self.past.known.lock().number(Then { time, object: d.object });
                each(DirName { cursor, name: &d.name, ino, kind: d.kind })
            })
        })
    }

    pub fn past_readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        match self.inode_then(ino)?.1.kind {
            Kind::Symlink { target } => Ok(target),
            _ => Err(Error::Invalid("not a symbolic link")),
        }
    }

    /// A handle on a file of the past. It is in no table of what is open here: nothing can change it.
    pub fn past_open(&self, ino: Ino, open: OpenMode) -> Result<Handle> {
        if open.write || open.truncate {
            return Err(Error::ReadOnly);
        }
        let (then, inode) = self.inode_then(ino)?;
        super::super::data::check_file(&inode)?;
        let content = self.at(then.time, |moment, now| moment.content(now, &inode))?;
        let live = Arc::new(Live::new(ino, inode.object, inode.version, content));
        Ok(Handle(self.lives.lock().open(live, open)))
    }

    pub fn past_getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        if matches!(ino, OWN_INO | AT_INO) {
            return Err(Error::NoAttr);
        }
        let (then, inode) = self.inode_then(ino)?;
        if name == super::super::xattr::CONTENT_XATTR {
            let content = self.at(then.time, |moment, now| moment.content(now, &inode))?;
            return super::super::xattr::content_mark(&inode, &content);
        }
        let all = self.at(then.time, |moment, now| moment.xattrs(now, inode.object))?;
        let value = all.get(name).cloned().ok_or(Error::NoAttr)?;
        if name != ACL_ACCESS {
            return Ok(value);
        }
        Acl::parse(&value).map(|acl| acl.with_mode(inode.attrs.mode).encode()).ok_or(Error::NoAttr)
    }

    pub fn past_listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        if matches!(ino, OWN_INO | AT_INO) {
            return Ok(Vec::new());
        }
        let then = self.then(ino)?;
        let all = self.at(then.time, |moment, now| moment.xattrs(now, then.object))?;
        Ok(all.into_keys().collect())
    }
}

/// Cursor of the one name in `.kith`.
const FIXED: Cursor = 16;

/// What a directory has that is no object's.
fn fixed_in(dir: Ino) -> Option<Fixed> {
    (dir == OWN_INO).then_some((AT, AT_INO))
}
