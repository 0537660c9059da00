//! The village's network: links with latency, loss, duplication, bit flips and queues.

use crate::world::Net;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How packets fare from one node to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub latency: Duration,
    /// Added to the latency, uniformly from 0 to this: packets overtake one another.
    pub jitter: Duration,
    /// Of a million packets.
    pub loss: u32,
    pub duplicate: u32,
    pub flip: u32,
    /// Bytes per second; 0: no limit.
    pub rate: u64,
    /// Longest wait in the link's queue; what would wait longer is dropped.
    pub queue: Duration,
    pub cut: bool,
}

impl Default for Link {
    fn default() -> Link {
        Link {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0,
            duplicate: 0,
            flip: 0,
            rate: 0,
            queue: Duration::from_millis(100),
            cut: false,
        }
    }
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub sent: u64,
    pub delivered: u64,
    pub lost: u64,
    pub overflowed: u64,
    pub cut: u64,
    pub duplicated: u64,
    pub flipped: u64,
    pub bytes: u64,
}

/// A digest of (virtual time, ends, length) of every packet sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(pub [u8; 32]);

/// All links and sockets of a village.
pub struct SimNet {}

impl SimNet {
    /// The network as node `i` sees it.
    pub fn of(self: &Arc<Self>, _i: usize) -> Arc<dyn Net> {
        todo!()
    }
    /// The address node `i` has now.
    pub fn addr(&self, _i: usize) -> SocketAddr {
        todo!()
    }
    /// Sets the link from node `a` to node `b` (one way).
    pub fn set_link(&self, _a: usize, _b: usize, _link: Link) {
        todo!()
    }
    /// Cuts every link between the two groups; nodes in neither are unharmed.
    pub fn partition(&self, _a: &[usize], _b: &[usize]) {
        todo!()
    }
    /// Mends every cut.
    pub fn heal(&self) {
        todo!()
    }
    /// Gives node `i` a new address (its sockets move with it).
    pub fn move_node(&self, _i: usize) -> SocketAddr {
        todo!()
    }
    pub fn stats(&self) -> Stats {
        todo!()
    }
    pub fn trace(&self) -> Trace {
        todo!()
    }
}
