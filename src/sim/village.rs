//! Machines, the nodes on them, and what happens to both.

use super::{SimClock, SimNet, SimRng};
use crate::world::{Blocking, Crash, MemIndexes, Places, Rng, SimDisk, World};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::Instant;

/// N machines on one network, from one seed.
pub struct Village {
    pub seed: u64,
    pub net: Arc<SimNet>,
    /// For the scenario itself: what happens when.
    pub rng: Arc<SimRng>,
    machines: Vec<Hardware>,
}

struct Hardware {
    clock: Arc<SimClock>,
    rng: Arc<SimRng>,
    disk: Mutex<SimDisk>,
}

/// What a node is started with.
#[derive(Clone)]
pub struct Machine {
    /// Its number, from 0.
    pub number: usize,
    pub world: World,
    pub places: Places,
    /// 32 bytes that are this machine's in every run of the seed: for keys.
    pub secret: [u8; 32],
}

impl Village {
    /// At most 256 machines, whose clocks are right and whose links are good. Must be made
    /// inside [`village!`](crate::village).
    pub fn new(seed: u64, n: usize) -> Arc<Village> {
        let start = Instant::now();
        let hardware = |i: usize| Hardware {
            clock: Arc::new(SimClock::new(start, 0)),
            rng: Arc::new(SimRng::new(seed, &format!("machine {i}"))),
            disk: Mutex::new(SimDisk::new()),
        };
        Arc::new(Village {
            seed,
            net: SimNet::new(seed, n),
            rng: Arc::new(SimRng::new(seed, "scenario")),
            machines: (0..n).map(hardware).collect(),
        })
    }

    /// How many machines there are.
    pub fn len(&self) -> usize {
        self.machines.len()
    }
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// Machine `i` as it is now; after a crash its disk is another.
    pub fn machine(&self, i: usize) -> Machine {
        let hardware = &self.machines[i];
        let mut secret = [0; 32];
        SimRng::new(self.seed, &format!("secret {i}")).fill(&mut secret);
        Machine {
            number: i,
            world: World {
                clock: hardware.clock.clone(),
                rng: hardware.rng.clone(),
                disk: Arc::new(self.disk(i)),
                net: self.net.of(i),
                indexes: Arc::new(MemIndexes),
                blocking: Blocking::Inline,
            },
            places: Places { state: "/state".into(), cache: "/cache".into(), lent: "/lent".into() },
            secret,
        }
    }

    pub fn clock(&self, i: usize) -> &SimClock {
        &self.machines[i].clock
    }

    /// Machine `i`'s disk now.
    pub fn disk(&self, i: usize) -> SimDisk {
        self.machines[i].disk.lock().clone()
    }

    /// Replaces machine `i`'s disk (a new machine, a restored backup).
    pub fn set_disk(&self, i: usize, disk: SimDisk) {
        std::mem::replace(&mut *self.machines[i].disk.lock(), disk).unplug();
    }

    /// The power goes: sockets and disk of this life are dead before any task learns of it.
    pub fn power_cut(&self, i: usize, how: Crash) {
        self.net.unplug(i);
        let mut disk = self.machines[i].disk.lock();
        *disk = disk.crash(how);
    }
}

type Start<N> = Box<dyn Fn(Machine) -> Pin<Box<dyn Future<Output = N>>>>;

/// The nodes of a village: any kind, given how one is started. A node must own its tasks, so
/// that dropping it ends them; what outlives it has neither network nor disk.
pub struct Homes<N> {
    pub village: Arc<Village>,
    start: Start<N>,
    nodes: Vec<Option<N>>,
}

impl<N> Homes<N> {
    /// Nothing is started yet.
    pub fn new<F>(village: Arc<Village>, start: impl Fn(Machine) -> F + 'static) -> Homes<N>
    where
        F: Future<Output = N> + 'static,
    {
        let nodes = (0..village.len()).map(|_| None).collect();
        Homes { village, start: Box::new(move |machine| Box::pin(start(machine))), nodes }
    }

    /// Starts node `i` (dropping it first if it runs, which is no crash).
    pub async fn start(&mut self, i: usize) -> &N {
        self.nodes[i] = None;
        let node = (self.start)(self.village.machine(i)).await;
        self.nodes[i].insert(node)
    }

    /// Starts all that do not run, in order.
    pub async fn start_all(&mut self) {
        for i in 0..self.nodes.len() {
            if self.nodes[i].is_none() {
                self.start(i).await;
            }
        }
    }

    /// Node `i`, if it runs.
    pub fn get(&self, i: usize) -> Option<&N> {
        self.nodes[i].as_ref()
    }

    /// Numbers of the nodes that run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].is_some()).collect()
    }

    /// Takes node `i` out, for an orderly end (what is left of it when dropped is no crash).
    pub fn take(&mut self, i: usize) -> Option<N> {
        self.nodes[i].take()
    }

    /// The power goes at machine `i`; [`Homes::start`] starts its node again.
    pub fn crash(&mut self, i: usize, how: Crash) {
        self.village.power_cut(i, how);
        self.nodes[i] = None;
    }

    /// Machine `i` falls asleep: to others it is hung. Its own tasks go on, without network.
    pub fn sleep(&self, i: usize) {
        self.village.net.set_off(i, true);
    }
    pub fn wake(&self, i: usize) {
        self.village.net.set_off(i, false);
    }
}
