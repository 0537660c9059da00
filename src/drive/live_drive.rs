//! The live drive: opening, closing, and what runs in between.

use super::access::Access;
use super::api::{Ino, Invalidation, Result};
use super::conflicts::Conflict;
use super::live::Live;
use super::pins::{PinReport, Unpin};
use super::setup::{DriveSetup, OpenError};
use super::shared::Shared;
use super::start::start;
use super::status::{DriveStatus, FileState};
use crate::grid::Level;
use crate::keys::{AdminLog, DriveId, DriveKeys, Epoch, LevelKey, LogId, NodeId, PersonId, Power, Signed};
use crate::tree::{ObjectId, TimeNs, Version};
use crate::wire::Head;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Tasks that seal chunks. More than a small machine has cores: while one is between its work
/// and its disk another has the core.
const SEALERS: usize = 4;

/// A drive that is open on this machine. It implements [`super::Files`] for a mount; dropping
/// it without [`Drive::close`] is a crash: what was synced is there at the next open.
pub struct Drive {
    pub(super) shared: Arc<Shared>,
    pub(super) news: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invalidation>>,
    tasks: Mutex<JoinSet<()>>,
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
    /// All are, but these: a part of each was damaged here before any friend had it. Waiting
    /// does not help.
    Lost {
        files: u64,
    },
}

impl Drive {
    /// Open a drive, or begin to have it on this machine: replays the journal, rebuilds the
    /// index if need be, starts the background work. Never waits for the network.
    pub async fn open(setup: DriveSetup) -> std::result::Result<Arc<Drive>, OpenError> {
        let (shared, jobs, news) = start(setup).await?;
        let drive = shared.drive;
        shared.grid.open_drive(Arc::new(Access { drive, shared: Arc::downgrade(&shared) }));
        let mut tasks = JoinSet::new();
        let jobs = Arc::new(tokio::sync::Mutex::new(jobs));
        for _ in 0..SEALERS {
            tasks.spawn(shared.clone().sealer_loop(jobs.clone()));
        }
        tasks.spawn(shared.clone().journal_loop());
        tasks.spawn(shared.clone().own_segments_loop());
        tasks.spawn(shared.clone().settler_loop());
        tasks.spawn(shared.clone().watcher_loop());
        tasks.spawn(shared.clone().keeper_loop());
        tasks.spawn(shared.clone().auditor_loop());
        tasks.spawn(shared.clone().pins_loop());
        if shared.writer.is_some() {
            tasks.spawn(shared.clone().packer_loop());
            tasks.spawn(shared.clone().publisher_loop());
        }
        Ok(Arc::new(Drive { shared, news: tokio::sync::Mutex::new(news), tasks: Mutex::new(tasks) }))
    }

    /// Stop: everything is in the journal, synced, and the index is closed. Uploads go on at
    /// the next open.
    pub async fn close(&self) {
        let shared = &self.shared;
        if let Err(e) = shared.journal_everything(false).await {
            shared.note(format!("closing: {e}"));
        }
        shared.closing.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        let _nobody = shared.ending.write().await;
        shared.grid.close_drive(&shared.drive);
        let mut whole = !shared.index_behind.load(Ordering::Acquire);
        for closed in [shared.journal.close().await, shared.entries.close().await, shared.own.sync().await] {
            if let Err(e) = closed {
                shared.note(format!("closing: {e}"));
                whole = false;
            }
        }
        // With less, or more, than the logs have the index is brought up to date at the next start.
        let index = shared.index.clone();
        let end = move || if whole { index.close() } else { index.leave() };
        match shared.world.blocking(end).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => shared.note(format!("closing: {e}")),
            Err(e) => shared.note(format!("closing: {e}")),
        }
    }

    pub fn id(&self) -> DriveId {
        self.shared.drive
    }
    /// At a glance (from memory; cheap).
    pub fn status(&self) -> DriveStatus {
        self.shared.status()
    }
    /// The last entry known here of every log.
    pub fn heads(&self) -> Vec<Head> {
        self.shared.core.lock().fold.heads()
    }
    /// This machine's own log.
    pub fn log(&self) -> LogId {
        self.shared.log
    }
    /// How well one file is kept.
    pub fn state(&self, ino: Ino) -> Result<FileState> {
        self.shared.file_state(ino)
    }
    /// The inode at a path from the root, `/` between names.
    pub fn resolve(&self, path: &[u8]) -> Result<Ino> {
        self.shared.resolve(path)
    }
    /// Wait until everything at and below `ino` (the root: everything) is kept at `level` or
    /// better. Answers what is not when the time is over.
    pub async fn wait(&self, ino: Ino, level: Level, timeout: Duration) -> Result<WaitOutcome> {
        self.shared.wait(ino, level, timeout).await
    }
    /// Why what waits cannot come to be kept at `level` until friends grant more room or more
    /// of them join; None: there is room for it.
    pub fn lacks_room(&self, level: Level) -> Option<String> {
        self.shared.lacks_room(level)
    }
    /// Everything written so far survives a power cut of this machine when this returns, and
    /// begins to settle now.
    pub async fn sync_local(&self) -> Result<()> {
        self.shared.journal_everything(false).await?;
        let lives: Vec<Arc<Live>> = self.shared.lives.lock().inodes.values().cloned().collect();
        for live in lives {
            let dirty = live.state.lock().dirty.is_some();
            if dirty {
                self.shared.settle(&live).await?;
            }
        }
        self.shared.journal.sync_all().await.map_err(|e| self.shared.fail(&e))
    }
    /// Ask all holders now for what is new (the watch does it by itself, too). Names of those
    /// that did not answer.
    pub async fn catch_up(&self, deadline: Duration) -> Result<Vec<String>> {
        self.shared.catch_up(deadline).await
    }
    /// Forget what can be fetched again: opened pages, chunks in the cache, and own chunks that
    /// are safe at friends. The next read comes from friends.
    pub async fn drop_caches(&self) {
        self.shared.drop_caches().await;
    }
    /// The object of an inode number.
    pub fn object_of(&self, ino: Ino) -> Result<ObjectId> {
        self.shared.object(ino)
    }
    /// Keep what is at and below a place on this machine from now on; its content comes soon.
    pub async fn pin(&self, ino: Ino) -> Result<()> {
        self.shared.pin(ino).await
    }
    /// Keep it no more, and free the room of what friends keep safely.
    pub async fn unpin(&self, ino: Ino) -> Result<Unpin> {
        self.shared.unpin(ino).await
    }
    /// What is pinned, as it was found last.
    pub fn pins(&self) -> Vec<PinReport> {
        self.shared.pin_reports()
    }
    /// What was under a path, latest first.
    pub fn versions(&self, path: &[u8]) -> Result<Vec<Version>> {
        self.shared.versions(path)
    }
    /// A time as it is typed on this machine, to the second: not before the time itself.
    pub fn time_name(&self, time: TimeNs) -> String {
        super::past::second_name(time, self.shared.options.utc_offset_min)
    }
    /// Paths that have a conflict name, at most `limit`, and how many there are.
    pub fn conflicts(&self, limit: usize) -> Result<(Vec<Conflict>, usize)> {
        self.shared.conflicts(limit)
    }
    /// Forget opened pages.
    pub fn drop_pages(&self) {
        self.shared.pages.lock().clear();
    }
    /// The least state of anything in the drive.
    pub fn state_of_all(&self) -> FileState {
        self.shared.state_of_all()
    }
    /// Distinct holders of the packs that a file depends on.
    pub fn holders_of(&self, ino: Ino) -> Result<Vec<NodeId>> {
        self.shared.holders_of(ino)
    }
    /// An admin device writes into the admin log: what `change` appends is kept on this
    /// machine before this returns, and sent to holders.
    pub async fn author<T>(
        &self,
        change: impl FnOnce(&mut AdminLog) -> std::result::Result<T, String> + Send,
    ) -> std::result::Result<T, String> {
        self.shared.author(change).await
    }
    /// Genesis and admin records as known here; changes of their number are seen by
    /// [`Drive::admin_changes`].
    pub fn admin_records(&self) -> Vec<Signed> {
        self.shared.admin.lock().records(0).to_vec()
    }
    /// Members and their powers, as the admin log says them.
    pub fn members(&self) -> Vec<(PersonId, Power)> {
        self.shared.admin.lock().members().map(|m| (m.person, m.power)).collect()
    }
    pub fn admin_changes(&self) -> watch::Receiver<u64> {
        self.shared.admin_changed.subscribe()
    }
    /// Take in records that an admin device made (an enrolment): holders get them with the
    /// next entry or append.
    pub async fn extend_admin(&self, records: Vec<Signed>) -> Result<()> {
        self.shared.take_news(crate::grid::News { admin: records, entries: Vec::new() }).await
    }
    /// The key of a further epoch.
    pub fn add_key(&self, epoch: Epoch, key: LevelKey) {
        let mut keys = self.shared.keys.write();
        let mut with: DriveKeys = (**keys).clone();
        with.insert(epoch, key);
        *keys = Arc::new(with);
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}
