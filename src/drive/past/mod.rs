//! The past of a drive, to be looked at: `.kith/at/TIME` in the root, read-only.
//!
//! Inodes of the past have numbers with the top bit set. Such a number stands for an object at a
//! time; which, is remembered here for those that the kernel knows.

mod files;
mod time;

pub use time::second_name;

use super::api::{Error, Ino, ROOT_INO, Result};
use super::shared::{Shared, index_error, tree_error};
use crate::keys::{Purpose, hash};
use crate::tree::{Moment, ObjectId, ROOT, TableError, TimeNs, View, id_bytes};
use crate::tree::{Table, Version};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

/// The directory in the root that shows what is not files. It is in no listing.
pub const OWN_DIR: &[u8] = b".kith";
/// In it, the one with the moments.
const AT: &[u8] = b"at";

/// Set in the numbers of inodes of the past.
const TOP: Ino = 1 << 63;
const OWN_INO: Ino = TOP | 1;
const AT_INO: Ino = TOP | 2;
/// Numbers below are for directories that are no object's.
const RESERVED: Ino = 15;

/// Moments that are remembered with what was read of them.
const MOMENTS_MAX: usize = 4;
/// Inodes that were listed and that the kernel may never ask for: forgotten beyond this.
const LISTED_MAX: usize = 64 << 10;

/// Whether a number is of an inode of the past.
pub fn is_past(ino: Ino) -> bool {
    ino & TOP != 0
}

/// An object at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Then {
    time: TimeNs,
    object: ObjectId,
}

/// What is remembered of the past.
#[derive(Default)]
pub struct Past {
    /// The latest used last.
    moments: Mutex<Vec<Moment>>,
    known: Mutex<Known>,
    opened: AtomicU64,
}

impl Past {
    /// Another number each time: what is late may still come into a moment, and nobody tells the
    /// kernel to forget the pages it had.
    pub fn content_epoch(&self) -> u64 {
        self.opened.fetch_add(1, Ordering::Relaxed)
    }
    /// The fold begins anew: what was found with another is not to be taken for found with this one.
    pub fn forget_moments(&self) {
        self.moments.lock().clear();
    }
}

#[derive(Default)]
struct Known {
    /// With how often the kernel looked it up.
    inodes: BTreeMap<Ino, (Then, u64)>,
    /// Those that were listed, the latest last: forgotten if the kernel did not ask for them.
    listed: VecDeque<Ino>,
}

impl Known {
    /// The number of an object of the past; the same at every mount, but for two that would meet.
    fn number(&self, then: Then) -> Ino {
        let mut salt = 0u32;
        loop {
            let parts = [&then.time.to_be_bytes()[..], &id_bytes(&then.object), &salt.to_be_bytes()];
            let [a, b, c, d, e, f, g, h, ..] = hash(Purpose::TreeState, &parts).0;
            let ino = u64::from_be_bytes([a, b, c, d, e, f, g, h]) | TOP;
            let free = self.inodes.get(&ino).is_none_or(|(other, _)| *other == then);
            if free && ino & !TOP > RESERVED {
                return ino;
            }
            salt += 1;
        }
    }
    /// Remember it, with `lookups` more.
    fn know(&mut self, then: Then, lookups: u64) -> Ino {
        let ino = self.number(then);
        if lookups == 0 && !self.inodes.contains_key(&ino) {
            self.listed.push_back(ino);
        }
        self.inodes.entry(ino).or_insert((then, 0)).1 += lookups;
        if self.listed.len() > LISTED_MAX
            && let Some(oldest) = self.listed.pop_front()
            && self.inodes.get(&oldest).is_some_and(|(_, lookups)| *lookups == 0)
        {
            self.inodes.remove(&oldest);
        }
        ino
    }
}

impl Shared {
    /// Look at a moment, while nothing changes.
    fn at<T>(
        &self,
        time: TimeNs,
        look: impl FnOnce(&mut Moment, &dyn Table) -> std::result::Result<T, TableError>,
    ) -> Result<T> {
        // The order that a moment stands in must not move: who looks at the past holds up who writes,
        // for as long as it takes to read one thing of it.
        let core = self.core.lock();
        let mut moments = self.past.moments.lock();
        let found = moments.iter().position(|m| m.time() == time);
        let mut moment = found.map_or_else(|| Moment::at(time), |i| moments.remove(i));
        core.fold.bring_up(&*self.index, &mut moment).map_err(tree_error)?;
        let looked = look(&mut moment, &*self.index).map_err(index_error);
        if moments.len() >= MOMENTS_MAX {
            moments.remove(0);
        }
        moments.push(moment);
        looked
    }

    /// What an inode of the past stands for.
    fn then(&self, ino: Ino) -> Result<Then> {
        self.past.known.lock().inodes.get(&ino).map(|(then, _)| *then).ok_or(Error::Stale)
    }

    /// When the drive's history begins; None: nothing is in it.
    pub fn history_begins(&self) -> Result<Option<TimeNs>> {
        let core = self.core.lock();
        if core.fold.applied() == 0 {
            return Ok(None);
        }
        core.fold.stood(&*self.index, 0).map(|stood| Some(stood.since)).map_err(tree_error)
    }

    /// The last moment there is: now, or when the last entry is from, as friends' clocks have it.
    fn last_moment(&self) -> Result<TimeNs> {
        let core = self.core.lock();
        let last = core.fold.applied().checked_sub(1);
        let since = last.map(|n| core.fold.stood(&*self.index, n)).transpose().map_err(tree_error)?;
        Ok(since.map_or(TimeNs::MIN, |stood| stood.since).max(self.now()))
    }

    /// Refuses a change of the past, or of the names that lead to it.
    pub fn is_present(&self, parent: Ino, name: &[u8]) -> Result<()> {
        if parent == ROOT_INO && name == OWN_DIR {
            return Err(Error::NotPermitted);
        }
        self.is_present_inode(parent)
    }
    /// See [`Shared::is_present`].
    pub fn is_present_inode(&self, ino: Ino) -> Result<()> {
        if is_past(ino) { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// What was under a path, latest first. A directory on the way that is there no more is looked
    /// for where it was last.
    pub fn versions(&self, path: &[u8]) -> Result<Vec<Version>> {
        let mut names: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|n| !n.is_empty()).collect();
        let last = names.pop().ok_or(Error::Invalid("the root has no versions; its past is in .kith/at"))?;
        let core = self.core.lock();
        let mut dir = ROOT;
        for name in names {
            let found = match View(&*self.index).dirent(dir, name).map_err(index_error)? {
                Some(object) => Some(object),
                None => {
                    let all = core.fold.versions(&*self.index, dir, name).map_err(tree_error)?;
                    all.into_iter().find_map(|v| v.inode.map(|i| i.object))
                }
            };
            dir = found.ok_or(Error::NotFound)?;
        }
        core.fold.versions(&*self.index, dir, last).map_err(tree_error)
    }
}
