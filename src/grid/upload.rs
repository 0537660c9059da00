//! Placing the shares of a pack: all in parallel, the slow overtaken, nothing waited for.

use super::{Candidate, Grid, IN_FLIGHT_PER_FRIEND, Level, PackSource, Plan, UploadEvent, plan};
use crate::content::{Coding, SharePlace};
use crate::keys::{DriveId, NodeId, ShareId, Signed};
use crate::net::Priority;
use crate::wire::{Reason, Receipt, Refusal, Request, Response};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A holder is slow when it takes longer than this plus twice what others took.
const SLOW_AFTER: Duration = Duration::from_millis(500);
/// ... and in any case after this, while no other has answered.
const SLOW_ALONE: Duration = Duration::from_secs(10);
/// The slow that nobody can replace are given up after this once the rest stands safe.
const PATIENCE: Duration = Duration::from_secs(3);
/// A share may take this long, and more by its length at [`SLOWEST_RATE`].
const PUT_TIME: Duration = Duration::from_secs(30);
/// Bytes per second below which a friend is of no use for uploading.
const SLOWEST_RATE: u64 = 16 << 10;
/// News of one upload waiting to be read.
const EVENTS: usize = 64;

/// What was put, or begun to be, at whom.
type Sent = Arc<Mutex<BTreeMap<NodeId, (u16, ShareId)>>>;

/// What became of one share at one holder.
enum Outcome {
    Placed(Box<(SharePlace, Signed)>),
    Refused(Refusal),
    Failed(String),
}

struct Done {
    number: u16,
    node: NodeId,
    outcome: Outcome,
}

impl Grid {
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
        let (send, receive) = mpsc::channel(EVENTS);
        let grid = self.clone();
        self.spawn(async move {
            let upload =
                Upload { grid, drive, source, coding, placed, events: send.clone(), sent: Sent::default() };
            tokio::select! { biased;
                () = send.closed() => {}
                () = upload.run() => {}
            }
        });
        receive
    }

    fn candidates(&self, drive: &DriveId, except: &BTreeSet<NodeId>) -> Vec<Candidate> {
        let usable = self.usable_holders(drive);
        let streaks = self.health.lock();
        usable
            .into_iter()
            .filter(|f| !except.contains(&f.node))
            .map(|f| Candidate {
                node: f.node,
                household: f.household,
                online: f.online,
                room: f.limit.saturating_sub(f.used),
                errors: streaks.get(&f.node).map_or(0, |h| h.streak),
                wrong_bytes: f.wrong_bytes,
                rtt_us: f.rtt.map_or(u64::MAX, |r| r.as_micros() as u64),
            })
            .collect()
    }

    fn friend_permits(&self, node: &NodeId) -> Arc<Semaphore> {
        let fresh = || Arc::new(Semaphore::new(IN_FLIGHT_PER_FRIEND / 1024));
        self.per_friend.lock().entry(*node).or_insert_with(fresh).clone()
    }

    /// Send one share; the receipt is verified.
    async fn put_share(
        self: Arc<Self>,
        drive: DriveId,
        source: Arc<dyn PackSource>,
        number: u16,
        node: NodeId,
        sent: Sent,
    ) -> Outcome {
        match self.try_put(drive, source, number, node, sent).await {
            Ok(outcome) => outcome,
            Err(why) => Outcome::Failed(format!("{}: {why}", self.roster.name_of(&node))),
        }
    }

    async fn try_put(
        &self,
        drive: DriveId,
        source: Arc<dyn PackSource>,
        number: u16,
        node: NodeId,
        sent: Sent,
    ) -> Result<Outcome, String> {
        let member = self.member(&node).ok_or("it is no friend any more")?;
        let access = self.access(&drive).ok_or("the drive is not open")?;
        let len = source.share_len();
        let permits = (len.div_ceil(1024) as u32).min((IN_FLIGHT_PER_FRIEND / 1024) as u32);
        let closed = |e: tokio::sync::AcquireError| e.to_string();
        let friend = self.friend_permits(&node);
        let _one = friend.acquire_many(permits).await.map_err(closed)?;
        let _all = self.in_flight.acquire_many(permits).await.map_err(closed)?;
        let seal_epoch = source.seal_epoch();
        let sealed = self.world.blocking(move || {
            let token = access.read_token(seal_epoch, &node)?;
            Ok::<_, String>((source.seal(number, &node)?, token))
        });
        let (sealed, token) = sealed.await.map_err(|e| e.to_string())??;
        sent.lock().insert(node, (number, sealed.id));
        let lease = self.lease_for(drive, sealed.id, len, &token);
        let grants = self.roster.chain_for(&node);
        let request = Request::Put { lease, grants, reservation: None };
        let deadline = PUT_TIME + Duration::from_secs(len / SLOWEST_RATE);
        let answer = self.ask(node, request, vec![sealed.bytes], Priority::Upload, deadline).await;
        match answer.map_err(|e| e.to_string())? {
            Response::Receipt { receipt } => {
                let said: Receipt = receipt.open(&member.signing_key).map_err(|e| e.to_string())?;
                let account = self.roster.me().person;
                if (said.holder, said.account, said.share, said.len) != (node, account, sealed.id, len) {
                    return Err("its receipt is for something else".into());
                }
                self.note(&node, |h| {
                    h.used = h.used.saturating_add(len);
                    h.no_room = None;
                });
                let count =
                    |c: &mut crate::ledger::Counters| c.bytes_written = c.bytes_written.saturating_add(len);
                self.roster.statements().count(&node, count);
                let place = SharePlace {
                    number,
                    id: sealed.id,
                    holder: node,
                    household: member.household,
                    domains: super::placement::domains_of(&member),
                    minter: account,
                    seal_epoch,
                };
                Ok(Outcome::Placed(Box::new((place, receipt))))
            }
            other => {
                let refusal = self.refusal_of(&member, other)?;
                if matches!(refusal.reason, Reason::DiskFull | Reason::OverLimit) {
                    let why = format!("has no room for more: {}", refusal.detail);
                    self.note(&node, |h| h.no_room = Some(why));
                }
                if refusal.limit > 0 {
                    let granted = self.roster.allowed_at(&node);
                    let said = Some((refusal.limit, granted));
                    self.note(&node, |h| (h.used, h.refused) = (refusal.used, said));
                }
                Ok(Outcome::Refused(refusal))
            }
        }
    }
}

struct Upload {
    grid: Arc<Grid>,
    drive: DriveId,
    source: Arc<dyn PackSource>,
    coding: Coding,
    placed: Vec<SharePlace>,
    events: mpsc::Sender<UploadEvent>,
    sent: Sent,
}

/// One transfer that is under way.
struct Running {
    number: u16,
    since: Instant,
    slow: bool,
}

impl Drop for Upload {
    /// However it ends: who was overtaken need not keep what nothing refers to.
    fn drop(&mut self) {
        self.grid.let_go(self.drive, self.overtaken());
    }
}

impl Upload {
    async fn run(mut self) {
        let there: BTreeSet<NodeId> = self.placed.iter().map(|p| p.holder).collect();
        let candidates = self.grid.candidates(&self.drive, &there);
        let standing: Vec<_> = self.placed.iter().map(|p| (p.number, p.holder, p.household)).collect();
        let seed = self.source.pack().0;
        let Plan { assigned, spares, .. } =
            plan(&candidates, self.coding, &standing, self.source.share_len(), &seed);
        let (mut spares, mut tasks) = (spares.into_iter(), JoinSet::new());
        let (mut running, mut took) = (BTreeMap::new(), Duration::ZERO);
        for (number, node) in assigned {
            self.start(&mut tasks, &mut running, number, node);
        }
        while !running.is_empty() {
            let wake = self.next_wake(&running, took);
            tokio::select! { biased;
                done = tasks.join_next() => {
                    let Some(Ok(Done { number, node, outcome })) = done else { continue };
                    let Some(run) = running.remove(&node) else { continue };
                    if self.stands(number) {
                        continue;
                    }
                    if matches!(outcome, Outcome::Placed(_)) {
                        took = took.max(run.since.elapsed());
                        // The one this overtook is left alone; its share is let go in the end.
                        running.retain(|_, r: &mut Running| r.number != number);
                    }
                    if self.tell(number, node, outcome).await {
                        continue;
                    }
                    let tried = running.values().any(|r| r.number == number);
                    if let (false, Some(spare)) = (tried, spares.next()) {
                        self.start(&mut tasks, &mut running, number, spare);
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    for (number, node) in self.overdue(&mut running, took) {
                        self.grid.note(&node, |h| h.streak += 1);
                        self.send(UploadEvent::Slow { holder: node, number }).await;
                        if let Some(spare) = spares.next() {
                            self.start(&mut tasks, &mut running, number, spare);
                        }
                    }
                    if self.give_up(&running, took) {
                        break;
                    }
                }
            }
        }
        for (node, run) in &running {
            let why = format!("{} is too slow now", self.grid.roster.name_of(node));
            self.send(UploadEvent::Failed { holder: *node, number: run.number, why }).await;
        }
        let missing = (0..u16::from(self.coding.n)).filter(|n| !self.stands(*n)).collect();
        self.send(UploadEvent::Finished { placed: self.placed.clone(), missing }).await;
    }

    fn stands(&self, number: u16) -> bool {
        self.placed.iter().any(|p| p.number == number)
    }

    /// Shares sent to friends whose number stands at another now.
    fn overtaken(&self) -> Vec<(NodeId, ShareId)> {
        let sent = self.sent.lock();
        let lost = sent.iter().filter(|(node, (number, id))| {
            let stands = |p: &SharePlace| p.holder == **node && p.id == *id;
            self.stands(*number) && !self.placed.iter().any(stands)
        });
        lost.map(|(node, (_, id))| (*node, *id)).collect()
    }

    fn level(&self) -> Level {
        let households: BTreeSet<_> = self.placed.iter().map(|p| p.household).collect();
        Level::of(self.coding, households.len())
    }

    fn start(
        &self,
        tasks: &mut JoinSet<Done>,
        running: &mut BTreeMap<NodeId, Running>,
        number: u16,
        node: NodeId,
    ) {
        running.insert(node, Running { number, since: Instant::now(), slow: false });
        let put =
            self.grid.clone().put_share(self.drive, self.source.clone(), number, node, self.sent.clone());
        tasks.spawn(async move { Done { number, node, outcome: put.await } });
    }

    async fn send(&self, event: UploadEvent) {
        // Nobody listening ends the upload elsewhere.
        let _ = self.events.send(event).await;
    }

    /// Tell what became of a share; true when it stands.
    async fn tell(&mut self, number: u16, node: NodeId, outcome: Outcome) -> bool {
        let (event, stands) = match outcome {
            Outcome::Placed(placed) => {
                let (place, receipt) = *placed;
                self.placed.push(place.clone());
                (UploadEvent::Placed { place, receipt, level: self.level() }, true)
            }
            Outcome::Refused(refusal) => (UploadEvent::Refused { holder: node, number, refusal }, false),
            Outcome::Failed(why) => (UploadEvent::Failed { holder: node, number, why }, false),
        };
        self.send(event).await;
        stands
    }

    fn slow_after(&self, took: Duration) -> Duration {
        if took.is_zero() { SLOW_ALONE } else { SLOW_AFTER + took * 2 }
    }

    /// When to look again at what is running.
    fn next_wake(&self, running: &BTreeMap<NodeId, Running>, took: Duration) -> Instant {
        let slow_after = self.slow_after(took);
        let due = running.values().map(|r| r.since + if r.slow { slow_after + PATIENCE } else { slow_after });
        let soon = Instant::now() + Duration::from_millis(20);
        due.min().map_or(soon, |at| at.max(soon))
    }

    fn overdue(&self, running: &mut BTreeMap<NodeId, Running>, took: Duration) -> Vec<(u16, NodeId)> {
        let slow_after = self.slow_after(took);
        let late = running.iter_mut().filter(|(_, r)| !r.slow && r.since.elapsed() >= slow_after);
        late.map(|(node, r)| {
            r.slow = true;
            (r.number, *node)
        })
        .collect()
    }

    /// Only slow ones are left, and what stands is safe: they are left for later.
    fn give_up(&self, running: &BTreeMap<NodeId, Running>, took: Duration) -> bool {
        let limit = self.slow_after(took) + PATIENCE;
        self.level() >= Level::Safe && running.values().all(|r| r.slow && r.since.elapsed() >= limit)
    }
}
