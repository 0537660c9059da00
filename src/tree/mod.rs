//! The tree as a fold of operations in one total order.
//!
//! Pure: state is read and written through [`Table`], a key-value view given by the caller.
//!
//! * [`Operation`]: one change, with every value it needs; [`Entry`]: a signed, sealed batch.
//! * [`apply`]: what an operation does to a state, conflicts included, and how to undo it.
//! * [`Fold`]: the total order, rewind and replay, the pending tail; one [`Batch`] per step.
//! * [`View`]: reading a state.
//! * [`Acl`]: access control lists.
#![forbid(unsafe_code)]

mod acl;
mod apply;
mod entry;
mod fold;
mod hash;
mod mem;
mod name;
mod op;
mod overlay;
mod queue;
mod state;
mod table;
mod view;

#[cfg(test)]
mod tests;

pub use acl::*;
pub use apply::*;
pub use entry::*;
pub use fold::*;
pub use hash::state_hash;
pub use mem::MemTable;
pub use name::*;
pub use op::*;
pub use overlay::Overlay;
pub use queue::*;
pub use state::*;
pub use table::*;
pub use view::*;
