//! Taking calls: handshakes in bounds, Hello, then requests to the service.

use super::endpoint::Inner;
use super::pool::{Live, register};
use super::service::PeerInfo;
use super::stream::{BodyReader, FrameFault, Responder, read_frame};
use super::{Admission, tls};
use crate::keys::NodeId;
use crate::wire::{
    Decoded, FRAME_MAX, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, HANDSHAKES_PER_PREFIX_MAX, IDLE_TIMEOUT, JOIN_MAX,
    PROTOCOL_VERSION, Reason, Request, Response, SHARE_MAX, WireError, decode_request,
};
use parking_lot::Mutex;
use quinn::VarInt;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::timeout;

/// Why a connection is closed, as its application error code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Close {
    Bye = 0,
    /// The peer may not be here (it was forgotten, or its certificate is not valid).
    NotAFriend = 1,
    /// Another connection of the same pair is used instead.
    Replaced = 2,
    /// The first message was not what it must be.
    Protocol = 3,
    /// A Join, or a Recover, has been answered.
    Joined = 4,
}

impl Close {
    pub fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }
}

/// From this many handshakes on, callers must prove their address first.
const RETRY_FROM: usize = HANDSHAKES_MAX / 4;

/// Handshakes in progress.
#[derive(Default)]
pub(super) struct Handshakes(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    total: usize,
    by_prefix: BTreeMap<u64, usize>,
}

/// The first 24 bits of an IPv4 address, 64 of an IPv6 address; tagged to keep them apart.
fn prefix(ip: IpAddr) -> Option<u64> {
    match ip.to_canonical() {
        // This machine's own processes are no network attackers.
        ip if ip.is_loopback() => None,
        IpAddr::V4(v4) => Some(u64::from(u32::from(v4) >> 8)),
        // Global unicast IPv6 has a non-zero top byte, so the two never meet.
        IpAddr::V6(v6) => Some((u128::from(v6) >> 64) as u64),
    }
}

/// A place among the handshakes in progress.
pub(super) struct Slot {
    counts: Arc<Mutex<Counts>>,
    prefix: Option<u64>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.total -= 1;
        let Some(prefix) = self.prefix else { return };
        if let Some(n) = counts.by_prefix.get_mut(&prefix) {
            *n -= 1;
            if *n == 0 {
                counts.by_prefix.remove(&prefix);
            }
        }
    }
}

impl Handshakes {
    pub(super) fn in_progress(&self) -> usize {
        self.0.lock().total
    }
    pub(super) fn take(&self, ip: IpAddr) -> Option<Slot> {
        let prefix = prefix(ip);
        let mut counts = self.0.lock();
        if counts.total >= HANDSHAKES_MAX {
            return None;
        }
        if let Some(prefix) = prefix {
            let n = counts.by_prefix.entry(prefix).or_default();
            if *n >= HANDSHAKES_PER_PREFIX_MAX {
                return None;
            }
            *n += 1;
        }
        counts.total += 1;
        Some(Slot { counts: self.0.clone(), prefix })
    }
}

/// Takes calls until the endpoint is closed.
pub(super) async fn accept_calls(inner: Arc<Inner>) {
    while let Some(incoming) = inner.quinn.accept().await {
        let busy = inner.handshakes.in_progress() >= RETRY_FROM;
        if busy && !incoming.remote_address_validated() && incoming.may_retry() {
            // Costs no memory; an address that was made up never comes back.
            let _ = incoming.retry();
            continue;
        }
        let Some(slot) = inner.handshakes.take(incoming.remote_address().ip()) else {
            incoming.ignore();
            continue;
        };
        let inner2 = inner.clone();
        inner.spawn(async move { answer_call(&inner2, incoming, slot).await });
    }
    inner.shut();
}

/// The handshake and the first request; then the connection is a friend's, or over.
async fn answer_call(inner: &Arc<Inner>, incoming: quinn::Incoming, slot: Slot) {
    let Ok(connecting) = incoming.accept() else { return };
    let Ok(Ok(connection)) = timeout(HANDSHAKE_TIMEOUT, connecting).await else { return };
    let Some(node) = tls::peer_of(&connection) else { return };
    let close = match timeout(HANDSHAKE_TIMEOUT, first_request(inner, node, &connection)).await {
        Ok(Ok(None)) => return,
        Ok(Ok(Some(alone))) => {
            drop(slot);
            // Ticket or record are checked by the service; the caller hangs up.
            timeout(IDLE_TIMEOUT, alone.run(inner)).await.ok();
            timeout(HANDSHAKE_TIMEOUT, connection.closed()).await.ok();
            Close::Joined
        }
        Ok(Err(close)) => close,
        Err(_) => Close::Protocol,
    };
    connection.close(close.code(), b"");
}

/// A Join or a Recover, which came as first request and is the only one.
struct Alone {
    peer: PeerInfo,
    request: Request,
    body: BodyReader,
    responder: Responder,
}

impl Alone {
    async fn run(self, inner: &Inner) {
        inner.service.handle(self.peer, self.request, self.body, self.responder).await;
    }
}

/// Hello makes the connection a friend's (None); a Join or a Recover is returned.
async fn first_request(
    inner: &Arc<Inner>,
    node: NodeId,
    connection: &quinn::Connection,
) -> Result<Option<Alone>, Close> {
    let admission = inner.policy.admit(&node);
    if admission == Admission::Refuse {
        return Err(Close::NotAFriend);
    }
    let (send, mut recv) = connection.accept_bi().await.map_err(|_| Close::Bye)?;
    let payload = read_frame(node, &mut recv, JOIN_MAX).await.map_err(|_| Close::Protocol)?;
    let responder = Responder::new(node, send);
    match decode_request(&payload) {
        Ok(Decoded::Known(request)) if alone(&request, admission) => {
            let peer = PeerInfo {
                node,
                person: None,
                certificate: None,
                addr: connection.remote_address(),
                connection: connection.clone(),
            };
            let body = BodyReader::new(node, recv, 0, None);
            Ok(Some(Alone { peer, request, body, responder }))
        }
        Ok(Decoded::Known(Request::Hello { certificate, .. })) if admission == Admission::Friend => {
            let person = inner.policy.person(&node, &certificate).ok_or(Close::NotAFriend)?;
            let (own, label) = inner.hello.clone();
            let hello = Response::Hello { certificate: own, label, version: PROTOCOL_VERSION };
            responder.send(&hello).await.map_err(|_| Close::Bye)?;
            register(inner, node, Live::new(connection.clone(), person, certificate));
            Ok(None)
        }
        _ => Err(Close::Protocol),
    }
}

/// Whether a caller may make this request without Hello, and nothing else.
fn alone(request: &Request, admission: Admission) -> bool {
    match request {
        Request::Join { .. } => matches!(admission, Admission::Friend | Admission::JoinOnly),
        Request::Recover { .. } => admission == Admission::RecoverOnly,
        _ => false,
    }
}

/// Serves a friend's requests until the connection ends.
pub(super) async fn serve(inner: &Arc<Inner>, node: NodeId, live: &Live) {
    let serving = inner.pool.serving(node);
    loop {
        let Ok(permit) = serving.clone().acquire_owned().await else { return };
        let Ok((send, recv)) = live.connection.accept_bi().await else { return };
        let (inner2, live) = (inner.clone(), live.clone());
        inner.spawn(async move {
            let active = live.begin();
            let acknowledged = send.stopped();
            answer(&inner2, node, &live, send, recv).await;
            drop(permit);
            // The connection must not be retired before the answer has arrived.
            let _ = timeout(IDLE_TIMEOUT, acknowledged).await;
            drop(active);
        });
    }
}

async fn answer(
    inner: &Inner,
    node: NodeId,
    live: &Live,
    send: quinn::SendStream,
    mut recv: quinn::RecvStream,
) {
    let peer = PeerInfo {
        node,
        person: Some(live.person),
        certificate: Some(live.certificate.clone()),
        addr: live.connection.remote_address(),
        connection: live.connection.clone(),
    };
    let responder = Responder::new(node, send);
    let Ok(frame) = timeout(IDLE_TIMEOUT, read_frame(node, &mut recv, FRAME_MAX)).await else { return };
    let request = match frame {
        Ok(payload) => decode_request(&payload),
        Err(FrameFault::Wire(e)) => Err(e),
        Err(FrameFault::Lost(_)) => return,
    };
    let (reason, detail) = match request {
        Ok(Decoded::Known(Request::Hello { .. })) => (Reason::Malformed, "Hello was said already".into()),
        Ok(Decoded::Known(request)) => {
            let body = BodyReader::new(node, recv, SHARE_MAX, None);
            return inner.service.handle(peer, request, body, responder).await;
        }
        Ok(Decoded::Unknown(kind)) => {
            (Reason::Unknown, format!("requests of kind {kind} are not known here"))
        }
        Err(e @ (WireError::FrameTooLong { .. } | WireError::OverLimit { .. })) => {
            (Reason::TooLarge, e.to_string())
        }
        Err(e) => (Reason::Malformed, e.to_string()),
    };
    tracing::debug!(peer = %node.short(), %detail, "refused a request");
    let refusal = inner.service.refusal(&peer, reason, &detail);
    // The caller may be gone; then nobody misses the answer.
    let _ = responder.send(&Response::Refusal { refusal }).await;
}
