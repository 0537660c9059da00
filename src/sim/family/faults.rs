//! What goes wrong.

use super::{Family, READER, WRITERS};
use crate::sim::Link;
use crate::wire::FREE_DISK_FLOOR;
use crate::world::Crash;
use std::time::Duration;
use tokio::time::Instant;

/// Friends that may be without power at a time; more would only be waited for.
const DOWN: usize = 3;
/// Bytes on a disk that is not full.
const ROOM: u64 = 1 << 40;

impl Family {
    pub(super) async fn fault(&mut self) {
        let i = self.below(self.homes.village.len());
        match self.below(15) {
            0..=2 if self.down.len() < DOWN => {
                self.count(if WRITERS.contains(&i) {
                    "fault: power cut of a writer"
                } else {
                    "fault: power cut of a friend"
                });
                self.power_cut(i);
            }
            3 => self.restart(i).await,
            4 | 5 => {
                self.count("fault: hung");
                self.homes.sleep(i);
                self.asleep.insert(i);
            }
            6 => self.wake_all(),
            7 => self.partition(),
            8 => self.homes.village.net.heal(),
            9 => {
                self.count("fault: bad links");
                self.homes.village.net.set_links(Link::bad());
            }
            10 => {
                self.homes.village.net.set_links(Link::default());
                self.homes.village.net.usual_links();
            }
            11 => {
                self.count("fault: clock steps");
                let minutes = self.rng.below(20) as i64 - 10;
                self.homes.village.clock(i).set_skew(minutes * 60_000_000_000);
            }
            12 => {
                self.count("fault: slow friend");
                self.homes.village.net.set_links_of(i, &Link::slow());
            }
            13 if i > READER => {
                self.count("fault: disk of a friend full");
                let disk = self.homes.village.disk(i);
                disk.set_capacity(disk.used() + self.rng.below(FREE_DISK_FLOOR));
            }
            14 => self.all_have_room(),
            _ => {}
        }
    }

    fn partition(&mut self) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for i in 0..self.homes.village.len() {
            if self.below(2) == 0 { &mut a } else { &mut b }.push(i);
        }
        self.count("fault: partition");
        self.homes.village.net.partition(&a, &b);
    }

    fn all_have_room(&self) {
        for i in 0..self.homes.village.len() {
            self.homes.village.disk(i).set_capacity(ROOM);
        }
    }

    /// The power goes at `i`, and comes back some time later.
    pub(super) fn power_cut(&mut self, i: usize) {
        if self.down.contains_key(&i) {
            return;
        }
        self.homes.crash(i, Crash::Seeded(self.rng.next()));
        self.heads.retain(|(at, _), _| *at != i);
        let away = if self.below(2) == 0 { 0 } else { self.rng.below(180_000) };
        self.down.insert(i, Instant::now() + Duration::from_millis(away));
    }

    /// Those whose power is back are started, and looked at.
    pub(super) async fn power_back(&mut self) {
        let now = Instant::now();
        let due: Vec<usize> = self.down.iter().filter(|(_, t)| **t <= now).map(|(i, _)| *i).collect();
        for i in due {
            self.start_again(i).await;
        }
    }

    pub(super) async fn start_again(&mut self, i: usize) {
        self.down.remove(&i);
        // A full disk lets nothing start; whoever put the power back made room.
        self.homes.village.disk(i).set_capacity(ROOM);
        if self.below(4) == 0 {
            self.corrupt(i);
        }
        if let Err(t) = self.homes.start(i).await {
            let why = format!("node {i} does not start after a power cut: {t}");
            return self.violation("I1", why);
        }
        self.count("started after a power cut");
        if self.drive(i).is_none() && i <= READER {
            return self.violation("I1", format!("the drive of node {i} does not open after a power cut"));
        }
        if WRITERS.contains(&i) {
            self.after_power_cut(i).await;
        }
    }

    /// An orderly end and a start.
    async fn restart(&mut self, i: usize) {
        let Some(Ok(node)) = self.homes.take(i) else { return };
        self.count("fault: orderly restart");
        node.close().await;
        drop(node);
        // The process is gone: its sockets with it; what it wrote stays with the kernel.
        let village = self.homes.village.clone();
        village.net.unplug(i);
        village.set_disk(i, village.disk(i).copy());
        village.disk(i).set_capacity(ROOM);
        if let Err(t) = self.homes.start(i).await {
            let why = format!("node {i} does not start again: {t}");
            self.violation("I1", why);
        }
    }

    pub(super) fn wake_all(&mut self) {
        for i in std::mem::take(&mut self.asleep) {
            self.homes.wake(i);
        }
    }

    /// Everything is well again.
    pub(super) async fn heal(&mut self) {
        self.wake_all();
        self.homes.village.net.heal();
        self.homes.village.net.set_links(Link::default());
        self.homes.village.net.usual_links();
        self.all_have_room();
        for i in self.down.keys().copied().collect::<Vec<_>>() {
            self.start_again(i).await;
        }
    }
}
