//! The village's network.

use super::SimRng;
use super::link::{Link, Stats, Trace, fate};
use super::socket::{Mailbox, SimRuntime, SimSocket};
use crate::world::{Net, Rng};
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The port given for port 0 on a machine; the next one if that is taken.
const FIRST_PORT: u16 = 4433;

/// All links and sockets of a village.
pub struct SimNet {
    state: Mutex<State>,
    /// The courier sleeps until the next packet is due, or this.
    sooner: Arc<Notify>,
    start: Instant,
}

struct Home {
    /// How often it has moved; part of its address.
    moves: u8,
    rng: Arc<SimRng>,
    runtime: Arc<SimRuntime>,
}

struct State {
    rng: SimRng,
    homes: Vec<Home>,
    usual: Link,
    links: BTreeMap<(usize, usize), Link>,
    /// Links cut from outside: partitions and machines that are off.
    cuts: BTreeMap<(usize, usize), u32>,
    off: Vec<bool>,
    busy: BTreeMap<(usize, usize), Instant>,
    /// When the last of what was sent on a link so far arrives.
    latest: BTreeMap<(usize, usize), Instant>,
    boxes: BTreeMap<SocketAddr, Arc<Mailbox>>,
    due: BinaryHeap<Reverse<Packet>>,
    sequence: u64,
    stats: Stats,
    trace: blake3::Hasher,
    log: Option<Vec<(u64, SocketAddr, SocketAddr, usize)>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    at: Instant,
    sequence: u64,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl SimNet {
    /// A network of `n` machines; starts its courier, so it must be made inside the runtime.
    pub(super) fn new(seed: u64, n: usize) -> Arc<SimNet> {
        let start = Instant::now();
        let home = |i| Home {
            moves: 0,
            rng: Arc::new(SimRng::new(seed, &format!("quinn {i}"))),
            runtime: Arc::default(),
        };
        let net = Arc::new(SimNet {
            state: Mutex::new(State {
                rng: SimRng::new(seed, "links"),
                homes: (0..n).map(home).collect(),
                usual: Link::default(),
                links: BTreeMap::new(),
                cuts: BTreeMap::new(),
                off: vec![false; n],
                busy: BTreeMap::new(),
                latest: BTreeMap::new(),
                boxes: BTreeMap::new(),
                due: BinaryHeap::new(),
                sequence: 0,
                stats: Stats::default(),
                trace: blake3::Hasher::new(),
                log: None,
            }),
            sooner: Arc::new(Notify::new()),
            start,
        });
        tokio::spawn(courier(Arc::downgrade(&net), net.sooner.clone()));
        net
    }

    /// The network as machine `i` sees it.
    pub(super) fn of(self: &Arc<Self>, i: usize) -> Arc<dyn Net> {
        Arc::new(View { net: self.clone(), i })
    }

    /// The address of a socket that machine `i` bound with port 0, if it was the first.
    pub fn addr(&self, i: usize) -> SocketAddr {
        SocketAddr::new(self.state.lock().ip(i), FIRST_PORT)
    }

    /// Sets every link that has not been set by itself.
    pub fn set_links(&self, link: Link) {
        self.state.lock().usual = link;
    }

    /// Sets the link from machine `a` to machine `b` (one way).
    pub fn set_link(&self, a: usize, b: usize, link: Link) {
        self.state.lock().links.insert((a, b), link);
    }

    /// Sets every link from and to machine `a`.
    pub fn set_links_of(&self, a: usize, link: &Link) {
        let mut state = self.state.lock();
        for b in (0..state.homes.len()).filter(|b| *b != a) {
            state.links.insert((a, b), link.clone());
            state.links.insert((b, a), link.clone());
        }
    }

    /// No link is set by itself any more.
    pub fn usual_links(&self) {
        self.state.lock().links.clear();
    }

    /// Cuts every link between the two groups, both ways; others are unharmed. Cuts add up.
    pub fn partition(&self, a: &[usize], b: &[usize]) {
        let mut state = self.state.lock();
        for (&x, &y) in a.iter().flat_map(|x| b.iter().map(move |y| (x, y))) {
            *state.cuts.entry((x, y)).or_default() += 1;
            *state.cuts.entry((y, x)).or_default() += 1;
        }
    }

    /// Mends every partition (machines that are off stay off).
    pub fn heal(&self) {
        self.state.lock().cuts.clear();
    }

    /// Takes machine `i` off the network or puts it back: asleep, hung, or its router is off.
    pub fn set_off(&self, i: usize, off: bool) {
        self.state.lock().off[i] = off;
    }

    /// Gives machine `i` a new address (its sockets move with it); the new address.
    pub fn move_home(&self, i: usize) -> SocketAddr {
        let mut state = self.state.lock();
        let old = state.ip(i);
        state.homes[i].moves += 1;
        let new = state.ip(i);
        let (moved, stay) = std::mem::take(&mut state.boxes)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(a, _)| a.ip() == old);
        state.boxes = stay;
        for (addr, mailbox) in moved {
            let addr = SocketAddr::new(new, addr.port());
            mailbox.set_addr(addr);
            state.boxes.insert(addr, mailbox);
        }
        SocketAddr::new(new, FIRST_PORT)
    }

    /// The power goes: machine `i`'s sockets are dead and its network tasks are gone. Not
    /// another packet of this life is sent.
    pub(super) fn unplug(&self, i: usize) {
        let mut state = self.state.lock();
        let ip = state.ip(i);
        state.boxes.retain(|addr, mailbox| {
            if addr.ip() == ip {
                mailbox.kill();
            }
            addr.ip() != ip
        });
        let runtime = std::mem::take(&mut state.homes[i].runtime);
        drop(state);
        runtime.abort_all();
    }

    pub fn stats(&self) -> Stats {
        self.state.lock().stats
    }

    pub fn trace(&self) -> Trace {
        Trace(self.state.lock().trace.finalize().into())
    }

    /// From now on remembers every packet (microseconds, ends, length), for finding where two
    /// runs part.
    pub fn keep_log(&self) {
        self.state.lock().log = Some(Vec::new());
    }
    pub fn log(&self) -> Vec<(u64, SocketAddr, SocketAddr, usize)> {
        self.state.lock().log.clone().unwrap_or_default()
    }

    /// Takes a packet from a socket.
    pub(super) fn send(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now = Instant::now();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.record(now - self.start, from, to, bytes.len());
        let (Some(a), Some(b)) = (state.home(from.ip()), state.home(to.ip())) else {
            state.stats.nowhere += 1;
            return;
        };
        let mut link = state.links.get(&(a, b)).unwrap_or(&state.usual).clone();
        link.cut |= state.cuts.contains_key(&(a, b)) || state.off[a] || state.off[b];
        let busy = state.busy.entry((a, b)).or_insert(now);
        let fate = fate(&link, &state.rng, busy, now, bytes.len(), &mut state.stats);
        let mut bytes = bytes.to_vec();
        if let Some(flip) = fate.flip
            && !bytes.is_empty()
        {
            let bit = flip as usize % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let next = state.due.peek().map(|p| p.0.at);
        let latest = state.latest.entry((a, b)).or_insert(now);
        for at in &fate.arrivals {
            state.stats.overtaking += u64::from(*at < *latest);
            *latest = (*latest).max(*at);
            state.sequence += 1;
            let packet = Packet { at: *at, sequence: state.sequence, from, to, bytes: bytes.clone() };
            state.due.push(Reverse(packet));
        }
        if fate.arrivals.iter().any(|at| next.is_none_or(|n| *at < n)) {
            self.sooner.notify_one();
        }
    }

    /// Delivers what is due; when the next is.
    fn deliver(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        while let Some(next) = state.due.peek() {
            if next.0.at > now {
                return Some(next.0.at);
            }
            let Some(Reverse(packet)) = state.due.pop() else { break };
            let off = state.home(packet.to.ip()).is_none_or(|b| state.off[b]);
            match state.boxes.get(&packet.to) {
                Some(mailbox) if !off => match mailbox.put(packet.from, packet.bytes) {
                    true => state.stats.delivered += 1,
                    false => state.stats.overflowed += 1,
                },
                _ => state.stats.nowhere += 1,
            }
        }
        None
    }

    fn bind(self: &Arc<Self>, i: usize, port: u16) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        let mut state = self.state.lock();
        let ip = state.ip(i);
        let mut ports = match port {
            0 => FIRST_PORT..=u16::MAX,
            port => port..=port,
        };
        let port = ports.find(|p| !state.boxes.contains_key(&SocketAddr::new(ip, *p)));
        let addr = SocketAddr::new(ip, port.ok_or(io::ErrorKind::AddrInUse)?);
        let mailbox = Arc::new(Mailbox::new(addr));
        state.boxes.insert(addr, mailbox.clone());
        Ok(Arc::new(SimSocket::new(self.clone(), mailbox)))
    }

    /// A socket was dropped.
    pub(super) fn unbind(&self, mailbox: &Arc<Mailbox>) {
        self.state.lock().boxes.retain(|_, other| !Arc::ptr_eq(mailbox, other));
    }
}

impl State {
    /// Every machine is in a network of its own; moving changes it.
    fn ip(&self, i: usize) -> IpAddr {
        Ipv4Addr::new(10, self.homes[i].moves, i as u8, 1).into()
    }
    fn home(&self, ip: IpAddr) -> Option<usize> {
        let IpAddr::V4(v4) = ip.to_canonical() else { return None };
        let [10, moves, i, 1] = v4.octets() else { return None };
        self.homes.get(usize::from(i)).is_some_and(|h| h.moves == moves).then_some(usize::from(i))
    }
    fn record(&mut self, at: std::time::Duration, from: SocketAddr, to: SocketAddr, len: usize) {
        self.stats.sent += 1;
        self.stats.bytes += len as u64;
        let ends = |a: SocketAddr| match a.ip().to_canonical() {
            IpAddr::V4(v4) => (u64::from(u32::from(v4)) << 16) | u64::from(a.port()),
            IpAddr::V6(_) => u64::MAX,
        };
        for n in [at.as_nanos() as u64, ends(from), ends(to), len as u64] {
            self.trace.update(&n.to_le_bytes());
        }
        if let Some(log) = &mut self.log {
            log.push((at.as_micros() as u64, from, to, len));
        }
    }
}

/// Carries packets until the network is dropped.
async fn courier(net: Weak<SimNet>, sooner: Arc<Notify>) {
    loop {
        let Some(next) = net.upgrade().map(|net| net.deliver()) else { return };
        let wait = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = sooner.notified() => {}
            () = wait => {}
        }
    }
}

impl Drop for SimNet {
    fn drop(&mut self) {
        self.sooner.notify_one();
    }
}

/// One machine's network.
struct View {
    net: Arc<SimNet>,
    i: usize,
}

impl Net for View {
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        self.net.bind(self.i, addr.port())
    }
    fn runtime(&self) -> Arc<dyn quinn::Runtime> {
        self.net.state.lock().homes[self.i].runtime.clone()
    }
    fn rng_seed(&self) -> Option<[u8; 32]> {
        let mut seed = [0; 32];
        self.net.state.lock().homes[self.i].rng.fill(&mut seed);
        Some(seed)
    }
    fn reachable(&self, bound: SocketAddr) -> Vec<SocketAddr> {
        vec![SocketAddr::new(self.net.state.lock().ip(self.i), bound.port())]
    }
}
