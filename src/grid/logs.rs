//! The logs of drives at friends: sent to every holder, fetched from several, watched.

use super::{AppendEvent, DriveAccess, Grid, GridError, News};
use crate::keys::{DriveId, Hash, LogId, NodeId, Signed};
use crate::net::Priority;
use crate::wire::{ENTRY_MAX, FETCH_ENTRIES_MAX, Head, LogReceipt, Reason, Refusal, Request, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long one step of sending entries may take.
const SEND_TIME: Duration = Duration::from_secs(20);
/// How long a watch waits at a holder before it is asked again.
const WATCH_TIME: Duration = Duration::from_secs(60);
/// A holder that failed or has not the drive is asked again after the first, doubling, to the
/// second: each time costs a dial where the friend is away, which may be for weeks.
const WATCH_AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(16));
/// Bytes of entries in one request (they are framed with little else).
const BATCH_BYTES: usize = ENTRY_MAX - 4096;

/// Why entries did not get to a holder.
pub(super) enum SendError {
    Refused(Box<Refusal>),
    Failed(String),
}

impl From<String> for SendError {
    fn from(why: String) -> SendError {
        SendError::Failed(why)
    }
}

impl Grid {
    /// Nodes that are to keep a drive's logs: usable holders, and this machine's own.
    fn log_holders(&self, drive: &DriveId) -> Vec<NodeId> {
        let own = self.holder.as_ref().map(|h| h.node());
        self.usable_holders(drive).into_iter().map(|f| f.node).chain(own).collect()
    }

    /// Nodes that may have a drive's logs.
    fn log_sources(&self) -> Vec<NodeId> {
        let own = self.holder.as_ref().map(|h| h.node());
        self.roster.members().into_iter().map(|m| m.node).chain(own).collect()
    }

    /// Send entries (of one log, in sequence, as signed bytes) to every holder of the drive in
    /// parallel. A holder that lacks earlier ones gets them from [`DriveAccess::entries`].
    /// Without entries: holders are brought up to date and say what they have.
    ///
    /// This machine's own holder is served too, but says nothing and is not counted.
    pub fn append(self: &Arc<Self>, drive: DriveId, entries: Vec<Vec<u8>>) -> mpsc::Receiver<AppendEvent> {
        let (send, receive) = mpsc::channel(64);
        let (grid, entries) = (self.clone(), Arc::new(entries));
        self.spawn(async move {
            let mut tasks = JoinSet::new();
            for node in grid.log_holders(&drive) {
                let (grid, entries) = (grid.clone(), entries.clone());
                tasks.spawn(async move { (node, grid.send_entries(drive, node, &entries).await) });
            }
            let mut households = BTreeSet::new();
            while let Some(done) = tasks.join_next().await {
                let Ok((node, result)) = done else { continue };
                if let Some(event) = grid.append_event(node, result, &mut households) {
                    // Nobody listening: the entries go out all the same.
                    let _ = send.send(event).await;
                }
            }
            let _ = send.send(AppendEvent::Finished { households: households.len() }).await;
        });
        receive
    }

    fn append_event(
        &self,
        holder: NodeId,
        result: Result<Vec<Head>, SendError>,
        households: &mut BTreeSet<Hash>,
    ) -> Option<AppendEvent> {
        if self.own(&holder).is_some() {
            if let Err(SendError::Failed(why)) = result {
                tracing::warn!("entries did not get into this machine's own log: {why}");
            }
            return None;
        }
        Some(match result {
            Ok(heads) => {
                let household = self.member(&holder)?.household;
                households.insert(household);
                AppendEvent::Acked { holder, household, heads }
            }
            Err(SendError::Refused(refusal)) => AppendEvent::Refused { holder, refusal: *refusal },
            Err(SendError::Failed(why)) => {
                AppendEvent::Failed { holder, why: format!("{}: {why}", self.roster.name_of(&holder)) }
            }
        })
    }

    /// Entries to one holder, with all it needs to take them; its heads afterwards.
    pub(super) async fn send_entries(
        &self,
        drive: DriveId,
        node: NodeId,
        entries: &[Vec<u8>],
    ) -> Result<Vec<Head>, SendError> {
        let access = self.access(&drive).ok_or_else(|| "the drive is not open".to_string())?;
        let turn = self.senders.lock().entry((drive, node)).or_default().clone();
        let _turn = turn.lock().await;
        let mut answer = self.send_first(&access, node, entries).await;
        if let Err(SendError::Refused(refusal)) = &answer
            && matches!(refusal.reason, Reason::NotFound | Reason::BadEntry | Reason::StaleEpoch)
        {
            // It does not keep this drive yet, or its admin log is behind.
            self.open_log(&access, node).await?;
            answer = self.send_batches(drive, node, entries).await;
        }
        let behind = match &answer {
            Err(SendError::Refused(refusal)) => refusal.reason == Reason::Gap,
            Ok(_) => entries.is_empty(),
            Err(SendError::Failed(_)) => false,
        };
        if !behind {
            return answer;
        }
        let heads = match answer {
            Ok(heads) => heads,
            Err(_) => self.send_batches(drive, node, &[]).await?,
        };
        self.send_missing(&access, node, heads).await
    }

    /// Everything here that a holder with these heads lacks.
    async fn send_missing(
        &self,
        access: &Arc<dyn DriveAccess>,
        node: NodeId,
        mut heads: Vec<Head>,
    ) -> Result<Vec<Head>, SendError> {
        let drive = access.drive();
        let reader = access.clone();
        let ours = self.world.blocking(move || reader.vector()).await.map_err(|e| e.to_string())?;
        for head in ours {
            let has = |heads: &[Head]| heads.iter().find(|h| h.log == head.log).map_or(0, |h| h.seq);
            let mut seq = has(&heads);
            while seq < head.seq {
                let (reader, log) = (access.clone(), head.log);
                let read = self.world.blocking(move || reader.entries(&log, seq, BATCH_BYTES));
                let batch = read.await.map_err(|e| e.to_string())?;
                if batch.is_empty() {
                    break;
                }
                heads = self.send_batches(drive, node, &batch).await?;
                let now = has(&heads);
                if now <= seq {
                    break;
                }
                seq = now;
            }
        }
        Ok(heads)
    }

    /// Entries as they are, in requests that are not too long.
    pub(super) async fn send_batches(
        &self,
        drive: DriveId,
        node: NodeId,
        entries: &[Vec<u8>],
    ) -> Result<Vec<Head>, SendError> {
        let (mut rest, mut heads) = (entries, None);
        while heads.is_none() || !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(FETCH_ENTRIES_MAX).take_while(|e| {
                bytes += e.len() + 8;
                bytes <= BATCH_BYTES
            });
            let count = fits.count().max(1).min(rest.len());
            let (batch, later) = rest.split_at(count);
            let account = self.roster.me().person;
            let request = Request::LogAppend { drive, account, entries: batch.to_vec() };
            heads = Some(self.log_request(drive, node, request).await?);
            rest = later;
        }
        Ok(heads.unwrap_or_default())
    }

    /// A request that is answered with a log receipt, which is verified.
    pub(super) async fn log_request(
        &self,
        drive: DriveId,
        node: NodeId,
        request: Request,
    ) -> Result<Vec<Head>, SendError> {
        let member = self.member(&node).ok_or_else(|| "it is no friend any more".to_string())?;
        let answer = self.ask(node, request, Vec::new(), Priority::Log, SEND_TIME).await;
        match answer.map_err(|e| e.to_string())? {
            Response::LogAck { receipt } => {
                let said: LogReceipt = receipt.open(&member.signing_key).map_err(|e| e.to_string())?;
                if (said.holder, said.drive) != (node, drive) {
                    return Err("its receipt is for something else".to_string().into());
                }
                Ok(said.heads)
            }
            other => Err(SendError::Refused(Box::new(self.refusal_of(&member, other)?))),
        }
    }

    /// Genesis and admin log of a drive that need not be open here, as one node has them (this
    /// machine's own holder too).
    pub async fn admin_of(
        &self,
        node: NodeId,
        drive: DriveId,
        token: [u8; 32],
    ) -> Result<Vec<Signed>, String> {
        let request = Request::LogFetch { drive, token, vector: Vec::new(), admin_len: 0 };
        match self.ask(node, request, Vec::new(), Priority::Log, SEND_TIME).await {
            Ok(Response::LogEntries { admin, .. }) => Ok(admin),
            Ok(_) => Err("does not hold it".into()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// What several holders have beyond [`DriveAccess::vector`]: asked in parallel, answered
    /// within `deadline`; the names of those that did not answer come along.
    pub async fn fetch_since(
        self: &Arc<Self>,
        drive: &DriveId,
        deadline: Duration,
    ) -> Result<(Vec<News>, Vec<String>), GridError> {
        let drive = *drive;
        let access = self.access(&drive).ok_or(GridError::UnknownDrive(drive))?;
        let mut tasks = JoinSet::new();
        for node in self.log_sources() {
            let (grid, access) = (self.clone(), access.clone());
            tasks.spawn(async move {
                let all = grid.fetch_all(&access, node);
                (
                    node,
                    tokio::time::timeout(deadline, all)
                        .await
                        .unwrap_or_else(|_| Err("no answer in time".into())),
                )
            });
        }
        let (mut news, mut silent) = (Vec::new(), Vec::new());
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((_, Ok(found))) => news.extend(found),
                Ok((node, Err(_))) => silent.push(self.roster.name_of(&node)),
                Err(_) => {}
            }
        }
        silent.sort();
        Ok((news, silent))
    }

    async fn fetch_all(&self, access: &Arc<dyn DriveAccess>, node: NodeId) -> Result<Vec<News>, String> {
        let (mut known, mut all) = (Delivered::default(), Vec::new());
        loop {
            match self.fetch_page(access, node, &mut known, Duration::ZERO).await? {
                Some((page, more)) => {
                    all.extend(page);
                    if !more {
                        return Ok(all);
                    }
                }
                // It does not have the drive: nothing is missing from it.
                None => return Ok(all),
            }
        }
    }

    /// One answer of a holder beyond what is known; None when it does not have the drive.
    async fn fetch_page(
        &self,
        access: &Arc<dyn DriveAccess>,
        node: NodeId,
        known: &mut Delivered,
        wait: Duration,
    ) -> Result<Option<(Option<News>, bool)>, String> {
        let drive = access.drive();
        let reader = access.clone();
        let read = self.world.blocking(move || {
            (reader.vector(), reader.admin().len() as u32, reader.read_token(reader.epoch(), &node))
        });
        let (vector, admin_len, token) = read.await.map_err(|e| e.to_string())?;
        let (token, vector, admin_len) = (token?, known.over(vector), known.admin.max(admin_len));
        let request = match wait.is_zero() {
            true => Request::LogFetch { drive, token, vector, admin_len },
            false => Request::LogWatch { drive, token, vector, admin_len, wait_ms: wait.as_millis() as u32 },
        };
        let answer = self.ask(node, request, Vec::new(), Priority::Log, wait + SEND_TIME).await;
        match answer.map_err(|e| e.to_string())? {
            Response::LogEntries { admin, entries, more } => {
                known.admin = admin_len + admin.len() as u32;
                for entry in &entries {
                    let seen = (self.check_entry)(&drive, entry).inspect_err(|e| {
                        tracing::warn!("{} sent what is no entry: {e}", self.roster.name_of(&node));
                    })?;
                    let head = Head { log: seen.log, seq: seen.seq, hash: seen.hash };
                    known.heads.insert(seen.log, head);
                }
                let empty = admin.is_empty() && entries.is_empty();
                Ok(Some(((!empty).then_some(News { admin, entries }), more)))
            }
            Response::Refusal { refusal } => match self.said(&node, &refusal)? {
                refusal if refusal.reason == Reason::NotFound => Ok(None),
                refusal => Err(refusal.detail),
            },
            _ => Err("it answered something else".into()),
        }
    }

    /// News of a drive as it arrives, from all its holders, with reconnection; ends when the
    /// receiver is dropped or the drive closed. The same entry may come from several.
    pub fn watch(self: &Arc<Self>, drive: DriveId) -> mpsc::Receiver<(NodeId, News)> {
        let (send, receive) = mpsc::channel(8);
        let grid = self.clone();
        self.spawn(async move {
            let mut changes = grid.changes();
            let (mut watched, mut tasks) = (BTreeSet::new(), JoinSet::new());
            while grid.access(&drive).is_some() {
                for node in grid.log_sources() {
                    if watched.insert(node) {
                        tasks.spawn(watch_one(grid.clone(), drive, node, send.clone()));
                    }
                }
                tokio::select! { biased;
                    () = send.closed() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
            }
        });
        receive
    }
}

/// What was delivered, though the drive may not have taken it in yet.
#[derive(Default)]
struct Delivered {
    heads: BTreeMap<LogId, Head>,
    admin: u32,
}

impl Delivered {
    /// A vector with what was delivered on top.
    fn over(&mut self, vector: Vec<Head>) -> Vec<Head> {
        let mut all: BTreeMap<LogId, Head> = vector.into_iter().map(|h| (h.log, h)).collect();
        self.heads.retain(|log, head| all.get(log).is_none_or(|known| known.seq < head.seq));
        all.extend(self.heads.iter().map(|(log, head)| (*log, *head)));
        all.into_values().collect()
    }
}

async fn watch_one(grid: Arc<Grid>, drive: DriveId, node: NodeId, send: mpsc::Sender<(NodeId, News)>) {
    let (mut known, mut again) = (Delivered::default(), WATCH_AGAIN.0);
    let mut changes = grid.changes();
    loop {
        let Some(access) = grid.access(&drive) else { return };
        match grid.fetch_page(&access, node, &mut known, WATCH_TIME).await {
            Ok(Some((news, _))) => {
                again = WATCH_AGAIN.0;
                if let Some(news) = news
                    && send.send((node, news)).await.is_err()
                {
                    return;
                }
                continue;
            }
            Ok(None) | Err(_) => known = Delivered::default(),
        }
        changes.mark_unchanged();
        tokio::select! { biased;
            () = send.closed() => return,
            _ = changes.changed() => tokio::time::sleep(Duration::from_millis(100)).await,
            () = tokio::time::sleep(again) => again = (again * 2).min(WATCH_AGAIN.1),
        }
    }
}
