//! Create, link, attributes.

use super::super::state::*;
use super::super::{ACL_ACCESS, ACL_DEFAULT, Acl, AttrChange, Attrs, Kind, ObjectId, ROOT, is_name};
use super::edit::{Done, Editor};

impl Editor<'_, '_> {
    pub fn create(&mut self, parent: ObjectId, name: &[u8], kind: &Kind, attrs: Attrs) -> Done {
        if !is_name(name) {
            return Ok(());
        }
        let object = self.fresh_id()?;
        let dir = self.live_dir(parent)?.unwrap_or(ROOT);
        if *kind == Kind::Dir
            && let Some(there) = self.view().lookup(dir, name)?
            && there.is_dir()
        {
            return self.put(of_object(tables::ALIAS, &object), &there.object);
        }
        let (place, wanted) = self.choose(dir, name, *kind == Kind::Dir)?;
        let inode = self.new_inode(object, kind.clone(), attrs, place.clone())?;
        self.put_inode(&inode)?;
        self.enter(object, place, wanted)
    }

    /// A record without names yet; its number is taken.
    pub fn new_inode(&mut self, object: ObjectId, kind: Kind, attrs: Attrs, home: Place) -> Done<Inode> {
        let size = if let Kind::Symlink { target } = &kind { target.len() as u64 } else { 0 };
        Ok(Inode {
            object,
            kind,
            attrs,
            names: 0,
            children: 0,
            subdirs: 0,
            version: None,
            size,
            allocated: 0,
            ino: self.number(object)?,
            home,
            displaced: None,
        })
    }

    pub fn link(&mut self, object: ObjectId, parent: ObjectId, name: &[u8]) -> Done {
        let Some(inode) = self.inode(object)?.filter(|i| !i.is_dir()) else { return Ok(()) };
        if !is_name(name) {
            return Ok(());
        }
        let dir = self.live_dir(parent)?.unwrap_or(ROOT);
        if self.view().dirent(dir, name)? == Some(inode.object) {
            return Ok(());
        }
        let (place, wanted) = self.choose(dir, name, false)?;
        self.enter(inode.object, place, wanted)
    }

    pub fn set_attrs(&mut self, object: ObjectId, change: &AttrChange) -> Done {
        let Some(mut inode) = self.inode(object)? else { return Ok(()) };
        let attrs = &mut inode.attrs;
        attrs.mode = change.mode.map_or(attrs.mode, |m| m & 0o7777);
        attrs.uid = change.uid.unwrap_or(attrs.uid);
        attrs.gid = change.gid.unwrap_or(attrs.gid);
        attrs.atime = change.atime.unwrap_or(attrs.atime);
        attrs.mtime = change.mtime.unwrap_or(attrs.mtime);
        attrs.ctime = change.ctime.unwrap_or(self.op.time);
        self.put_inode(&inode)
    }

    pub fn set_xattr(&mut self, object: ObjectId, name: &[u8], value: Option<&[u8]>) -> Done {
        let Some(mut inode) = self.inode(object)? else { return Ok(()) };
        let key = xattr_key(&inode.object, name);
        let value = match (value, name) {
            (Some(list), ACL_ACCESS | ACL_DEFAULT) => match listed(&mut inode, name, list) {
                Some(kept) => kept,
                None => return Ok(()),
            },
            (value, _) => value,
        };
        match value {
            Some(value) => self.put(key, &Xattr { name: name.to_vec(), value: value.to_vec() })?,
            None => self.over.put(key, None)?,
        }
        inode.attrs.ctime = self.op.time;
        self.put_inode(&inode)
    }
}

/// An access list sets the mode, and is kept if it says more than that; a default list is kept
/// by directories. None: it is malformed, or nothing for this object, and changes nothing.
fn listed<'v>(inode: &mut Inode, name: &[u8], value: &'v [u8]) -> Option<Option<&'v [u8]>> {
    let acl = Acl::parse(value)?;
    if name == ACL_DEFAULT {
        return inode.is_dir().then_some(Some(value));
    }
    if matches!(inode.kind, Kind::Symlink { .. }) {
        return None;
    }
    inode.attrs.mode = acl.over(inode.attrs.mode);
    Some((!acl.is_mode()).then_some(value))
}
