//! Extended attributes: those of files, and `user.kith.state`, which is answered.

use super::api::{Error, Ino, Result};
use super::meta::inode;
use super::shared::{Shared, index_error};
use crate::tree::Change;

/// Longest name and value of an extended attribute, as the kernel has them.
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 64 << 10;
/// Names below this are answered, not stored, and not listed.
const OWN_XATTRS: &[u8] = b"user.kith.";
const STATE_XATTR: &[u8] = b"user.kith.state";

impl Shared {
    pub fn meta_getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        if name == STATE_XATTR {
            return Ok(self.file_state(ino)?.to_string().into_bytes());
        }
        if !storable(name) {
            return Err(Error::NoAttr);
        }
        let object = self.object(ino)?;
        self.view().xattr(object, name).map_err(index_error)?.ok_or(Error::NoAttr)
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

/// Attributes that are kept; others are answered as absent.
fn storable(name: &[u8]) -> bool {
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
