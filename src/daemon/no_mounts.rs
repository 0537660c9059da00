//! In place of `mounts.rs` in a build without FUSE: such a node lends, syncs and checks.

use super::api::{Outcome, Request, Trouble};
use crate::drive::Drive;
use crate::keys::DriveId;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to mount, if it could be.
#[derive(Default)]
pub struct MountOptions;

/// However it is asked for: keeps the two builds' callers alike.
pub fn options(_: &Request) -> MountOptions {
    MountOptions
}

/// What an unmount did.
#[derive(Default)]
pub struct Unmounted {
    pub dirs: Vec<PathBuf>,
    pub busy: Vec<PathBuf>,
}

/// No mounts.
#[derive(Default)]
pub struct Mounts;

impl Mounts {
    pub async fn mount(&self, _: Arc<Drive>, _: &str, dir: &Path, _: MountOptions) -> Outcome<()> {
        Err(Trouble::new(
            format!("cannot mount at {}", dir.display()),
            "this kith was built without FUSE",
            "build it with --features mount",
        ))
    }
    pub fn of(&self, _: &DriveId) -> Option<PathBuf> {
        None
    }
    pub fn find(&self, _: &Path) -> Option<(DriveId, PathBuf)> {
        None
    }
    pub async fn unmount(&self, _: Option<&Path>) -> Outcome<Unmounted> {
        Ok(Unmounted::default())
    }
    pub fn sweep(&self) {}
    pub async fn silent(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
