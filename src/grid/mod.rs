//! Using friends: roster, placement, upload, download, log sync, joining.
//!
//! A [`Grid`] is this node's view of its friends. It places the shares of packs on
//! holders, reads ranges back from any k of them, keeps the logs of drives on every
//! holder, and never waits for the slowest.
#![forbid(unsafe_code)]

mod api;
mod audit;
mod delegate;
mod download;
mod friends;
mod get;
mod health;
mod join;
mod leases;
mod log_open;
mod logs;
mod merge;
mod placement;
mod ranges;
mod recovery;
mod roster;
mod statements;
mod tickets;
mod upload;

#[cfg(test)]
mod tests;

pub use api::*;
pub use friends::{Download, Friends};
pub use join::{Door, Joined, gossip};
pub use leases::LeasedShare;
pub use placement::{Candidate, Plan, coding_for, plan, rank};
pub use recovery::FriendRecords;
pub use roster::{Me, Roster};

use crate::content::Coding;
use crate::holder::{CheckEntry, CheckedEntry, Holder};
use crate::keys::{DriveId, Epoch, Hash, NodeId, PackId, Signed};
use crate::net::{Event, NetError, Priority};
use crate::tree::Checked;
use crate::wire::{Day, Member, Refusal, Request, Response};
use crate::world::World;
use bytes::Bytes;
use health::Health;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinSet;

/// Bytes of shares in flight to one friend, and in all.
const IN_FLIGHT_PER_FRIEND: usize = 24 << 20;
const IN_FLIGHT: usize = 96 << 20;
/// A friend not seen for so long is not counted when a coding is chosen (milliseconds).
const GONE_AFTER_MS: u64 = 7 * 86_400_000;

/// Whose turn it is.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// What a holder took with [`Request::LogOpen`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    admin: usize,
    epoch: Epoch,
    /// Of the last grant of the chain shown.
    grant: Option<Hash>,
}

/// This node's view of its friends.
pub struct Grid {
    world: World,
    roster: Arc<Roster>,
    friends: Arc<dyn Friends>,
    /// This machine's own holder: never counted, but read from and written to.
    holder: Option<Arc<Holder>>,
    drives: Mutex<BTreeMap<DriveId, Arc<dyn DriveAccess>>>,
    health: Mutex<BTreeMap<NodeId, Health>>,
    coding: Mutex<Option<Coding>>,
    changes: watch::Sender<u64>,
    in_flight: Arc<Semaphore>,
    per_friend: Mutex<BTreeMap<NodeId, Arc<Semaphore>>>,
    /// What each holder was told of a drive's admin log and of the right to keep it there.
    told: Mutex<BTreeMap<(DriveId, NodeId), Told>>,
    /// The day on which leases at a holder were renewed last, since this start.
    renewed: Mutex<BTreeMap<(DriveId, NodeId), Day>>,
    /// Packs that may have lost a share.
    suspects: Mutex<BTreeSet<(DriveId, PackId)>>,
    /// One sender of a drive's entries to a holder at a time.
    senders: Mutex<BTreeMap<(DriveId, NodeId), Turn>>,
    /// How log and sequence are read off an entry.
    check_entry: CheckEntry,
    /// What runs for as long as there are friends; ends with the grid.
    tasks: Mutex<JoinSet<()>>,
}

/// What can be read off an entry without a key. Its signature is the drive's to check: here
/// it only tells what one holder need not send again.
fn check_entry(drive: &DriveId, bytes: &[u8]) -> Result<CheckedEntry, String> {
    let checked = Checked::claimed(bytes, drive).map_err(|e| e.to_string())?;
    Ok(CheckedEntry {
        log: checked.log,
        seq: checked.header.seq,
        previous: checked.header.previous,
        hash: checked.hash,
        epoch: checked.header.epoch,
        writer: checked.header.writer,
    })
}

impl Grid {
    /// A grid over these friends; it follows them as they come and go.
    pub fn start(
        world: &World,
        roster: Arc<Roster>,
        friends: impl Friends,
        holder: Option<Arc<Holder>>,
    ) -> Arc<Grid> {
        Grid::with(world, roster, Arc::new(friends), holder, check_entry)
    }

    pub(crate) fn with(
        world: &World,
        roster: Arc<Roster>,
        friends: Arc<dyn Friends>,
        holder: Option<Arc<Holder>>,
        check_entry: CheckEntry,
    ) -> Arc<Grid> {
        let grid = Arc::new(Grid {
            world: world.clone(),
            roster,
            friends,
            holder,
            drives: Mutex::new(BTreeMap::new()),
            health: Mutex::new(BTreeMap::new()),
            coding: Mutex::new(None),
            changes: watch::channel(0).0,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT / 1024)),
            per_friend: Mutex::new(BTreeMap::new()),
            told: Mutex::new(BTreeMap::new()),
            renewed: Mutex::new(BTreeMap::new()),
            suspects: Mutex::new(BTreeSet::new()),
            senders: Mutex::new(BTreeMap::new()),
            check_entry,
            tasks: Mutex::default(),
        });
        grid.recall_statements();
        let (events, roster) = (grid.friends.events(), grid.roster.changes());
        {
            let mut tasks = grid.tasks.lock();
            tasks.spawn(follow(Arc::downgrade(&grid), events, roster));
            tasks.spawn(leases::renew_for_ever(Arc::downgrade(&grid)));
        }
        grid
    }

    /// Ends what runs by itself, and whatever was under way: nothing answers any more.
    pub async fn close(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
    }

    /// Runs a task until it ends or the grid is closed.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Use this coding whatever the number of friends (None: the table's).
    pub fn set_coding(&self, coding: Option<Coding>) {
        *self.coding.lock() = coding;
    }

    /// Make a drive known: its shares can be read, its logs sent. Idempotent.
    pub fn open_drive(self: &Arc<Self>, drive: Arc<dyn DriveAccess>) {
        let id = drive.drive();
        self.drives.lock().insert(id, drive);
        self.touch();
    }

    /// Forget a drive again.
    pub fn close_drive(&self, drive: &DriveId) {
        self.drives.lock().remove(drive);
        self.told.lock().retain(|(of, _), _| of != drive);
    }

    fn access(&self, drive: &DriveId) -> Option<Arc<dyn DriveAccess>> {
        self.drives.lock().get(drive).cloned()
    }

    /// Friends that may hold something of a drive for this node (by a grant of one's own, or
    /// one delegated), this machine never among them; online first.
    pub fn usable_holders(&self, _drive: &DriveId) -> Vec<FriendStatus> {
        let mut usable: Vec<FriendStatus> = self.status().into_iter().filter(|f| f.limit > 0).collect();
        usable.sort_by_key(|f| !f.online);
        usable
    }

    /// The coding for a new pack by the households usable now; None without any friend.
    pub fn coding_for_now(&self, drive: &DriveId) -> Option<Coding> {
        let now = self.world.now_ms();
        let gone = |f: &FriendStatus| {
            !f.online && f.last_seen_ms.is_some_and(|seen| now.saturating_sub(seen) > GONE_AFTER_MS)
        };
        let usable = self.usable_holders(drive);
        let households: BTreeSet<_> = usable.iter().filter(|f| !gone(f)).map(|f| f.household).collect();
        if households.is_empty() {
            return None;
        }
        self.coding.lock().or_else(|| coding_for(households.len()))
    }

    /// Changes whenever a friend comes, goes, joins, or gives: then what is missing should be
    /// sent again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn touch(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// All friends.
    pub fn status(&self) -> Vec<FriendStatus> {
        let health = self.health.lock().clone();
        self.roster
            .members()
            .into_iter()
            .map(|m| {
                let seen = health.get(&m.node).cloned().unwrap_or_default();
                let account = self.roster.statements().account(&m.node);
                let audits = account.counters.audits;
                let allowed = self.roster.allowed_at(&m.node);
                let limit = seen.limit(allowed);
                let given = self.roster.given_to(&m.person).map_or(0, |g| g.bytes);
                FriendStatus {
                    online: self.friends.online(&m.node),
                    rtt: self.friends.rtt(&m.node),
                    last_seen_ms: seen.last_seen_ms,
                    errors: seen.errors,
                    wrong_bytes: seen.wrong_bytes,
                    last_error: seen.no_room.or(seen.last_error),
                    limit,
                    used: seen.used,
                    given,
                    lent: 0,
                    said: seen.said,
                    notice: seen.notice,
                    away_until: seen.away_until,
                    audits: (audits.ok, audits.wrong),
                    verified_ms: account.verified_ms,
                    node: m.node,
                    person: m.person,
                    label: m.label,
                    household: m.household,
                }
            })
            .collect()
    }

    /// Room for a drive's data at friends (statfs).
    pub fn room(&self, drive: &DriveId) -> Room {
        let Some(coding) = self.coding_for_now(drive) else { return Room { total: 0, free: 0 } };
        let usable = self.usable_holders(drive);
        let sum =
            |of: &dyn Fn(&FriendStatus) -> u64| usable.iter().fold(0u64, |s, f| s.saturating_add(of(f)));
        let part = |bytes: u64| bytes / u64::from(coding.n.max(1)) * u64::from(coding.k);
        let total = part(sum(&|f| f.limit));
        Room { total, free: part(sum(&|f| f.limit.saturating_sub(f.used))).min(total) }
    }

    /// Ask a node (this machine's own included), and remember how it went.
    async fn ask(
        &self,
        node: NodeId,
        request: Request,
        body: Vec<Bytes>,
        priority: Priority,
        deadline: Duration,
    ) -> Result<Response, NetError> {
        if let Some(holder) = self.own(&node) {
            return Ok(friends::ask_own(holder, request, body).await.0);
        }
        let answer = self.friends.request(node, request, body, priority, deadline).await;
        self.saw(&node, answer.as_ref().err());
        answer
    }

    fn own(&self, node: &NodeId) -> Option<&Arc<Holder>> {
        self.holder.as_ref().filter(|h| h.node() == *node)
    }

    fn saw(&self, node: &NodeId, error: Option<&NetError>) {
        let now = self.world.now_ms();
        self.note(node, |h| match error {
            None => h.good(now),
            Some(e) => h.bad(e.to_string()),
        });
    }

    fn note<T>(&self, node: &NodeId, change: impl FnOnce(&mut Health) -> T) -> T {
        change(self.health.lock().entry(*node).or_default())
    }

    /// The refusal of a friend, if its signature is its own.
    fn refusal_of(&self, member: &Member, response: Response) -> Result<Refusal, String> {
        match response {
            Response::Refusal { refusal } => {
                let refusal: Refusal = refusal.open(&member.signing_key).map_err(|e| e.to_string())?;
                Ok(refusal)
            }
            _ => Err("it answered something else".into()),
        }
    }

    /// A refusal of a node, checked against its key.
    fn said(&self, node: &NodeId, refusal: &Signed) -> Result<Refusal, String> {
        let member = self.member(node).ok_or("it is no friend any more")?;
        refusal.open(&member.signing_key).map_err(|e| format!("its refusal is not its own: {e}"))
    }

    /// A node's record; this one's own too.
    fn member(&self, node: &NodeId) -> Option<Member> {
        self.roster.member(node)
    }
}

/// Follow friends as they come and go, and the roster as it changes.
async fn follow(
    grid: std::sync::Weak<Grid>,
    mut events: broadcast::Receiver<Event>,
    mut roster: watch::Receiver<u64>,
) {
    loop {
        let event = tokio::select! { biased;
            event = events.recv() => match event {
                Ok(event) => Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => None,
                Err(_) => return,
            },
            changed = roster.changed() => match changed {
                Ok(()) => None,
                Err(_) => return,
            },
        };
        let Some(grid) = grid.upgrade() else { return };
        let roster_changed = event.is_none();
        if let Some(Event::Connected(node) | Event::Disconnected(node)) = event {
            let now = grid.world.now_ms();
            grid.note(&node, |h| h.last_seen_ms = Some(now));
        }
        if let Some(Event::Connected(node)) = event {
            grid.bring_up_to_date(node);
            grid.ask_for_statement(node);
        }
        if roster_changed {
            grid.bring_in_new_holders();
            grid.ask_statements(false);
        }
        grid.touch();
    }
}
