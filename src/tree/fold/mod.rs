//! The fold: all entries in their total order, and the pending operations of this device
//! after them.
//!
//! The order is (Lamport counter, log id, hash of the entry), then the index in the entry.
//! Every call reads a table, changes what the fold remembers, and returns one [`Step`] whose
//! batch the caller commits before the next call; if that fails, the fold is to be opened
//! again from the table. [`Fold::open`] resumes from whatever was committed.

use super::{Batch, Opened, Operation, Table, TableError, Touched, Vector};
use crate::keys::{EntryHash, LogId};
use crate::wire::Head;

/// What to commit, and what it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub batch: Batch,
    pub touched: Touched,
}

/// Why the fold cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FoldError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("operation {0} is pending already")]
    Twice(u64),
    #[error("operation {0} is not pending")]
    NotPending(u64),
    #[error("this drive follows rules {0}, newer than this version of kith knows: upgrade")]
    Upgrade(u32),
}

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
    pub operations: Vec<Operation>,
}

/// See the module.
#[derive(Debug)]
pub struct Fold {
    log: LogId,
    label: String,
}

impl Fold {
    /// Resume from a table (an empty one begins a drive). `log`: this device's, for pending
    /// operations and entries to come; `label`: the device's, for conflict names.
    pub fn open(_table: &dyn Table, log: LogId, label: &str) -> Result<Fold, FoldError> {
        Ok(Fold { log, label: label.to_string() })
    }
    /// Add an operation of this device after everything else.
    pub fn local(&mut self, _table: &dyn Table, _op: Operation) -> Result<Step, FoldError> {
        todo!()
    }
    /// Take in entries (verified and opened), in any order; those known already are
    /// skipped, those whose dependencies are missing wait. Operations of this device's log
    /// that an entry carries stop being pending.
    pub fn take(&mut self, _table: &dyn Table, _entries: Vec<Opened>) -> Result<Step, FoldError> {
        todo!()
    }
    /// The next entry of this log, with these pending operations, in the order given by their places in the tail.
    pub fn draft(&self, _table: &dyn Table, _chosen: &[u64]) -> Result<Draft, FoldError> {
        todo!()
    }
    /// An entry made from a draft was signed and is in the journal.
    pub fn published(&mut self, table: &dyn Table, entry: Opened) -> Result<Step, FoldError> {
        self.take(table, vec![entry])
    }
    /// Heads of all logs (and branches) taken in: what to ask holders to go beyond.
    pub fn heads(&self) -> Vec<Head> {
        todo!()
    }
    /// Numbers of the pending operations, first to last.
    pub fn pending(&self) -> Vec<u64> {
        todo!()
    }
    /// Entries that wait, and what each waits for.
    pub fn waiting(&self) -> Vec<(EntryHash, Vec<EntryHash>)> {
        todo!()
    }
    /// Logs of which there is more than one branch.
    pub fn forks(&self) -> Vec<LogId> {
        todo!()
    }
    /// This device's log.
    pub fn log(&self) -> LogId {
        self.log
    }
    /// This device's label.
    pub fn label(&self) -> &str {
        &self.label
    }
}
