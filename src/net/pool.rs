//! Which connections there are to whom, and which of them is used.
//!
//! Two nodes that dial each other at once end with two connections. The newest is used; the
//! node with the smaller id, and it alone, retires the others: it lets what is under way on
//! them end, then closes them. A connection to a peer's former self (before it was
//! restarted) goes the same way.

use super::NetError;
use super::endpoint::Inner;
use super::serve::Close;
use crate::keys::{NodeId, PersonId, Signed};
use crate::wire::STREAMS_MAX;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Why a retired connection was closed; a request that was caught by it is sent again.
pub(super) const REPLACED: &str = "replaced by another connection";
/// Connections one peer may have at once.
const LIVE_MAX: usize = 3;
/// A retired connection is closed after this long without anything under way,
const RETIRE_QUIET: Duration = Duration::from_secs(1);
/// and in any case after this long.
const RETIRE_MAX: Duration = Duration::from_secs(60);
/// A peer that could not be reached is not dialled again for a request before this.
const FAILED_FRESH: Duration = Duration::from_secs(1);

/// A connection over which Hello was said both ways.
#[derive(Clone)]
pub(super) struct Live {
    pub connection: quinn::Connection,
    pub person: PersonId,
    pub certificate: Arc<Signed>,
    /// Exchanges under way, both directions.
    active: Arc<AtomicUsize>,
}

impl Live {
    pub fn new(connection: quinn::Connection, person: PersonId, certificate: Signed) -> Live {
        Live { connection, person, certificate: Arc::new(certificate), active: Arc::default() }
    }
    pub fn begin(&self) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(self.active.clone())
    }
    fn same(&self, other: &Live) -> bool {
        Arc::ptr_eq(&self.active, &other.active)
    }
}

/// An exchange under way on a connection.
pub(super) struct Active(Arc<AtomicUsize>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of one peer.
struct Entry {
    addrs: Vec<SocketAddr>,
    /// Counts changes of `addrs`.
    version: u64,
    /// Newest last.
    live: Vec<Live>,
    dialling: bool,
    failed: Option<(Instant, NetError)>,
    kept: bool,
    /// Requests of the peer being served.
    serving: Arc<Semaphore>,
    /// Counts changes; whoever waits for one looks again.
    changes: watch::Sender<u64>,
}

impl Default for Entry {
    fn default() -> Entry {
        Entry {
            addrs: Vec::new(),
            version: 0,
            live: Vec::new(),
            dialling: false,
            failed: None,
            kept: false,
            serving: Arc::new(Semaphore::new(STREAMS_MAX as usize)),
            changes: watch::channel(0).0,
        }
    }
}

impl Entry {
    fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }
    /// Closed connections are not live, even if their end has not been seen to yet.
    fn newest(&self) -> Option<&Live> {
        self.live.iter().rev().find(|l| l.connection.close_reason().is_none())
    }
}

/// What a caller that wants a connection shall do.
pub(super) enum Next {
    Use(Live),
    /// Dial these addresses (of this version), and report.
    Dial(Vec<SocketAddr>, u64),
    /// Somebody is dialling; true: the last attempt failed, so do not hope long.
    Wait(watch::Receiver<u64>, bool),
    Fail(NetError),
}

#[derive(Default)]
pub(super) struct Pool {
    peers: Mutex<BTreeMap<NodeId, Entry>>,
    /// Bytes sent and received on connections that have ended.
    ended: Mutex<(u64, u64)>,
}

impl Pool {
    /// Bytes on the wire, sent and received, headers included, since the start.
    pub fn traffic(&self) -> (u64, u64) {
        let peers = self.peers.lock();
        let live = peers.values().flat_map(|e| &e.live).map(|l| l.connection.stats());
        live.fold(*self.ended.lock(), |(tx, rx), s| (tx + s.udp_tx.bytes, rx + s.udp_rx.bytes))
    }
    fn entry<T>(&self, node: NodeId, f: impl FnOnce(&mut Entry) -> T) -> T {
        f(self.peers.lock().entry(node).or_default())
    }

    pub fn set_addrs(&self, node: NodeId, addrs: Vec<SocketAddr>) {
        self.entry(node, |e| {
            if e.addrs != addrs {
                e.version += 1;
            }
            e.addrs = addrs;
            e.failed = None;
            e.changed();
        });
    }

    /// True when nobody keeps this node connected yet.
    pub fn keep(&self, node: NodeId) -> bool {
        self.entry(node, |e| !std::mem::replace(&mut e.kept, true))
    }

    pub fn kept(&self, node: &NodeId) -> bool {
        self.peers.lock().get(node).is_some_and(|e| e.kept)
    }

    pub fn forget(&self, node: &NodeId) {
        let Some(entry) = self.peers.lock().remove(node) else { return };
        entry.changed();
        for live in &entry.live {
            live.connection.close(Close::NotAFriend.code(), b"");
        }
    }

    pub fn shut(&self) {
        for entry in self.peers.lock().values_mut() {
            entry.failed = Some((Instant::now(), NetError::Closed));
            entry.live.clear();
            entry.changed();
        }
    }

    pub fn connected(&self) -> Vec<NodeId> {
        let peers = self.peers.lock();
        peers.iter().filter(|(_, e)| e.newest().is_some()).map(|(n, _)| *n).collect()
    }

    pub fn live(&self, node: &NodeId) -> Option<Live> {
        self.peers.lock().get(node)?.newest().cloned()
    }

    /// The last attempt failed and nothing has changed since.
    pub fn is_down(&self, node: &NodeId) -> bool {
        self.peers.lock().get(node).is_some_and(|e| e.failed.is_some() && e.newest().is_none())
    }

    pub fn changes(&self, node: NodeId) -> watch::Receiver<u64> {
        self.entry(node, |e| e.changes.subscribe())
    }

    pub fn serving(&self, node: NodeId) -> Arc<Semaphore> {
        self.entry(node, |e| e.serving.clone())
    }

    /// What to do for a connection to `node`. `waited`: an earlier answer was to wait, so that
    /// a failure however fresh is an answer now. After [`Next::Dial`] the caller must
    /// report with [`Pool::dialled`].
    pub fn next(&self, node: NodeId, waited: bool) -> Next {
        self.entry(node, |e| {
            if let Some(live) = e.newest() {
                return Next::Use(live.clone());
            }
            if e.dialling {
                return Next::Wait(e.changes.subscribe(), e.failed.is_some());
            }
            match &e.failed {
                Some((_, why @ NetError::Closed)) => return Next::Fail(why.clone()),
                Some((when, why)) if waited || when.elapsed() < FAILED_FRESH => {
                    return Next::Fail(why.clone());
                }
                _ => {}
            }
            if e.addrs.is_empty() {
                return Next::Fail(NetError::NoAddress(node));
            }
            e.dialling = true;
            Next::Dial(e.addrs.clone(), e.version)
        })
    }

    /// Waits until the addresses are no longer those of `version`.
    pub async fn addrs_changed(&self, node: NodeId, version: u64) {
        let mut changes = self.changes(node);
        while self.entry(node, |e| e.version == version) && changes.changed().await.is_ok() {}
    }

    /// The outcome of a dial (success was reported by [`register`] already); None: it was
    /// given up for newer addresses.
    pub fn dialled(&self, node: NodeId, outcome: Option<Result<(), NetError>>) {
        self.entry(node, |e| {
            e.dialling = false;
            e.failed = outcome.and_then(Result::err).map(|why| (Instant::now(), why));
            e.changed();
        });
    }

    /// Gives every connection its part of the memory for what comes in.
    fn share_memory(&self) {
        let peers = self.peers.lock();
        let live = || peers.values().flat_map(|e| &e.live);
        let window = super::transport::receive_window(live().count());
        for live in live() {
            live.connection.set_receive_window(window);
        }
    }

    /// True when it is the peer's first.
    fn add(&self, node: NodeId, live: &Live, decides: bool) -> (bool, Vec<Live>) {
        self.entry(node, |e| {
            let first = e.newest().is_none();
            let retire = if decides { e.live.clone() } else { Vec::new() };
            e.live.push(live.clone());
            if e.live.len() > LIVE_MAX {
                e.live.remove(0).connection.close(Close::Replaced.code(), b"");
            }
            e.failed = None;
            e.changed();
            (first, retire)
        })
    }

    /// True when it was the peer's last.
    fn remove(&self, node: &NodeId, live: &Live) -> bool {
        let mut peers = self.peers.lock();
        // A forgotten peer has no entry: its last connection is gone.
        let Some(e) = peers.get_mut(node) else { return true };
        e.live.retain(|l| !l.same(live));
        let stats = live.connection.stats();
        let mut ended = self.ended.lock();
        *ended = (ended.0 + stats.udp_tx.bytes, ended.1 + stats.udp_rx.bytes);
        drop(ended);
        e.changed();
        e.live.is_empty()
    }
}

/// Enters a connection and looks after it until it ends.
pub(super) fn register(inner: &Arc<Inner>, node: NodeId, live: Live) {
    if inner.is_closed() {
        return;
    }
    let decides = inner.identity.node < node;
    let (first, retire) = inner.pool.add(node, &live, decides);
    inner.pool.share_memory();
    if first {
        tracing::debug!(peer = %node.short(), addr = %live.connection.remote_address(), "connected");
        inner.emit(super::Event::Connected(node));
    }
    for old in retire {
        inner.spawn(self::retire(old));
    }
    let inner2 = inner.clone();
    inner.spawn(async move {
        super::serve::serve(&inner2, node, &live).await;
        let last = inner2.pool.remove(&node, &live);
        inner2.pool.share_memory();
        if last {
            tracing::debug!(peer = %node.short(), "disconnected");
            inner2.emit(super::Event::Disconnected(node));
        }
    });
}

/// Lets what is under way end, then closes the connection.
async fn retire(old: Live) {
    let started = Instant::now();
    let mut quiet = Instant::now();
    while quiet.elapsed() < RETIRE_QUIET && started.elapsed() < RETIRE_MAX {
        tokio::time::sleep(RETIRE_QUIET / 4).await;
        if old.connection.close_reason().is_some() {
            return;
        }
        if old.active.load(Ordering::Relaxed) > 0 {
            quiet = Instant::now();
        }
    }
    old.connection.close(Close::Replaced.code(), b"");
}
