//! A friend to whom requests can be sent.

use super::endpoint::Inner;
use super::{BodyReader, NetError};
use crate::keys::{NodeId, PersonId};
use crate::wire::{Request, Response};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What goes first when a connection is busy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Priority {
    Repair = 0,
    Upload = 1,
    Log = 2,
    Interactive = 3,
}

/// A friend, connected or not. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Peer {
    pub(super) node: NodeId,
    pub(super) inner: Arc<Inner>,
}

impl Peer {
    pub fn node(&self) -> NodeId {
        self.node
    }
    /// Whether a connection is open now.
    pub fn online(&self) -> bool {
        todo!()
    }
    /// The person the peer proved to belong to, while connected.
    pub fn person(&self) -> Option<PersonId> {
        todo!()
    }
    /// Smoothed round-trip time, while connected.
    pub fn rtt(&self) -> Option<Duration> {
        todo!()
    }
    /// Where the peer is connected from, while connected.
    pub fn addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// Connects if needed.
    pub async fn connect(&self, _deadline: Duration) -> Result<(), NetError> {
        todo!()
    }
    /// Sends a request and waits for its answer, all within `deadline` (dialling included).
    /// Safe to drop at any time: the stream is then reset.
    pub async fn request(
        &self,
        _request: &Request,
        _priority: Priority,
        _deadline: Duration,
    ) -> Result<Response, NetError> {
        todo!()
    }
    /// The same with bytes that follow the request. The peer may answer before it has taken
    /// them all (a refusal); sending then stops.
    pub async fn request_with_body(
        &self,
        _request: &Request,
        _body: Vec<Bytes>,
        _priority: Priority,
        _deadline: Duration,
    ) -> Result<Response, NetError> {
        todo!()
    }
    /// Sends a request whose answer is followed by bytes, at most `max`. The deadline is for
    /// the answer's frame; reading the body is the caller's to bound.
    pub async fn download(
        &self,
        _request: &Request,
        _max: u64,
        _priority: Priority,
        _deadline: Duration,
    ) -> Result<(Response, BodyReader), NetError> {
        todo!()
    }
}
