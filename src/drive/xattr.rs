//! Extended attributes: those of files, access control lists, and `user.kith.state`, which is
//! answered.

use super::api::{Error, Ino, Result};
use super::meta::inode;
use super::shared::{Shared, index_error};
use crate::content::Content;
use crate::keys::{Purpose, encode, hash};
use crate::tree::{ACL_ACCESS, ACL_DEFAULT, Acl, Change, Inode, Kind};

/// Longest name and value of an extended attribute, as the kernel has them.
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 64 << 10;
/// Names below this are answered, not stored, and not listed.
const OWN_XATTRS: &[u8] = b"user.kith.";
const STATE_XATTR: &[u8] = b"user.kith.state";
/// Equal where contents are, today's and those of the past (the reverse may not hold: of what was
/// sealed twice); absent while a file differs from the version it has.
pub const CONTENT_XATTR: &[u8] = b"user.kith.content";
/// Of what has a conflict name: the name that was wanted.
const CONFLICT_XATTR: &[u8] = b"user.kith.conflict";

impl Shared {
    pub fn meta_getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        if name == STATE_XATTR {
            return Ok(self.file_state(ino)?.to_string().into_bytes());
        }
        if name == CONTENT_XATTR {
            if self.live(ino).is_some_and(|live| live.state.lock().dirty.is_some()) {
                return Err(Error::NoAttr);
            }
            let inode = inode(self.view(), ino)?;
            return content_mark(&inode, &self.view().content(inode.object).map_err(index_error)?);
        }
        if name == CONFLICT_XATTR {
            let displaced = inode(self.view(), ino)?.displaced.ok_or(Error::NoAttr)?;
            return Ok(displaced.wanted.name);
        }
        if !storable(name) {
            return Err(Error::NoAttr);
        }
        let inode = inode(self.view(), ino)?;
        let value = self.view().xattr(inode.object, name).map_err(index_error)?.ok_or(Error::NoAttr)?;
        if name != ACL_ACCESS {
            return Ok(value);
        }
        // The mode may have changed since the list was set.
        Acl::parse(&value).map(|acl| acl.with_mode(inode.attrs.mode).encode()).ok_or(Error::NoAttr)
    }

    pub fn meta_setxattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
    ) -> Result<()> {
        check_xattr(name)?;
        if value.len() > XATTR_VALUE_MAX {
            return Err(Error::TooBig);
        }
        self.change(|view| {
            let inode = inode(view, ino)?;
            check_acl(&inode, name, value)?;
            let there = view.xattr(inode.object, name).map_err(index_error)?.is_some();
            match (there, create, replace) {
                (true, true, _) => Err(Error::Exists),
                (false, _, true) => Err(Error::NoAttr),
                _ => Ok(Change::SetXattr {
                    object: inode.object,
                    name: name.to_vec(),
                    value: Some(value.to_vec()),
                }),
            }
        })
        .map(|_| ())
    }

    pub fn meta_removexattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        check_xattr(name)?;
        self.change(|view| {
            let inode = inode(view, ino)?;
            if view.xattr(inode.object, name).map_err(index_error)?.is_none() {
                return Err(Error::NoAttr);
            }
            Ok(Change::SetXattr { object: inode.object, name: name.to_vec(), value: None })
        })
        .map(|_| ())
    }

    pub fn meta_listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        let object = self.object(ino)?;
        let all = self.view().xattrs(object).map_err(index_error)?;
        Ok(all.into_iter().map(|x| x.name).collect())
    }
}

/// What stands for a file's content.
pub fn content_mark(inode: &Inode, content: &Content) -> Result<Vec<u8>> {
    if !inode.is_file() {
        return Err(Error::NoAttr);
    }
    Ok(hash(Purpose::TreeState, &[b"content", &encode(content)]).to_string().into_bytes())
}

/// Whether an access control list is one, and belongs to this inode. Applying it sets the mode.
fn check_acl(inode: &Inode, name: &[u8], value: &[u8]) -> Result<()> {
    if !is_acl(name) {
        return Ok(());
    }
    if matches!(inode.kind, Kind::Symlink { .. }) {
        return Err(Error::Unsupported);
    }
    if name == ACL_DEFAULT && !inode.is_dir() {
        return Err(Error::Denied);
    }
    Acl::parse(value).map(|_| ()).ok_or(Error::Invalid("access control list"))
}

fn is_acl(name: &[u8]) -> bool {
    name == ACL_ACCESS || name == ACL_DEFAULT
}

/// Attributes that are kept; others are answered as absent.
fn storable(name: &[u8]) -> bool {
    if is_acl(name) {
        return true;
    }
    let kept = [&b"user."[..], b"trusted.", b"security."];
    kept.iter().any(|p| name.starts_with(p)) && !name.starts_with(OWN_XATTRS)
}

fn check_xattr(name: &[u8]) -> Result<()> {
    if name.len() > XATTR_NAME_MAX {
        return Err(Error::Range);
    }
    if name.starts_with(OWN_XATTRS) {
        return Err(Error::NotPermitted);
    }
    if storable(name) { Ok(()) } else { Err(Error::Unsupported) }
}
