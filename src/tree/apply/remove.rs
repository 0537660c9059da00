//! Unlink and rmdir.

use super::super::state::Place;
use super::super::{ObjectId, ROOT, Seen};
use super::edit::{Done, Editor, displaced_from};

impl Editor<'_, '_> {
    pub fn unlink(&mut self, parent: ObjectId, name: &[u8], seen: Seen) -> Done {
        match self.expected(parent, name, seen)? {
            Some((place, inode)) if !inode.is_dir() => self.leave(inode.object, &place),
            _ => Ok(()),
        }
    }

    pub fn rmdir(&mut self, parent: ObjectId, name: &[u8], object: ObjectId) -> Done {
        let Some(parent) = self.standing(parent)? else { return Ok(()) };
        let Some(inode) = self.inode(object)? else { return Ok(()) };
        if !inode.is_dir() || inode.children > 0 || inode.object == ROOT {
            return Ok(());
        }
        let mut place = Place { parent, name: name.to_vec() };
        if self.view().dirent(parent, name)? != Some(inode.object) {
            match displaced_from(&inode, &place) {
                Some(at) => place = at,
                None => return Ok(()),
            }
        }
        self.leave(inode.object, &place)
    }
}
