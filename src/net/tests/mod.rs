//! Endpoints on loopback.

mod attack;
mod requests;
mod who;

use super::*;
use crate::keys::{DeviceKeys, NodeId, PersonId, Seed, Signed, SigningKey};
use crate::wire::{Reason, Refusal, Request, Response};
use crate::world::{MemIndexes, World};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const SOON: Duration = Duration::from_secs(5);

/// Admits whom it was told to; a certificate is valid when its bytes are the person's.
#[derive(Default)]
pub struct Book(Mutex<BTreeMap<NodeId, Admission>>);

impl Policy for Book {
    fn admit(&self, node: &NodeId) -> Admission {
        self.0.lock().get(node).copied().unwrap_or(Admission::Refuse)
    }
    fn person(&self, _: &NodeId, certificate: &Signed) -> Option<PersonId> {
        Some(PersonId(certificate.bytes.clone().try_into().ok()?))
    }
}

/// Answers in ways the tests need, chosen by the kind of request.
#[derive(Default)]
pub struct Echo {
    pub handled: AtomicUsize,
    pub reached: AtomicUsize,
}

impl Service for Echo {
    fn handle<'a>(
        &'a self,
        peer: PeerInfo,
        request: Request,
        mut body: BodyReader,
        responder: Responder,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.handled.fetch_add(1, Ordering::Relaxed);
            match request {
                // Hangs until the caller is gone.
                Request::LogWatch { .. } => responder.abandoned().await,
                // Takes all, says how much and its hash.
                Request::Put { lease, .. } => {
                    body.limit(lease.len);
                    let Ok(all) = body.all().await else { return };
                    let hash = blake3::hash(&all).as_bytes().to_vec();
                    let receipt = Signed { bytes: hash, signature: vec![] };
                    responder.send(&Response::Receipt { receipt }).await.ok();
                }
                // Refuses without taking a byte.
                Request::Offer { .. } => {
                    let refusal = self.refusal(&peer, Reason::OverLimit, "full");
                    responder.send(&Response::Refusal { refusal }).await.ok();
                }
                Request::Get { ranges, nonce, .. } => {
                    let len = u64::from(ranges[0].len);
                    let data = Response::Data { len, nonce, ledger_head: crate::keys::Hash([0; 32]) };
                    let Ok(mut out) = responder.send_with_body(&data).await else { return };
                    let mut left = len as usize;
                    while left > 0 {
                        let n = left.min(64 << 10);
                        if out.write(Bytes::from(vec![7; n])).await.is_err() {
                            return;
                        }
                        left -= n;
                    }
                    // An odd offset asks for an answer that breaks off.
                    if ranges[0].offset == 0 {
                        out.finish().ok();
                    }
                }
                Request::Join { body, .. } => {
                    self.reached.fetch_add(1, Ordering::Relaxed);
                    let mut answer = peer.exporter(crate::wire::JOIN_EXPORTER).unwrap().to_vec();
                    answer.extend(body);
                    responder.send(&Response::Joined { body: answer }).await.ok();
                }
                _ => {
                    responder.send(&Response::Done).await.ok();
                }
            }
        })
    }

    fn refusal(&self, peer: &PeerInfo, reason: Reason, detail: &str) -> Signed {
        signed_refusal(peer, reason, detail)
    }
}

/// A refusal by the person whose key is all sevens.
pub fn signed_refusal(peer: &PeerInfo, reason: Reason, detail: &str) -> Signed {
    let refusal = Refusal {
        reason,
        limit: 0,
        used: 0,
        detail: detail.into(),
        holder: NodeId([7; 32]),
        account: peer.person.unwrap_or(PersonId([0; 32])),
        day: 1,
    };
    Signed::record(&refuser(), &refusal)
}

pub fn refuser() -> SigningKey {
    SigningKey::from_seed(&Seed::from_bytes([7; 32]))
}

pub struct TestNode {
    pub endpoint: Endpoint,
    pub book: Arc<Book>,
    pub echo: Arc<Echo>,
    pub id: NodeId,
}

pub fn device(n: u8) -> DeviceKeys {
    DeviceKeys::from_seed(Seed::from_bytes([n; 32]))
}

pub fn node(n: u8) -> TestNode {
    node_at(n, "127.0.0.1:0")
}

pub fn node_at(n: u8, bind: &str) -> TestNode {
    let (book, echo) = (Arc::new(Book::default()), Arc::new(Echo::default()));
    let config = Config {
        bind: bind.parse().unwrap(),
        device: device(n),
        certificate: Signed { bytes: vec![n; 32], signature: vec![] },
        label: format!("node {n}"),
    };
    let world = World::real(Arc::new(MemIndexes));
    let endpoint = Endpoint::bind(&world, config, book.clone(), echo.clone()).unwrap();
    let id = endpoint.node();
    TestNode { endpoint, book, echo, id }
}

impl TestNode {
    /// Lets `other` in, and knows where it is.
    pub fn befriend(&self, other: &TestNode) {
        self.admit(other.id, Admission::Friend);
        self.endpoint.set_addrs(other.id, vec![other.endpoint.local_addr().unwrap()]);
    }
    pub fn admit(&self, id: NodeId, admission: Admission) {
        self.book.0.lock().insert(id, admission);
    }
    pub fn peer(&self, other: &TestNode) -> Peer {
        self.endpoint.peer(other.id)
    }
}

pub fn friends() -> (TestNode, TestNode) {
    let (a, b) = (node(1), node(2));
    a.befriend(&b);
    b.befriend(&a);
    (a, b)
}

pub fn small() -> Request {
    Request::Away { until: 1 }
}

pub fn put(len: u64) -> Request {
    Request::Put { lease: lease(len), grants: vec![], reservation: None }
}

pub fn lease(len: u64) -> crate::wire::Lease {
    crate::wire::Lease {
        account: PersonId([1; 32]),
        share: crate::keys::ShareId([2; 32]),
        drive: crate::keys::DriveId([3; 32]),
        len,
        term_days: 1,
        priority: 0,
        lock_until: None,
        sponsor: false,
        read_token_hash: crate::keys::Hash([4; 32]),
    }
}

pub fn get(len: u32, offset: u64) -> Request {
    Request::Get {
        share: crate::keys::ShareId([2; 32]),
        account: PersonId([1; 32]),
        token: [0; 32],
        ranges: vec![crate::wire::Range { offset, len }],
        leaf: 0,
        nonce: [0; 16],
    }
}

pub fn hang() -> Request {
    let drive = crate::keys::DriveId([3; 32]);
    Request::LogWatch { drive, token: [0; 32], vector: vec![], admin_len: 0, wait_ms: 1000 }
}

/// Waits until something holds, for at most five seconds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
