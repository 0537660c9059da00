//! The two halves of a request's stream.

use super::pool::Active;
use super::{NetError, Pace};
use crate::keys::NodeId;
use crate::wire::{PREFIX_LEN, Response, WireError, encode_response, frame_len};
use bytes::Bytes;
use quinn::{ReadError, VarInt, WriteError};

/// Application error codes of streams.
pub(super) const STREAM_CANCELLED: VarInt = VarInt::from_u32(1);
/// Memory taken for a frame before its bytes are there.
const FRAME_STEP: usize = 16 << 10;
/// Chunks taken from a stream at once.
const CHUNKS: usize = 32;
/// Bytes of a long answer written at once.
const WRITE_PIECE: usize = 64 << 10;

pub(super) fn read_error(node: NodeId, e: ReadError) -> NetError {
    match e {
        ReadError::ConnectionLost(e) => lost(node, &e),
        e => NetError::Lost { node, why: e.to_string() },
    }
}

pub(super) fn write_error(node: NodeId, e: WriteError) -> NetError {
    match e {
        WriteError::ConnectionLost(e) => lost(node, &e),
        e => NetError::Lost { node, why: e.to_string() },
    }
}

/// What a lost connection means.
pub(super) fn lost(node: NodeId, e: &quinn::ConnectionError) -> NetError {
    use super::serve::Close;
    match e {
        quinn::ConnectionError::ApplicationClosed(c) if c.error_code == Close::Replaced.code() => {
            NetError::Lost { node, why: super::pool::REPLACED.into() }
        }
        quinn::ConnectionError::ApplicationClosed(c) if c.error_code == Close::NotAFriend.code() => {
            NetError::Refused(node)
        }
        // The alert of a verifier that refuses a key (access_denied and its like) is a crypto error.
        quinn::ConnectionError::ConnectionClosed(c) if (0x100..0x200).contains(&u64::from(c.error_code)) => {
            NetError::Refused(node)
        }
        e => NetError::Lost { node, why: e.to_string() },
    }
}

/// Why a frame was not read.
#[derive(Debug)]
pub(super) enum FrameFault {
    Wire(WireError),
    Lost(NetError),
}

/// Reads one frame's payload. The length is checked before memory is taken, and memory is
/// taken as bytes come.
pub(super) async fn read_frame(
    node: NodeId,
    stream: &mut quinn::RecvStream,
    max: usize,
) -> Result<Vec<u8>, FrameFault> {
    let mut prefix = [0; PREFIX_LEN];
    exact(node, stream, &mut prefix).await.map_err(FrameFault::Lost)?;
    let len = frame_len(prefix, max).map_err(FrameFault::Wire)?;
    let mut out = Vec::new();
    while out.len() < len {
        let at = out.len();
        out.resize(len.min(at.max(FRAME_STEP) * 2), 0);
        exact(node, stream, &mut out[at..]).await.map_err(FrameFault::Lost)?;
    }
    Ok(out)
}

async fn exact(node: NodeId, stream: &mut quinn::RecvStream, buf: &mut [u8]) -> Result<(), NetError> {
    stream.read_exact(buf).await.map_err(|e| match e {
        quinn::ReadExactError::FinishedEarly(_) => {
            NetError::Lost { node, why: "the stream ended early".into() }
        }
        quinn::ReadExactError::ReadError(e) => read_error(node, e),
    })
}

/// Bytes that follow a frame, as they come. Dropped before its end, the sender is told to stop.
pub struct BodyReader {
    node: NodeId,
    stream: quinn::RecvStream,
    read: u64,
    max: u64,
    ready: Vec<Bytes>,
    _active: Option<Active>,
}

impl BodyReader {
    pub(super) fn new(node: NodeId, stream: quinn::RecvStream, max: u64, active: Option<Active>) -> Self {
        BodyReader { node, stream, read: 0, max, ready: Vec::new(), _active: active }
    }

    /// The next bytes, None at the end. Fails when more than the maximum comes.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        if let Some(bytes) = self.ready.pop() {
            return Ok(Some(bytes));
        }
        let mut bufs: [Bytes; CHUNKS] = Default::default();
        let n = self.stream.read_chunks(&mut bufs).await.map_err(|e| read_error(self.node, e))?;
        let Some(n) = n else { return Ok(None) };
        self.count(bufs[..n].iter().map(Bytes::len).sum())?;
        self.ready.extend(bufs.into_iter().take(n).rev());
        Ok(self.ready.pop())
    }

    /// Everything to the end. Memory is used as bytes come, not before.
    pub async fn all(mut self) -> Result<Vec<u8>, NetError> {
        let mut out = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            out.extend_from_slice(&bytes);
        }
        Ok(out)
    }

    /// Exactly `buf.len()` bytes.
    pub async fn exact(&mut self, buf: &mut [u8]) -> Result<(), NetError> {
        let mut filled = 0;
        while filled < buf.len() {
            let Some(mut bytes) = self.chunk().await? else {
                return Err(NetError::Lost { node: self.node, why: "the body ended early".into() });
            };
            let n = bytes.len().min(buf.len() - filled);
            buf[filled..filled + n].copy_from_slice(&bytes.split_to(n));
            filled += n;
            if !bytes.is_empty() {
                self.ready.push(bytes);
            }
        }
        Ok(())
    }

    /// Lower the maximum (never raises it), as soon as the length to expect is known.
    pub fn limit(&mut self, max: u64) {
        self.max = self.max.min(max);
    }

    fn count(&mut self, n: usize) -> Result<(), NetError> {
        self.read += n as u64;
        if self.read > self.max {
            let _ = self.stream.stop(STREAM_CANCELLED);
            self.ready.clear();
            return Err(NetError::BodyTooLong { node: self.node, max: self.max });
        }
        Ok(())
    }
}

/// A send stream that is reset when dropped unfinished, so that the other end never takes a
/// part for the whole (quinn would finish it).
pub(super) struct Sender {
    node: NodeId,
    stream: quinn::SendStream,
    finished: bool,
}

impl Sender {
    pub fn new(node: NodeId, stream: quinn::SendStream) -> Sender {
        Sender { node, stream, finished: false }
    }
    pub async fn write_chunk(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        self.stream.write_chunk(bytes).await
    }
    pub fn finish(&mut self) {
        self.finished = true;
        // A stream that was stopped or whose connection is gone cannot be finished; the
        // reader's side of the exchange says so better.
        let _ = self.stream.finish();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.stream.reset(STREAM_CANCELLED);
        }
    }
}

/// Answers one request.
pub struct Responder {
    sender: Sender,
}

impl Responder {
    pub(super) fn new(node: NodeId, stream: quinn::SendStream) -> Responder {
        Responder { sender: Sender::new(node, stream) }
    }
    /// Answer, with nothing following.
    pub async fn send(self, response: &Response) -> Result<(), NetError> {
        self.send_with_body(response).await?.finish()
    }
    /// Answer, with bytes to follow.
    pub async fn send_with_body(mut self, response: &Response) -> Result<BodyWriter, NetError> {
        let frame = encode_response(response).map_err(NetError::Encode)?;
        let node = self.sender.node;
        self.sender.write_chunk(frame.into()).await.map_err(|e| write_error(node, e))?;
        Ok(BodyWriter { sender: self.sender })
    }
    /// Resolves when the caller no longer waits for the answer. For handlers that wait long.
    pub fn abandoned(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let stopped = self.sender.stream.stopped();
        async move {
            let _ = stopped.await;
        }
    }
}

/// Writes the bytes that follow an answer. Dropped unfinished, the stream is reset, so that
/// the other end never takes a part for the whole.
pub struct BodyWriter {
    sender: Sender,
}

impl BodyWriter {
    /// Waits for room in the peer's window.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), NetError> {
        let node = self.sender.node;
        self.sender.write_chunk(bytes).await.map_err(|e| write_error(node, e))
    }
    /// Writes all of it, piece by piece, to a reader that keeps up a least pace. The pieces are
    /// copies: what waits for the reader's acknowledgement does not keep all of it in memory.
    pub async fn write_all(&mut self, bytes: Bytes) -> Result<(), NetError> {
        let (node, mut pace) = (self.sender.node, Pace::new());
        for piece in bytes.chunks(WRITE_PIECE) {
            let written = pace.step(self.write(Bytes::copy_from_slice(piece))).await;
            written.map_err(|e| NetError::Lost { node, why: e.to_string() })??;
            pace.moved(piece.len());
        }
        Ok(())
    }
    /// The end.
    pub fn finish(mut self) -> Result<(), NetError> {
        self.sender.finish();
        Ok(())
    }
}
