//! FUSE over a [`crate::drive::Files`].
//!
//! [`FuseAdapter`] turns kernel requests into typed calls, [`mount`] puts it at a directory and
//! gives a [`MountHandle`]. What a mount promises and what it costs is in the comments of
//! `adapter.rs` (threads, deadlines, caching) and `session.rs` (mounting, unmounting).

mod adapter;
pub mod donothing;
mod session;

pub use adapter::FuseAdapter;
pub use session::{MountError, MountHandle, MountOptions, mount};
