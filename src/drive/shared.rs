//! What the parts of a live drive share, and how a local change is made.

use super::access::next_key;
use super::api::{Error, Ino, Invalidation, Result};
use super::chunks::{PageCache, Unreachable};
use super::dirty::{Layer, SealedLayer};
use super::friends::DriveGrid;
use super::live::{Live, LiveTable};
use super::lost::LostShares;
use super::past::Past;
use super::pending::{Pending, PendingOps};
use super::pins::Pins;
use super::records;
use super::setup::{DriveOptions, DriveSetup};
use super::uploads::Uploads;
use crate::keys::{AdminLog, ChunkId, DriveId, DriveKeys, LogId, PackId, PersonId, WriterKey};
use crate::store::{EntryLog, Journal, SealedFile, Segments, StoreError};
use crate::tree::{Change, Fold, FoldError, OP_MAX, ObjectId, OpId, Operation, TableError, TimeNs, View};
use crate::world::{Index, World};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc, watch};

/// Notes kept for people.
const NOTES_MAX: usize = 20;

/// The tree and what of it no friend has: changed under one short lock.
pub struct Core {
    pub fold: Fold,
    pub next_n: u64,
    pub pending: PendingOps,
    /// Operations inside an entry that is being made: no longer to be cancelled.
    pub drafted: std::collections::BTreeSet<u64>,
    /// Objects made here that have neither a name nor a handle any more: what was done to them
    /// is taken back before the next entry is made.
    pub gone: std::collections::BTreeSet<ObjectId>,
}

/// A chunk to be sealed.
pub struct SealJob {
    pub live: Arc<Live>,
    pub index: u64,
    pub layer: Layer,
    pub below: Option<SealedLayer>,
}

/// See the module.
pub struct Shared {
    pub world: World,
    pub options: DriveOptions,
    pub drive: DriveId,
    pub keys: RwLock<Arc<DriveKeys>>,
    pub writer: Option<WriterKey>,
    /// Leases shares at holders.
    pub account: PersonId,
    pub log: LogId,
    pub admin: Mutex<AdminLog>,
    pub grid: Arc<dyn DriveGrid>,
    pub index: Arc<dyn Index>,
    pub core: Mutex<Core>,
    pub journal: Journal,
    pub entries: EntryLog,
    pub own: Segments,
    /// Held (shared) from the sealing of own chunks until something names them.
    pub naming: tokio::sync::RwLock<()>,
    /// Own chunks came or lost what named them, since they were last looked through.
    pub own_changed: AtomicBool,
    /// See [`Shared::to_the_end`]; taken whole by the close.
    pub ending: Arc<tokio::sync::RwLock<()>>,
    /// The disk had no room for content.
    pub full: Notify,
    /// It had none, and was not found to have some since.
    pub short: AtomicBool,
    /// Own chunks that nothing named when they were.
    pub unnamed: Mutex<BTreeSet<ChunkId>>,
    pub cache: Segments,
    pub lives: Mutex<LiveTable>,
    pub pages: Mutex<PageCache>,
    pub unreachable: Mutex<BTreeMap<PackId, Unreachable>>,
    pub fetching: Mutex<BTreeMap<ChunkId, Arc<tokio::sync::Mutex<()>>>>,
    pub dirty_bytes: AtomicUsize,
    /// There is room for dirty bytes again; there is none.
    pub room: Notify,
    pub pressure: Notify,
    pub sealer: mpsc::UnboundedSender<SealJob>,
    pub settle_wake: Notify,
    /// See [`Shared::later_times`].
    pub dir_times: Mutex<BTreeMap<ObjectId, super::cancel::LaterTimes>>,
    pub settles: AtomicU64,
    pub uploads: Mutex<Uploads>,
    pub pack_wake: Notify,
    pub publish_wake: Notify,
    pub publishing: Mutex<super::publisher::Publishing>,
    /// Entries of writers that the admin log does not name (yet).
    pub unknown: Mutex<Vec<Vec<u8>>>,
    /// Entries from friends found no place to wait, here or in the fold: they are to come again.
    pub turned_away: AtomicBool,
    pub invalidations: mpsc::UnboundedSender<Invalidation>,
    pub epochs: Mutex<ContentEpochs>,
    pub failed: Mutex<Option<String>>,
    /// Somebody else has gone on with this machine's log: what comes of it is not this machine's.
    pub forked: AtomicBool,
    pub notes: Mutex<VecDeque<String>>,
    /// Changes whenever a file may have become safer.
    pub progress: watch::Sender<u64>,
    /// The admin log's records, kept on this machine; changes of it.
    pub admin_file: SealedFile,
    pub admin_changed: watch::Sender<u64>,
    /// Shares that friends no longer have, and where that is written down.
    pub lost: Mutex<LostShares>,
    pub lost_file: SealedFile,
    pub lost_saving: tokio::sync::Mutex<()>,
    /// A read found a share lost.
    pub lost_wake: Notify,
    /// What stays on this machine; the file that says so, and one who writes it at a time.
    pub pins: Mutex<Pins>,
    pub pins_file: SealedFile,
    pub pins_saving: tokio::sync::Mutex<()>,
    /// One who looks through them at a time.
    pub pins_turn: tokio::sync::Mutex<()>,
    pub pins_wake: Notify,
    /// Held while a pack is fetched whole and sent again.
    pub repairing: tokio::sync::Mutex<()>,
    /// Set when the drive closes.
    pub closing: watch::Sender<bool>,
    /// Held by who writes into the admin log.
    pub authoring: tokio::sync::Mutex<()>,
    /// The admin log's file has less than memory.
    pub admin_unsaved: AtomicBool,
    /// What is looked at of what was.
    pub past: Past,
    /// A log has what the index does not.
    pub index_behind: AtomicBool,
}

/// Counters of remote changes per inode: few, and forgotten all at once.
#[derive(Default)]
pub struct ContentEpochs {
    base: u64,
    last: u64,
    of: BTreeMap<Ino, u64>,
}

impl ContentEpochs {
    const MAX: usize = 16 << 10;
    /// The number for an inode.
    pub fn get(&self, ino: Ino) -> u64 {
        self.of.get(&ino).copied().unwrap_or(self.base)
    }
    /// As if every content had changed.
    pub fn forget(&mut self) {
        self.last += 1;
        self.base = self.last;
        self.of.clear();
    }
    /// The inode's content changed by somebody else.
    pub fn bump(&mut self, ino: Ino) {
        self.last += 1;
        if self.of.len() >= Self::MAX {
            self.of.clear();
            self.base = self.last;
        } else {
            self.of.insert(ino, self.last);
        }
    }
}

impl Shared {
    pub fn keys(&self) -> Arc<DriveKeys> {
        self.keys.read().clone()
    }
    pub fn view(&self) -> View<'_> {
        View(&*self.index)
    }
    pub fn now(&self) -> TimeNs {
        self.world.clock.now_ns()
    }
    /// State files that were damaged, and are not written anew yet.
    pub fn damaged_files(&self) -> Vec<String> {
        let files = [self.admin_file.damage(), self.lost_file.damage()];
        let told = files.into_iter().flatten();
        told.map(|d| format!("this machine's disk: an older copy is used: {d}")).collect()
    }

    /// Tell a person something, once in the log and in the status.
    pub fn note(&self, text: String) {
        tracing::warn!(drive = %self.drive.short(), "{text}");
        let mut notes = self.notes.lock();
        // Of what is told again and again with other numbers, the last.
        let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        notes.retain(|note| words(note) != words(&text));
        if notes.len() >= NOTES_MAX {
            notes.pop_front();
        }
        notes.push_back(text);
    }
    /// Runs what must not be left half done when the drive closes: who is between the entry log
    /// and the tree.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let turn = self.ending.clone().read_owned().await;
        let task = tokio::spawn(async move {
            let done = work.await;
            drop(turn);
            done
        });
        task.await.map_err(|e| Error::Internal(e.to_string()))?
    }
    /// Something became safer, or news arrived.
    pub fn progressed(&self) {
        self.progress.send_modify(|n| *n += 1);
    }
    /// Writes stop: the journal cannot be trusted to take them.
    pub fn fail(&self, why: &StoreError) -> Error {
        match why {
            StoreError::Full(_) => {
                self.full.notify_one();
                return Error::NoSpace;
            }
            // Memory for records is full because the disk is slow: nothing is broken.
            StoreError::Busy(_) => return Error::TimedOut,
            _ => {}
        }
        let text = why.to_string();
        if self.failed.lock().replace(text.clone()).is_none() {
            self.note(format!("writes stopped: {text}"));
        }
        Error::Disk(text)
    }
    /// A log on this disk has what did not come into the tree. Nothing may be built on that: what
    /// followed in the logs would not fit the tree that the next start makes of them. Writes stop
    /// until then.
    pub fn stop(&self, why: Error) -> Error {
        self.index_behind.store(true, Ordering::Release);
        let text = format!("the index could not follow ({why}); restart kith: it is made anew then");
        if self.failed.lock().replace(text.clone()).is_none() {
            self.note(format!("writes stopped: {text}"));
        }
        Error::Disk(text)
    }
    /// [`Shared::stop`] where the tree itself does not fit: the index is not gone on with.
    pub fn stop_tree(&self, why: FoldError) -> Error {
        self.index.doubt();
        self.stop(tree_error(why))
    }
    /// Refused when this mount may not write (any more).
    pub fn writable(&self) -> Result<()> {
        if let Some(why) = &*self.failed.lock() {
            return Err(Error::Disk(why.clone()));
        }
        if self.writer.is_none() {
            return Err(Error::ReadOnly);
        }
        Ok(())
    }
    /// Change the tree: `decide` looks at it and says what to do. The operation is in the
    /// journal and in the tree when this returns.
    pub fn change(&self, decide: impl FnOnce(View<'_>) -> Result<Change>) -> Result<OpId> {
        self.writable()?;
        self.journal.slow_down();
        let mut core = self.core.lock();
        let change = decide(self.view())?;
        let op = self.operation(&core, change);
        fits(&op)?;
        let urgent = makes_room(&op.change);
        self.index_takes(urgent)?;
        let bytes = records::encode(&op);
        let appended = match urgent {
            true => self.journal.append_urgent(records::OP, &[&bytes]),
            false => self.journal.append(records::OP, &bytes),
        };
        appended.map_err(|e| self.fail(&e))?;
        self.apply(&mut core, Pending { op, chunks: Vec::new() })
    }
    /// [`Shared::change`] in several operations that follow one another in one record of the
    /// journal: a crash leaves all of them or none. `decide` is told the first one's id, which
    /// is returned.
    pub fn changes(&self, decide: impl FnOnce(View<'_>, OpId) -> Result<Vec<Change>>) -> Result<OpId> {
        self.writable()?;
        self.journal.slow_down();
        let mut core = self.core.lock();
        let first = OpId { log: self.log, n: core.next_n };
        let changes = decide(self.view(), first)?;
        let ops = changes.into_iter().zip(first.n..);
        let ops: Vec<Operation> =
            ops.map(|(change, n)| Operation { n, ..self.operation(&core, change) }).collect();
        ops.iter().try_for_each(fits)?;
        self.index_takes(false)?;
        let (kind, bytes) = match &ops[..] {
            [one] => (records::OP, records::encode(one)),
            all => (records::OPS, records::encode(&all)),
        };
        self.journal.append(kind, &bytes).map_err(|e| self.fail(&e))?;
        for op in ops {
            self.apply(&mut core, Pending { op, chunks: Vec::new() })?;
        }
        Ok(first)
    }
    /// Refused while the index finds no room on this machine's disk: before the journal or a log has
    /// what the index could not follow. `urgent`: what makes room.
    pub fn index_takes(&self, urgent: bool) -> Result<()> {
        if self.index.has_room(urgent) {
            return Ok(());
        }
        self.full.notify_one();
        Err(Error::NoSpace)
    }
    /// The next operation of this device.
    pub fn operation(&self, core: &Core, change: Change) -> Operation {
        Operation { n: core.next_n, time: self.now(), utc_offset_min: self.options.utc_offset_min, change }
    }
    /// Put an operation that is in the journal into the tree.
    pub fn apply(&self, core: &mut Core, pending: Pending) -> Result<OpId> {
        let n = pending.op.n;
        let step = core.fold.local(&*self.index, pending.op.clone());
        let mut step = step.map_err(|e| self.stop_tree(e))?;
        core.next_n = core.next_n.max(n + 1);
        step.batch.writes.push((next_key(), Some(core.next_n.to_le_bytes().to_vec())));
        self.index.commit(step.batch).map_err(|e| self.stop(index_error(e)))?;
        core.pending.insert(pending);
        self.publish_wake.notify_one();
        Ok(OpId { log: self.log, n })
    }
    /// The inode in memory, if it is.
    pub fn live(&self, ino: Ino) -> Option<Arc<Live>> {
        self.lives.lock().inodes.get(&ino).cloned()
    }
    /// Files that differ from their content.
    pub fn being_written(&self) -> BTreeSet<ObjectId> {
        let lives = self.lives.lock();
        let dirty = lives.inodes.values().filter(|l| l.state.lock().dirty.is_some());
        dirty.map(|l| l.object).collect()
    }
    /// The object of an inode number.
    pub fn object(&self, ino: Ino) -> Result<ObjectId> {
        self.view().by_ino(ino).map_err(index_error)?.ok_or(Error::Stale)
    }
    /// Change the count of dirty bytes from what it was to what it is.
    pub fn account(&self, before: usize, after: usize) {
        if after > before {
            self.dirty_bytes.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.dirty_bytes.fetch_sub(before - after, Ordering::Relaxed);
            self.room.notify_waiters();
        }
    }
}

/// Whether the disk has more room after a change.
fn makes_room(change: &Change) -> bool {
    // What friends have need not stay here, once it is told.
    matches!(change, Change::Unlink { .. } | Change::Rmdir { .. } | Change::PackContents { .. })
}

/// Refuses an operation that the tree would refuse, before the journal has it.
pub fn fits(op: &Operation) -> Result<()> {
    let bytes = records::encode(op).len();
    if bytes <= OP_MAX {
        return Ok(());
    }
    Err(Error::Internal(format!("an operation takes {bytes} bytes, and one may take {OP_MAX}")))
}

impl DriveSetup {
    /// Without a writer's key nothing is written; the fold still wants a log of its own.
    pub fn log(&self) -> LogId {
        self.writer.as_ref().map_or(LogId([0xff; 32]), WriterKey::log)
    }
}

pub fn index_error(e: TableError) -> Error {
    Error::Internal(e.to_string())
}

pub fn tree_error(e: FoldError) -> Error {
    match e {
        FoldError::Upgrade(_) => Error::ReadOnly,
        other => Error::Internal(other.to_string()),
    }
}
