//! The fold: all entries in their total order, and the pending operations of this device
//! after them.
//!
//! The order is (Lamport counter, log id, hash of the entry), then the index in the entry.
//! Every call reads a table, changes what the fold remembers, and returns one [`Step`] whose
//! batch the caller commits before the next call; if that fails, the fold is to be opened
//! again from the table. [`Fold::open`] resumes from whatever was committed.

mod applied;
mod footprints;
mod local;
mod moment;
mod order;
mod record;
mod take;
mod versions;

use super::state::{encode, single, tables};
use super::{Batch, Operation, Overlay, Table, TableError, TimeNs, Touched, Vector, View, recount, touched};
use crate::keys::{EntryHash, LogId};
use crate::wire::Head;
use footprints::Footprints;
pub use moment::{Moment, Turns};
pub use record::OrderKey;
use record::{Counters, HeadRecord, Known, Pending, Waiting};
use std::collections::{BTreeMap, BTreeSet};
pub use versions::Version;

/// What to commit, and what it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub batch: Batch,
    pub touched: Touched,
    /// Entries given that were not taken in, since too many wait already: to be given again later.
    pub turned_away: BTreeSet<EntryHash>,
}

/// Why the fold cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FoldError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("operation {0} was made before")]
    Twice(u64),
    #[error("operation {0} is not pending")]
    NotPending(u64),
    #[error("operation {n} takes {bytes} bytes, and one may take {OP_MAX}")]
    TooLong { n: u64, bytes: usize },
    #[error("operations of log {0} are pending, so this device cannot go on with another log")]
    OtherLog(LogId),
    #[error("this drive follows rules {0}, newer than this version of kith knows: upgrade")]
    Upgrade(u32),
}

/// Longest operation, encoded.
pub const OP_MAX: usize = 256 << 10;
/// Most operations in one entry.
pub const ENTRY_OPS_MAX: usize = 4096;
/// Most bytes of operations a draft takes (the rest of an entry is for vector and catalogue).
pub const DRAFT_MAX: usize = 640 << 10;

/// Entries that wait for others, and bytes of their records: whoever may write can name entries
/// that will never be. One that stands in its order never waits, so that those turned away come
/// in, a round of asking later, behind those that were taken.
const WAITING_MAX: usize = 4096;
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What is needed to make the next entry of this device's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub log: LogId,
    pub seq: u64,
    pub previous: EntryHash,
    pub lamport: u64,
    /// Heads seen; the caller fills in the admin log's.
    pub vector: Vector,
    pub label: String,
    /// Those chosen that fit in one entry, in their order.
    pub operations: Vec<Operation>,
}

/// An entry that waits, without its body.
#[derive(Clone, Debug)]
struct Waits {
    missing: BTreeSet<EntryHash>,
    /// Length of its record.
    bytes: usize,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Fold {
    log: LogId,
    label: String,
    counters: Counters,
    heads: BTreeMap<(LogId, EntryHash), HeadRecord>,
    /// Place in the tail -> operation number, and back.
    tail: BTreeMap<u64, u64>,
    places: BTreeMap<u64, u64>,
    /// What the operations of the tail read and write.
    footprints: Footprints,
    /// Entries that wait, the bytes of their records, and who waits for a hash.
    waiting: BTreeMap<EntryHash, Waits>,
    waiting_bytes: usize,
    awaited: BTreeMap<EntryHash, BTreeSet<EntryHash>>,
    /// Entries, and bytes of them, that may wait.
    room: (usize, usize),
    /// No entry is believed to be from later.
    now: TimeNs,
    /// What was taken back in the order and in the tail.
    turns: Turns,
}

impl Fold {
    /// Resume from a table (an empty one begins a drive). `log`: this device's, for pending
    /// operations and entries to come; `label`: the device's, for conflict names.
    pub fn open(table: &dyn Table, log: LogId, label: &str) -> Result<Fold, FoldError> {
        let view = View(table);
        let mut fold = Fold {
            log,
            label: label.to_string(),
            counters: view.record(&single(tables::FOLD), "the fold")?.unwrap_or_default(),
            heads: BTreeMap::new(),
            tail: BTreeMap::new(),
            places: BTreeMap::new(),
            footprints: Footprints::default(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            awaited: BTreeMap::new(),
            room: (WAITING_MAX, WAITING_BYTES_MAX),
            now: TimeNs::MAX,
            turns: Turns::default(),
        };
        check_rules(view)?;
        for head in view.group::<HeadRecord>(tables::HEAD, &[], "a log's head")? {
            fold.heads.insert((head.log, head.hash), head);
        }
        for pending in Pending::all(table)? {
            fold.tail.insert(pending.at, pending.op.n);
            fold.places.insert(pending.op.n, pending.at);
            fold.footprints.unknown(pending.at);
        }
        for waiting in view.group::<Waiting>(tables::WAITING, &[], "a waiting entry")? {
            // Some of what it waited for may have come since its record was written.
            let bytes = encode(&waiting).len();
            let mut missing = waiting.missing;
            let mut still = BTreeSet::new();
            while let Some(hash) = missing.pop_first() {
                if Known::read(table, &hash)?.is_none() {
                    still.insert(hash);
                }
            }
            fold.waits(waiting.entry.hash, still, bytes);
        }
        if fold.counters.log.is_some_and(|was| was != log) {
            if !fold.tail.is_empty() {
                return Err(FoldError::OtherLog(fold.counters.log.unwrap_or(log)));
            }
            // The new log has told nothing yet of what was seen.
            fold.heads.values_mut().for_each(|head| head.told = false);
        }
        if fold.counters.log != Some(log) {
            fold.counters.number = 0;
        }
        fold.counters.log = Some(log);
        Ok(fold)
    }

    /// Heads of all logs (and of branches of forked ones) taken in: what to ask holders to go
    /// beyond. Entries that wait do not count.
    pub fn heads(&self) -> Vec<Head> {
        self.heads.values().map(HeadRecord::head).collect()
    }

    /// Numbers of the pending operations, first to last.
    pub fn pending(&self) -> Vec<u64> {
        self.tail.values().copied().collect()
    }

    /// The pending operations themselves, first to last.
    pub fn pending_operations(&self, table: &dyn Table) -> Result<Vec<Operation>, FoldError> {
        self.tail.keys().map(|at| Ok(Pending::read(table, *at)?.op)).collect()
    }

    /// Entries that wait, and what each waits for.
    pub fn waiting(&self) -> Vec<(EntryHash, Vec<EntryHash>)> {
        self.waiting.iter().map(|(hash, waits)| (*hash, waits.missing.iter().copied().collect())).collect()
    }

    /// Logs of which there is more than one branch: their writers were cloned, or restored
    /// from a backup. If this device's is among them it is to begin a new incarnation.
    pub fn forks(&self) -> Vec<LogId> {
        let logs: Vec<LogId> = self.heads.keys().map(|(log, _)| *log).collect();
        let mut out: Vec<LogId> = logs.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
        out.dedup();
        out
    }

    /// A number for the next operation of this log: one more than any it used, as far as
    /// its entries and pending operations were given to this fold.
    pub fn next_number(&self) -> u64 {
        self.counters.number.saturating_add(1)
    }

    /// Entries applied so far.
    pub fn applied(&self) -> u64 {
        self.counters.applied
    }

    /// Which entry stands at a place of the order (from 0).
    pub fn stood(&self, table: &dyn Table, place: u64) -> Result<super::Stood, FoldError> {
        Ok(applied::stood(table, place)?)
    }

    /// This device's log.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// This device's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    fn waits(&mut self, entry: EntryHash, missing: BTreeSet<EntryHash>, bytes: usize) {
        for hash in &missing {
            self.awaited.entry(*hash).or_default().insert(entry);
        }
        self.waiting_bytes += bytes;
        self.waiting.insert(entry, Waits { missing, bytes });
    }

    /// Whether so many more entries, of so many bytes, may wait.
    fn has_room(&self, entries: usize, bytes: usize) -> bool {
        self.waiting.len() + entries <= self.room.0 && self.waiting_bytes.saturating_add(bytes) <= self.room.1
    }

    /// What this machine's clock says: an entry that claims to be from more than a day later is taken to
    /// be from when the one in front of it is, so that a clock that is years ahead hides nothing of the
    /// years between. (It changes nothing else.)
    pub fn set_now(&mut self, now: TimeNs) {
        self.now = now;
    }

    /// While what this machine has is read again there is room for all of it: what was turned
    /// away would be lost here, and of this device's own log nobody else may have it.
    pub fn rebuilding(&mut self, yes: bool) {
        self.room = if yes { (usize::MAX, usize::MAX) } else { (WAITING_MAX, WAITING_BYTES_MAX) };
    }

    /// Let fewer entries wait, so that tests fill the room.
    #[cfg(test)]
    pub(crate) fn set_room(&mut self, entries: usize, bytes: usize) {
        self.room = (entries, bytes);
    }

    /// The step that an overlay has become.
    fn finish(&self, mut over: Overlay<'_>) -> Result<Step, FoldError> {
        check_rules(over.view())?;
        recount(&mut over)?;
        over.put(single(tables::FOLD), Some(encode(&self.counters)))?;
        let touched = touched(&over)?;
        Ok(Step { batch: over.into_batch(), touched, turned_away: BTreeSet::new() })
    }
}

fn check_rules(view: View<'_>) -> Result<(), FoldError> {
    match view.rules()? {
        rules if rules > super::RULES => Err(FoldError::Upgrade(rules)),
        _ => Ok(()),
    }
}
