//! The tree as a fold of operations in one total order.
//!
//! Pure: state is read and written through [`Table`], a key-value view given by the caller.
#![forbid(unsafe_code)]

mod op;
mod table;

pub use op::*;
pub use table::*;
