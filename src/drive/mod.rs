//! A live drive: read, write, fsync, publish, merge.
#![forbid(unsafe_code)]

mod access;
mod api;
mod cancel;
mod chunks;
mod data;
mod dirty;
mod drive;
mod files;
mod friends;
mod keeper;
mod live;
mod merger;
mod meta;
mod packer;
mod publisher;
mod ranges;
mod reader;
mod records;
mod replay;
mod settle;
mod setup;
mod shared;
mod state;
mod status;
mod uploads;
mod write;

#[cfg(test)]
mod tests;

pub use api::*;
pub use drive::{Drive, WaitOutcome};
pub use friends::{Boxed, DriveGrid, RealGrid};
pub use setup::{DriveOptions, DriveSetup, OpenError};
pub use status::{DriveStatus, FileState, UNSAFE_LISTED, UnsafeFile};
