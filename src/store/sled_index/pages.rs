//! Pages in sled, and the opened ones in memory.

use super::open_pages::{Found, OpenPages};
use super::page::{self, Page};
use super::{error, position};
use crate::keys::{Seal, SealKey};
use crate::tree::TableError;
use crate::world::{BLINDED_LEN, Blinded};
use parking_lot::Mutex;
use sled::IVec;
use std::sync::Arc;

/// Pages given to sled at once: it lets nobody read meanwhile.
const SLED_BATCH: usize = 64;

pub(super) struct Pages {
    tree: sled::Tree,
    seal: SealKey,
    open: Mutex<OpenPages>,
}

fn failed(e: sled::Error) -> TableError {
    error(format!("sled: {e}"))
}

fn key_of(stored: &IVec) -> Result<Blinded, TableError> {
    Blinded::try_from(&stored[..]).map_err(|_| error("a page has no key"))
}

impl Pages {
    pub(super) fn new(tree: sled::Tree, seal: SealKey) -> Pages {
        Pages { tree, seal, open: Mutex::default() }
    }

    fn unsealed(&self, at: &Blinded, sealed: &[u8]) -> Result<Arc<Page>, TableError> {
        let damaged = || error("a page is not what was written there");
        let plain = self.seal.open(position(at), sealed).map_err(|_| damaged())?;
        Ok(Arc::new(Page::parse(plain).ok_or_else(damaged)?))
    }

    /// The key of the page after one.
    fn after(&self, at: &Blinded) -> Result<Option<Blinded>, TableError> {
        let next = self.tree.get_gt(&at[..]).map_err(failed)?;
        next.map(|(key, _)| key_of(&key)).transpose()
    }

    /// The page in which a record with this key would be.
    fn find(&self, key: &Blinded) -> Result<Option<Found>, TableError> {
        let state = {
            let mut open = self.open.lock();
            if let Some(found) = open.get(key) {
                return Ok(Some(found));
            }
            open.state()
        };
        let Some(found) = self.tree.range(..=&key[..]).next_back() else { return Ok(None) };
        let (at, sealed) = found.map_err(failed)?;
        let at = key_of(&at)?;
        let page = self.unsealed(&at, &sealed)?;
        let end = self.after(&at)?;
        self.open.lock().put(state, at, end, page.clone());
        Ok(Some(Found { at, end, page }))
    }

    pub(super) fn get(&self, key: &Blinded) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.find(key)?.and_then(|found| found.page.get(key).map(<[u8]>::to_vec)))
    }

    /// The pages that have the records from one key to another, both included.
    pub(super) fn walk(&self, (first, last): (Blinded, Blinded)) -> Walk<'_> {
        Walk { pages: self, next: Next::From(first), last, opened: None }
    }

    /// Write records (None: remove), in the order of their keys.
    pub(super) fn write<'a>(
        &self,
        writes: impl Iterator<Item = (&'a Blinded, Option<&'a [u8]>)>,
    ) -> Result<(), TableError> {
        let mut writes = writes.peekable();
        let (mut batch, mut pages, mut changed) = (sled::Batch::default(), 0, Vec::new());
        while let Some((first, _)) = writes.peek() {
            let (at, old) = match self.find(first)? {
                Some(found) => (found.at, Some(found.page)),
                None => ([0; BLINDED_LEN], None),
            };
            let next = self.after(&at)?;
            let within = std::iter::from_fn(|| writes.next_if(|(k, _)| next.is_none_or(|next| **k < next)));
            let built = page::rewritten(at, old.as_deref(), within);
            if built.is_empty() && old.is_some() {
                batch.remove(&at[..]);
            }
            changed.push(at);
            pages += built.len().max(1);
            for (key, plain) in built {
                batch.insert(&key[..], self.seal.seal(position(&key), &plain));
            }
            if pages >= SLED_BATCH || writes.peek().is_none() {
                self.tree.apply_batch(std::mem::take(&mut batch)).map_err(failed)?;
                self.open.lock().forget(changed.drain(..));
                pages = 0;
            }
        }
        Ok(())
    }
}

/// Where a walk goes on.
enum Next {
    /// At the page that has this key, or would.
    From(Blinded),
    /// At the page with this key of its own.
    At(Blinded),
    /// Where sled goes on, and the state before it began: it reads several pages at once, and what was
    /// rewritten since may come as it was.
    Stored(Box<sled::Iter>, u64),
    End,
}

impl Next {
    fn after(found: &Found) -> Next {
        found.end.map_or(Next::End, Next::At)
    }
}

/// A walk over pages, from one opened page to the next where they are, and else through sled: what it
/// opens is kept, since most directories are listed more than once. A page that is rewritten meanwhile is
/// met as it was or as it is, and records in it may be met again.
pub(super) struct Walk<'p> {
    pages: &'p Pages,
    next: Next,
    last: Blinded,
    /// The last one opened for this: it is kept once it is known where it ends.
    opened: Option<(Blinded, Arc<Page>)>,
}

impl Walk<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Arc<Page>>, TableError> {
        loop {
            match std::mem::replace(&mut self.next, Next::End) {
                Next::From(key) => match self.pages.find(&key)? {
                    Some(found) => return Ok(Some(self.goes_on(found))),
                    None => self.next = self.stored(&[0; BLINDED_LEN]),
                },
                Next::At(key) if key > self.last => return Ok(None),
                Next::At(key) => {
                    let found = self.pages.open.lock().at(&key);
                    match found {
                        Some(found) => return Ok(Some(self.goes_on(found))),
                        None => self.next = self.stored(&key),
                    }
                }
                Next::Stored(stored, state) => return self.open(stored, state),
                Next::End => return Ok(None),
            }
        }
    }

    fn goes_on(&mut self, found: Found) -> Arc<Page> {
        self.next = Next::after(&found);
        found.page
    }

    fn stored(&self, from: &Blinded) -> Next {
        let state = self.pages.open.lock().state();
        Next::Stored(Box::new(self.pages.tree.range(&from[..]..=&self.last[..])), state)
    }

    fn open(&mut self, mut stored: Box<sled::Iter>, state: u64) -> Result<Option<Arc<Page>>, TableError> {
        let Some(found) = stored.next() else { return Ok(None) };
        let (at, sealed) = found.map_err(failed)?;
        let at = key_of(&at)?;
        {
            let mut open = self.pages.open.lock();
            if let Some((last, page)) = self.opened.take() {
                open.put(state, last, Some(at), page);
            }
            if let Some(found) = open.at(&at) {
                return Ok(Some(self.goes_on(found)));
            }
        }
        let page = self.pages.unsealed(&at, &sealed)?;
        self.opened = Some((at, page.clone()));
        self.next = Next::Stored(stored, state);
        Ok(Some(page))
    }
}

/// The next key after one.
pub(super) fn successor(mut key: Blinded) -> Blinded {
    for byte in key.iter_mut().rev() {
        let (more, over) = byte.overflowing_add(1);
        *byte = more;
        if !over {
            break;
        }
    }
    key
}
