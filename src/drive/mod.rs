//! A live drive: read, write, fsync, publish, merge.
#![forbid(unsafe_code)]

mod api;

pub use api::*;
