//! The two halves of a request's stream.

use super::NetError;
use crate::keys::NodeId;
use crate::wire::Response;
use bytes::Bytes;

/// Bytes that follow a frame, as they come. Dropped before its end, the sender is told to stop.
pub struct BodyReader {
    pub(super) node: NodeId,
    pub(super) stream: quinn::RecvStream,
    /// Bytes that may still come.
    pub(super) left: u64,
    pub(super) max: u64,
}

impl BodyReader {
    /// The next bytes, None at the end. Fails when more than the maximum comes.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        todo!()
    }
    /// Everything to the end. Memory is used as bytes come, not before.
    pub async fn all(self) -> Result<Vec<u8>, NetError> {
        todo!()
    }
    /// Exactly `buf.len()` bytes.
    pub async fn exact(&mut self, _buf: &mut [u8]) -> Result<(), NetError> {
        todo!()
    }
    /// Lower the maximum (never raises it), as soon as the length to expect is known.
    pub fn limit(&mut self, max: u64) {
        self.max = self.max.min(max);
    }
}

/// Answers one request.
pub struct Responder {
    pub(super) node: NodeId,
    pub(super) stream: quinn::SendStream,
}

impl Responder {
    /// Answer, with nothing following.
    pub async fn send(self, _response: &Response) -> Result<(), NetError> {
        todo!()
    }
    /// Answer, with bytes to follow.
    pub async fn send_with_body(self, _response: &Response) -> Result<BodyWriter, NetError> {
        todo!()
    }
}

/// Writes the bytes that follow an answer. Dropped unfinished, the stream is reset, so that
/// the other end never takes a part for the whole.
pub struct BodyWriter {
    pub(super) node: NodeId,
    pub(super) stream: quinn::SendStream,
}

impl BodyWriter {
    /// Waits for room in the peer's window.
    pub async fn write(&mut self, _bytes: Bytes) -> Result<(), NetError> {
        todo!()
    }
    /// The end.
    pub fn finish(self) -> Result<(), NetError> {
        todo!()
    }
}
