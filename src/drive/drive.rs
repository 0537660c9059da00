//! The live drive.

use super::{DriveSetup, DriveStatus, FileState, Ino, OpenError, Result};
use crate::grid::Level;
use crate::keys::DriveId;
use std::sync::Arc;
use std::time::Duration;

/// A drive that is open on this machine. It implements [`super::Files`] for a mount; dropping
/// the last reference without [`Drive::close`] is a crash: what was synced is there at the
/// next open.
pub struct Drive {}

impl Drive {
    /// Open a drive, or begin to have it on this machine: replays the journal, rebuilds the
    /// index if need be, starts the background work. Never waits for the network.
    pub async fn open(setup: DriveSetup) -> std::result::Result<Arc<Drive>, OpenError> {
        let _ = setup;
        todo!()
    }
    /// Stop: everything is in the journal, synced, and the index is closed. Uploads go on at
    /// the next open.
    pub async fn close(&self) {
        todo!()
    }
    pub fn id(&self) -> DriveId {
        todo!()
    }
    /// At a glance (from memory; cheap).
    pub fn status(&self) -> DriveStatus {
        todo!()
    }
    /// How well one file is kept.
    pub fn state(&self, ino: Ino) -> Result<FileState> {
        let _ = ino;
        todo!()
    }
    /// The inode at a path from the root, `/` between names.
    pub fn resolve(&self, path: &[u8]) -> Result<Ino> {
        let _ = path;
        todo!()
    }
    /// Wait until everything below `ino` (the root: everything) is kept at `level` or better.
    /// Answers what is not when the time is over.
    pub async fn wait(&self, ino: Ino, level: Level, timeout: Duration) -> Result<WaitOutcome> {
        let _ = (ino, level, timeout);
        todo!()
    }
    /// Ask all holders now for what is new (the watch does it by itself, too). Names of those
    /// that did not answer.
    pub async fn catch_up(&self, deadline: Duration) -> Result<Vec<String>> {
        let _ = deadline;
        todo!()
    }
}

/// What became of [`Drive::wait`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WaitOutcome {
    Reached,
    /// The least state among the files, and how many are below the level.
    NotYet {
        least: FileState,
        files: u64,
    },
}
