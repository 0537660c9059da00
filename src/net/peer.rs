//! A friend to whom requests can be sent.

use super::dial::{connection, response};
use super::endpoint::Inner;
use super::pool::{Active, Live, REPLACED};
use super::stream::{Sender, lost, write_error};
use super::{BodyReader, NetError};
use crate::keys::{NodeId, PersonId, Signed};
use crate::wire::{FRAME_MAX, Request, Response, encode_request};
use bytes::Bytes;
use quinn::WriteError;
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
        self.inner.pool.live(&self.node).is_some()
    }
    /// The person the peer proved to belong to, while connected.
    pub fn person(&self) -> Option<PersonId> {
        Some(self.inner.pool.live(&self.node)?.person)
    }
    /// The peer's device certificate, as received in Hello, while connected.
    pub fn certificate(&self) -> Option<Arc<Signed>> {
        Some(self.inner.pool.live(&self.node)?.certificate)
    }
    /// Smoothed round-trip time, while connected.
    pub fn rtt(&self) -> Option<Duration> {
        Some(self.inner.pool.live(&self.node)?.connection.rtt())
    }
    /// Where the peer is connected from, while connected.
    pub fn addr(&self) -> Option<SocketAddr> {
        Some(self.inner.pool.live(&self.node)?.connection.remote_address())
    }
    /// Connects if needed.
    pub async fn connect(&self, deadline: Duration) -> Result<(), NetError> {
        self.within(deadline, async { connection(&self.inner, self.node).await.map(|_| ()) }).await
    }
    /// Sends a request and waits for its answer, all within `deadline` (dialling included).
    /// Safe to drop at any time: the stream is then reset.
    pub async fn request(
        &self,
        request: &Request,
        priority: Priority,
        deadline: Duration,
    ) -> Result<Response, NetError> {
        self.request_with_body(request, Vec::new(), priority, deadline).await
    }
    /// The same with bytes that follow the request. The peer may answer before it has taken
    /// them all (a refusal); sending then stops.
    pub async fn request_with_body(
        &self,
        request: &Request,
        body: Vec<Bytes>,
        priority: Priority,
        deadline: Duration,
    ) -> Result<Response, NetError> {
        let frame = encode(request)?;
        let whole = async {
            let (response, _) = self.exchange(frame, body, priority).await?;
            Ok(response)
        };
        self.within(deadline, whole).await
    }
    /// Sends a request whose answer is followed by bytes, at most `max`. The deadline is for
    /// the answer's frame; reading the body is the caller's to bound.
    pub async fn download(
        &self,
        request: &Request,
        max: u64,
        priority: Priority,
        deadline: Duration,
    ) -> Result<(Response, BodyReader), NetError> {
        let frame = encode(request)?;
        let (response, (recv, active)) =
            self.within(deadline, self.exchange(frame, Vec::new(), priority)).await?;
        Ok((response, BodyReader::new(self.node, recv, max, Some(active))))
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, NetError>>,
    ) -> Result<T, NetError> {
        match tokio::time::timeout(deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(NetError::Deadline { node: self.node, after: deadline }),
        }
    }

    /// One exchange; a second one if the connection was replaced under the first.
    async fn exchange(&self, frame: Bytes, body: Vec<Bytes>, priority: Priority) -> Result<Answer, NetError> {
        let live = connection(&self.inner, self.node).await?;
        match self.on(&live, frame.clone(), body.clone(), priority).await {
            Err(NetError::Lost { why, .. }) if why == REPLACED => {
                let live = connection(&self.inner, self.node).await?;
                self.on(&live, frame, body, priority).await
            }
            result => result,
        }
    }

    async fn on(
        &self,
        live: &Live,
        frame: Bytes,
        body: Vec<Bytes>,
        priority: Priority,
    ) -> Result<Answer, NetError> {
        let node = self.node;
        let active = live.begin();
        let (send, mut recv) = live.connection.open_bi().await.map_err(|e| lost(node, &e))?;
        // A stream just opened takes a priority.
        let _ = send.set_priority(priority as i32);
        let mut send = Sender::new(node, send);
        let mut sending = Box::pin(async move {
            send.write_chunk(frame).await?;
            for bytes in body {
                send.write_chunk(bytes).await?;
            }
            send.finish();
            Ok(())
        });
        let response = {
            let mut receiving = Box::pin(response(node, &mut recv, FRAME_MAX));
            tokio::select! {
                biased;
                sent = &mut sending => match sent {
                    // A peer that stops the stream says why in its answer.
                    Ok(()) | Err(WriteError::Stopped(_)) => receiving.await?,
                    Err(e) => return Err(write_error(node, e)),
                },
                early = &mut receiving => early?,
            }
        };
        Ok((response, (recv, active)))
    }
}

type Answer = (Response, (quinn::RecvStream, Active));

fn encode(request: &Request) -> Result<Bytes, NetError> {
    Ok(encode_request(request).map_err(NetError::Encode)?.into())
}
