//! What is new: files, directories, links and special files, with what they inherit.

use super::api::{Attr, Caller, Error, Ino, NodeKind, Result};
use super::attrs::SETGID;
use super::meta::{check_name, dir};
use super::shared::{Shared, index_error};
use crate::tree::{ACL_ACCESS, ACL_DEFAULT, Attrs, Change, Inherited, Inode, Kind, View, inherit};

/// Longest target of a symbolic link.
const TARGET_MAX: usize = 4095;

/// What something new in a directory starts with. A symbolic link has no rights of its own.
fn inherited(view: View<'_>, parent: &Inode, kind: &Kind, mode: u16, umask: u16) -> Result<Inherited> {
    let default = match kind {
        Kind::Symlink { .. } => return Ok(inherit(None, false, mode, 0)),
        _ => view.xattr(parent.object, ACL_DEFAULT).map_err(index_error)?,
    };
    Ok(inherit(default.as_deref(), *kind == Kind::Dir, mode, umask))
}

impl Shared {
    /// Make an object under a new name.
    pub fn meta_create(
        &self,
        parent: Ino,
        name: &[u8],
        kind: Kind,
        mode: u16,
        caller: Caller,
    ) -> Result<Inode> {
        check_name(name)?;
        let now = self.now();
        let id = self.changes(|view, id| {
            let parent = dir(view, parent)?;
            if view.dirent(parent.object, name).map_err(index_error)?.is_some() {
                return Err(Error::Exists);
            }
            let inherit = parent.attrs.mode & SETGID != 0;
            let gid = if inherit { parent.attrs.gid } else { caller.gid };
            let mut mode = mode & 0o7777;
            if inherit && kind == Kind::Dir {
                mode |= SETGID;
            }
            let lists = inherited(view, &parent, &kind, mode, caller.umask)?;
            let mode = lists.mode_before;
            let attrs = Attrs { mode, uid: caller.uid, gid, atime: now, mtime: now, ctime: now, btime: now };
            let create = Change::Create { parent: parent.object, name: name.to_vec(), kind, attrs };
            let lists = [(ACL_ACCESS, lists.access), (ACL_DEFAULT, lists.default)];
            let lists = lists.into_iter().filter(|(_, list)| list.is_some());
            let lists = lists.map(|(name, value)| Change::SetXattr { object: id, name: name.into(), value });
            Ok([create].into_iter().chain(lists).collect())
        })?;
        self.view().inode(id).map_err(index_error)?.ok_or(Error::Internal("a new object is not there".into()))
    }

    pub fn meta_mknod(
        &self,
        parent: Ino,
        name: &[u8],
        kind: NodeKind,
        mode: u16,
        caller: Caller,
    ) -> Result<Attr> {
        let kind = match kind {
            NodeKind::File => Kind::File,
            NodeKind::Fifo => Kind::Fifo,
            NodeKind::Socket => Kind::Socket,
            NodeKind::Block(rdev) => Kind::Device { block: true, rdev },
            NodeKind::Char(rdev) => Kind::Device { block: false, rdev },
        };
        if matches!(kind, Kind::Device { .. }) && caller.uid != 0 {
            return Err(Error::NotPermitted);
        }
        let settles = self.settles();
        Ok(self.attr(&self.meta_create(parent, name, kind, mode, caller)?, settles))
    }

    pub fn meta_symlink(&self, parent: Ino, name: &[u8], target: &[u8], caller: Caller) -> Result<Attr> {
        if target.is_empty() || target.len() > TARGET_MAX {
            return Err(if target.is_empty() { Error::NotFound } else { Error::NameTooLong });
        }
        let kind = Kind::Symlink { target: target.to_vec() };
        let settles = self.settles();
        Ok(self.attr(&self.meta_create(parent, name, kind, 0o777, caller)?, settles))
    }
}
