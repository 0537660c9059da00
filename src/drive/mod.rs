//! A live drive: read, write, fsync, publish, merge.
#![forbid(unsafe_code)]

mod api;
mod dirty;
mod drive;
mod friends;
mod ranges;
mod setup;
mod status;

pub use api::*;
pub use drive::{Drive, WaitOutcome};
pub use friends::{Boxed, DriveGrid, RealGrid};
pub use setup::{DriveOptions, DriveSetup, OpenError};
pub use status::{DriveStatus, FileState, UNSAFE_LISTED, UnsafeFile};
