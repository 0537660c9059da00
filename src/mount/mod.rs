//! FUSE over a [`crate::drive::Files`].
//!
//! [`mount`] puts a filesystem at a directory and gives a [`MountHandle`]. Threads and the
//! handlers are in `adapter.rs`; what the kernel is asked for and may cache in `kernel.rs`; what
//! may wait, and until when, in `data.rs` and `in_flight.rs`; mounting and unmounting in
//! `session.rs`; remote changes in `invalidate.rs`. [`donothing`] is the limit to measure against.

mod adapter;
mod attach;
mod convert;
mod data;
#[path = "../../benches/support/donothing.rs"]
pub mod donothing;
mod errno;
mod in_flight;
mod invalidate;
mod kernel;
mod mountpoint;
mod names;
mod open_files;
mod pool;
mod session;
mod shared;
mod xattr;

pub use adapter::FuseAdapter;
pub use mountpoint::{FS_TYPE, clear_below, clear_stale, is_dead};
pub use session::{MountError, MountHandle, MountOptions, mount};
