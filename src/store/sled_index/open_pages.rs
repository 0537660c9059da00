//! Opened pages, kept in memory: a record in one of them is found without sled.

use super::page::Page;
use crate::world::Blinded;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of opened pages kept: those of a directory of 10,000 files and of their inodes, with room
/// to spare, so that listing one takes nothing from looking at another.
const OPEN_MAX: usize = 16 << 20;

/// A page, and the key of the one after it.
struct Kept {
    end: Option<Blinded>,
    page: Arc<Page>,
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
    /// The page that has, or would have, a record with this key, and its own key.
    pub(super) fn get(&mut self, key: &Blinded) -> Option<(Blinded, Arc<Page>)> {
        if let Some((at, kept)) = holding(&self.young, key) {
            return Some((*at, kept.page.clone()));
        }
        let at = *holding(&self.old, key)?.0;
        let kept = self.old.remove(&at)?;
        let page = kept.page.clone();
        self.keep(at, kept);
        Some((at, page))
    }

    /// The page with this key of its own.
    pub(super) fn at(&mut self, at: &Blinded) -> Option<Arc<Page>> {
        self.get(at).filter(|(own, _)| own == at).map(|(_, page)| page)
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
