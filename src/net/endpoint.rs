//! Listening, dialling, and the pool of connections.

use super::{NetError, Peer, Policy, Service};
use crate::keys::{NodeId, Signed};
use crate::wire::{Request, Response};
use crate::world::World;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What an endpoint needs to know.
pub struct Config {
    /// Where to listen; port 0 for any.
    pub bind: SocketAddr,
    /// The Ed25519 secret key of the node's TLS identity.
    pub tls_secret: [u8; 32],
    /// This device's certificate, said in Hello.
    pub certificate: Signed,
    /// This node's label, said in Hello.
    pub label: String,
}

/// Something happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Connected(NodeId),
    Disconnected(NodeId),
}

pub(super) struct Inner {}

/// A node's place on the network. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

impl Endpoint {
    /// Binds and begins to take calls.
    pub fn bind(
        _world: &World,
        _config: Config,
        _policy: Arc<dyn Policy>,
        _service: Arc<dyn Service>,
    ) -> Result<Endpoint, NetError> {
        todo!()
    }
    /// This node's id: its public TLS key.
    pub fn node(&self) -> NodeId {
        todo!()
    }
    /// The address actually bound.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }
    /// Sets (replacing) the addresses a node may be found at, in order of hope.
    pub fn set_addrs(&self, _node: NodeId, _addrs: Vec<SocketAddr>) {
        todo!()
    }
    /// A handle to a friend. Nothing is dialled yet.
    pub fn peer(&self, node: NodeId) -> Peer {
        Peer { node, inner: self.inner.clone() }
    }
    /// Keeps a connection to this friend open from now on, redialling with backoff.
    pub fn keep(&self, _node: NodeId) {
        todo!()
    }
    /// Forgets a node: closes its connection, stops redialling.
    pub fn forget(&self, _node: &NodeId) {
        todo!()
    }
    /// Nodes connected now, sorted.
    pub fn connected(&self) -> Vec<NodeId> {
        todo!()
    }
    /// Connections coming and going from now on. A receiver that lags misses the oldest.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<Event> {
        todo!()
    }
    /// One Join request on a connection of its own to a node known only from a ticket. The
    /// request is made from the connection's exporter secret ([`crate::wire::JOIN_EXPORTER`]),
    /// which is returned with the answer.
    pub async fn join(
        &self,
        _node: NodeId,
        _addrs: &[SocketAddr],
        _make: impl FnOnce(&[u8; 32]) -> Request + Send,
        _deadline: Duration,
    ) -> Result<(Response, [u8; 32]), NetError> {
        todo!()
    }
    /// Closes every connection and stops listening; waits (at most a second) until the
    /// goodbyes are sent.
    pub async fn close(&self) {
        todo!()
    }
}
