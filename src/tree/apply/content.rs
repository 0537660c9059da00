//! SetContent, and the conflict copy.

use super::super::state::*;
use super::super::{Attrs, Kind, ObjectId, OpId, ROOT, TimeNs};
use super::edit::{Done, Editor};
use crate::content::Content;

/// Name of a content whose file nobody knows.
const LOST: &[u8] = b"recovered";

impl Editor<'_, '_> {
    pub fn set_content(
        &mut self,
        object: ObjectId,
        base: Option<OpId>,
        content: &Content,
        mtime: TimeNs,
    ) -> Done {
        let copy = match base {
            Some(base) => self.view().diverted(base)?,
            None => None,
        };
        let file = self.inode(copy.unwrap_or(object))?.filter(Inode::is_file);
        let Some(inode) = file else { return self.recover(content, mtime) };
        // Whoever deleted it had seen the version it has, so nothing is lost by taking this
        // one in its place.
        if inode.is_live() && inode.version != base {
            return self.divert(&inode, content, mtime);
        }
        let target = inode.object;
        let dead = !inode.is_live();
        let home = inode.home.clone();
        self.fill(inode, content, mtime)?;
        if copy.is_some() {
            self.put(of_object(tables::DIVERTED, &self.id.clone()), &target)?;
        }
        if dead {
            let dir = self.live_dir(home.parent)?.unwrap_or(ROOT);
            let (place, wanted) = self.choose(dir, &home.name, false)?;
            self.enter(target, place, wanted)?;
        }
        Ok(())
    }

    /// This content is the one in force now.
    fn fill(&mut self, mut inode: Inode, content: &Content, mtime: TimeNs) -> Done {
        (inode.size, inode.allocated) = content_sizes(content);
        inode.version = Some(self.id);
        inode.attrs.mtime = mtime;
        inode.attrs.ctime = self.op.time;
        self.put(of_object(tables::CONTENT, &inode.object), content)?;
        self.put_inode(&inode)
    }

    /// Beside the file that others changed from the same base: a new one with this content.
    fn divert(&mut self, original: &Inode, content: &Content, mtime: TimeNs) -> Done {
        let home = &original.home;
        let dir = self.live_dir(home.parent)?.unwrap_or(ROOT);
        let (place, wanted) = self.choose(dir, &home.name, false)?;
        let copy = self.new_file(place, wanted, original.attrs, content, mtime)?;
        for xattr in self.view().xattrs(original.object)? {
            self.put(xattr_key(&copy, &xattr.name), &xattr)?;
        }
        Ok(())
    }

    /// A content without a file is kept all the same, in the root.
    fn recover(&mut self, content: &Content, mtime: TimeNs) -> Done {
        let (place, wanted) = self.lost_place(LOST.to_vec())?;
        let attrs =
            Attrs { mode: 0o600, uid: 0, gid: 0, atime: mtime, mtime, ctime: mtime, btime: self.op.time };
        self.new_file(place, wanted, attrs, content, mtime).map(|_| ())
    }

    fn new_file(
        &mut self,
        place: Place,
        wanted: Option<Place>,
        mut attrs: Attrs,
        content: &Content,
        mtime: TimeNs,
    ) -> Done<ObjectId> {
        let object = self.fresh_id()?;
        attrs.btime = self.op.time;
        let inode = self.new_inode(object, Kind::File, attrs, place.clone())?;
        self.fill(inode, content, mtime)?;
        self.put(of_object(tables::DIVERTED, &self.id.clone()), &object)?;
        self.enter(object, place, wanted)?;
        Ok(object)
    }
}
