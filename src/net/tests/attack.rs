//! Callers who mean harm.

use super::*;
use crate::wire::HANDSHAKES_MAX;
use std::net::UdpSocket;

/// What a flood of 20,000 garbage handshakes may add to a node's resident memory: far below the
/// 200 MiB a node under attack may take, far above what it was seen to take (a few MiB).
const FLOOD_MAX_KIB: usize = 64 << 10;

/// A QUIC Initial of version 1 with random content: enough to make an endpoint look.
fn initial(n: u32) -> Vec<u8> {
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend(u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    packet.extend([8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x44, 0x96]);
    packet.resize(1200, n as u8);
    packet
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The whole process is what is measured, so the flood runs in a process of its own: other tests
/// of this run, side by side with it here, take hundreds of MiB for themselves.
#[test]
fn a_flood_of_garbage_takes_no_memory_and_friends_get_through() {
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "net::tests::attack::a_flood_of_garbage_alone"])
        .args(["--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    let complaint = String::from_utf8_lossy(&alone.stderr);
    assert!(alone.status.success(), "{said}{complaint}");
    assert!(said.contains("1 passed"), "the flood did not run: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by a_flood_of_garbage_takes_no_memory_and_friends_get_through, alone"]
async fn a_flood_of_garbage_alone() {
    let (a, b) = friends();
    let to = b.endpoint.local_addr().unwrap();
    // What the first handshake allocates once is no part of the flood.
    a.peer(&b).request(&small(), Priority::Log, Duration::from_secs(10)).await.unwrap();
    let before = resident_kib();
    let flood = tokio::task::spawn_blocking(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..20_000u32 {
            let _ = socket.send_to(&initial(n), to);
            if n % 50 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    a.peer(&b).request(&small(), Priority::Log, Duration::from_secs(10)).await.unwrap();
    flood.await.unwrap();
    a.peer(&b).request(&small(), Priority::Log, SOON).await.unwrap();
    let grown = resident_kib().saturating_sub(before);
    println!("20,000 garbage handshakes: {grown} KiB more");
    assert!(grown < FLOOD_MAX_KIB, "{grown} KiB");
}

#[tokio::test]
async fn handshakes_in_progress_are_bounded() {
    let b = node(2);
    let server = b.endpoint.inner();
    // Real clients with a key b does not know, which never finish: their packets are real
    // Initials, so each would take a place.
    let mut clients = Vec::new();
    for n in 0..100u8 {
        let c = node(n.wrapping_add(10));
        c.befriend(&b);
        c.endpoint.keep(b.id);
        clients.push(c);
    }
    let mut most = 0;
    for _ in 0..100 {
        most = most.max(server.handshakes.in_progress());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("at most {most} handshakes at once");
    assert!(most <= HANDSHAKES_MAX);
    assert!(b.endpoint.connected().is_empty());
    assert_eq!(b.echo.handled.load(Ordering::Relaxed), 0);
}

#[test]
fn places_are_counted_by_prefix() {
    let handshakes = serve::Handshakes::default();
    let from = |s: &str| handshakes.take(s.parse().unwrap());
    let near: Vec<_> = (0..20).filter_map(|i| from(&format!("192.0.2.{i}"))).collect();
    assert_eq!(near.len(), crate::wire::HANDSHAKES_PER_PREFIX_MAX);
    assert!(from("::ffff:192.0.2.99").is_none(), "the same prefix in another form");
    assert!(from("192.0.3.1").is_some());
    assert!(from("2001:db8::1").is_some());
    let mut six: Vec<_> = (0..20).filter_map(|i| from(&format!("2001:db8::{i}"))).collect();
    assert_eq!(six.len(), crate::wire::HANDSHAKES_PER_PREFIX_MAX);
    six.pop();
    assert!(from("2001:db8::77").is_some(), "a place is given back");
    let far: Vec<_> = (0..200).filter_map(|i| from(&format!("198.51.{i}.1"))).collect();
    assert!(far.len() + near.len() + six.len() == HANDSHAKES_MAX);
}
