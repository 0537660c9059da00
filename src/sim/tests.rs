use super::*;
use crate::keys::{DeviceKeys, NodeId, PersonId, Seed, Signed};
use crate::net::*;
use crate::wire::{Request, Response};
use crate::world::Crash;
use bytes::Bytes;
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
    crate::village!(async {
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

#[test]
fn one_seed_is_one_world() {
    let run = |seed| {
        let started = std::time::Instant::now();
        let result = crate::village!(busy(seed, 6, 600 * SECOND));
        let speed = 600.0 / started.elapsed().as_secs_f64();
        println!("seed={seed} {:?} good {} bad {} at {speed:.0} x real time", result.1, result.2, result.3);
        result
    };
    let (a, b, c) = (run(1), run(1), run(2));
    assert_eq!(a, b);
    assert_ne!(a.0, c.0);
    assert!(a.2 > a.3 * 5 && a.3 > 0, "most requests succeed, some fail");
    assert!(a.1.lost > 0 && a.1.duplicated > 0 && a.1.flipped > 0 && a.1.cut > 0);
}
