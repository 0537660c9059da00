//! Using friends: roster, placement, upload, download, log sync, joining.
//!
//! A [`Grid`] is this node's view of its friends. It places the shares of packs on
//! holders, reads ranges back from any k of them, keeps the logs of drives on every
//! holder, and never waits for the slowest.
#![forbid(unsafe_code)]

mod api;
mod join;
mod placement;
mod roster;
mod tickets;

pub use api::*;
pub use join::{Door, Joined, gossip};
pub use roster::{Me, Roster};
pub use placement::{Candidate, Plan, coding_for, plan, rank};

use crate::content::{CatalogueRecord, Coding, SharePlace};
use crate::keys::{DriveId, NodeId};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// This node's view of its friends.
pub struct Grid {}

impl Grid {
    /// Make a drive known: its logs are watched, its shares can be read. Idempotent.
    pub fn open_drive(&self, drive: Arc<dyn DriveAccess>) {
        let _ = drive;
    }
    /// Forget a drive again.
    pub fn close_drive(&self, drive: &DriveId) {
        let _ = drive;
    }
    /// Friends that may hold something of a drive for this node (a grant of one's own, or one
    /// delegated for the drive), this machine never among them; online first.
    pub fn usable_holders(&self, drive: &DriveId) -> Vec<FriendStatus> {
        let _ = drive;
        Vec::new()
    }
    /// The coding for a new pack by the households usable now; None without any friend.
    pub fn coding_for_now(&self, drive: &DriveId) -> Option<Coding> {
        let _ = drive;
        None
    }
    /// Place the shares of a pack, all in parallel; a hung or slow holder is overtaken by a
    /// spare. `placed` are shares that stand already (a resumed upload). Dropping the
    /// receiver stops it.
    pub fn upload(
        self: &Arc<Self>,
        drive: DriveId,
        source: Arc<dyn PackSource>,
        coding: Coding,
        placed: Vec<SharePlace>,
    ) -> mpsc::Receiver<UploadEvent> {
        let _ = (drive, source, coding, placed);
        mpsc::channel(1).1
    }
    /// Bytes of a pack from any k of its shares, proved, unsealed; one buffer per range.
    pub async fn fetch(
        &self,
        drive: &DriveId,
        record: &CatalogueRecord,
        ranges: &[PackRange],
        deadline: Duration,
    ) -> Result<Vec<Bytes>, FetchError> {
        let _ = (record, ranges, deadline);
        Err(FetchError::UnknownDrive(*drive))
    }
    /// Send entries (of one log, in sequence, as signed bytes) to every holder of the drive in
    /// parallel. A holder that lacks earlier ones gets them from [`DriveAccess::entries`].
    pub fn append(self: &Arc<Self>, drive: DriveId, entries: Vec<Vec<u8>>) -> mpsc::Receiver<AppendEvent> {
        let _ = (drive, entries);
        mpsc::channel(1).1
    }
    /// What several holders have beyond [`DriveAccess::vector`]: asked in parallel, answered
    /// within `deadline`; the names of those that did not answer come along.
    pub async fn fetch_since(
        &self,
        drive: &DriveId,
        deadline: Duration,
    ) -> Result<(Vec<News>, Vec<String>), GridError> {
        let _ = deadline;
        Err(GridError::UnknownDrive(*drive))
    }
    /// News of a drive as it arrives, from all its holders, with reconnection; ends when the
    /// receiver is dropped or the drive closed. The same entry may come from several.
    pub fn watch(self: &Arc<Self>, drive: DriveId) -> mpsc::Receiver<(NodeId, News)> {
        let _ = drive;
        mpsc::channel(1).1
    }
    /// Changes whenever a friend comes, goes, joins, or has room again: then what is missing
    /// should be uploaded again.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
    /// All friends.
    pub fn status(&self) -> Vec<FriendStatus> {
        Vec::new()
    }
    /// Room for a drive's data at friends (statfs).
    pub fn room(&self, drive: &DriveId) -> Room {
        let _ = drive;
        Room { total: 0, free: 0 }
    }
    /// Open a ticket. It can be used once, until it expires.
    pub async fn invite(&self, invitation: Invitation) -> Result<String, GridError> {
        let _ = invitation;
        Err(GridError::Other("no endpoint".into()))
    }
}
