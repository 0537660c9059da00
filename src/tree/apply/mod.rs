//! What an operation does to a state. Deterministic: reads the state and the operation, no
//! more. An operation whose expectation does not hold any more does what the conflict table
//! says (`docs/format.md, section 3`), never an error: every mount must go on the same way.

mod content;
mod create;
mod edit;
mod packs;
mod remove;
mod rename;
mod totals;
mod touched;

use super::{Batch, Change, OpId, Operation, Overlay, TableError, View};
use crate::keys::LogId;
use edit::Editor;
pub(super) use packs::apply_catalogue;
pub(super) use totals::recount;
pub(super) use touched::touched;
pub use touched::{Touched, TouchedInode, TouchedName};

/// Who made an operation.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// Log the operation is in: with its number it is the [`super::OpId`].
    pub log: LogId,
    /// The device's label as its entry says it; it appears in conflict names.
    pub label: &'a str,
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
    apply_over(&mut over, author, op)?;
    recount(&mut over)?;
    let touched = touched(&over)?;
    let batch = over.into_batch();
    let undo = batch.writes.iter().map(|(key, _)| Ok((key.clone(), view.0.get(key)?)));
    let undo = Batch { writes: undo.collect::<Result<_, TableError>>()? };
    Ok(Effect { batch, undo, touched })
}

/// Do an operation on top of an overlay; what takes it back collects there.
pub fn apply_over(over: &mut Overlay<'_>, author: Author<'_>, op: &Operation) -> Result<(), TableError> {
    let id = OpId { log: author.log, n: op.n };
    let mut edit = Editor { over, label: author.label, op, id };
    match &op.change {
        Change::Create { parent, name, kind, attrs } => edit.create(*parent, name, kind, *attrs),
        Change::SetContent { object, base, content, mtime } => {
            edit.set_content(*object, *base, content, *mtime)
        }
        Change::SetAttrs { object, change } => edit.set_attrs(*object, change),
        Change::SetXattr { object, name, value } => edit.set_xattr(*object, name, value.as_deref()),
        Change::Link { object, parent, name } => edit.link(*object, *parent, name),
        Change::Unlink { parent, name, seen } => edit.unlink(*parent, name, *seen),
        Change::Rmdir { parent, name, object } => edit.rmdir(*parent, name, *object),
        Change::Rename { object, from_parent, from_name, to_parent, to_name, replaced } => {
            edit.rename(*object, (*from_parent, from_name), (*to_parent, to_name), *replaced)
        }
        Change::Exchange { a, a_parent, a_name, b, b_parent, b_name } => {
            edit.exchange((*a, *a_parent, a_name), (*b, *b_parent, b_name))
        }
        Change::PackContents { pack, chunks } => edit.pack_contents(pack, chunks),
        Change::DropPack { pack } => edit.drop_pack(pack),
        Change::ParkLog { log } => edit.park_log(log),
        Change::SetRules { version } => edit.set_rules(*version),
    }
}
