//! The power goes at every operation of the disk, and everything receipted is there.

use super::common::*;
use crate::keys::ShareId;
use crate::wire::{Request, Response};
use crate::world::{Crash, Fault, SimDisk};

/// Puts, a release and a re-put; answers the shares that were receipted, in order, until the
/// disk fails.
async fn life(disk: &SimDisk) -> Vec<ShareId> {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let mut kept = Vec::new();
    let (world, _) = world(disk);
    let Ok(holder) = crate::holder::Holder::open(&world, &places(), ann.options()).await else { return kept };
    if holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.is_err() {
        return kept;
    }
    for i in [1u64, 2, 1, 3] {
        match put(&holder, &bob, &bytes(i, 20_000 + i as usize)).await {
            Response::Receipt { receipt } => kept.push(receipt.peek::<crate::wire::Receipt>().unwrap().share),
            _ => break,
        }
    }
    kept
}

async fn check(disk: &SimDisk, kept: &[ShareId], what: &str) {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let holder = ann.holder(&world(disk).0).await;
    for share in kept {
        let reply = call(&holder, &bob.caller(), get(bob.id(), *share, &[(0, 20_000)], TOKEN)).await;
        assert!(reply.body.is_some(), "{what}: a receipted share is lost: {}", tell(reply.response));
    }
    // Every lease can be served, every file has a lease, nothing is left half-arrived.
    let status = holder.status();
    let files: Vec<_> =
        disk.paths().into_iter().filter(|p| p.to_string_lossy().contains("/shares/")).collect();
    assert_eq!(files.len(), status.leases, "{what}: orphans or free space");
    assert!(!disk.paths().iter().any(|p| p.to_string_lossy().contains("/incoming/")), "{what}");
    for i in 1..=3u64 {
        let data = bytes(i, 20_000 + i as usize);
        let share = lease(bob.id(), &data).share;
        let reply = call(&holder, &bob.caller(), get(bob.id(), share, &[(0, 20_000)], TOKEN)).await;
        let told = tell(reply.response);
        assert!(reply.body.is_some() || told.contains("no such share"), "{what}: {told}");
    }
    // And it goes on working.
    if !kept.is_empty() {
        let request = Request::LeaseRenew { account: bob.id(), shares: kept.to_vec(), term_days: 90 };
        assert!(matches!(call(&holder, &bob.caller(), request).await.response, Response::Leases { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_at_every_operation_loses_nothing_receipted() {
    let whole = SimDisk::new();
    assert_eq!(life(&whole).await.len(), 4);
    let operations = whole.counts().changes;
    let mut states = 0;
    for nth in 0..operations {
        for seed in 0..6 {
            let disk = SimDisk::new();
            disk.set_fault(Some(Fault::Cut { nth }));
            let kept = life(&disk).await;
            let after = disk.crash(if seed == 0 { Crash::Keep(0) } else { Crash::Seeded(seed * 1000 + nth) });
            check(&after, &kept, &format!("cut at {nth} of {operations}, seed {seed}")).await;
            states += 1;
        }
    }
    println!("{states} crash states");
    assert!(operations > 40, "only {operations} operations");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_fails_is_not_acknowledged() {
    let whole = SimDisk::new();
    life(&whole).await;
    for nth in 0..whole.counts().changes {
        for errno in [5, 28] {
            let disk = SimDisk::new();
            disk.set_fault(Some(Fault::Fail { nth, errno, forever: false }));
            let kept = life(&disk).await;
            disk.set_fault(None);
            let after = disk.crash(Crash::Keep(0));
            check(&after, &kept, &format!("errno {errno} at {nth}")).await;
        }
    }
}
