//! What a step changed, net.

use super::super::overlay::Changed;
use super::super::state::{Inode, decode, tables};
use super::super::{Name, ObjectId, OpId, Overlay, TableError};
use crate::keys::LogId;
use std::collections::BTreeMap;

/// A name that now means something else (or nothing, or something).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TouchedName {
    pub parent: ObjectId,
    /// Inode number of the directory.
    pub parent_ino: u64,
    pub name: Name,
}

/// An object whose attributes (with `data`: and content) changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TouchedInode {
    pub object: ObjectId,
    pub ino: u64,
    pub data: bool,
}

/// What a step changed, net: for the kernel's caches and for status. Sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub names: Vec<TouchedName>,
    pub inodes: Vec<TouchedInode>,
}

impl Touched {
    /// Nothing that a mount shows changed.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.inodes.is_empty()
    }
}

/// What an overlay changes, net.
pub(in super::super) fn touched(over: &Overlay<'_>) -> Result<Touched, TableError> {
    let mut names = Vec::new();
    let mut inodes: BTreeMap<ObjectId, bool> = BTreeMap::new();
    let mut gone: BTreeMap<ObjectId, u64> = BTreeMap::new();
    for Changed { key, old, new } in over.changes() {
        let Some(object) = object_of(&key.group) else { continue };
        match key.table {
            tables::DIRENT => names.push((object, key.item.clone())),
            tables::INODE => {
                inodes.entry(object).or_default();
                if let (Some(old), None) = (old, new) {
                    gone.insert(object, decode::<Inode>("an inode", &old)?.ino);
                }
            }
            tables::XATTR => {
                inodes.entry(object).or_default();
            }
            tables::CONTENT => {
                inodes.insert(object, true);
            }
            _ => {}
        }
    }
    let ino = |object| Ok(over.view().inode(object)?.map(|i| i.ino).or(gone.get(&object).copied()));
    let mut out = Touched::default();
    for (parent, name) in names {
        if let Some(parent_ino) = ino(parent)? {
            out.names.push(TouchedName { parent, parent_ino, name });
        }
    }
    for (object, data) in inodes {
        if let Some(ino) = ino(object)? {
            out.inodes.push(TouchedInode { object, ino, data });
        }
    }
    Ok(out)
}

fn object_of(group: &[u8]) -> Option<ObjectId> {
    let (n, log) = group.split_at_checked(8)?;
    Some(OpId { log: LogId(log.try_into().ok()?), n: u64::from_be_bytes(n.try_into().ok()?) })
}
