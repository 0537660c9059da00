//! After its end nothing of a node is left: no task, and its port is free.

use super::begin;
use kithfs::daemon::Keyring;
use kithfs::daemon::api::{Line, SCHEMA};
use kithfs::daemon::config::Config;
use kithfs::daemon::home::Home;
use kithfs::daemon::node::{Node, NodeSetup};
use kithfs::daemon::setup::new_identity;
use kithfs::drive::{Files, ROOT_INO};
use kithfs::sim::{Machine, Village};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PORT: u16 = 4433;

fn listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], PORT))
}

pub(super) async fn node(machine: Machine) -> Arc<Node> {
    let (world, label) = (machine.world, format!("node {}", machine.number));
    let home = Home::below(Path::new("/kith"));
    world.disk.create_dir_all(&home.state).unwrap();
    let config = Config {
        schema: SCHEMA,
        label: label.clone(),
        lends: 1 << 38,
        grant: 1 << 36,
        household: label.clone(),
        listen: listen(),
        coding: None,
    };
    let keyring = match Keyring::open(&world, &home, None).await {
        Ok(keyring) => keyring,
        Err(_) => {
            let identity = new_identity(&world, &label, &label);
            Keyring::create(&world, &home, identity, None).await.unwrap()
        }
    };
    Node::open(NodeSetup { world, home, config, keyring }).await.unwrap()
}

/// Two friends with a drive that both write, in the middle of their work.
pub(super) async fn friends(village: &Village) -> [Arc<Node>; 2] {
    let (a, b) = (node(village.machine(0)).await, node(village.machine(1)).await);
    a.create_drive("d").await.unwrap();
    let ticket = a.invite(None, Some(1 << 36), 60, &["d".into()], "writer").await.unwrap();
    let Line::Ticket { ticket, .. } = ticket else { panic!("no ticket") };
    b.join(&ticket, Some(1 << 36)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let caller = kithfs::drive::Caller { uid: 0, gid: 0, pid: 1, umask: 0 };
    let drive = a.find_drive(None).unwrap().drive;
    drive.mkdir(ROOT_INO, b"new", 0o755, caller).unwrap();
    [a, b]
}

#[test]
fn a_closed_node_holds_neither_tasks_nor_its_port() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(1, 2);
            let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
            let before = tasks();
            let [a, b] = friends(&village).await;
            assert!(tasks() > before);
            let bind = |i: usize| village.machine(i).world.net.bind(listen()).map(drop);
            assert!(bind(0).is_err(), "the port is the node's");
            for (i, node) in [&a, &b].into_iter().enumerate() {
                node.close().await;
                // At once, though the node itself is still held.
                bind(i).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(tasks(), before);
            drop((a, b));
        });
    });
}

#[test]
fn a_node_that_is_only_dropped_ends_too() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(1, 2);
            let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
            let before = tasks();
            drop(friends(&village).await);
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(tasks(), before);
            village.machine(0).world.net.bind(listen()).unwrap();
        });
    });
}

/// A friend who does not answer the goodbye keeps nobody waiting for long.
#[test]
fn closing_does_not_wait_for_a_friend_who_is_away() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(1, 2);
            let [a, b] = friends(&village).await;
            village.net.set_off(1, true);
            let started = tokio::time::Instant::now();
            a.close().await;
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            village.machine(0).world.net.bind(listen()).unwrap();
            village.net.set_off(1, false);
            b.close().await;
        });
    });
}
