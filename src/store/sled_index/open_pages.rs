//! Opened pages, kept in memory: a record in one of them is found without sled.

use super::page::Page;
use crate::world::Blinded;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of opened pages kept: those of a directory of 10,000 files and of their inodes, with room
/// to spare, so that listing one takes nothing from looking at another.
const OPEN_MAX: usize = 16 << 20;

/// An opened page, where it lies.
#[derive(Clone)]
pub(super) struct Found {
    /// Its own key.
    pub(super) at: Blinded,
    /// The key of the one after it.
    pub(super) end: Option<Blinded>,
    pub(super) page: Arc<Page>,
}

/// A page, and the key of the one after it.
struct Kept {
    end: Option<Blinded>,
    page: Arc<Page>,
}

impl Kept {
    fn found(&self, at: &Blinded) -> Found {
        Found { at: *at, end: self.end, page: self.page.clone() }
    }
}

/// See the module. What is asked for again stays; the rest goes in turn, half of all at once.
///
/// Who reads a page notes the state before, and a page is taken only in the same state: between
/// the two it may have been rewritten.
#[derive(Default)]
pub(super) struct OpenPages {
    young: BTreeMap<Blinded, Kept>,
    young_bytes: usize,
    /// What was young before; whoever is asked for becomes young again.
    old: BTreeMap<Blinded, Kept>,
    state: u64,
}

fn holding<'k>(pages: &'k BTreeMap<Blinded, Kept>, key: &Blinded) -> Option<(&'k Blinded, &'k Kept)> {
    pages.range(..=*key).next_back().filter(|(_, kept)| kept.end.is_none_or(|end| *key < end))
}

impl OpenPages {
    /// The page that has, or would have, a record with this key.
    pub(super) fn get(&mut self, key: &Blinded) -> Option<Found> {
        if let Some((at, kept)) = holding(&self.young, key) {
            return Some(kept.found(at));
        }
        let at = *holding(&self.old, key)?.0;
        let kept = self.old.remove(&at)?;
        let found = kept.found(&at);
        self.keep(at, kept);
        Some(found)
    }

    /// The page with this key of its own.
    pub(super) fn at(&mut self, at: &Blinded) -> Option<Found> {
        self.get(at).filter(|found| found.at == *at)
    }

    pub(super) fn state(&self) -> u64 {
        self.state
    }

    /// A page as it was in this state.
    pub(super) fn put(&mut self, state: u64, at: Blinded, end: Option<Blinded>, page: Arc<Page>) {
        if state == self.state {
            self.old.remove(&at);
            self.keep(at, Kept { end, page });
        }
    }

    fn keep(&mut self, at: Blinded, kept: Kept) {
        self.young_bytes += kept.page.memory() + size_of::<(Blinded, Kept)>();
        self.young.insert(at, kept);
        if self.young_bytes > OPEN_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    /// These pages were rewritten.
    pub(super) fn forget(&mut self, pages: impl Iterator<Item = Blinded>) {
        self.state += 1;
        for at in pages {
            self.young.remove(&at);
            self.old.remove(&at);
        }
    }
}
