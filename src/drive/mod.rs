//! A live drive: read, write, fsync, publish, merge.
#![forbid(unsafe_code)]

mod api;
mod dirty;
mod friends;
mod ranges;

pub use api::*;
pub use friends::*;
