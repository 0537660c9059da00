//! Whoever was told that a share is kept has it: no release of before, and no end that was being
//! seen to at that moment, takes it away.

use super::common::*;
use crate::holder::Holder;
use crate::keys::ShareId;
use crate::ledger::DAY_MS;
use crate::wire::{Request, Response};
use crate::world::SimDisk;
use std::sync::Arc;
use std::sync::atomic::Ordering;

async fn ask(holder: &Arc<Holder>, who: &Someone, request: Request) -> Vec<(ShareId, u64)> {
    match call(holder, &who.caller(), request).await.response {
        Response::Leases { done } => done,
        other => panic!("{}", tell(other)),
    }
}

/// A holder that keeps one share for Bob, released, and the clock a day before that takes effect.
async fn released(disk: &SimDisk) -> (Arc<Holder>, Arc<TestClock>, Vec<u8>, (ShareId, u64)) {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let (world, clock) = world(disk);
    let holder = ann.holder(&world).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let data = bytes(1, 3000);
    let receipt = receipt(put(&holder, &bob, &data).await, &ann);
    let share = (receipt.share, receipt.generation);
    let request = Request::LeaseRelease { account: bob.id(), shares: vec![share] };
    assert_eq!(ask(&holder, &bob, request).await, [share]);
    clock.wall_ms.fetch_add(6 * DAY_MS, Ordering::Relaxed);
    (holder, clock, data, share)
}

#[tokio::test(start_paused = true)]
async fn who_renews_a_share_that_was_released_keeps_it() {
    let bob = Someone::new(2);
    let disk = SimDisk::new();
    let (holder, clock, _, share) = released(&disk).await;
    let renew = Request::LeaseRenew { account: bob.id(), shares: vec![share.0], term_days: 90 };
    assert_eq!(ask(&holder, &bob, renew).await, [share]);
    clock.wall_ms.fetch_add(5 * DAY_MS, Ordering::Relaxed);
    holder.maintain().await;
    assert_eq!(holder.status().leases, 1);
    // After a restart as well.
    drop(holder);
    let holder = Someone::new(1).holder(&world(&disk).0).await;
    holder.maintain().await;
    assert_eq!(holder.status().leases, 1);
    // Released after it, it goes.
    let release = Request::LeaseRelease { account: bob.id(), shares: vec![share] };
    assert_eq!(ask(&holder, &bob, release).await, [share]);
    assert_eq!(holder.status().leases, 1);
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_a_share_that_was_released_keeps_it() {
    let bob = Someone::new(2);
    let (holder, clock, data, share) = released(&SimDisk::new()).await;
    let adopt = Request::LeaseAdopt { leases: vec![lease(bob.id(), &data)], grants: Vec::new() };
    assert_eq!(ask(&holder, &bob, adopt).await, [share]);
    clock.wall_ms.fetch_add(5 * DAY_MS, Ordering::Relaxed);
    holder.maintain().await;
    assert_eq!(holder.status().leases, 1);
    // Prolonged by it, too.
    clock.wall_ms.fetch_add(89 * DAY_MS, Ordering::Relaxed);
    holder.maintain().await;
    assert_eq!(holder.status().leases, 1);
}

/// The end of a lease is seen to while it is asked for again, on as many threads as it takes:
/// either the share is there afterwards, or whoever asked was told that it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_end_that_is_under_way_is_never_answered_with_yes() {
    let bob = Arc::new(Someone::new(2));
    let (mut kept, mut gone) = (0, 0);
    for round in 0..60u64 {
        let (holder, clock, _, share) = released(&SimDisk::new()).await;
        clock.wall_ms.fetch_add(2 * DAY_MS, Ordering::Relaxed);
        let (ending, renewing, who) = (holder.clone(), holder.clone(), bob.clone());
        let end = tokio::spawn(async move { ending.maintain().await });
        let renew = tokio::spawn(async move {
            for _ in 0..round % 8 {
                tokio::task::yield_now().await;
            }
            let shares = vec![share.0];
            ask(&renewing, &who, Request::LeaseRenew { account: who.id(), shares, term_days: 90 }).await
        });
        end.await.unwrap();
        let told = renew.await.unwrap();
        holder.maintain().await;
        assert_eq!(holder.status().leases, told.len(), "round {round}");
        let read = call(&holder, &bob.caller(), get(bob.id(), share.0, &[(0, 3000)], TOKEN)).await;
        assert_eq!(read.body.is_some(), !told.is_empty(), "round {round}");
        kept += told.len();
        gone += usize::from(told.is_empty());
    }
    assert_eq!(kept + gone, 60);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_the_locks_of_shares_that_came_and_went() {
    let bob = Someone::new(2);
    let (holder, clock, _, share) = released(&SimDisk::new()).await;
    // One look at what is not over yet, one at what is.
    let cancel = Request::LeaseCancelRelease { account: bob.id(), shares: vec![share] };
    ask(&holder, &bob, cancel).await;
    clock.wall_ms.fetch_add(2 * DAY_MS, Ordering::Relaxed);
    holder.drop_lease((bob.id(), share.0)).await.unwrap();
    assert_eq!((holder.status().leases, holder.busy.lock().len()), (1, 0));
    ask(&holder, &bob, Request::LeaseRelease { account: bob.id(), shares: vec![share] }).await;
    clock.wall_ms.fetch_add(8 * DAY_MS, Ordering::Relaxed);
    holder.maintain().await;
    assert_eq!((holder.status().leases, holder.busy.lock().len()), (0, 0));
}
