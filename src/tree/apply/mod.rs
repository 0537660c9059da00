//! What an operation does to a state. Deterministic: reads the state and the operation, no
//! more. An operation whose expectation does not hold any more does what the conflict table
//! says (`docs/format.md`), never an error: every mount must go on the same way.

use super::{Batch, Name, ObjectId, Operation, Overlay, TableError, View};
use crate::keys::LogId;

/// Who made an operation.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// Log the operation is in: with its number it is the [`super::OpId`].
    pub log: LogId,
    /// The device's label as its entry says it; it appears in conflict names.
    pub label: &'a str,
}

/// A name that now means something else (or nothing, or something).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TouchedName {
    pub parent: ObjectId,
    /// Inode number of the directory.
    pub parent_ino: u64,
    pub name: Name,
}

/// An object whose attributes (with `data`: and content) changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TouchedInode {
    pub object: ObjectId,
    pub ino: u64,
    pub data: bool,
}

/// What a step changed, net: for the kernel's caches and for status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub names: Vec<TouchedName>,
    pub inodes: Vec<TouchedInode>,
}

/// What one operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub batch: Batch,
    /// Previous values of exactly the keys in `batch`.
    pub undo: Batch,
    pub touched: Touched,
}

/// What one operation does to a state.
pub fn apply(view: View<'_>, author: Author<'_>, op: &Operation) -> Result<Effect, TableError> {
    let mut over = Overlay::new(view.0);
    over.mark();
    apply_over(&mut over, author, op)?;
    let touched = touched(&over)?;
    let undo = over.take_undo();
    Ok(Effect { batch: over.into_batch(), undo, touched })
}

/// Do an operation on top of an overlay; its undo collects there.
pub fn apply_over(_over: &mut Overlay<'_>, _author: Author<'_>, _op: &Operation) -> Result<(), TableError> {
    todo!()
}

/// What an overlay changes, net.
pub(super) fn touched(_over: &Overlay<'_>) -> Result<Touched, TableError> {
    todo!()
}
