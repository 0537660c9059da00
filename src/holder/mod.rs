//! Serving friends: shares, leases, grants, logs; admission before the first byte.
//!
//! A [`Holder`] keeps shares as files, leases and grants in a record log, and the logs of
//! drives in a record log each. Nothing is acknowledged before it is synced. Requests come
//! as [`Request`]s from a [`Caller`] and are answered with a [`Reply`]; the network is one
//! way in, tests and this machine's own grid are another.
#![forbid(unsafe_code)]

mod admission;
mod adopt;
mod body;
mod drive_logs;
mod get;
mod leases;
mod logs;
mod put;
mod reconcile;
mod records;
mod recovery;
mod serve;
mod shares;
mod state;
mod statement;
mod turns;

#[cfg(test)]
pub(crate) mod tests;

pub use body::{Body, Caller, Reply};
pub use drive_logs::{CheckEntry, CheckedEntry};
pub use records::{Place, RecordError, RecordFile, Scan};
pub use shares::{HEAD_LEN, SHARE_MAGIC, ShareError, ShareHead};
pub use state::HolderStatus;

use crate::keys::{DriveId, Hash, NodeId, PersonId, Record, Signed, SigningKey};
use crate::ledger::{DiskFacts, LeaseKey, Policy, day_of};
use crate::wire::{self, Day, Reason, Refusal, Response};
use crate::world::{Places, World};
use drive_logs::DriveLogs;
use parking_lot::Mutex;
use put::Publisher;
use recovery::Recoveries;
use shares::ShareFiles;
use state::State;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;
use turns::Turns;

/// Shares that may arrive at once, in all; each takes [`RECEIVE_BUFFER`] of memory.
const PUTS_MAX: u32 = 48;
/// ... and for one account.
const PUTS_EACH_MAX: u32 = 16;
/// Bytes of an arriving share collected before they go to the disk.
const RECEIVE_BUFFER: usize = 512 << 10;
/// Bytes of answers in memory at once, until they were sent.
const ANSWERS_MAX: u64 = 64 << 20;
/// ... and for one person that reads: two of the greatest length.
const ANSWERS_EACH_MAX: u64 = 36 << 20;
/// Answers are counted in these.
const ANSWER_UNIT: u64 = 1024;
/// How often ended leases are looked for.
const MAINTAIN_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

/// Who this holder is, and how it lends.
#[derive(Clone)]
pub struct HolderOptions {
    pub node: NodeId,
    /// Whose disk it is; grants must begin with this person.
    pub owner: PersonId,
    /// Signs receipts and refusals.
    pub signing: SigningKey,
    /// Bytes lent in all.
    pub lends: u64,
    /// Bytes that must stay free on the filesystem.
    pub floor: u64,
    pub policy: Policy,
    /// Checks entries of logs before they are kept.
    pub check_entry: CheckEntry,
    /// Reads those kept here again at a start: they lay under a checksum since they were checked,
    /// and checking a year of signatures takes minutes.
    pub replay_entry: CheckEntry,
}

/// Why a holder did not open.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    #[error("lent space: {0}")]
    Shares(#[from] ShareError),
    #[error("lent space: {0}")]
    Records(#[from] RecordError),
    #[error("lent space: {0}")]
    Io(#[from] std::io::Error),
}

/// A node in the role of keeping things for others.
pub struct Holder {
    world: World,
    options: HolderOptions,
    lends: AtomicU64,
    places: Places,
    files: Arc<ShareFiles>,
    state: Arc<Mutex<State>>,
    log: RecordFile,
    drives: Mutex<BTreeMap<DriveId, Arc<DriveLogs>>>,
    recoveries: Recoveries,
    publisher: Publisher,
    /// One change of a lease's file at a time.
    busy: Mutex<BTreeMap<LeaseKey, Arc<tokio::sync::Mutex<()>>>>,
    puts: Turns,
    answers: Turns,
    /// Looks for ended leases; ends with the holder.
    tasks: Mutex<JoinSet<()>>,
}

impl Holder {
    /// Open what is lent below `places.lent`, reconciling leases and files.
    pub async fn open(
        world: &World,
        places: &Places,
        options: HolderOptions,
    ) -> Result<Arc<Holder>, HolderError> {
        let (at, dir) = (world.clone(), places.lent.clone());
        let opened = world.blocking(move || state::open(&at, &dir)).await??;
        let state::OpenedState { files, log, state } = opened;
        let files = Arc::new(files);
        let holder = Arc::new(Holder {
            world: world.clone(),
            lends: AtomicU64::new(options.lends),
            options,
            places: places.clone(),
            publisher: Publisher::new(world.clone(), files.clone()),
            files,
            state: Arc::new(Mutex::new(state)),
            log,
            drives: Mutex::new(BTreeMap::new()),
            recoveries: Recoveries::default(),
            busy: Mutex::new(BTreeMap::new()),
            puts: Turns::new(PUTS_MAX, PUTS_EACH_MAX),
            answers: Turns::new(answer_units(ANSWERS_MAX), answer_units(ANSWERS_EACH_MAX)),
            tasks: Mutex::default(),
        });
        holder.open_logs().await?;
        holder.open_recoveries().await;
        holder.maintain().await;
        let weak = Arc::downgrade(&holder);
        holder.tasks.lock().spawn(async move {
            loop {
                tokio::time::sleep(MAINTAIN_EVERY).await;
                match weak.upgrade() {
                    Some(holder) => holder.maintain().await,
                    None => return,
                }
            }
        });
        Ok(holder)
    }

    /// Ends what runs by itself.
    pub async fn close(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.options.node
    }
    /// Whose disk it is.
    pub fn owner(&self) -> PersonId {
        self.options.owner
    }
    /// Lend more or less from now on; what is kept is kept.
    pub fn set_lends(&self, bytes: u64) {
        self.lends.store(bytes, Ordering::Relaxed);
    }
    fn today(&self) -> Day {
        day_of(self.world.now_ms())
    }

    async fn free_space(&self) -> u64 {
        let (disk, dir) = (self.world.disk.clone(), self.places.lent.clone());
        let space = self.world.blocking(move || disk.space(&dir)).await;
        space.ok().and_then(Result::ok).map_or(0, |s| s.free)
    }

    /// Under the lock under which the answer is reserved: of two that are asked at once, the
    /// second sees what the first was promised.
    fn disk_facts(&self, state: &State, free: u64) -> DiskFacts {
        DiskFacts {
            capacity: self.lends.load(Ordering::Relaxed),
            lent: state.book.lent().saturating_add(state.reserved()),
            free,
            floor: self.options.floor,
            reserved: state.reserved(),
        }
    }

    fn sign<T: Record>(&self, value: &T) -> Signed {
        Signed::record(&self.options.signing, value)
    }

    /// A signed refusal.
    fn refuse(&self, reason: Reason, account: PersonId, detail: impl Into<String>) -> Response {
        self.refuse_at(reason, account, 0, 0, detail)
    }

    fn refuse_at(
        &self,
        reason: Reason,
        account: PersonId,
        limit: u64,
        used: u64,
        detail: impl Into<String>,
    ) -> Response {
        let detail: String = detail.into().chars().take(wire::DETAIL_MAX / 4).collect();
        let (holder, day) = (self.options.node, self.today());
        let refusal = Refusal { reason, limit, used, detail, holder, account, day };
        Response::Refusal { refusal: self.sign(&refusal) }
    }

    /// Head of the ledger between an account and this holder: its last statement's hash.
    pub(crate) fn ledger_head(&self, account: &PersonId) -> Hash {
        self.state.lock().ledger_head(account)
    }
}

fn answer_units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(ANSWER_UNIT)).unwrap_or(u32::MAX)
}
