//! What a node gives the network: who may call, and what to do when they do.

use super::stream::{BodyReader, Responder};
use crate::keys::{NodeId, PersonId, Signed};
use crate::wire::{Reason, Request};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a caller may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Say Hello, then anything.
    Friend,
    /// One Join request (while a ticket is open).
    JoinOnly,
    /// One Recover request (the door key of a person whose recovery record is kept here).
    RecoverOnly,
    /// Nothing: the handshake fails.
    Refuse,
}

/// Who may call. Called inside the TLS handshake: must not block.
pub trait Policy: Send + Sync + 'static {
    /// What the holder of this TLS key may do. Asked in the handshake and once after it.
    fn admit(&self, node: &NodeId) -> Admission;
    /// The person whose certificate for `node` this is, if it is valid now.
    fn person(&self, node: &NodeId, certificate: &Signed) -> Option<PersonId>;
}

/// Who sent a request, as proved.
#[derive(Clone)]
pub struct PeerInfo {
    pub node: NodeId,
    /// Proved by the certificate in Hello; None only for a Join or a Recover.
    pub person: Option<PersonId>,
    /// The peer's device certificate, as received in Hello.
    pub certificate: Option<Arc<Signed>>,
    /// The address the connection came from just now.
    pub addr: SocketAddr,
    pub(super) connection: quinn::Connection,
}

impl PeerInfo {
    /// 32 bytes both ends of this connection know and nobody else (RFC 5705, empty context).
    /// None when the connection is gone.
    pub fn exporter(&self, label: &[u8]) -> Option<[u8; 32]> {
        let mut out = [0; 32];
        self.connection.export_keying_material(&mut out, label, &[]).ok()?;
        Some(out)
    }
}

impl std::fmt::Debug for PeerInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerInfo({} at {})", self.node.short(), self.addr)
    }
}

/// What a node does for its friends.
pub trait Service: Send + Sync + 'static {
    /// Answer one request, in a task of its own; dropped when the connection ends. The body
    /// is what follows the request's frame (often nothing). Dropping `body` tells the
    /// sender to stop; dropping `responder` unused resets the stream.
    fn handle<'a>(
        &'a self,
        peer: PeerInfo,
        request: Request,
        body: BodyReader,
        responder: Responder,
    ) -> BoxFuture<'a, ()>;

    /// The refusal with which the network turns away what no handler sees (unknown or malformed
    /// requests). A node signs it and says why; the default, for doubles that have no key, is
    /// empty and not signed.
    fn refusal(&self, peer: &PeerInfo, reason: Reason, detail: &str) -> Signed {
        let _ = (peer, reason, detail);
        Signed { bytes: Vec::new(), signature: Vec::new() }
    }
}
