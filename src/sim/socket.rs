//! Sockets in memory, and the runtime that quinn is given with them.

use super::SimNet;
use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Bytes a socket keeps for a reader that does not come, as a kernel would.
const MAILBOX_BYTES: usize = 4 << 20;
/// Datagrams in one call to send, as with segmentation offload.
const SEGMENTS: usize = 10;

/// What has arrived at a socket.
pub(super) struct Mailbox(Mutex<Box_>);

struct Box_ {
    addr: SocketAddr,
    dead: bool,
    bytes: usize,
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

impl Mailbox {
    pub fn new(addr: SocketAddr) -> Mailbox {
        Mailbox(Mutex::new(Box_ { addr, dead: false, bytes: 0, packets: VecDeque::new(), reader: None }))
    }
    pub fn set_addr(&self, addr: SocketAddr) {
        self.0.lock().addr = addr;
    }
    pub fn addr(&self) -> Option<SocketAddr> {
        let inner = self.0.lock();
        (!inner.dead).then_some(inner.addr)
    }
    /// False when it is full.
    pub fn put(&self, from: SocketAddr, bytes: Vec<u8>) -> bool {
        let mut inner = self.0.lock();
        if inner.bytes + bytes.len() > MAILBOX_BYTES {
            return false;
        }
        inner.bytes += bytes.len();
        inner.packets.push_back((from, bytes));
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
        true
    }
    pub fn kill(&self) {
        let mut inner = self.0.lock();
        inner.dead = true;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }
}

/// A bound socket.
pub(super) struct SimSocket {
    net: Arc<SimNet>,
    mailbox: Arc<Mailbox>,
}

impl SimSocket {
    pub fn new(net: Arc<SimNet>, mailbox: Arc<Mailbox>) -> SimSocket {
        SimSocket { net, mailbox }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.net.unbind(&self.mailbox);
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimSocket({:?})", self.mailbox.addr())
    }
}

/// There is always room: links drop what is too much.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        // A machine without power sends nothing, and nobody is there to be told.
        let Some(from) = self.mailbox.addr() else { return Ok(()) };
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            self.net.send(from, transmit.destination, datagram);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.mailbox.0.lock();
        if inner.dead {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut n = 0;
        while n < bufs.len().min(meta.len()) {
            let Some((from, bytes)) = inner.packets.pop_front() else { break };
            inner.bytes -= bytes.len();
            let len = bytes.len().min(bufs[n].len());
            bufs[n][..len].copy_from_slice(&bytes[..len]);
            let mut one = RecvMeta::default();
            (one.addr, one.len, one.stride) = (from, len, len);
            meta[n] = one;
            n += 1;
        }
        if n == 0 {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(n))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.mailbox.addr().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
    fn max_transmit_segments(&self) -> usize {
        SEGMENTS
    }
    fn may_fragment(&self) -> bool {
        false
    }
}

/// tokio's paused clock for quinn, and its tasks, which end with the machine's power.
#[derive(Default, Debug)]
pub(super) struct SimRuntime {
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl SimRuntime {
    pub fn abort_all(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

impl Runtime for SimRuntime {
    fn new_timer(&self, t: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(t)
    }
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let task = tokio::spawn(future).abort_handle();
        let mut tasks = self.tasks.lock();
        tasks.retain(|t| !t.is_finished());
        tasks.push(task);
    }
    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
