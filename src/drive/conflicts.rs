//! What has a conflict name, for people to settle.

use super::api::Result;
use super::shared::{Shared, index_error};
use crate::tree::{Inode, TimeNs};

/// Read at once while all are counted.
const PAGE: usize = 256;

/// Two things that wanted one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// Where the one is that has the conflict name, from the root.
    pub path: Vec<u8>,
    /// Where it was to be.
    pub wanted: Vec<u8>,
    /// Whether something has that name now.
    pub taken: bool,
    /// Made on this machine: the one with the conflict name, the one with the name.
    pub ours: (bool, bool),
    pub modified: TimeNs,
    pub bytes: u64,
}

impl Shared {
    /// The first `limit` of them, and how many there are.
    pub fn conflicts(&self, limit: usize) -> Result<(Vec<Conflict>, usize)> {
        let (mut out, mut count, mut after) = (Vec::new(), 0, None);
        loop {
            let page = self.view().conflicts(after, PAGE).map_err(index_error)?;
            count += page.len();
            for (_, inode) in page.iter().take(limit - out.len()) {
                out.extend(self.conflict(inode)?);
            }
            match page.last() {
                Some((cursor, _)) if page.len() >= PAGE => after = Some(*cursor),
                _ => return Ok((out, count)),
            }
        }
    }

    fn conflict(&self, inode: &Inode) -> Result<Option<Conflict>> {
        let view = self.view();
        let Some(displaced) = &inode.displaced else { return Ok(None) };
        let path = |place: &crate::tree::Place| -> Result<Option<Vec<u8>>> {
            let Some(mut names) = view.path(place.parent).map_err(index_error)? else { return Ok(None) };
            names.push(place.name.clone());
            Ok(Some(names.join(&b'/')))
        };
        let (Some(at), Some(wanted)) = (path(&displaced.at)?, path(&displaced.wanted)?) else {
            return Ok(None);
        };
        let there = view.lookup(displaced.wanted.parent, &displaced.wanted.name).map_err(index_error)?;
        let ours = |inode: &Inode| inode.version.map_or(inode.object.log, |v| v.log) == self.log;
        Ok(Some(Conflict {
            path: at,
            wanted,
            taken: there.is_some(),
            ours: (ours(inode), there.is_some_and(|there| ours(&there))),
            modified: inode.attrs.mtime,
            bytes: inode.size,
        }))
    }
}
