//! What can go wrong between two nodes.

use crate::keys::NodeId;
use crate::wire::WireError;
use std::io;
use std::time::Duration;

/// Why a request to a peer, or an endpoint, failed. Whoever wants to know whether trying
/// again makes sense asks [`NetError::is_transient`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetError {
    #[error("cannot listen on {addr}: {why}")]
    Bind { addr: std::net::SocketAddr, why: String },
    #[error("the node's TLS key cannot be used: {0}")]
    Key(String),
    #[error("node {} has no known address", .0.short())]
    NoAddress(NodeId),
    #[error("node {} cannot be reached: {why}", .node.short())]
    Unreachable { node: NodeId, why: String },
    #[error("node {} does not take calls from this node", .0.short())]
    Refused(NodeId),
    #[error("node {} did not answer within {} ms", .node.short(), .after.as_millis())]
    Deadline { node: NodeId, after: Duration },
    #[error("the connection to node {} was lost: {why}", .node.short())]
    Lost { node: NodeId, why: String },
    #[error("node {} broke the protocol: {why}", .node.short())]
    Protocol { node: NodeId, why: String },
    #[error("the message cannot be sent: {0}")]
    Encode(WireError),
    #[error("the body of node {}'s answer is longer than the {max} bytes allowed", .node.short())]
    BodyTooLong { node: NodeId, max: u64 },
    #[error("the endpoint is closed")]
    Closed,
}

impl NetError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::NoAddress(_) | Self::Unreachable { .. } | Self::Deadline { .. } | Self::Lost { .. }
        )
    }
}

impl From<NetError> for io::Error {
    fn from(e: NetError) -> io::Error {
        let kind = match &e {
            NetError::Deadline { .. } => io::ErrorKind::TimedOut,
            NetError::Protocol { .. } | NetError::BodyTooLong { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::NotConnected,
        };
        io::Error::new(kind, e)
    }
}
