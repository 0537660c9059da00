//! A grid in memory: holders that can be switched off, filled up, and damaged.

use super::super::friends::{Boxed, DriveGrid};
use crate::content::{CatalogueRecord, Coding, Layout, SharePlace, ShareRanges, ShareTree, assemble};
use crate::grid::*;
use crate::keys::*;
use crate::tree::Checked;
use crate::wire::Head;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// One holder.
#[derive(Clone, Default)]
pub struct MemHolder {
    pub up: bool,
    pub shares: BTreeMap<ShareId, Vec<u8>>,
    pub logs: BTreeMap<LogId, Vec<Vec<u8>>>,
    pub admin: Vec<Signed>,
    /// Bytes it grants.
    pub limit: u64,
    /// Takes no shares.
    pub refuses: bool,
}

/// All holders; what is common to all nodes.
pub struct MemGrid {
    pub holders: Mutex<Vec<MemHolder>>,
    pub coding: Mutex<Option<Coding>>,
    /// Bumped when something is appended, and when holders come and go.
    news: watch::Sender<u64>,
    changes: watch::Sender<u64>,
    pub uploaded: Mutex<u64>,
    pub fetched: Mutex<u64>,
    /// Reads say which shares they found lost.
    pub tells: Mutex<bool>,
    /// Audits that do not ask for the whole share find nothing.
    pub lenient: Mutex<bool>,
}

/// One node's view.
pub struct MemClient {
    pub grid: Arc<MemGrid>,
    access: Mutex<Option<Arc<dyn DriveAccess>>>,
}

fn node(i: usize) -> NodeId {
    NodeId([i as u8 + 1; 32])
}

fn household(i: usize) -> Hash {
    Hash([i as u8 + 101; 32])
}

/// The largest row of the design's table not above the number.
fn coding_for(n: usize) -> Option<Coding> {
    let rows = [(1, 1, 1), (2, 1, 2), (3, 1, 3), (5, 2, 5), (7, 3, 7), (10, 4, 9)];
    rows.iter().rev().find(|r| r.0 <= n).map(|r| Coding { k: r.1, n: r.2 })
}

impl MemGrid {
    pub fn new(holders: usize) -> Arc<MemGrid> {
        let make = |_| MemHolder { up: true, limit: 1 << 40, ..MemHolder::default() };
        Arc::new(MemGrid {
            holders: Mutex::new((0..holders).map(make).collect()),
            coding: Mutex::new(None),
            news: watch::Sender::new(0),
            changes: watch::Sender::new(0),
            uploaded: Mutex::new(0),
            fetched: Mutex::new(0),
            tells: Mutex::new(false),
            lenient: Mutex::new(false),
        })
    }
    /// The same holders with what they hold now, going on by themselves.
    pub fn copy(&self) -> Arc<MemGrid> {
        let copy = MemGrid::new(0);
        *copy.holders.lock() = self.holders.lock().clone();
        *copy.coding.lock() = *self.coding.lock();
        *copy.uploaded.lock() = *self.uploaded.lock();
        copy
    }
    /// Changes with what holders hold.
    pub fn held(&self) -> u64 {
        let holders = self.holders.lock();
        let one =
            |h: &MemHolder| h.shares.len() + h.logs.values().map(Vec::len).sum::<usize>() + h.admin.len();
        *self.uploaded.lock() + holders.iter().map(|h| one(h) as u64).sum::<u64>()
    }
    pub fn client(self: &Arc<Self>) -> Arc<MemClient> {
        Arc::new(MemClient { grid: self.clone(), access: Mutex::new(None) })
    }
    pub fn set_up(&self, holder: usize, up: bool) {
        self.holders.lock()[holder].up = up;
        self.changes.send_modify(|n| *n += 1);
        self.news.send_modify(|n| *n += 1);
    }
    /// Flip a bit in every share of a holder.
    pub fn damage(&self, holder: usize) {
        for share in self.holders.lock()[holder].shares.values_mut() {
            let at = share.len() / 2;
            share[at] ^= 1;
        }
    }
    /// A holder takes no more shares.
    pub fn refuse(&self, holder: usize) {
        self.holders.lock()[holder].refuses = true;
    }
    /// A holder's disk is wiped of shares.
    pub fn lose(&self, holder: usize) {
        self.holders.lock()[holder].shares.clear();
    }
    fn up(&self) -> Vec<usize> {
        let holders = self.holders.lock();
        (0..holders.len()).filter(|i| holders[*i].up).collect()
    }
}

impl MemClient {
    fn access(&self) -> Arc<dyn DriveAccess> {
        self.access.lock().clone().expect("a drive is open")
    }
    fn beyond(&self, holder: usize, vector: &[Head], admin_len: usize) -> News {
        let holders = self.grid.holders.lock();
        let mut news = News::default();
        if holders[holder].admin.len() > admin_len {
            news.admin = holders[holder].admin.clone();
        }
        for (log, entries) in &holders[holder].logs {
            let seen = vector.iter().filter(|h| h.log == *log).map(|h| h.seq).max().unwrap_or(0);
            news.entries.extend(entries.iter().skip(seen as usize).cloned());
        }
        news
    }
}

async fn upload(
    grid: Arc<MemGrid>,
    source: Arc<dyn PackSource>,
    coding: Coding,
    mut placed: Vec<SharePlace>,
    out: mpsc::Sender<UploadEvent>,
) {
    let mut missing = Vec::new();
    for number in 0..u16::from(coding.n) {
        if placed.iter().any(|p| p.number == number) {
            continue;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        let takes =
            |i: &usize| !grid.holders.lock()[*i].refuses && !placed.iter().any(|p| p.holder == node(*i));
        let free = grid.up().into_iter().find(takes);
        let Some(i) = free else {
            missing.push(number);
            continue;
        };
        let share = source.seal(number, &node(i)).expect("sealed");
        assert_eq!(share.bytes.len() as u64, source.share_len());
        *grid.uploaded.lock() += share.bytes.len() as u64;
        grid.holders.lock()[i].shares.insert(share.id, share.bytes.to_vec());
        let place = SharePlace {
            number,
            id: share.id,
            holder: node(i),
            household: household(i),
            domains: crate::content::FailureDomains::default(),
            minter: PersonId([7; 32]),
            seal_epoch: source.seal_epoch(),
        };
        placed.push(place.clone());
        let level = Level::of(coding, placed.len());
        let receipt = Signed { bytes: Vec::new(), signature: Vec::new() };
        if out.send(UploadEvent::Placed { place, receipt, level }).await.is_err() {
            return;
        }
    }
    let _ = out.send(UploadEvent::Finished { placed, missing }).await;
}

impl DriveGrid for MemClient {
    fn open_drive(&self, drive: Arc<dyn DriveAccess>) {
        *self.access.lock() = Some(drive);
    }
    fn close_drive(&self, _drive: &DriveId) {
        *self.access.lock() = None;
    }
    fn coding(&self, _drive: &DriveId) -> Option<Coding> {
        let fixed = *self.grid.coding.lock();
        let up = self.grid.up().len();
        if up == 0 { None } else { fixed.or(coding_for(up)) }
    }
    fn holders(&self, _drive: &DriveId) -> Vec<FriendStatus> {
        let holders = self.grid.holders.lock();
        let status = |(i, h): (usize, &MemHolder)| FriendStatus {
            node: node(i),
            person: PersonId([i as u8; 32]),
            label: format!("friend {i}"),
            household: household(i),
            online: h.up,
            last_seen_ms: None,
            rtt: None,
            errors: 0,
            wrong_bytes: 0,
            last_error: None,
            limit: h.limit,
            used: 0,
            given: 0,
            lent: 0,
            said: None,
            notice: None,
            away_until: None,
            audits: (0, 0),
            verified_ms: None,
        };
        holders.iter().enumerate().map(status).collect()
    }
    fn upload(
        &self,
        _drive: DriveId,
        source: Arc<dyn PackSource>,
        coding: Coding,
        placed: Vec<SharePlace>,
    ) -> mpsc::Receiver<UploadEvent> {
        let (send, receive) = mpsc::channel(16);
        tokio::spawn(upload(self.grid.clone(), source, coding, placed, send));
        receive
    }
    fn fetch(
        &self,
        _drive: DriveId,
        record: CatalogueRecord,
        ranges: Vec<PackRange>,
        deadline: Duration,
    ) -> Boxed<Result<Vec<Bytes>, FetchError>> {
        let (grid, access) = (self.grid.clone(), self.access());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let layout = Layout::new(record.k, record.len).expect("a sound record");
            let mut shares = BTreeMap::new();
            let mut missing = Vec::new();
            for place in &record.shares {
                let i = usize::from(place.holder.0[0]) - 1;
                let found = {
                    let holders = grid.holders.lock();
                    holders[i].up.then(|| holders[i].shares.get(&place.id).cloned()).flatten()
                };
                match found {
                    Some(bytes) if ShareTree::of(&bytes).id() == place.id => {
                        *grid.fetched.lock() += bytes.len() as u64;
                        let mut bytes = bytes;
                        access.unseal(&record.pack, place, 0, &mut bytes).expect("unsealed");
                        let mut have = ShareRanges::default();
                        have.insert(0, bytes);
                        shares.insert(place.number, have);
                    }
                    _ => {
                        missing.push(format!("friend {i}"));
                        if *grid.tells.lock() && grid.holders.lock()[i].up {
                            access.share_lost(&record.pack, place);
                        }
                    }
                }
            }
            let mut out = Vec::new();
            for range in ranges {
                let whole = range.offset..range.offset + u64::from(range.len);
                match assemble(layout, whole, &shares) {
                    Ok(bytes) => out.push(Bytes::from(bytes)),
                    Err(_) => {
                        tokio::time::sleep(deadline).await;
                        let (pack, k, have) = (record.pack, record.k, shares.len());
                        return Err(FetchError::TooFew { pack, k, have, waited: deadline, missing });
                    }
                }
            }
            Ok(out)
        })
    }
    fn append(&self, drive: DriveId, entries: Vec<Vec<u8>>) -> mpsc::Receiver<AppendEvent> {
        let (send, receive) = mpsc::channel(16);
        let (grid, access) = (self.grid.clone(), self.access());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let up = grid.up();
            for &i in &up {
                let heads = append_to(&grid, i, &*access, &drive, &entries);
                let event = AppendEvent::Acked { holder: node(i), household: household(i), heads };
                let _ = send.send(event).await;
            }
            grid.news.send_modify(|n| *n += 1);
            let _ = send.send(AppendEvent::Finished { households: up.len() }).await;
        });
        receive
    }
    fn fetch_since(
        &self,
        _drive: DriveId,
        _deadline: Duration,
    ) -> Boxed<Result<super::super::Found, GridError>> {
        let access = self.access();
        let (vector, admin) = (access.vector(), access.admin().len());
        let up = self.grid.up();
        let silent = (0..self.grid.holders.lock().len()).filter(|i| !up.contains(i));
        let silent = silent.map(|i| format!("friend {i}")).collect();
        let news = up.iter().map(|i| self.beyond(*i, &vector, admin)).collect();
        Box::pin(async move { Ok((news, silent)) })
    }
    fn watch(&self, _drive: DriveId) -> mpsc::Receiver<(NodeId, News)> {
        let (send, receive) = mpsc::channel(4);
        let client = MemClient { grid: self.grid.clone(), access: Mutex::new(Some(self.access())) };
        let mut version = self.grid.news.subscribe();
        tokio::spawn(async move {
            loop {
                version.borrow_and_update();
                for i in client.grid.up() {
                    let access = client.access();
                    let news = client.beyond(i, &access.vector(), access.admin().len());
                    if (!news.entries.is_empty() || !news.admin.is_empty())
                        && send.send((node(i), news)).await.is_err()
                    {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if version.changed().await.is_err() || send.is_closed() {
                    return;
                }
            }
        });
        receive
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.grid.changes.subscribe()
    }
    fn audit(&self, _drive: DriveId, record: CatalogueRecord, place: usize, whole: bool) -> Boxed<Audit> {
        let place = &record.shares[place];
        let holders = self.grid.holders.lock();
        let holder = &holders[usize::from(place.holder.0[0]) - 1];
        let found = match holder.shares.get(&place.id) {
            _ if !holder.up => Audit::NoAnswer,
            None => Audit::Lost("no such share".into()),
            Some(_) if !whole && *self.grid.lenient.lock() => Audit::Kept,
            Some(bytes) if ShareTree::of(bytes).id() != place.id => Audit::Lost("wrong bytes".into()),
            Some(_) => Audit::Kept,
        };
        Box::pin(std::future::ready(found))
    }
    fn suspects(&self, _drive: &DriveId) -> Vec<PackId> {
        Vec::new()
    }
    fn room(&self, _drive: &DriveId) -> Room {
        Room { total: 1 << 40, free: 1 << 39 }
    }
}

/// Append as a holder does: in sequence, missing ones asked for.
fn append_to(
    grid: &MemGrid,
    i: usize,
    access: &dyn DriveAccess,
    drive: &DriveId,
    entries: &[Vec<u8>],
) -> Vec<Head> {
    let mut holders = grid.holders.lock();
    let holder = &mut holders[i];
    holder.admin = access.admin();
    let mut heads = Vec::new();
    for bytes in entries {
        let entry = Checked::parse(bytes, drive).expect("a sound entry");
        let log = holder.logs.entry(entry.log).or_default();
        let have = log.len() as u64;
        let mut news = vec![];
        if entry.header.seq > have + 1 {
            news = access.entries(&entry.log, have, usize::MAX);
        }
        news.push(bytes.clone());
        for bytes in news {
            let next = Checked::parse(&bytes, drive).expect("a sound entry");
            let last = log.last().map(|last| Checked::parse(last, drive).expect("a sound entry").hash);
            // What forks the log, or is known, is passed over.
            if next.header.previous == last.unwrap_or(EntryHash([0; 32])) {
                log.push(bytes);
            }
        }
        let seq = log.len() as u64;
        let last = Checked::parse(&log[log.len() - 1], drive).expect("a sound entry");
        heads.push(Head { log: entry.log, seq, hash: last.hash });
    }
    heads
}
