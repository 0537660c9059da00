//! Rename and exchange.

use super::super::state::{Inode, Place};
use super::super::{Name, ObjectId, ROOT, Seen, is_name};
use super::edit::{Done, Editor, displaced_from};

impl Editor<'_, '_> {
    pub fn rename(
        &mut self,
        object: ObjectId,
        from: (ObjectId, &[u8]),
        to: (ObjectId, &[u8]),
        replaced: Option<Seen>,
    ) -> Done {
        let Some(moved) = self.inode(object)?.filter(|i| i.object != ROOT) else { return Ok(()) };
        if !is_name(to.1) || (moved.is_dir() && self.is_within(to.0, moved.object)?) {
            return Ok(());
        }
        let Some(dir) = self.live_dir(to.0)? else { return Ok(()) };
        if moved.is_dir() && self.is_within(dir, moved.object)? {
            return Ok(());
        }
        // Reviving a directory may have changed the record.
        let Some(moved) = self.inode(object)? else { return Ok(()) };
        let source = self.source(&moved, from)?;
        let wanted = Place { parent: dir, name: to.1.to_vec() };
        if source.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let there = self.view().dirent(dir, to.1)?;
        if there == Some(moved.object) {
            return self.already_there(&moved, source, replaced);
        }
        let (target, displaced) = self.make_room(&moved, wanted, there.is_some(), to, replaced)?;
        if let Some(source) = source {
            self.leave(moved.object, &source)?;
        }
        self.enter(moved.object, target, displaced)
    }

    /// The name to take from the thing that moves; None: none (it was deleted, or the name
    /// in question went and others are left).
    fn source(&self, moved: &Inode, from: (ObjectId, &[u8])) -> Done<Option<Place>> {
        if let Some(parent) = self.standing(from.0)? {
            let place = Place { parent, name: from.1.to_vec() };
            if self.view().dirent(parent, from.1)? == Some(moved.object) {
                return Ok(Some(place));
            }
            if let Some(at) = displaced_from(moved, &place) {
                return Ok(Some(at));
            }
        }
        Ok((moved.names == 1).then(|| moved.home.clone()))
    }

    /// The target name is one of its names already: it only loses the old one, unless its
    /// author saw that (then rename(2) does nothing).
    fn already_there(&mut self, moved: &Inode, source: Option<Place>, replaced: Option<Seen>) -> Done {
        let knew = match replaced {
            Some(seen) => self.view().resolve(seen.object)? == Some(moved.object),
            None => false,
        };
        match source {
            Some(source) if !knew => self.leave(moved.object, &source),
            _ => Ok(()),
        }
    }

    /// The place for the thing that moves, and the one wanted where that is another: what
    /// its author saw there goes; anything else stays, and the newcomer takes a conflict name.
    fn make_room(
        &mut self,
        moved: &Inode,
        wanted: Place,
        taken: bool,
        to: (ObjectId, &[u8]),
        replaced: Option<Seen>,
    ) -> Done<(Place, Option<Place>)> {
        let seen = match replaced {
            Some(seen) => self.expected(to.0, to.1, seen)?,
            None => None,
        };
        if let Some((at, old)) = seen
            && self.may_replace(moved, &old, &at)?
        {
            self.leave(old.object, &at)?;
            return Ok(if taken && at != wanted { (at, Some(wanted)) } else { (wanted, None) });
        }
        self.choose(wanted.parent, &wanted.name, moved.is_dir())
    }

    fn may_replace(&self, moved: &Inode, old: &Inode, at: &Place) -> Done<bool> {
        Ok(old.object != moved.object
            && old.is_dir() == moved.is_dir()
            && old.children == 0
            && !(moved.is_dir() && self.is_within(at.parent, moved.object)?))
    }

    pub fn exchange(&mut self, a: (ObjectId, ObjectId, &Name), b: (ObjectId, ObjectId, &Name)) -> Done {
        let Some((a, a_at)) = self.under(a)? else { return Ok(()) };
        let Some((b, b_at)) = self.under(b)? else { return Ok(()) };
        let circle = (a.is_dir() && self.is_within(b_at.parent, a.object)?)
            || (b.is_dir() && self.is_within(a_at.parent, b.object)?);
        if a.object == b.object || circle {
            return Ok(());
        }
        self.leave(a.object, &a_at)?;
        self.leave(b.object, &b_at)?;
        self.enter(a.object, b_at, None)?;
        self.enter(b.object, a_at, None)
    }

    /// The object and its place, if it is under the name given.
    fn under(&self, (object, parent, name): (ObjectId, ObjectId, &Name)) -> Done<Option<(Inode, Place)>> {
        let Some(parent) = self.standing(parent)? else { return Ok(None) };
        let Some(inode) = self.inode(object)? else { return Ok(None) };
        let there = self.view().dirent(parent, name)? == Some(inode.object);
        Ok(there.then(|| (inode, Place { parent, name: name.clone() })))
    }
}
