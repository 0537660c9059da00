//! Requests and answers without the network.

use crate::keys::{NodeId, PersonId, Signed};
use crate::net::{BodyReader, BoxFuture, NetError, PeerInfo};
use crate::wire::Response;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that follow a request or an answer, as they come.
pub trait Body: Send {
    /// The next bytes, None at the end.
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, NetError>>;
}

impl Body for BodyReader {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, NetError>> {
        Box::pin(BodyReader::chunk(self))
    }
}

impl Body for VecDeque<Bytes> {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, NetError>> {
        Box::pin(std::future::ready(Ok(self.pop_front())))
    }
}

/// Who sent a request, as proved by the connection.
#[derive(Clone, Debug)]
pub struct Caller {
    pub node: NodeId,
    /// None only for an unknown key that wants to join.
    pub person: Option<PersonId>,
    /// The device's certificate.
    pub certificate: Option<Arc<Signed>>,
}

impl From<&PeerInfo> for Caller {
    fn from(peer: &PeerInfo) -> Caller {
        Caller { node: peer.node, person: peer.person, certificate: peer.certificate.clone() }
    }
}

/// An answer, and what follows it.
#[derive(Debug)]
pub struct Reply {
    pub response: Response,
    pub body: Option<Bytes>,
}

impl From<Response> for Reply {
    fn from(response: Response) -> Reply {
        Reply { response, body: None }
    }
}
