//! The endpoint's socket, which can be given back while others still hold it.
//!
//! quinn keeps a socket as long as any handle on an endpoint or a connection is left, and it
//! is up to their owners when that is. A node that was closed must not hold its port until
//! then: another one may be about to start.

use parking_lot::{Mutex, RwLock};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

/// The inner poller; None once the socket was given back.
type Slot = Mutex<Option<Pin<Box<dyn UdpPoller>>>>;

/// A socket until it is given back.
#[derive(Debug)]
pub(super) struct Socket {
    inner: RwLock<Option<Arc<dyn AsyncUdpSocket>>>,
    /// Pollers hold the inner socket too.
    pollers: Mutex<Vec<Weak<Slot>>>,
    reader: Mutex<Option<Waker>>,
}

impl Socket {
    pub fn new(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Socket> {
        Arc::new(Socket {
            inner: RwLock::new(Some(inner)),
            pollers: Mutex::default(),
            reader: Mutex::default(),
        })
    }

    /// Closes the socket: its port is free when this returns, and whoever reads is told.
    pub fn give_back(&self) {
        *self.inner.write() = None;
        for poller in self.pollers.lock().drain(..) {
            if let Some(slot) = poller.upgrade() {
                *slot.lock() = None;
            }
        }
        if let Some(reader) = self.reader.lock().take() {
            reader.wake();
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        let inner = self.inner.read().clone().map(AsyncUdpSocket::create_io_poller);
        let slot = Arc::new(Mutex::new(inner));
        let mut pollers = self.pollers.lock();
        pollers.retain(|p| p.strong_count() > 0);
        pollers.push(Arc::downgrade(&slot));
        Box::pin(Poller(slot))
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        match &*self.inner.read() {
            Some(inner) => inner.try_send(transmit),
            // Nobody is left who could do anything about it.
            None => Ok(()),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let inner = self.inner.read();
        let Some(socket) = &*inner else { return Poll::Ready(Err(gone())) };
        let received = socket.poll_recv(cx, bufs, meta);
        if received.is_pending() {
            let mut reader = self.reader.lock();
            if !reader.as_ref().is_some_and(|r| r.will_wake(cx.waker())) {
                *reader = Some(cx.waker().clone());
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.read().as_ref().ok_or_else(gone)?.local_addr()
    }
    fn max_transmit_segments(&self) -> usize {
        self.inner.read().as_ref().map_or(1, |s| s.max_transmit_segments())
    }
    fn max_receive_segments(&self) -> usize {
        self.inner.read().as_ref().map_or(1, |s| s.max_receive_segments())
    }
    fn may_fragment(&self) -> bool {
        self.inner.read().as_ref().is_none_or(|s| s.may_fragment())
    }
}

#[derive(Debug)]
struct Poller(Arc<Slot>);

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        match &mut *self.0.lock() {
            Some(inner) => inner.as_mut().poll_writable(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
