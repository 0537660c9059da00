//! Moments of a drive's past, read without rewinding it.
//!
//! The state at a moment is today's, with the values put back that entries after it and pending
//! operations after it changed. Each such value is kept by its key ([`Before`]), so that what one
//! looks at costs what changed there since, and opening a moment nothing.

use super::super::state::{
    Before, Dirent, Inode, Xattr, before_group, cursor_of_number, decode, dirent_key, id_bytes, is_kept,
    of_object, tables,
};
use super::super::{CURSOR_MIN, Child, Cursor, Key, ObjectId, ROOT, Table, TableError, TimeNs};
use super::applied::stood;
use super::record::Pending;
use super::{Fold, FoldError};
use crate::content::Content;
use crate::keys::{Purpose, hash};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of listings that a moment remembers; one directory may have more.
const NAMES_KEPT: usize = 200_000;

/// What was taken back in the order, and in the tail: who remembers something of them looks whether
/// these have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Turns {
    rewound: u64,
    tail: u64,
}

impl Turns {
    pub(super) fn rewound(&mut self) {
        self.rewound += 1;
    }
    pub(super) fn tail_changed(&mut self) {
        self.tail += 1;
    }
}

/// Names of a directory in their cursors' order.
type Listing = Arc<BTreeMap<(Cursor, Vec<u8>), Dirent>>;

/// A moment, and what was found out about it. Used together with the fold and the table of one
/// drive, while nobody changes them.
#[derive(Debug)]
pub struct Moment {
    time: TimeNs,
    /// Entries that stood in the order then.
    entries: u64,
    /// The first place in the tail that was not yet taken.
    place: u64,
    /// The tail is known up to here: what keys had before the operations from `place` on.
    tail_to: u64,
    tail: BTreeMap<Key, Option<Vec<u8>>>,
    turns: Option<(Turns, u64)>,
    listings: BTreeMap<ObjectId, Listing>,
}

impl Moment {
    /// The state as it was at a time: with everything that was made until then.
    pub fn at(time: TimeNs) -> Moment {
        Moment {
            time,
            entries: 0,
            place: 0,
            tail_to: 0,
            tail: BTreeMap::new(),
            turns: None,
            listings: BTreeMap::new(),
        }
    }

    /// Nanoseconds since 1970.
    pub fn time(&self) -> TimeNs {
        self.time
    }

    /// The same moment's tail with another number of entries.
    pub(super) fn set_entries(&mut self, entries: u64) {
        self.entries = entries;
        self.listings.clear();
    }

    /// The value that a key had.
    fn value(&self, now: &dyn Table, key: &Key) -> Result<Option<Vec<u8>>, TableError> {
        let mut found = None;
        let mut damaged = None;
        let group = before_group(key.table, &key.group);
        now.each(tables::BEFORE, &group, self.after(), &mut |_, bytes| {
            match decode::<Before>("a former value", bytes) {
                Ok(before) if before.item == key.item => found = Some(before.value),
                Ok(_) => return true,
                Err(e) => damaged = Some(e),
            }
            false
        })?;
        match (damaged, found) {
            (Some(e), _) => Err(e),
            (None, Some(value)) => Ok(value.map(serde_bytes::ByteBuf::into_vec)),
            (None, None) => match self.tail.get(key) {
                Some(value) => Ok(value.clone()),
                None => now.get(key),
            },
        }
    }

    /// Former values are those before the entries behind this cursor.
    fn after(&self) -> Option<Cursor> {
        Some(cursor_of_number(self.entries).saturating_sub(1))
    }

    /// The values that a whole group had, by item.
    fn group(
        &self,
        now: &dyn Table,
        (table, group): (u8, &[u8]),
        item_of: impl Fn(&[u8]) -> Result<Vec<u8>, TableError>,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, TableError> {
        let mut out: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let mut damaged = None;
        now.each(tables::BEFORE, &before_group(table, group), self.after(), &mut |_, bytes| match decode::<
            Before,
        >(
            "a former value",
            bytes,
        ) {
            Ok(before) => {
                let value = before.value.map(serde_bytes::ByteBuf::into_vec);
                out.entry(before.item).or_insert(value);
                true
            }
            Err(e) => {
                damaged = Some(e);
                false
            }
        })?;
        let first = Key { table, group: group.to_vec(), item: Vec::new() };
        for (key, value) in self.tail.range(first..).take_while(|(k, _)| k.table == table && k.group == group)
        {
            out.entry(key.item.clone()).or_insert_with(|| value.clone());
        }
        now.each(table, group, None, &mut |_, bytes| match item_of(bytes) {
            Ok(item) => {
                out.entry(item).or_insert_with(|| Some(bytes.to_vec()));
                true
            }
            Err(e) => {
                damaged = Some(e);
                false
            }
        })?;
        match damaged {
            Some(e) => Err(e),
            None => Ok(out.into_iter().filter_map(|(item, value)| Some((item, value?))).collect()),
        }
    }

    /// The inode of an object of then.
    pub fn inode(&self, now: &dyn Table, object: ObjectId) -> Result<Option<Inode>, TableError> {
        match self.value(now, &of_object(tables::INODE, &object))? {
            Some(bytes) => decode("an inode", &bytes).map(Some),
            None => Ok((object == ROOT).then(Inode::first_root)),
        }
    }

    /// The content of a file of then.
    pub fn content(&self, now: &dyn Table, inode: &Inode) -> Result<Content, TableError> {
        let none = Content::Inline(Vec::new());
        // Of what an entry both made and filled no former content is kept.
        if inode.version.is_none() {
            return Ok(none);
        }
        match self.value(now, &of_object(tables::CONTENT, &inode.object))? {
            Some(bytes) => decode("a content", &bytes),
            None => Ok(none),
        }
    }

    /// Extended attributes of then, by name.
    pub fn xattrs(
        &self,
        now: &dyn Table,
        object: ObjectId,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, TableError> {
        let read = |bytes: &[u8]| decode::<Xattr>("an extended attribute", bytes);
        let all = self.group(now, (tables::XATTR, &id_bytes(&object)), |bytes| Ok(read(bytes)?.name))?;
        all.into_iter().map(|(name, bytes)| Ok((name, read(&bytes)?.value))).collect()
    }

    /// What was under a name.
    pub fn lookup(&self, now: &dyn Table, dir: ObjectId, name: &[u8]) -> Result<Option<Inode>, TableError> {
        let key = dirent_key(&dir, name);
        let found = match self.listings.get(&dir) {
            Some(listing) => listing.get(&(cursor(name), name.to_vec())).cloned(),
            None => self.value(now, &key)?.map(|bytes| decode("a directory entry", &bytes)).transpose()?,
        };
        match found {
            Some(Dirent { object, .. }) => self.inode(now, object),
            None => Ok(None),
        }
    }

    /// The names that a directory had. Remembered: a listing is asked for page by page.
    fn listing(&mut self, now: &dyn Table, dir: ObjectId) -> Result<Listing, TableError> {
        if let Some(listing) = self.listings.get(&dir) {
            return Ok(listing.clone());
        }
        let read = |bytes: &[u8]| decode::<Dirent>("a directory entry", bytes);
        let all = self.group(now, (tables::DIRENT, &id_bytes(&dir)), |bytes| Ok(read(bytes)?.name))?;
        let listing: BTreeMap<_, _> = all
            .into_iter()
            .map(|(name, bytes)| Ok(((cursor(&name), name), read(&bytes)?)))
            .collect::<Result<_, TableError>>()?;
        let kept: usize = self.listings.values().map(|l| l.len()).sum();
        if kept + listing.len() > NAMES_KEPT {
            self.listings.clear();
        }
        let listing = Arc::new(listing);
        self.listings.insert(dir, listing.clone());
        Ok(listing)
    }

    /// Names of a directory of then in cursor order, strictly after `after`, until `each` wants no
    /// more (false).
    pub fn each_name(
        &mut self,
        now: &dyn Table,
        dir: ObjectId,
        after: Option<Cursor>,
        mut each: impl FnMut(Cursor, &Dirent) -> bool,
    ) -> Result<(), TableError> {
        let listing = self.listing(now, dir)?;
        let from = (after.map_or(0, |c| c.saturating_add(1)), Vec::new());
        for ((cursor, _), dirent) in listing.range(from..) {
            if !each(*cursor, dirent) {
                break;
            }
        }
        Ok(())
    }

    /// Children of a directory of then, as [`super::super::View::children`].
    pub fn children(
        &mut self,
        now: &dyn Table,
        dir: ObjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Child>, TableError> {
        let mut found = Vec::new();
        self.each_name(now, dir, after, |cursor, dirent| {
            let split = found.last().is_some_and(|(last, ..): &(Cursor, _, _)| *last == cursor);
            if found.len() >= limit && !split {
                return false;
            }
            found.push((cursor, dirent.name.clone(), dirent.object));
            true
        })?;
        let mut out = Vec::with_capacity(found.len());
        for (cursor, name, object) in found {
            let inode = self.inode(now, object)?;
            let inode = inode.ok_or_else(|| TableError("a former name names no inode".into()))?;
            out.push(Child { cursor, name, inode });
        }
        Ok(out)
    }
}

/// Where a name stands in a listing of the past: the same on every mount, since nothing is hidden
/// from whoever reads it.
fn cursor(name: &[u8]) -> Cursor {
    let [a, b, c, d, e, f, g, h, ..] = hash(Purpose::TreeState, &[b"listing", name]).0;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) & (u64::MAX >> 1)).max(CURSOR_MIN + 1)
}

impl Fold {
    /// Entries that were taken back so far, to be applied again behind others.
    pub fn rewound(&self) -> u64 {
        self.turns.rewound
    }

    /// Bring a moment in line with what came since it was looked at last. Cheap, unless something
    /// was taken back meanwhile; then it begins anew, with as many steps as there are pending
    /// operations.
    pub fn bring_up(&self, table: &dyn Table, moment: &mut Moment) -> Result<(), FoldError> {
        let applied = self.counters.applied;
        let same = match moment.turns {
            Some((turns, at)) if turns == self.turns && at == applied => true,
            // Entries came behind, and none of them belongs into the moment.
            Some((turns, _)) if turns == self.turns && moment.entries < applied => {
                stood(table, moment.entries)?.since > moment.time
            }
            _ => false,
        };
        if !same {
            let Moment { time, .. } = *moment;
            *moment = Moment::at(time);
            moment.entries = self.entries_until(table, time)?;
            moment.place = if moment.entries < applied { 0 } else { self.place_until(table, time)? };
            moment.tail_to = moment.place;
        }
        moment.turns = Some((self.turns, applied));
        self.read_tail(table, moment)
    }

    /// Read what pending operations changed that were not read yet.
    fn read_tail(&self, table: &dyn Table, moment: &mut Moment) -> Result<(), FoldError> {
        for (&at, _) in self.tail.range(moment.tail_to..) {
            for (key, value) in Pending::read(table, at)?.undo.writes {
                if is_kept(key.table) {
                    moment.tail.entry(key).or_insert(value);
                }
            }
            moment.tail_to = at + 1;
        }
        Ok(())
    }

    /// The top directory as the entries until a time made it: found without looking at what is pending.
    pub fn root_at(&self, table: &dyn Table, time: TimeNs) -> Result<Inode, FoldError> {
        let moment = Moment { entries: self.entries_until(table, time)?, ..Moment::at(time) };
        Ok(moment.inode(table, ROOT)?.unwrap_or_else(Inode::first_root))
    }

    /// The state that the first `entries` entries alone made.
    pub(super) fn made_by(&self, table: &dyn Table, entries: u64) -> Result<Moment, FoldError> {
        let mut moment = Moment { entries, ..Moment::at(TimeNs::MAX) };
        self.read_tail(table, &mut moment)?;
        Ok(moment)
    }

    /// How many entries stood in the order at a time.
    fn entries_until(&self, table: &dyn Table, time: TimeNs) -> Result<u64, TableError> {
        let (mut below, mut above) = (0, self.counters.applied);
        while below < above {
            let middle = below + (above - below) / 2;
            if stood(table, middle)?.since <= time { below = middle + 1 } else { above = middle }
        }
        Ok(below)
    }

    /// The first place of the tail whose operation was made after a time.
    fn place_until(&self, table: &dyn Table, time: TimeNs) -> Result<u64, TableError> {
        for &at in self.tail.keys() {
            if Pending::read(table, at)?.op.time > time {
                return Ok(at);
            }
        }
        Ok(self.counters.next)
    }
}
