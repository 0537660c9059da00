//! What a drive asks of its friends: a narrow trait over [`crate::grid::Grid`], so that
//! tests use a grid in memory.

use crate::content::{CatalogueRecord, Coding, SharePlace};
use crate::grid::{
    AppendEvent, Audit, DriveAccess, FetchError, FriendStatus, Grid, GridError, News, PackRange, PackSource,
    Room, UploadEvent,
};
use crate::keys::{DriveId, NodeId, PackId};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A boxed future, for traits that are used as objects.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// News from several holders, and the names of those that did not answer.
pub type Found = (Vec<News>, Vec<String>);

/// The grid, as a drive sees it; the meaning of each call is that of [`Grid`]'s.
pub trait DriveGrid: Send + Sync + 'static {
    fn open_drive(&self, drive: Arc<dyn DriveAccess>);
    fn close_drive(&self, drive: &DriveId);
    fn coding(&self, drive: &DriveId) -> Option<Coding>;
    fn holders(&self, drive: &DriveId) -> Vec<FriendStatus>;
    fn upload(
        &self,
        drive: DriveId,
        source: Arc<dyn PackSource>,
        coding: Coding,
        placed: Vec<SharePlace>,
    ) -> mpsc::Receiver<UploadEvent>;
    fn fetch(
        &self,
        drive: DriveId,
        record: CatalogueRecord,
        ranges: Vec<PackRange>,
        deadline: Duration,
    ) -> Boxed<Result<Vec<Bytes>, FetchError>>;
    fn append(&self, drive: DriveId, entries: Vec<Vec<u8>>) -> mpsc::Receiver<AppendEvent>;
    fn fetch_since(&self, drive: DriveId, deadline: Duration) -> Boxed<Result<Found, GridError>>;
    fn watch(&self, drive: DriveId) -> mpsc::Receiver<(NodeId, News)>;
    fn changes(&self) -> watch::Receiver<u64>;
    fn room(&self, drive: &DriveId) -> Room;
    fn audit(&self, drive: DriveId, record: CatalogueRecord, place: usize, whole: bool) -> Boxed<Audit>;
    fn suspects(&self, drive: &DriveId) -> Vec<PackId>;
}

/// The real grid.
pub struct RealGrid(pub Arc<Grid>);

impl DriveGrid for RealGrid {
    fn open_drive(&self, drive: Arc<dyn DriveAccess>) {
        self.0.open_drive(drive);
    }
    fn close_drive(&self, drive: &DriveId) {
        self.0.close_drive(drive);
    }
    fn coding(&self, drive: &DriveId) -> Option<Coding> {
        self.0.coding_for_now(drive)
    }
    fn holders(&self, drive: &DriveId) -> Vec<FriendStatus> {
        self.0.usable_holders(drive)
    }
    fn upload(
        &self,
        drive: DriveId,
        source: Arc<dyn PackSource>,
        coding: Coding,
        placed: Vec<SharePlace>,
    ) -> mpsc::Receiver<UploadEvent> {
        self.0.upload(drive, source, coding, placed)
    }
    fn fetch(
        &self,
        drive: DriveId,
        record: CatalogueRecord,
        ranges: Vec<PackRange>,
        deadline: Duration,
    ) -> Boxed<Result<Vec<Bytes>, FetchError>> {
        let grid = self.0.clone();
        Box::pin(async move { grid.fetch(&drive, &record, &ranges, deadline).await })
    }
    fn append(&self, drive: DriveId, entries: Vec<Vec<u8>>) -> mpsc::Receiver<AppendEvent> {
        self.0.append(drive, entries)
    }
    fn fetch_since(&self, drive: DriveId, deadline: Duration) -> Boxed<Result<Found, GridError>> {
        let grid = self.0.clone();
        Box::pin(async move { grid.fetch_since(&drive, deadline).await })
    }
    fn watch(&self, drive: DriveId) -> mpsc::Receiver<(NodeId, News)> {
        self.0.watch(drive)
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes()
    }
    fn room(&self, drive: &DriveId) -> Room {
        self.0.room(drive)
    }
    fn audit(&self, drive: DriveId, record: CatalogueRecord, place: usize, whole: bool) -> Boxed<Audit> {
        let grid = self.0.clone();
        Box::pin(async move { grid.audit(drive, &record, place, whole).await })
    }
    fn suspects(&self, drive: &DriveId) -> Vec<PackId> {
        self.0.suspects(drive)
    }
}
