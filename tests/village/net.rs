//! Nodes that only talk: the network, the pool and the village itself.

use super::begin;
use bytes::Bytes;
use kithfs::keys::{DeviceKeys, NodeId, PersonId, Seed, Signed};
use kithfs::net::*;
use kithfs::sim::{Homes, Link, Machine, Stats, Trace, Village};
use kithfs::wire::{Request, Response};
use kithfs::world::Crash;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Says Done to everything, after taking what comes with it.
struct Talker;

impl Service for Talker {
    fn handle<'a>(
        &'a self,
        _: PeerInfo,
        _: Request,
        body: BodyReader,
        answer: Responder,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if body.all().await.is_ok() {
                let _ = answer.send(&Response::Done).await;
            }
        })
    }
}

struct Everybody;

impl Policy for Everybody {
    fn admit(&self, _: &NodeId) -> Admission {
        Admission::Friend
    }
    fn person(&self, node: &NodeId, _: &Signed) -> Option<PersonId> {
        Some(PersonId(node.0))
    }
}

fn device(machine: &Machine) -> DeviceKeys {
    DeviceKeys::from_seed(Seed::from_bytes(machine.secret))
}

async fn talker(machine: Machine) -> Endpoint {
    let config = Config {
        bind: "0.0.0.0:0".parse().unwrap(),
        device: device(&machine),
        certificate: Signed { bytes: vec![0; 200], signature: vec![0; 64] },
        label: format!("node {}", machine.number),
    };
    Endpoint::bind(&machine.world, config, Arc::new(Everybody), Arc::new(Talker)).unwrap()
}

/// All know all.
async fn talkers(seed: u64, n: usize) -> Homes<Endpoint> {
    let mut homes = Homes::new(Village::new(seed, n), talker);
    homes.start_all().await;
    for i in 0..n {
        introduce(&homes, i);
    }
    homes
}

fn introduce(homes: &Homes<Endpoint>, i: usize) {
    for j in (0..homes.village.len()).filter(|j| *j != i) {
        let there = device(&homes.village.machine(j)).node();
        if let Some(node) = homes.get(i) {
            node.set_addrs(there, vec![homes.village.net.addr(j)]);
        }
    }
}

fn peer(homes: &Homes<Endpoint>, from: usize, to: usize) -> Peer {
    homes.get(from).unwrap().peer(device(&homes.village.machine(to)).node())
}

const SECOND: Duration = Duration::from_secs(1);

fn small() -> Request {
    Request::Away { until: 1 }
}

#[test]
fn two_nodes_say_hello_in_two_round_trips() {
    kithfs::village!(async {
        let homes = talkers(1, 2).await;
        let started = Instant::now();
        peer(&homes, 0, 1).connect(SECOND).await.unwrap();
        // 20 ms each, and the timer's grain of 1 ms.
        assert!((40..48).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
        let started = Instant::now();
        peer(&homes, 0, 1).request(&small(), Priority::Log, SECOND).await.unwrap();
        assert!((20..24).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    });
}

/// A busy grid: bad links, partitions, crashes, requests with and without bodies.
async fn busy(seed: u64, n: usize, length: Duration) -> (Trace, Stats, u64, u64) {
    let mut homes = talkers(seed, n).await;
    homes.village.net.keep_log();
    homes.village.net.set_links(Link::bad());
    let rng = homes.village.rng.clone();
    let (mut good, mut bad) = (0, 0);
    let end = Instant::now() + length;
    while Instant::now() < end {
        let (a, b) = (rng.below(n as u64) as usize, rng.below(n as u64) as usize);
        match rng.below(200) {
            0 => homes.village.net.partition(&[a], &[b]),
            1..=3 => homes.village.net.heal(),
            4 => {
                homes.crash(a, Crash::Seeded(rng.next()));
                homes.start(a).await;
                introduce(&homes, a);
            }
            5 => {
                homes.sleep(a);
                tokio::time::sleep(5 * SECOND).await;
                homes.wake(a);
            }
            _ if a != b => {
                let body = vec![Bytes::from(vec![7; rng.below(32 << 10) as usize])];
                let (to, request) = (peer(&homes, a, b), small());
                match to.request_with_body(&request, body, Priority::Upload, 10 * SECOND).await {
                    Ok(_) => good += 1,
                    Err(_) => bad += 1,
                }
            }
            _ => tokio::time::sleep(Duration::from_millis(rng.below(4000))).await,
        }
    }
    (homes.village.net.trace(), homes.village.net.stats(), good, bad)
}

/// Seconds of virtual time, and seeds, per run (`KITH_VILLAGE_SECONDS`, `KITH_VILLAGE_SEEDS`).
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

#[test]
fn one_seed_is_one_world() {
    let (seconds, seeds) = (setting("KITH_VILLAGE_SECONDS", 300), setting("KITH_VILLAGE_SEEDS", 3));
    let run = |seed| {
        let started = std::time::Instant::now();
        let result = begin(seed, || kithfs::village!(busy(seed, 6, Duration::from_secs(seconds))));
        let speed = seconds as f64 / started.elapsed().as_secs_f64();
        println!("seed={seed} {:?} good {} bad {} at {speed:.0} x real time", result.1, result.2, result.3);
        result
    };
    let mut traces = std::collections::BTreeSet::new();
    for seed in 1..=seeds {
        let (a, b) = (run(seed), run(seed));
        assert_eq!(a, b, "seed={seed}");
        assert!(traces.insert(a.0.0), "two seeds, one trace");
        assert!(a.2 > a.3 * 5, "most requests succeed");
        assert!(a.1.lost > 0 && a.1.duplicated > 0 && a.1.flipped > 0, "{:?}", a.1);
    }
}

#[test]
fn a_friend_who_moves_house_is_found_at_the_old_connection() {
    begin(1, || {
        kithfs::village!(async {
            let homes = talkers(1, 2).await;
            peer(&homes, 0, 1).connect(SECOND).await.unwrap();
            homes.village.net.move_home(0);
            // The same connection, from another address.
            peer(&homes, 0, 1).request(&small(), Priority::Log, SECOND).await.unwrap();
            peer(&homes, 1, 0).request(&small(), Priority::Log, SECOND).await.unwrap();
            assert_eq!(peer(&homes, 1, 0).addr().unwrap(), homes.village.net.addr(0));
        });
    });
}

#[test]
fn a_hung_friend_costs_its_deadline_and_comes_back() {
    begin(1, || {
        kithfs::village!(async {
            let homes = talkers(1, 3).await;
            for to in [1, 2] {
                peer(&homes, 0, to).connect(SECOND).await.unwrap();
            }
            homes.sleep(1);
            let started = Instant::now();
            let (hung, well) = (peer(&homes, 0, 1), peer(&homes, 0, 2));
            let request = small();
            let (hung, well) = tokio::join!(
                hung.request(&request, Priority::Log, SECOND),
                well.request(&request, Priority::Log, SECOND),
            );
            assert!(matches!(hung, Err(NetError::Deadline { .. })));
            well.unwrap();
            assert!(started.elapsed() < SECOND + Duration::from_millis(2));
            // Asleep for an hour: the connection is given up after 30 s.
            tokio::time::sleep(3600 * SECOND).await;
            assert!(!peer(&homes, 0, 1).online() && peer(&homes, 0, 2).online());
            homes.wake(1);
            peer(&homes, 0, 1).request(&small(), Priority::Log, 2 * SECOND).await.unwrap();
        });
    });
}

#[test]
fn a_kept_friend_is_connected_again_within_its_backoff() {
    begin(1, || {
        kithfs::village!(async {
            let mut homes = talkers(1, 2).await;
            let node = |i| device(&homes.village.machine(i)).node();
            let (zero, one) = (node(0), node(1));
            homes.get(0).unwrap().keep(one);
            homes.get(1).unwrap().keep(zero);
            tokio::time::sleep(SECOND).await;
            assert_eq!(homes.get(0).unwrap().connected(), [one]);
            let packets = homes.village.net.stats().sent;
            assert!(packets < 60, "one connection, not two: {packets} packets");
            // A crash and a start ten minutes later: 0 finds out by itself.
            homes.crash(1, Crash::Seeded(1));
            tokio::time::sleep(600 * SECOND).await;
            assert!(homes.get(0).unwrap().connected().is_empty());
            homes.start(1).await;
            tokio::time::sleep(76 * SECOND).await;
            assert_eq!(homes.get(0).unwrap().connected(), [one]);
            assert_eq!(homes.get(1).unwrap().connected(), [zero]);
        });
    });
}

#[test]
fn a_restarted_friend_is_used_at_once_though_its_old_connection_seems_alive() {
    for seed in 1..=4 {
        begin(seed, || {
            kithfs::village!(async {
                let mut homes = talkers(seed, 2).await;
                peer(&homes, 0, 1).connect(SECOND).await.unwrap();
                homes.crash(1, Crash::Seeded(1));
                homes.start(1).await;
                introduce(&homes, 1);
                peer(&homes, 1, 0).connect(SECOND).await.unwrap();
                // 0 still has the connection to 1's former self; the newest is used.
                let started = Instant::now();
                peer(&homes, 0, 1).request(&small(), Priority::Log, SECOND).await.unwrap();
                assert!(started.elapsed() < Duration::from_millis(50));
            });
        });
    }
}

#[test]
fn figures_of_a_link() {
    // 16 MiB over 100 Mbit/s and 40 ms.
    let link = Link::home(100, Duration::from_millis(40));
    begin(1, || {
        kithfs::village!(async {
            let homes = talkers(1, 2).await;
            homes.village.net.set_links(link);
            let to = peer(&homes, 0, 1);
            to.connect(SECOND).await.unwrap();
            for len in [1usize << 20, 16 << 20] {
                let started = Instant::now();
                let body = vec![Bytes::from(vec![7; len])];
                to.request_with_body(&small(), body, Priority::Upload, 60 * SECOND).await.unwrap();
                let rate = len as f64 / started.elapsed().as_secs_f64() / 1e6;
                println!("{len} bytes at 100 Mbit/s, 40 ms: {:?}, {rate:.2} MB/s", started.elapsed());
            }
            assert_eq!(homes.village.net.stats().nowhere, 0);
        });
    });
}
