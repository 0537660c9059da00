//! The index made again, or brought up to date, from the entries and the journal.
//!
//! After a clean end it has everything. After a kill it is what the tree was a little before
//! (or a little after: what was on its way to the journal may be in it): entries that it does not
//! know are taken in, and its pending operations are made those of the journal.

use super::access::entry_key;
use super::pending::Pending;
use super::replay::Replay;
use super::setup::OpenError;
use super::shared::Shared;
use crate::keys::{ChunkId, DriveKeys};
use crate::tree::{Checked, Fold, Opened};
use crate::world::{Found, Index};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Entries folded at once when the index is built anew, and bytes of them: folding takes a
/// hundred times as much memory.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 256 << 10;

/// What is built while entries are read.
pub struct Rebuild {
    index: Arc<dyn Index>,
    fold: Fold,
    keys: DriveKeys,
    found: Found,
    batch: Vec<(Vec<u8>, Opened)>,
    batch_bytes: usize,
    published: Vec<u64>,
    refused: u64,
    failed: Option<String>,
}

/// What came of it.
pub struct Rebuilt {
    pub fold: Fold,
    /// Operations of this device that its entries carry, rising (not asked after a clean end).
    /// There may be millions.
    pub published: Arc<Vec<u64>>,
    /// Entries that could not be read.
    pub refused: u64,
}

impl Rebuild {
    /// Over an index, with the fold opened from it.
    pub fn new(index: Arc<dyn Index>, mut fold: Fold, keys: DriveKeys, found: Found) -> Rebuild {
        fold.rebuilding(true);
        let (batch, published) = (Vec::new(), Vec::new());
        Rebuild { index, fold, keys, found, batch, batch_bytes: 0, published, refused: 0, failed: None }
    }

    /// An entry, in the order in which they came in.
    pub fn entry(&mut self, bytes: &[u8]) {
        if self.found == Found::All {
            return;
        }
        // Verified when it came in, and sealed on this machine's disk since.
        let Ok(claimed) = Checked::claimed(bytes, &self.keys.drive()) else {
            self.refused += 1;
            return;
        };
        let own = claimed.log == self.fold.log();
        let known = self.found == Found::Older && self.known(&claimed);
        if known && !own {
            return;
        }
        let Ok(opened) = claimed.open(&self.keys) else {
            self.refused += 1;
            return;
        };
        if own {
            self.published.extend(opened.operations.iter().map(|op| op.n));
        }
        if known {
            return;
        }
        self.batch_bytes += bytes.len();
        self.batch.push((bytes.to_vec(), opened));
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    fn known(&mut self, entry: &Checked) -> bool {
        let known = self.fold.knows(&*self.index, &entry.hash).map_err(|e| e.to_string());
        known.unwrap_or_else(|e| {
            self.failed.get_or_insert(e);
            true
        })
    }

    fn flush(&mut self) {
        let (mut writes, mut entries) = (Vec::new(), Vec::new());
        self.batch_bytes = 0;
        for (bytes, opened) in self.batch.drain(..) {
            writes.push((opened.hash, entry_key(&opened.header.log(), opened.header.seq), bytes));
            entries.push(opened);
        }
        let done = self.fold.take(&*self.index, entries).map_err(|e| e.to_string()).and_then(|mut step| {
            // One that found no place to wait comes again from friends.
            let taken = writes.into_iter().filter(|(hash, ..)| !step.turned_away.contains(hash));
            step.batch.writes.extend(taken.map(|(_, key, bytes)| (key, Some(bytes))));
            self.index.commit(step.batch).map_err(|e| e.to_string())
        });
        if let Err(e) = done {
            self.failed.get_or_insert(e);
        }
    }

    /// All entries were given.
    pub fn finish(mut self) -> std::result::Result<Rebuilt, String> {
        self.flush();
        self.fold.rebuilding(false);
        match self.failed {
            Some(why) => Err(why),
            None => {
                self.published.sort_unstable();
                self.published.dedup();
                Ok(Rebuilt { fold: self.fold, published: Arc::new(self.published), refused: self.refused })
            }
        }
    }
}

impl Rebuilt {
    /// Which operations of the journal still matter.
    pub fn wanted(&self, found: Found) -> impl Fn(u64) -> bool + Send + use<> {
        let pending: BTreeSet<u64> = self.fold.pending().into_iter().collect();
        let published = self.published.clone();
        move |n| match found {
            Found::All => pending.contains(&n),
            Found::Older | Found::Nothing => published.binary_search(&n).is_err(),
        }
    }
}

/// Pending operations: those of the journal, in the tree, in the order of their numbers.
pub fn restore_operations(
    shared: &Shared,
    replay: &mut Replay,
    found: Found,
) -> std::result::Result<(), OpenError> {
    let mut core = shared.core.lock();
    let mut kept = std::mem::take(&mut replay.ops);
    if found != Found::All {
        let in_tree: BTreeSet<u64> = core.fold.pending().into_iter().collect();
        let first_missing = kept.keys().find(|n| !in_tree.contains(n)).copied().unwrap_or(u64::MAX);
        // What never reached the journal was not promised; what stands behind one that is missing
        // is made again behind it.
        let stands = |n: &u64| kept.contains_key(n) && *n < first_missing;
        let wrong: Vec<u64> = in_tree.iter().filter(|n| !stands(n)).copied().collect();
        if !wrong.is_empty() {
            shared.forget(&mut core, &wrong).map_err(|e| OpenError::Tree(e.to_string()))?;
        }
        let missing = kept.split_off(&first_missing);
        for pending in missing.into_values() {
            let n = pending.op.n;
            // One that the tree refuses must not keep the others, and the drive, away.
            if let Err(e) = shared.apply(&mut core, pending) {
                shared.note(format!("change {n} of this machine cannot be made again: {e}"));
            }
            if !shared.index.has_room(true) {
                let why = "no room on the disk for the changes of this machine; free some and try again";
                return Err(OpenError::Tree(why.into()));
            }
        }
    }
    let mut told: BTreeMap<u64, Vec<ChunkId>> =
        kept.into_iter().map(|(n, pending)| (n, pending.chunks)).collect();
    let ops = core.fold.pending_operations(&*shared.index).map_err(|e| OpenError::Tree(e.to_string()))?;
    for op in ops {
        let chunks = told.remove(&op.n).unwrap_or_default();
        core.pending.insert(Pending { op, chunks });
    }
    Ok(())
}
