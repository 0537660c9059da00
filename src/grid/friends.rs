//! The way to friends: the network, or a double in tests.

use crate::holder::{Body, Caller, Holder};
use crate::keys::NodeId;
use crate::net::{BoxFuture, Endpoint, Event, NetError, Priority};
use crate::wire::{Request, Response};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// An answer and the bytes that follow it.
pub type Download = (Response, Box<dyn Body>);

/// Requests to friends' nodes.
pub trait Friends: Send + Sync + 'static {
    /// A request, with bytes that follow it (often none), and its answer.
    fn request(
        &self,
        node: NodeId,
        request: Request,
        body: Vec<Bytes>,
        priority: Priority,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Response, NetError>>;
    /// A request whose answer is followed by at most `max` bytes.
    fn download(
        &self,
        node: NodeId,
        request: Request,
        max: u64,
        priority: Priority,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Download, NetError>>;
    /// Whether there is a connection now.
    fn online(&self, node: &NodeId) -> bool;
    fn rtt(&self, node: &NodeId) -> Option<Duration>;
    /// Friends coming and going.
    fn events(&self) -> broadcast::Receiver<Event>;
}

impl Friends for Endpoint {
    fn request(
        &self,
        node: NodeId,
        request: Request,
        body: Vec<Bytes>,
        priority: Priority,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Response, NetError>> {
        let peer = self.peer(node);
        Box::pin(async move {
            match body.is_empty() {
                true => peer.request(&request, priority, deadline).await,
                false => peer.request_with_body(&request, body, priority, deadline).await,
            }
        })
    }
    fn download(
        &self,
        node: NodeId,
        request: Request,
        max: u64,
        priority: Priority,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Download, NetError>> {
        let peer = self.peer(node);
        Box::pin(async move {
            let (response, body) = peer.download(&request, max, priority, deadline).await?;
            Ok((response, Box::new(body) as Box<dyn Body>))
        })
    }
    fn online(&self, node: &NodeId) -> bool {
        self.peer(*node).online()
    }
    fn rtt(&self, node: &NodeId) -> Option<Duration> {
        self.peer(*node).rtt()
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        Endpoint::events(self)
    }
}

/// This machine's own holder, asked without the network.
pub(super) async fn ask_own(holder: &Arc<Holder>, request: Request, body: Vec<Bytes>) -> Download {
    let caller = Caller { node: holder.node(), person: Some(holder.owner()), certificate: None };
    let reply = holder.serve(&caller, request, &mut VecDeque::from(body)).await;
    let body: VecDeque<Bytes> = reply.body.into_iter().collect();
    (reply.response, Box::new(body))
}
