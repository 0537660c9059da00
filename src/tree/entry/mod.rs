//! Entries: signed, sealed batches of operations; one link in a writer's log.

mod header;
mod seal;

pub use header::*;
pub use seal::*;
