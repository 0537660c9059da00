//! Calling others.

use super::endpoint::Inner;
use super::pool::{Live, Next, register};
use super::serve::Close;
use super::stream::{FrameFault, Sender, lost, read_frame, write_error};
use super::{Admission, NetError, transport};
use crate::keys::NodeId;
use crate::wire::{
    Decoded, FRAME_MAX, HANDSHAKE_TIMEOUT, HELLO_MAX, JOIN_EXPORTER, PROTOCOL_VERSION, Request, Response,
    decode_response, encode_request,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The next address is tried when the one before has not answered for this long.
const STAGGER: Duration = Duration::from_millis(250);
/// How long a request waits for a dial to a peer that was out of reach the last time.
const PATIENCE_DOWN: Duration = Duration::from_secs(1);
/// Waits between attempts to reach a kept friend: from, doubling, to.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Of two nodes that keep each other, the one with the larger id waits this long before it
/// dials, so that usually only one does.
const COURTESY: Duration = Duration::from_millis(200);

/// A connection to `node`, dialled if there is none. Safe to drop; the dial goes on.
pub(super) async fn connection(inner: &Arc<Inner>, node: NodeId) -> Result<Live, NetError> {
    let mut waited = false;
    loop {
        if inner.is_closed() {
            return Err(NetError::Closed);
        }
        match inner.pool.next(node, waited) {
            Next::Use(live) => return Ok(live),
            Next::Fail(why) => return Err(why),
            Next::Dial(addrs, version) => {
                let inner2 = inner.clone();
                inner.spawn(async move {
                    let outcome = tokio::select! {
                        biased;
                        () = inner2.pool.addrs_changed(node, version) => None,
                        outcome = dial(&inner2, node, &addrs) => Some(outcome),
                    };
                    inner2.pool.dialled(node, outcome);
                });
            }
            Next::Wait(mut changes, was_down) => {
                waited = true;
                if !was_down {
                    let _ = changes.changed().await;
                } else if tokio::time::timeout(PATIENCE_DOWN, changes.changed()).await.is_err() {
                    return Err(NetError::Unreachable { node, why: "it has not answered lately".into() });
                }
            }
        }
    }
}

/// Tries all addresses, each a little after the one before; the first to say Hello wins.
async fn dial(inner: &Arc<Inner>, node: NodeId, addrs: &[SocketAddr]) -> Result<(), NetError> {
    if inner.policy.admit(&node) != Admission::Friend {
        return Err(NetError::Unreachable { node, why: "it is not a friend of this node".into() });
    }
    let inner2 = inner.clone();
    let live = race(addrs, node, move |addr| {
        let inner = inner2.clone();
        async move { greet(&inner, node, call(&inner, node, addr).await?).await }
    })
    .await?;
    register(inner, node, live);
    Ok(())
}

/// Runs `attempt` on each address with stagger; the first success wins and the others are dropped.
async fn race<T, F>(
    addrs: &[SocketAddr],
    node: NodeId,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, NetError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, NetError>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    for (i, addr) in addrs.iter().enumerate() {
        let one = attempt(*addr);
        attempts.spawn(async move {
            tokio::time::sleep(STAGGER * i as u32).await;
            tokio::time::timeout(HANDSHAKE_TIMEOUT, one)
                .await
                .unwrap_or(Err(NetError::Unreachable { node, why: "no answer".into() }))
        });
    }
    let mut last = NetError::NoAddress(node);
    while let Some(done) = attempts.join_next().await {
        match done {
            Ok(Ok(value)) => return Ok(value),
            // A refusal says more than silence at another address.
            Ok(Err(e)) if !matches!(last, NetError::Refused(_)) => last = e,
            _ => {}
        }
    }
    Err(last)
}

async fn call(inner: &Inner, node: NodeId, addr: SocketAddr) -> Result<quinn::Connection, NetError> {
    let config = transport::client(&inner.world.rng, &inner.identity, node, inner.transport.clone())?;
    let unreachable = |why: String| NetError::Unreachable { node, why: format!("{addr}: {why}") };
    let connecting =
        inner.quinn.connect_with(config, addr, "kith").map_err(|e| unreachable(e.to_string()))?;
    connecting.await.map_err(|e| match lost(node, &e) {
        refused @ NetError::Refused(_) => refused,
        _ => unreachable(e.to_string()),
    })
}

/// Says Hello on a connection this node dialled.
async fn greet(inner: &Inner, node: NodeId, connection: quinn::Connection) -> Result<Live, NetError> {
    let (certificate, label) = inner.hello.clone();
    let hello = Request::Hello { certificate, label, version: PROTOCOL_VERSION };
    let answer = single(node, &connection, &hello, HELLO_MAX).await?;
    let Response::Hello { certificate, .. } = answer else {
        connection.close(Close::Protocol.code(), b"");
        return Err(NetError::Protocol { node, why: "it did not answer Hello with Hello".into() });
    };
    let Some(person) = inner.policy.person(&node, &certificate) else {
        connection.close(Close::NotAFriend.code(), b"");
        return Err(NetError::Protocol { node, why: "its certificate is not valid".into() });
    };
    Ok(Live::new(connection, person, certificate))
}

/// One request on a connection that is not in the pool.
async fn single(
    node: NodeId,
    connection: &quinn::Connection,
    request: &Request,
    max: usize,
) -> Result<Response, NetError> {
    let frame = encode_request(request).map_err(NetError::Encode)?;
    let (send, mut recv) = connection.open_bi().await.map_err(|e| lost(node, &e))?;
    let mut send = Sender::new(node, send);
    send.write_chunk(frame.into()).await.map_err(|e| write_error(node, e))?;
    send.finish();
    response(node, &mut recv, max).await
}

/// Reads the answer's frame.
pub(super) async fn response(
    node: NodeId,
    recv: &mut quinn::RecvStream,
    max: usize,
) -> Result<Response, NetError> {
    let payload = read_frame(node, recv, max).await.map_err(|fault| match fault {
        FrameFault::Wire(e) => NetError::Protocol { node, why: e.to_string() },
        FrameFault::Lost(e) => e,
    })?;
    match decode_response(&payload) {
        Ok(Decoded::Known(response)) => Ok(response),
        Ok(Decoded::Unknown(kind)) => {
            Err(NetError::Protocol { node, why: format!("it answered with the unknown kind {kind}") })
        }
        Err(e) => Err(NetError::Protocol { node, why: e.to_string() }),
    }
}

/// See [`super::Endpoint::join`].
pub(super) async fn join(
    inner: &Arc<Inner>,
    node: NodeId,
    addrs: &[SocketAddr],
    make: impl FnOnce(&[u8; 32]) -> Request + Send,
) -> Result<(Response, [u8; 32]), NetError> {
    let inner2 = inner.clone();
    let connection = race(addrs, node, move |addr| {
        let inner = inner2.clone();
        async move { call(&inner, node, addr).await }
    })
    .await?;
    let mut exporter = [0; 32];
    connection
        .export_keying_material(&mut exporter, JOIN_EXPORTER, &[])
        .map_err(|_| NetError::Lost { node, why: "no exporter secret".into() })?;
    let request = make(&exporter);
    let answer = single(node, &connection, &request, FRAME_MAX).await;
    connection.close(Close::Bye.code(), b"");
    answer.map(|a| (a, exporter))
}

/// Keeps a friend connected until it is forgotten.
pub(super) async fn keep(inner: Arc<Inner>, node: NodeId) {
    let mut backoff = BACKOFF_MIN;
    if inner.identity.node > node {
        tokio::time::sleep(COURTESY).await;
    }
    while inner.pool.kept(&node) {
        let mut changes = inner.pool.changes(node);
        if inner.pool.live(&node).is_some() {
            backoff = BACKOFF_MIN;
            let _ = changes.changed().await;
            continue;
        }
        if connection(&inner, node).await.is_ok() {
            continue;
        }
        let until = Instant::now() + jitter(&inner, backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
        while let Ok(Ok(())) = tokio::time::timeout_at(until, changes.changed()).await {
            if !inner.pool.is_down(&node) {
                backoff = BACKOFF_MIN;
                break;
            }
        }
    }
}

/// From 3/4 to 5/4 of a wait.
fn jitter(inner: &Inner, wait: Duration) -> Duration {
    let [byte] = inner.world.random::<1>();
    wait * 3 / 4 + wait * u32::from(byte) / 512
}
