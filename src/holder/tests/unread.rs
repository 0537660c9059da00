//! A disk or a process that cannot read at the moment has not lost a share: only what is gone or
//! damaged is said to be.

use super::common::*;
use crate::ledger::DAY_MS;
use crate::wire::{Reason, Request};
use crate::world::SimDisk;
use std::time::Duration;

const EIO: i32 = 5;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_at_the_moment_is_not_said_to_be_lost() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let share = receipt(put(&holder, &bob, &bytes(1, 50_000)).await, &ann).share;
    let read = async || call(&holder, &bob.caller(), get(bob.id(), share, &[(0, 50_000)], TOKEN)).await;
    for errno in [EMFILE, ENFILE, EIO] {
        disk.fail_opens(Some(errno));
        let refused = read().await.response;
        assert!(!tell(refused.clone()).contains("/n/lent"), "where it lies here is nobody's business");
        assert_eq!(refusal(refused, &ann).0, Reason::Busy, "errno {errno} of an open");
        disk.fail_opens(None);
        disk.fail_reads(Some(errno));
        assert_eq!(refusal(read().await.response, &ann).0, Reason::Busy, "errno {errno} of a read");
        disk.fail_reads(None);
    }
    assert_eq!(holder.status().damaged, 0);
    assert!(read().await.body.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_for_a_day_is_lost() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let data = bytes(1, 50_000);
    let share = receipt(put(&holder, &bob, &data).await, &ann).share;
    let read = async || call(&holder, &bob.caller(), get(bob.id(), share, &[(0, 50_000)], TOKEN)).await;
    let day = Duration::from_millis(DAY_MS);
    disk.fail_reads(Some(EIO));
    assert_eq!(refusal(read().await.response, &ann).0, Reason::Busy);
    tokio::time::sleep(day * 2 / 3).await;
    assert_eq!(refusal(read().await.response, &ann).0, Reason::Busy);
    // Once it could be read in between.
    disk.fail_reads(None);
    assert!(read().await.body.is_some());
    disk.fail_reads(Some(EIO));
    tokio::time::sleep(day * 2 / 3).await;
    assert_eq!(refusal(read().await.response, &ann).0, Reason::Busy);
    tokio::time::sleep(day).await;
    assert_eq!(refusal(read().await.response, &ann).0, Reason::NotFound);
    // Sent again, it is another file.
    disk.fail_reads(None);
    receipt(put(&holder, &bob, &data).await, &ann);
    disk.fail_reads(Some(EIO));
    assert_eq!(refusal(read().await.response, &ann).0, Reason::Busy);
}

/// A disk that is away twice, and back in between, with nobody asking then.
#[tokio::test(start_paused = true)]
async fn what_was_back_in_between_is_not_lost() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let share = receipt(put(&holder, &bob, &bytes(1, 50_000)).await, &ann).share;
    let read = async || call(&holder, &bob.caller(), get(bob.id(), share, &[(0, 50_000)], TOKEN)).await;
    disk.fail_reads(Some(EIO));
    assert_eq!(refusal(read().await.response, &ann).0, Reason::Busy);
    holder.maintain().await;
    disk.fail_reads(None);
    holder.maintain().await;
    tokio::time::sleep(Duration::from_millis(3 * DAY_MS)).await;
    disk.fail_reads(Some(EIO));
    assert_eq!(refusal(read().await.response, &ann).0, Reason::Busy);
}

#[tokio::test(start_paused = true)]
async fn how_many_are_watched_for_a_day_is_bounded() {
    let mut state = crate::holder::state::State::default();
    let key = |i: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&i.to_le_bytes());
        (crate::keys::PersonId([1; 32]), crate::keys::ShareId(id))
    };
    for i in 0..10_000 {
        assert!(!state.unreadable(key(i), Duration::ZERO));
    }
    assert_eq!(state.unreadable.len(), crate::holder::state::UNREADABLE_MAX);
    let later = Duration::from_millis(DAY_MS);
    assert!(state.unreadable(key(0), later) && !state.unreadable(key(9_999), later));
}

/// The lent space lies on a disk that is not mounted now: its mount point is empty.
#[tokio::test(start_paused = true)]
async fn shares_on_a_disk_that_is_not_mounted_are_not_lost() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let (world, _) = world(&disk);
    let holder = ann.holder(&world).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let share = receipt(put(&holder, &bob, &bytes(1, 5000)).await, &ann).share;
    let read = async || call(&holder, &bob.caller(), get(bob.id(), share, &[(0, 5000)], TOKEN)).await;
    let (there, away) = (std::path::Path::new("/n/lent/shares"), std::path::Path::new("/n/away"));
    world.disk.rename(there, away).unwrap();
    assert_eq!(refusal(read().await.response, &ann).0, Reason::Busy);
    world.disk.rename(away, there).unwrap();
    assert!(read().await.body.is_some());
}

#[tokio::test(start_paused = true)]
async fn taking_over_what_cannot_be_read_is_for_later() {
    let (ann, bob, cat) = (Someone::new(1), Someone::new(2), Someone::new(3));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    for who in [&bob, &cat] {
        holder.give(&ann.grant(who.id(), 1 << 30, 1)).await.unwrap();
    }
    let data = bytes(1, 5000);
    receipt(put(&holder, &bob, &data).await, &ann);
    let adopt = || Request::LeaseAdopt { leases: vec![lease(cat.id(), &data)], grants: Vec::new() };
    disk.fail_opens(Some(EMFILE));
    let answer = call(&holder, &cat.caller(), adopt()).await.response;
    assert_eq!(refusal(answer, &ann).0, Reason::Busy);
    assert_eq!(holder.status().damaged, 0);
}

/// At a start: what cannot be looked at stays where it is.
#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_read_a_share_sets_nothing_aside() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    receipt(put(&holder, &bob, &bytes(1, 5000)).await, &ann);
    drop(holder);
    let path = disk.paths().into_iter().find(|p| p.to_string_lossy().contains("/shares/")).unwrap();
    let (world, _) = world(&disk);
    let files = crate::holder::shares::ShareFiles::open(&world, &places().lent).unwrap();
    assert!(files.head(&path).unwrap().is_some());
    disk.fail_reads(Some(EIO));
    assert!(files.head(&path).is_err());
    disk.fail_reads(None);
    disk.damage(&path, |file| file[20] ^= 1);
    assert!(files.head(&path).unwrap().is_none(), "rot is another thing");
}
