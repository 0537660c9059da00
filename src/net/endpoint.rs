//! The endpoint: a socket, an identity, and the tasks that keep it going.

use super::pool::Pool;
use super::socket::Socket;
use super::tls::Identity;
use super::{NetError, Peer, Policy, Service, dial, serve, transport};
use crate::keys::{DeviceKeys, NodeId, Signed};
use crate::wire::{Request, Response};
use crate::world::World;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Events kept for a receiver that lags.
const EVENTS_KEPT: usize = 256;
/// How long closing waits for its goodbyes to be sent.
const GOODBYE: Duration = Duration::from_secs(1);

/// What an endpoint needs to know.
pub struct Config {
    /// Where to listen; port 0 for any.
    pub bind: SocketAddr,
    /// The node's TLS identity is this device's.
    pub device: DeviceKeys,
    /// This device's certificate, said in Hello.
    pub certificate: Signed,
    /// This node's label, said in Hello.
    pub label: String,
}

/// Something happened to a peer: its first connection came, its last one went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Connected(NodeId),
    Disconnected(NodeId),
}

pub(super) struct Inner {
    pub world: World,
    pub quinn: quinn::Endpoint,
    pub identity: Identity,
    pub transport: Arc<quinn::TransportConfig>,
    pub policy: Arc<dyn Policy>,
    pub service: Arc<dyn Service>,
    /// This node's certificate and label.
    pub hello: (Signed, String),
    pub pool: Pool,
    pub handshakes: serve::Handshakes,
    pub events: broadcast::Sender<Event>,
    closed: watch::Sender<bool>,
    socket: Arc<Socket>,
    /// How many tasks of [`Inner::spawn`] there are.
    tasks: Arc<watch::Sender<usize>>,
}

/// A task that runs.
struct Running(Arc<watch::Sender<usize>>);

impl Running {
    fn new(tasks: &Arc<watch::Sender<usize>>) -> Running {
        tasks.send_modify(|n| *n += 1);
        Running(tasks.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

impl Inner {
    /// Runs a task until it ends or the endpoint is closed.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut closed = self.closed.subscribe();
        let running = Running::new(&self.tasks);
        tokio::spawn(async move {
            {
                let task = std::pin::pin!(task);
                tokio::select! {
                    biased;
                    _ = closed.wait_for(|c| *c) => {}
                    () = task => {}
                }
            }
            drop(running);
        });
    }
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }
    /// Ends every task and closes every connection.
    pub fn shut(&self) {
        self.closed.send_replace(true);
        self.pool.shut();
        self.quinn.close(serve::Close::Bye.code(), b"");
    }
    pub fn emit(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}

/// Shuts the endpoint when its last handle is dropped (the tasks hold `Inner`, not this).
struct Guard(Arc<Inner>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// A node's place on the network. Cheap to clone; when the last clone is dropped, the
/// endpoint closes ([`Peer`] handles do not keep it open).
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
    _guard: Arc<Guard>,
}

impl Endpoint {
    /// Binds and begins to take calls. Must be called inside a tokio runtime.
    pub fn bind(
        world: &World,
        config: Config,
        policy: Arc<dyn Policy>,
        service: Arc<dyn Service>,
    ) -> Result<Endpoint, NetError> {
        let fail = |e: std::io::Error| NetError::Bind { addr: config.bind, why: e.to_string() };
        let identity = Identity::new(&config.device)?;
        let parameters = transport::transport();
        let server = transport::server(world, &identity, policy.clone(), parameters.clone())?;
        let socket = Socket::new(world.net.bind(config.bind).map_err(fail)?);
        let quinn = quinn::Endpoint::new_with_abstract_socket(
            transport::endpoint(world, &config.device),
            Some(server),
            socket.clone(),
            world.net.runtime(),
        )
        .map_err(fail)?;
        let inner = Arc::new(Inner {
            world: world.clone(),
            quinn,
            identity,
            transport: parameters,
            policy,
            service,
            hello: (config.certificate, config.label),
            pool: Pool::default(),
            handshakes: serve::Handshakes::default(),
            events: broadcast::channel(EVENTS_KEPT).0,
            closed: watch::channel(false).0,
            socket,
            tasks: Arc::new(watch::channel(0).0),
        });
        inner.spawn(serve::accept_calls(inner.clone()));
        Ok(Endpoint { _guard: Arc::new(Guard(inner.clone())), inner })
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// This node's id: its public TLS key.
    pub fn node(&self) -> NodeId {
        self.inner.identity.node
    }

    /// The address actually bound.
    pub fn local_addr(&self) -> Result<SocketAddr, NetError> {
        self.inner.quinn.local_addr().map_err(|_| NetError::Closed)
    }

    /// Bytes on the wire, sent and received, headers included, since the start.
    pub fn traffic(&self) -> (u64, u64) {
        self.inner.pool.traffic()
    }
    /// Sets (replacing) the addresses a node may be found at, in order of hope.
    pub fn set_addrs(&self, node: NodeId, addrs: Vec<SocketAddr>) {
        self.inner.pool.set_addrs(node, addrs);
    }

    /// A handle to a friend. Nothing is dialled yet.
    pub fn peer(&self, node: NodeId) -> Peer {
        Peer { node, inner: self.inner.clone() }
    }

    /// Keeps a connection to this friend open from now on, redialling with backoff, until
    /// [`Endpoint::forget`].
    pub fn keep(&self, node: NodeId) {
        if self.inner.pool.keep(node) {
            self.inner.spawn(dial::keep(self.inner.clone(), node));
        }
    }

    /// Forgets a node: closes its connections, stops redialling.
    pub fn forget(&self, node: &NodeId) {
        self.inner.pool.forget(node);
    }

    /// Nodes connected now, sorted.
    pub fn connected(&self) -> Vec<NodeId> {
        self.inner.pool.connected()
    }

    /// Peers coming and going from now on. A receiver that lags misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// One Join request on a connection of its own to a node known only from a ticket. `make`
    /// makes the request from the connection's exporter secret
    /// ([`crate::wire::JOIN_EXPORTER`]), which is returned with the answer.
    pub async fn join(
        &self,
        node: NodeId,
        addrs: &[SocketAddr],
        make: impl FnOnce(&[u8; 32]) -> Request + Send,
        deadline: Duration,
    ) -> Result<(Response, [u8; 32]), NetError> {
        match tokio::time::timeout(deadline, dial::join(&self.inner, node, addrs, make)).await {
            Ok(result) => result,
            Err(_) => Err(NetError::Deadline { node, after: deadline }),
        }
    }

    /// Closes every connection and stops listening; waits (at most a second) until the
    /// goodbyes are sent. All tasks have ended and the port is free when this returns,
    /// whoever still has a handle.
    pub async fn close(&self) {
        self.inner.shut();
        let mut tasks = self.inner.tasks.subscribe();
        let ended = async {
            self.inner.quinn.wait_idle().await;
            // The sender of the count is in `inner`.
            let _ = tasks.wait_for(|n| *n == 0).await;
        };
        let _ = tokio::time::timeout(GOODBYE, ended).await;
        self.inner.socket.give_back();
    }
}
