//! The double of the network between you and your friends: real holders, reached at once, each
//! in its mood.

use crate::grid::{Download, Friends};
use crate::holder::tests::common::*;
use crate::holder::{Caller, Holder, Reply};
use crate::keys::NodeId;
use crate::net::{BoxFuture, Event, NetError, Priority};
use crate::wire::{Request, Response};
use crate::world::SimDisk;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// How a friend behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    On,
    Off,
    /// Connected, and never answers.
    Hung,
    /// Takes everything, and answers three seconds later whether or not somebody waits for it.
    Slow,
    /// Serves one wrong byte in everything it serves.
    Lying,
    /// Ends every answer early.
    Short,
    /// Answers with the nonce of another question.
    Stale,
    /// Names no more than two leases in an answer.
    Terse,
}

pub struct Friend {
    pub who: Someone,
    pub holder: Arc<Holder>,
    pub disk: SimDisk,
    pub mood: Mood,
    pub asked: u64,
}

/// All friends, by node.
pub struct Net {
    pub friends: Mutex<BTreeMap<NodeId, Friend>>,
    pub you: Caller,
    pub events: broadcast::Sender<Event>,
}

impl Net {
    async fn serve(
        self: Arc<Self>,
        node: NodeId,
        request: Request,
        body: Vec<Bytes>,
    ) -> Result<Reply, NetError> {
        let (holder, mood) = {
            let mut friends = self.friends.lock();
            let friend = friends.get_mut(&node).expect("a friend");
            friend.asked += 1;
            (friend.holder.clone(), friend.mood)
        };
        match mood {
            Mood::Off => return Err(NetError::Unreachable { node, why: "it is off".into() }),
            Mood::Hung => std::future::pending().await,
            Mood::Slow => {
                let you = self.you.clone();
                let serve = async move {
                    tokio::time::sleep(Duration::from_secs(3)).await;
                    holder.serve(&you, request, &mut VecDeque::from(body)).await
                };
                return Ok(tokio::spawn(serve).await.expect("served"));
            }
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
        let mut reply = holder.serve(&self.you, request, &mut VecDeque::from(body)).await;
        if let Some(bytes) = reply.body.as_mut().filter(|_| mood == Mood::Lying) {
            let mut wrong = bytes.to_vec();
            let middle = wrong.len() / 2;
            wrong[middle] ^= 1;
            *bytes = Bytes::from(wrong);
        }
        if let Some(bytes) = reply.body.as_mut().filter(|_| mood == Mood::Short) {
            bytes.truncate(bytes.len() / 2);
        }
        if let Response::Data { nonce, .. } = &mut reply.response
            && mood == Mood::Stale
        {
            nonce[0] ^= 1;
        }
        if let Response::Leases { done } = &mut reply.response
            && mood == Mood::Terse
        {
            done.truncate(2);
        }
        Ok(reply)
    }
}

/// The double of an endpoint.
pub struct Double(pub Arc<Net>);

impl Friends for Double {
    fn request(
        &self,
        node: NodeId,
        request: Request,
        body: Vec<Bytes>,
        _: Priority,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Response, NetError>> {
        let net = self.0.clone();
        Box::pin(async move {
            match tokio::time::timeout(deadline, net.serve(node, request, body)).await {
                Ok(reply) => Ok(reply?.response),
                Err(_) => Err(NetError::Deadline { node, after: deadline }),
            }
        })
    }
    fn download(
        &self,
        node: NodeId,
        request: Request,
        _: u64,
        _: Priority,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Download, NetError>> {
        let net = self.0.clone();
        Box::pin(async move {
            match tokio::time::timeout(deadline, net.serve(node, request, Vec::new())).await {
                Ok(reply) => {
                    let reply = reply?;
                    let body: VecDeque<Bytes> = reply.body.into_iter().collect();
                    Ok((reply.response, Box::new(body) as Box<dyn crate::holder::Body>))
                }
                Err(_) => Err(NetError::Deadline { node, after: deadline }),
            }
        })
    }
    fn online(&self, node: &NodeId) -> bool {
        self.0.friends.lock().get(node).is_some_and(|f| f.mood != Mood::Off)
    }
    fn rtt(&self, _: &NodeId) -> Option<Duration> {
        Some(Duration::from_millis(2))
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }
}
