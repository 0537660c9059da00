//! A live drive: read, write, fsync, publish, merge.
#![forbid(unsafe_code)]

mod access;
mod api;
mod attrs;
mod auditor;
mod cancel;
mod catalogue;
mod chunks;
mod conflicts;
mod copy;
mod data;
mod dirty;
mod files;
mod friends;
mod keeper;
mod layers;
mod live;
mod live_drive;
mod lost;
mod make;
mod merger;
mod meta;
mod packer;
mod past;
mod pending;
mod pins;
mod publisher;
mod ranges;
mod reader;
mod rebuild;
mod records;
mod remake;
mod replay;
mod room;
mod settle;
mod settled_content;
mod setup;
mod shared;
mod start;
mod state;
mod status;
mod uploads;
mod write;
mod xattr;

#[cfg(test)]
mod tests;

pub use api::*;
pub use conflicts::Conflict;
pub use friends::{Boxed, DriveGrid, Found, RealGrid};
pub use live_drive::{Drive, WaitOutcome};
pub use past::is_past;
pub use pins::{PinReport, Unpin};
pub use setup::{DriveOptions, DriveSetup, OpenError};
pub use status::{DriveStatus, FileState, UNSAFE_LISTED, UnsafeFile};
