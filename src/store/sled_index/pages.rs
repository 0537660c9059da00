//! Pages in sled, and the opened ones in memory.

use super::open_pages::OpenPages;
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

/// A record, as it lies in a page.
pub(super) type Record = Result<(Blinded, Vec<u8>), TableError>;

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
    fn find(&self, key: &Blinded) -> Result<Option<(Blinded, Arc<Page>)>, TableError> {
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
        Ok(Some((at, page)))
    }

    pub(super) fn get(&self, key: &Blinded) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.find(key)?.and_then(|(_, page)| page.get(key).map(<[u8]>::to_vec)))
    }

    /// The records from one key to another, both included. Pages that are rewritten meanwhile are met as they
    /// were or as they are.
    pub(super) fn records(&self, (first, last): (Blinded, Blinded)) -> impl Iterator<Item = Record> {
        let mut stored: Option<Walk> = None;
        let mut next = Some(first);
        let mut page: std::vec::IntoIter<(Blinded, Vec<u8>)> = Vec::new().into_iter();
        std::iter::from_fn(move || {
            loop {
                let from = next?;
                if let Some((key, value)) = page.find(|(key, _)| *key >= from) {
                    next = (key < last).then(|| successor(key));
                    return Some(Ok((key, value)));
                }
                let found = match &mut stored {
                    Some(walk) => walk.next(self),
                    None => {
                        let found = self.find(&from);
                        let start = match &found {
                            Ok(Some((at, _))) => successor(*at),
                            _ => [0; BLINDED_LEN],
                        };
                        stored = Some(Walk { pages: self.tree.range(&start[..]..=&last[..]), opened: None });
                        match found {
                            Ok(None) => continue,
                            Ok(Some(found)) => Some(Ok(found)),
                            Err(e) => Some(Err(e)),
                        }
                    }
                };
                match found {
                    Some(Ok((_, opened))) => {
                        let within = opened.from(&from).take_while(|(key, _)| **key <= last);
                        page = within.map(|(k, v)| (*k, v.to_vec())).collect::<Vec<_>>().into_iter();
                    }
                    Some(Err(e)) => {
                        next = None;
                        return Some(Err(e));
                    }
                    None => next = None,
                }
            }
        })
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
                Some((at, page)) => (at, Some(page)),
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

/// A walk over stored pages, which are kept opened: most directories are listed more than once.
struct Walk {
    pages: sled::Iter,
    /// The last one opened for this, and the state before: it is kept once it is known where it ends.
    opened: Option<(u64, Blinded, Arc<Page>)>,
}

impl Walk {
    fn next(&mut self, pages: &Pages) -> Option<Result<(Blinded, Arc<Page>), TableError>> {
        let state = pages.open.lock().state();
        let found = self.pages.next()?;
        Some(found.map_err(failed).and_then(|(at, sealed)| self.open(pages, state, key_of(&at)?, &sealed)))
    }

    fn open(
        &mut self,
        pages: &Pages,
        state: u64,
        at: Blinded,
        sealed: &[u8],
    ) -> Result<(Blinded, Arc<Page>), TableError> {
        let mut open = pages.open.lock();
        if let Some((state, last, page)) = self.opened.take() {
            open.put(state, last, Some(at), page);
        }
        if let Some(page) = open.at(&at) {
            return Ok((at, page));
        }
        drop(open);
        let page = pages.unsealed(&at, sealed)?;
        self.opened = Some((state, at, page.clone()));
        Ok((at, page))
    }
}

/// The next key after one.
fn successor(mut key: Blinded) -> Blinded {
    for byte in key.iter_mut().rev() {
        let (more, over) = byte.overflowing_add(1);
        *byte = more;
        if !over {
            break;
        }
    }
    key
}
