//! Extended attributes: sizes, flags, and names that are answered here.

use super::errno::logged;
use crate::drive::{Caller, Error, Files, Ino, Result};
use fuser::{Errno, ReplyXattr};

/// setxattr(2): fail if it is there.
const XATTR_CREATE: i32 = 1;
/// setxattr(2): fail if it is not there.
const XATTR_REPLACE: i32 = 2;

/// Names that a kith mount does not have. The kernel asks for `security.capability` before
/// writes; the answer costs nothing. POSIX ACLs (all of `system.`) would have to be enforced,
/// not only kept; file capabilities and SELinux labels mean something only to the machine that
/// set them.
fn is_foreign(name: &[u8]) -> bool {
    name == CAPABILITY || name.starts_with(b"system.") || name == b"security.selinux"
}

/// The one of them that is merely absent, to whoever asks, as the kernel does.
const CAPABILITY: &[u8] = b"security.capability";

/// What to say of a foreign name. `ls -l` asks for labels and ACLs of each file as long as
/// they are said to be absent from this one, and no more on this filesystem once they are said
/// to be unsupported: two requests less per file.
fn foreign(name: &[u8]) -> Error {
    if name == CAPABILITY { Error::NoAttr } else { Error::Unsupported }
}

/// Whether the name belongs to a namespace of attributes that are kept, and has a rest.
fn check(name: &[u8]) -> Result<()> {
    for namespace in [&b"user."[..], b"trusted.", b"security."] {
        if let Some(rest) = name.strip_prefix(namespace) {
            return if rest.is_empty() { Err(Error::Invalid("an attribute without a name")) } else { Ok(()) };
        }
    }
    Err(Error::Unsupported)
}

pub(super) fn get<F: Files>(files: &F, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
    if is_foreign(name) {
        return Err(foreign(name));
    }
    check(name)?;
    files.getxattr(ino, name)
}

pub(super) fn set<F: Files>(
    files: &F,
    ino: Ino,
    name: &[u8],
    value: &[u8],
    flags: i32,
    caller: Caller,
) -> Result<()> {
    if is_foreign(name) {
        return Err(Error::Unsupported);
    }
    check(name)?;
    let (create, replace) = (flags & XATTR_CREATE != 0, flags & XATTR_REPLACE != 0);
    files.setxattr(ino, name, value, create, replace, caller)
}

pub(super) fn remove<F: Files>(files: &F, ino: Ino, name: &[u8], caller: Caller) -> Result<()> {
    if is_foreign(name) {
        return Err(Error::NoAttr);
    }
    check(name)?;
    files.removexattr(ino, name, caller)
}

/// The names, each ended by a NUL.
pub(super) fn list<F: Files>(files: &F, ino: Ino) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for name in files.listxattr(ino)? {
        all.extend_from_slice(&name);
        all.push(0);
    }
    Ok(all)
}

/// The size if the caller offers no room, the value if it fits.
pub(super) fn sized(reply: ReplyXattr, room: u32, value: Result<Vec<u8>>) {
    match value {
        Ok(value) if room == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > room as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(e) => reply.error(logged(&e)),
    }
}
