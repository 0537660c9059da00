//! Links, and what happens to a packet on one.

use super::SimRng;
use std::time::Duration;
use tokio::time::Instant;

/// How packets fare from one machine to another (one way).
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

impl Link {
    /// A link on which everything goes wrong now and then.
    pub fn bad() -> Link {
        Link {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(60),
            loss: 30_000,
            duplicate: 10_000,
            flip: 2_000,
            ..Link::default()
        }
    }
    /// A friend at the end of a bad mobile line.
    pub fn slow() -> Link {
        Link {
            latency: Duration::from_millis(400),
            jitter: Duration::from_millis(200),
            rate: 32_000,
            queue: Duration::from_secs(2),
            ..Link::default()
        }
    }
    /// A home: this many Mbit/s, this round trip if the way back is the same.
    pub fn home(mbit: u64, rtt: Duration) -> Link {
        Link { latency: rtt / 2, rate: mbit * 125_000, ..Link::default() }
    }
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub sent: u64,
    pub bytes: u64,
    pub delivered: u64,
    pub lost: u64,
    /// Dropped because the link's or the receiver's queue was full.
    pub overflowed: u64,
    /// Sent into a cut link.
    pub cut: u64,
    /// Sent to where nobody is.
    pub nowhere: u64,
    pub duplicated: u64,
    pub flipped: u64,
    /// Due before one that was sent earlier on the same link.
    pub overtaking: u64,
}

/// A digest of (virtual time, ends, length) of every packet sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(pub [u8; 32]);

/// What happens to one packet: when each copy arrives, and whether a bit of it is flipped.
pub(super) struct Fate {
    pub arrivals: Vec<Instant>,
    /// A number that chooses the bit.
    pub flip: Option<u64>,
}

/// Decides the fate of a packet of `len` bytes sent now; `busy` is when the link is free again.
pub(super) fn fate(
    link: &Link,
    rng: &SimRng,
    busy: &mut Instant,
    now: Instant,
    len: usize,
    stats: &mut Stats,
) -> Fate {
    let nothing = Fate { arrivals: Vec::new(), flip: None };
    if link.cut {
        stats.cut += 1;
        return nothing;
    }
    let mut leaves = now;
    if let Some(nanos) = (len as u64 * 1_000_000_000).checked_div(link.rate) {
        let start = now.max(*busy);
        if start - now > link.queue {
            stats.overflowed += 1;
            return nothing;
        }
        leaves = start + Duration::from_nanos(nanos);
        *busy = leaves;
    }
    if rng.chance(link.loss) {
        stats.lost += 1;
        return nothing;
    }
    let arrival = || leaves + link.latency + Duration::from_nanos(rng.below(link.jitter.as_nanos() as u64));
    let mut arrivals = vec![arrival()];
    if rng.chance(link.duplicate) {
        stats.duplicated += 1;
        arrivals.push(arrival());
    }
    let flip = rng.chance(link.flip).then(|| rng.next());
    if flip.is_some() {
        stats.flipped += 1;
    }
    Fate { arrivals, flip }
}
