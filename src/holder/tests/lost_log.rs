//! What the log of leases does not know is no reason to lose a share.

use super::common::*;
use crate::keys::ShareId;
use crate::ledger::DAY_MS;
use crate::wire::{Request, Response};
use crate::world::{Open, SimDisk, World};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

const LOG: &str = "/n/lent/leases.log";

fn below(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|p| p.to_string_lossy().contains(dir)).collect()
}

async fn three(disk: &SimDisk) -> Vec<ShareId> {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let holder = ann.holder(&world(disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let mut shares = Vec::new();
    for i in 1..=3 {
        shares.push(receipt(put(&holder, &bob, &bytes(i, 20_000)).await, &ann).share);
    }
    shares
}

async fn served(disk: &SimDisk, shares: &[ShareId], what: &str) {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    for start in 0..2 {
        let holder = ann.holder(&world(disk).0).await;
        assert_eq!(holder.status().leases, shares.len(), "{what}, start {start}");
        assert_eq!(holder.status().lent, 20_000 * shares.len() as u64, "{what}, start {start}");
        for share in shares {
            let reply = call(&holder, &bob.caller(), get(bob.id(), *share, &[(0, 20_000)], TOKEN)).await;
            assert!(reply.body.is_some(), "{what}: {}", tell(reply.response));
        }
    }
}

fn log_gone(disk: &SimDisk) {
    world(disk).0.disk.remove(Path::new(LOG)).unwrap();
}
fn log_empty(disk: &SimDisk) {
    disk.damage(Path::new(LOG), |log| log.clear());
}
fn log_cut(disk: &SimDisk) {
    disk.damage(Path::new(LOG), |log| log.truncate(log.len() / 2));
}
fn last_bit(disk: &SimDisk) {
    disk.damage(Path::new(LOG), |log| {
        let last = log.len() - 1;
        log[last] ^= 1;
    });
}
fn all_zeros(disk: &SimDisk) {
    disk.damage(Path::new(LOG), |log| log.fill(0));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_gone_cut_or_damaged_costs_no_share() {
    type Harm = fn(&SimDisk);
    let harms: [(&str, Harm); 5] = [
        ("gone", log_gone),
        ("empty", log_empty),
        ("cut to half", log_cut),
        ("a bit of the last record", last_bit),
        ("zeros", all_zeros),
    ];
    for (what, harm) in harms {
        let disk = SimDisk::new();
        let shares = three(&disk).await;
        harm(&disk);
        served(&disk, &shares, what).await;
    }
}

fn read(world: &World, path: &Path) -> Vec<u8> {
    let file = world.disk.open(path, Open::Existing).unwrap();
    let mut out = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut out, 0).unwrap();
    out
}

#[tokio::test(start_paused = true)]
async fn a_released_share_whose_removal_was_cut_short_goes_at_the_next_start() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let (world, clock) = world(&disk);
    let holder = ann.holder(&world).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let data = bytes(1, 1000);
    let first = receipt(put(&holder, &bob, &data).await, &ann);
    let path = below(&disk, "/shares/").pop().unwrap();
    let old = read(&world, &path);
    let account = bob.id();
    let shares = vec![(first.share, first.generation)];
    let done = call(&holder, &bob.caller(), Request::LeaseRelease { account, shares }).await.response;
    assert!(matches!(done, Response::Leases { done } if done.len() == 1));
    clock.wall_ms.fetch_add(8 * DAY_MS, Ordering::Relaxed);
    holder.maintain().await;
    assert!(below(&disk, "/shares/").is_empty());
    drop(holder);
    let back = |bytes: &[u8]| world.disk.open(&path, Open::OrCreate).unwrap().write_at(bytes, 0).unwrap();
    back(&old);
    let holder = ann.holder(&world).await;
    assert_eq!((holder.status().leases, below(&disk, "/shares/").len()), (0, 0));
    // Put anew after that, and the record of it lost: that one stays.
    receipt(put(&holder, &bob, &data).await, &ann);
    drop(holder);
    last_bit(&disk);
    assert_eq!(ann.holder(&world).await.status().leases, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_share_is_set_aside_and_not_removed() {
    let disk = SimDisk::new();
    let shares = three(&disk).await;
    log_gone(&disk);
    let files = below(&disk, "/shares/");
    disk.flip(&files[0], 8 * 40);
    disk.damage(&files[1], |file| file.truncate(5000));
    let ann = Someone::new(1);
    let holder = ann.holder(&world(&disk).0).await;
    assert_eq!(holder.status().leases, shares.len() - 2);
    assert_eq!((below(&disk, "/shares/").len(), below(&disk, "/aside/").len()), (1, 2));
}
