//! The limit against which transfers are measured: bare quinn between the same endpoints'
//! parameters, without requests, proofs or disks.

use super::tls::Identity;
use super::transport;
use super::{Admission, NetError, Policy};
use crate::keys::{DeviceKeys, NodeId, PersonId, Seed, Signed};
use crate::world::World;
use bytes::Bytes;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Bytes handed to a stream at once.
const PIECE: usize = 1 << 20;

struct Everybody;

impl Policy for Everybody {
    fn admit(&self, _: &NodeId) -> Admission {
        Admission::Friend
    }
    fn person(&self, _: &NodeId, _: &Signed) -> Option<PersonId> {
        None
    }
}

/// What a bare transfer took.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    pub bytes: u64,
    pub took: Duration,
}

impl Transfer {
    /// Megabytes (10^6) per second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Sends `bytes` in all to `receivers` endpoints on loopback, in equal parts at the same
/// time, one stream each; measured from the first byte until all have read theirs. The
/// handshakes are done before.
pub async fn bare_transfer(world: &World, receivers: usize, bytes: u64) -> Result<Transfer, NetError> {
    let part = bytes / receivers.max(1) as u64;
    let sender = Bare::bind(world)?;
    let mut others = Vec::new();
    let mut pairs = Vec::new();
    for _ in 0..receivers {
        let receiver = Bare::bind(world)?;
        let addr = receiver.endpoint.local_addr().map_err(|_| NetError::Closed)?;
        pairs.push(sender.pair(world, &receiver, addr).await?);
        others.push(receiver);
    }
    let start = world.clock.monotonic();
    let mut work = JoinSet::new();
    for (to, from, node) in pairs {
        work.spawn(async move { send(&to, node, part).await });
        work.spawn(async move { receive(&from, node).await });
    }
    while let Some(done) = work.join_next().await {
        done.map_err(|_| NetError::Closed)??;
    }
    let took = world.clock.monotonic() - start;
    Ok(Transfer { bytes: part * receivers as u64, took })
}

struct Bare {
    endpoint: quinn::Endpoint,
    identity: Identity,
    parameters: Arc<quinn::TransportConfig>,
}

impl Bare {
    fn bind(world: &World) -> Result<Bare, NetError> {
        let device = DeviceKeys::from_seed(Seed::from_bytes(world.random()));
        let identity = Identity::new(&device)?;
        let parameters = transport::transport();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let fail = |e: std::io::Error| NetError::Bind { addr, why: e.to_string() };
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            transport::endpoint(world, &device),
            Some(transport::server(world, &identity, Arc::new(Everybody), parameters.clone())?),
            world.net.bind(addr).map_err(fail)?,
            world.net.runtime(),
        )
        .map_err(fail)?;
        Ok(Bare { endpoint, identity, parameters })
    }

    /// Both ends of a connection from `self` to `other`.
    async fn pair(
        &self,
        world: &World,
        other: &Bare,
        addr: SocketAddr,
    ) -> Result<(quinn::Connection, quinn::Connection, NodeId), NetError> {
        let node = other.identity.node;
        let config = transport::client(&world.rng, &self.identity, node, self.parameters.clone())?;
        let lost = |why: String| NetError::Unreachable { node, why };
        let connecting = self.endpoint.connect_with(config, addr, "kith").map_err(|e| lost(e.to_string()))?;
        let incoming = async {
            let incoming = other.endpoint.accept().await.ok_or(NetError::Closed)?;
            incoming.await.map_err(|e| lost(e.to_string()))
        };
        let (to, from) = tokio::join!(connecting, incoming);
        let from = from?;
        from.set_receive_window(transport::receive_window(1));
        Ok((to.map_err(|e| lost(e.to_string()))?, from, node))
    }
}

async fn send(to: &quinn::Connection, node: NodeId, mut left: u64) -> Result<(), NetError> {
    let lost = |why: String| NetError::Lost { node, why };
    let piece = Bytes::from(vec![0x5a; PIECE]);
    let (mut stream, _) = to.open_bi().await.map_err(|e| lost(e.to_string()))?;
    while left > 0 {
        let n = left.min(PIECE as u64);
        stream.write_chunk(piece.slice(..n as usize)).await.map_err(|e| lost(e.to_string()))?;
        left -= n;
    }
    stream.finish().map_err(|e| lost(e.to_string()))?;
    // Resolves when all has been acknowledged.
    stream.stopped().await.map_err(|e| lost(e.to_string()))?;
    Ok(())
}

async fn receive(from: &quinn::Connection, node: NodeId) -> Result<(), NetError> {
    let lost = |why: String| NetError::Lost { node, why };
    let (_answer, mut stream) = from.accept_bi().await.map_err(|e| lost(e.to_string()))?;
    let mut bufs: [Bytes; 32] = Default::default();
    while stream.read_chunks(&mut bufs).await.map_err(|e| lost(e.to_string()))?.is_some() {}
    Ok(())
}
