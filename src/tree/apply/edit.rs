//! Steps that the operations are made of.

use super::super::state::*;
use super::super::{
    DEPTH_MAX, Name, ObjectId, OpId, Operation, Overlay, ROOT, Seen, Stamp, TableError, View,
};
use super::super::{Key, conflict_name};

pub(super) type Done<T = ()> = Result<T, TableError>;

/// One operation at work on a state.
pub(super) struct Editor<'e, 'a> {
    pub over: &'e mut Overlay<'a>,
    pub label: &'e str,
    pub op: &'e Operation,
    pub id: OpId,
}

impl Editor<'_, '_> {
    pub fn view(&self) -> View<'_> {
        self.over.view()
    }
    pub fn inode(&self, object: ObjectId) -> Done<Option<Inode>> {
        self.view().inode(object)
    }
    pub fn put<T: serde::Serialize>(&mut self, key: Key, value: &T) -> Done {
        self.over.put(key, Some(encode(value)))
    }
    pub fn put_inode(&mut self, inode: &Inode) -> Done {
        self.put(of_object(tables::INODE, &inode.object), inode)
    }

    /// Give an object a name that is free, in a live directory. `wanted`: the name it was to
    /// have, where this is a conflict name.
    pub fn enter(&mut self, object: ObjectId, place: Place, wanted: Option<Place>) -> Done {
        let Some(mut inode) = self.inode(object)? else { return Ok(()) };
        inode.names = inode.names.saturating_add(1);
        inode.home = place.clone();
        if let Some(wanted) = wanted {
            inode.displaced = Some(Displaced { wanted, at: place.clone() });
        }
        if self.id != inode.object {
            inode.attrs.ctime = self.op.time;
        }
        self.put_inode(&inode)?;
        let dirent = Dirent {
            name: place.name.clone(),
            object: inode.object,
            ino: inode.ino,
            kind: FileKind::from(&inode.kind),
        };
        self.put(dirent_key(&place.parent, &place.name), &dirent)?;
        self.put(name_key(&inode.object, &place), &place)?;
        self.child(place.parent, inode.is_dir(), true)
    }

    /// Take a name from an object; without any left it is deleted, and remembers this one.
    pub fn leave(&mut self, object: ObjectId, place: &Place) -> Done {
        let Some(mut inode) = self.inode(object)? else { return Ok(()) };
        self.over.put(dirent_key(&place.parent, &place.name), None)?;
        self.over.put(name_key(&inode.object, place), None)?;
        inode.names = inode.names.saturating_sub(1);
        inode.attrs.ctime = self.op.time;
        if inode.displaced.as_ref().is_some_and(|d| d.at == *place) {
            inode.displaced = None;
        }
        if inode.names == 0 {
            inode.home = place.clone();
        } else if inode.home == *place
            && let Some(other) = self.view().names(inode.object)?.into_iter().next()
        {
            inode.home = other;
        }
        self.put_inode(&inode)?;
        self.child(place.parent, inode.is_dir(), false)
    }

    fn child(&mut self, dir: ObjectId, is_dir: bool, came: bool) -> Done {
        let Some(mut parent) = self.inode(dir)? else { return Ok(()) };
        let subdirs = u32::from(is_dir);
        if came {
            parent.children = parent.children.saturating_add(1);
            parent.subdirs = parent.subdirs.saturating_add(subdirs);
        } else {
            parent.children = parent.children.saturating_sub(1);
            parent.subdirs = parent.subdirs.saturating_sub(subdirs);
        }
        parent.attrs.mtime = self.op.time;
        parent.attrs.ctime = self.op.time;
        self.put_inode(&parent)
    }

    /// The wished name if it is free, else the first conflict name that is, and the wish.
    pub fn choose(&self, parent: ObjectId, name: &[u8], is_dir: bool) -> Done<(Place, Option<Place>)> {
        let wanted = Place { parent, name: name.to_vec() };
        if self.view().dirent(parent, name)?.is_none() {
            return Ok((wanted, None));
        }
        let stamp = Stamp { label: self.label, time: self.op.time, utc_offset_min: self.op.utc_offset_min };
        let numbered = |number| conflict_name(name, is_dir, stamp, number);
        let taken = |number| Ok::<_, TableError>(self.view().dirent(parent, &numbered(number))?.is_some());
        // Thousands may have been made under one name in one minute: the numbers are doubled
        // until one is free, and then the first free one is looked for below it.
        let (mut below, mut free) = (0, 1);
        while taken(free)? {
            (below, free) = (free, free * 2);
        }
        while free - below > 1 {
            let middle = below + (free - below) / 2;
            if taken(middle)? { below = middle } else { free = middle }
        }
        Ok((Place { parent, name: numbered(free) }, Some(wanted)))
    }

    /// The directory itself, live: a deleted one and its deleted ancestors are revived at
    /// their last names; where such a name is a directory again, that one stands for it.
    /// None: there never was such a directory.
    pub fn live_dir(&mut self, dir: ObjectId) -> Done<Option<ObjectId>> {
        let Some((mut at, mut dead)) = self.dead_chain(dir)? else { return Ok(None) };
        while let Some(inode) = dead.pop() {
            match self.view().lookup(at, &inode.home.name)? {
                Some(there) if there.is_dir() => at = there.object,
                _ => {
                    let (place, wanted) = self.choose(at, &inode.home.name, true)?;
                    self.enter(inode.object, place, wanted)?;
                    at = inode.object;
                }
            }
        }
        Ok(Some(at))
    }

    /// The live directory that stands for a directory id now, reviving nothing.
    pub fn standing(&self, dir: ObjectId) -> Done<Option<ObjectId>> {
        let Some((mut at, mut dead)) = self.dead_chain(dir)? else { return Ok(None) };
        while let Some(inode) = dead.pop() {
            match self.view().lookup(at, &inode.home.name)? {
                Some(there) if there.is_dir() => at = there.object,
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The nearest live ancestor of a directory, and the deleted ones below it, lowest first.
    fn dead_chain(&self, dir: ObjectId) -> Done<Option<(ObjectId, Vec<Inode>)>> {
        let mut dead = Vec::new();
        let mut at = dir;
        loop {
            match self.inode(at)? {
                Some(inode) if !inode.is_dir() => return Ok(None),
                Some(inode) if inode.is_live() => return Ok(Some((inode.object, dead))),
                Some(inode) if dead.len() < DEPTH_MAX => {
                    at = inode.home.parent;
                    dead.push(inode);
                }
                Some(_) => return Err(TableError("directories lie in one another in a circle".into())),
                None if dead.is_empty() => return Ok(None),
                None => return Ok(Some((ROOT, dead))),
            }
        }
    }

    /// Is `dir` the directory `ancestor` or somewhere in it (for deleted ones: by last names)?
    pub fn is_within(&self, dir: ObjectId, ancestor: ObjectId) -> Done<bool> {
        let mut at = dir;
        for _ in 0..DEPTH_MAX {
            match self.inode(at)? {
                Some(inode) if inode.object == ancestor => return Ok(true),
                Some(inode) if inode.object != ROOT => at = inode.home.parent,
                _ => return Ok(false),
            }
        }
        Err(TableError("directories lie in one another in a circle".into()))
    }

    /// Where the thing is that an author saw under a name, if it still is what was seen:
    /// under that name; or under the conflict name that its content, or itself, took since.
    pub fn expected(&self, parent: ObjectId, name: &[u8], seen: Seen) -> Done<Option<(Place, Inode)>> {
        let Some(parent) = self.standing(parent)? else { return Ok(None) };
        let place = Place { parent, name: name.to_vec() };
        let as_seen = |inode: &Inode| inode.version == seen.version;
        if let Some(copy) = self.diverted_copy(seen.version)?
            && as_seen(&copy)
        {
            return Ok(Some((copy.home.clone(), copy)));
        }
        let Some(inode) = self.inode(seen.object)? else { return Ok(None) };
        if !as_seen(&inode) {
            return Ok(None);
        }
        if self.view().dirent(place.parent, name)? == Some(inode.object) {
            return Ok(Some((place, inode)));
        }
        Ok(displaced_from(&inode, &place).map(|at| (at, inode)))
    }

    fn diverted_copy(&self, version: Option<OpId>) -> Done<Option<Inode>> {
        let Some(version) = version else { return Ok(None) };
        let Some(copy) = self.view().diverted(version)? else { return Ok(None) };
        Ok(self.inode(copy)?.filter(Inode::is_live))
    }

    /// An id for an object made here: the operation's, or, where a fork of its log used
    /// that already, one derived from it.
    pub fn fresh_id(&self) -> Done<ObjectId> {
        let mut id = self.id;
        for attempt in 0u64.. {
            if self.inode(id)?.is_none() {
                break;
            }
            let parts: [&[u8]; 3] = [&id_bytes(&self.id), b"fork", &attempt.to_be_bytes()];
            id.log.0 = crate::keys::hash(crate::keys::Purpose::TreeState, &parts).0;
        }
        Ok(id)
    }

    /// An inode number for a new object: a hash of its id; where that is taken, the next one.
    pub fn number(&mut self, object: ObjectId) -> Done<u64> {
        for attempt in 0u64.. {
            let ino = inode_number(&object, attempt);
            if ino > ROOT_NUMBER && self.over.view().by_ino(ino)?.is_none() {
                self.put(ino_key(ino), &object)?;
                return Ok(ino);
            }
        }
        Err(TableError("no inode number is free".into()))
    }

    /// A name in a live directory for something that has lost its own.
    pub fn lost_place(&self, name: Name) -> Done<(Place, Option<Place>)> {
        self.choose(ROOT, &name, false)
    }
}

/// The number of an object, 63 bits: its counter, below a hash of its log, so that what is made
/// one after another has numbers that lie together; where that is taken, or the counter too large,
/// a hash of all. In tests a few bits only, so that collisions happen.
pub fn inode_number(object: &ObjectId, attempt: u64) -> u64 {
    let id = id_bytes(object);
    let together = attempt == 0 && object.n <= INO_COUNTER;
    let named = if together { object.log.as_bytes().as_slice() } else { id.as_slice() };
    let parts: [&[u8]; 3] = [named, b"ino", &attempt.to_be_bytes()];
    let [a, b, c, d, e, f, g, h, ..] = crate::keys::hash(crate::keys::Purpose::TreeState, &parts).0;
    let hash = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let number = if together { (hash & !INO_COUNTER) | (object.n & INO_COUNTER) } else { hash };
    number & (u64::MAX >> INO_SHIFT)
}

#[cfg(not(test))]
const INO_SHIFT: u32 = 1;
#[cfg(test)]
const INO_SHIFT: u32 = 44;

/// The conflict name an object has in place of the one it was to have.
pub(super) fn displaced_from(inode: &Inode, wanted: &Place) -> Option<Place> {
    inode.displaced.as_ref().filter(|d| d.wanted == *wanted).map(|d| d.at.clone())
}
