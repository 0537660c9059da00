use super::common::*;
use crate::content::{Leaf, decode_ranges};
use crate::holder::Reply;
use crate::ledger::DAY_MS;
use crate::wire::{Reason, Request, Response};
use crate::world::SimDisk;
use std::sync::atomic::Ordering;

fn proved(reply: Reply, data: &[u8], ranges: &[(u64, u32)]) {
    let wanted: Vec<_> = ranges.iter().map(|(o, l)| *o..*o + u64::from(*l)).collect();
    let id = crate::keys::ShareId(*blake3::hash(data).as_bytes());
    let proof = reply.body.unwrap_or_else(|| panic!("{}", tell(reply.response)));
    let got = decode_ranges(id, data.len() as u64, &wanted, Leaf::SMALL, &proof, None).unwrap();
    for (range, got) in wanted.iter().zip(got) {
        assert_eq!(got, data[range.start as usize..range.end as usize]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_goes_in_and_comes_back_with_proof() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    for len in [1usize, 1000, 16 << 10, (16 << 10) + 1, 700_001, 2_000_000] {
        let data = bytes(len as u64, len);
        let receipt = receipt(put(&holder, &bob, &data).await, &ann);
        assert_eq!((receipt.len, receipt.day, receipt.until), (len as u64, 100, 190));
        let ranges = [(0, 1), (len as u64 / 2, (len as u32 / 2).min(5000))];
        let ranges = if len < 10 { &ranges[..1] } else { &ranges[..] };
        let request = get(bob.id(), receipt.share, ranges, TOKEN);
        let reply = call(&holder, &bob.caller(), request).await;
        let said = Response::Data {
            len: reply.body.as_ref().unwrap().len() as u64,
            nonce: [9; 16],
            ledger_head: crate::keys::Hash([0; 32]),
        };
        assert_eq!(reply.response, said, "the nonce comes back; there is no statement yet");
        proved(reply, &data, ranges);
    }
    assert_eq!(holder.status().lent, [1, 1000, 16384, 16385, 700_001, 2_000_000].iter().sum::<u64>());
    // All of it after a restart.
    drop(holder);
    let holder = ann.holder(&world(&disk).0).await;
    assert_eq!(holder.status().leases, 6);
    let data = bytes(700_001, 700_001);
    let request = get(bob.id(), lease(bob.id(), &data).share, &[(0, 700_001)], TOKEN);
    proved(call(&holder, &bob.caller(), request).await, &data, &[(0, 700_001)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused() {
    let (ann, bob, eve) = (Someone::new(1), Someone::new(2), Someone::new(3));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    let data = bytes(1, 5000);
    assert_eq!(refusal(put(&holder, &bob, &data).await, &ann).0, Reason::NoGrant);
    holder.give(&ann.grant(bob.id(), 12_000, 1)).await.unwrap();
    receipt(put(&holder, &bob, &data).await, &ann);
    receipt(put(&holder, &bob, &bytes(2, 5000)).await, &ann);
    let third = put(&holder, &bob, &bytes(3, 5000)).await;
    assert_eq!(refusal(third, &ann), (Reason::OverLimit, 12_000, 10_000));
    // The same share again costs nothing, and is taken whole.
    receipt(put(&holder, &bob, &data).await, &ann);
    assert_eq!(holder.status().lent, 10_000);
    // Wrong bytes, too few, too many.
    let small = bytes(4, 1000);
    for sent in [bytes(5, 1000), small[..999].to_vec(), [&small[..], b"x"].concat()] {
        let request = Request::Put { lease: lease(bob.id(), &small), grants: Vec::new(), reservation: None };
        let answer = holder.serve(&bob.caller(), request, &mut body(&sent)).await.response;
        assert_eq!(refusal(answer, &ann).0, Reason::WrongBytes);
    }
    assert_eq!(holder.status().reserved, 0);
    // Another's account; a wrong token; a share that is not there: the same answer.
    let request = Request::Put { lease: lease(bob.id(), &small), grants: Vec::new(), reservation: None };
    let answer = holder.serve(&eve.caller(), request, &mut body(&small)).await.response;
    assert_eq!(refusal(answer, &ann).0, Reason::NotYours);
    let share = lease(bob.id(), &data).share;
    for (share, token) in [(share, [0; 32]), (lease(bob.id(), &small).share, TOKEN)] {
        let answer = call(&holder, &bob.caller(), get(bob.id(), share, &[(0, 1)], token)).await;
        assert_eq!(refusal(answer.response, &ann).0, Reason::NotFound);
    }
    let outside = call(&holder, &bob.caller(), get(bob.id(), share, &[(4999, 2)], TOKEN)).await;
    assert_eq!(refusal(outside.response, &ann).0, Reason::Malformed);
}

#[tokio::test(start_paused = true)]
async fn offers_reserve_and_expire() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    holder.give(&ann.grant(bob.id(), 10_000, 1)).await.unwrap();
    let data = bytes(1, 6000);
    let offer = Request::Offer { lease: lease(bob.id(), &data), grants: Vec::new() };
    let accept = call(&holder, &bob.caller(), offer.clone()).await.response;
    let Response::Accept { reservation, bytes: promised, .. } = accept else { panic!("{accept:?}") };
    assert_eq!(promised, 6000);
    let other = put(&holder, &bob, &bytes(2, 6000)).await;
    assert_eq!(refusal(other, &ann), (Reason::OverLimit, 10_000, 6000));
    let request =
        Request::Put { lease: lease(bob.id(), &data), grants: Vec::new(), reservation: Some(reservation) };
    receipt(holder.serve(&bob.caller(), request, &mut body(&data)).await.response, &ann);
    assert_eq!((holder.status().lent, holder.status().reserved), (6000, 0));
    // One that is not used gives its room back.
    let small = bytes(3, 4000);
    let offer = Request::Offer { lease: lease(bob.id(), &small), grants: Vec::new() };
    assert!(matches!(call(&holder, &bob.caller(), offer).await.response, Response::Accept { .. }));
    assert_eq!(refusal(put(&holder, &bob, &bytes(4, 4000)).await, &ann).0, Reason::OverLimit);
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    receipt(put(&holder, &bob, &bytes(4, 4000)).await, &ann);
}

#[tokio::test(start_paused = true)]
async fn a_delegated_grant_pays_twice_and_a_later_grant_narrows_it() {
    let (ann, bob, cat) = (Someone::new(1), Someone::new(2), Someone::new(3));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    let root = ann.grant(bob.id(), 10_000, 1);
    holder.give(&root).await.unwrap();
    let mut sub: crate::wire::Grant = bob.grant(cat.id(), 5000, 1).peek().unwrap();
    sub.parent = Some(root.hash());
    let grants = vec![root, crate::keys::Signed::record(bob.person.signing(), &sub)];
    let send = async |data: &[u8]| {
        let request =
            Request::Put { lease: lease(cat.id(), data), grants: grants.clone(), reservation: None };
        holder.serve(&cat.caller(), request, &mut body(data)).await.response
    };
    receipt(send(&bytes(1, 4000)).await, &ann);
    assert_eq!(refusal(send(&bytes(2, 1001)).await, &ann), (Reason::OverLimit, 5000, 4000));
    // What Cat uses, Bob has no longer.
    assert_eq!(refusal(put(&holder, &bob, &bytes(3, 6001)).await, &ann), (Reason::OverLimit, 10_000, 4000));
    receipt(put(&holder, &bob, &bytes(3, 6000)).await, &ann);
    // Ann takes some back: the old grant counts for no more than the new.
    holder.give(&ann.grant(bob.id(), 9000, 2)).await.unwrap();
    assert_eq!(refusal(send(&bytes(5, 1)).await, &ann), (Reason::OverLimit, 9000, 10_000));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_before_a_byte() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    disk.set_capacity(disk.used() + (1 << 20) + 5000);
    assert_eq!(refusal(put(&holder, &bob, &bytes(1, 9000)).await, &ann).0, Reason::DiskFull);
    let before = disk.used();
    disk.set_capacity(before + (2 << 20));
    receipt(put(&holder, &bob, &bytes(1, 9000)).await, &ann);
    holder.set_lends(9100);
    assert_eq!(refusal(put(&holder, &bob, &bytes(2, 101)).await, &ann), (Reason::DiskFull, 9100, 9000));
}

#[tokio::test(start_paused = true)]
async fn damage_is_found_and_never_served() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let data = bytes(1, 100_000);
    let share = receipt(put(&holder, &bob, &data).await, &ann).share;
    let path = disk.paths().into_iter().find(|p| p.to_string_lossy().contains("/shares/")).unwrap();
    let all = get(bob.id(), share, &[(0, 100_000)], TOKEN);
    let mut harmless = 0;
    for bit in (0..disk_len(&disk, &path) * 8).step_by(8 * 977) {
        assert!(disk.flip(&path, bit));
        let answer = call(&holder, &bob.caller(), all.clone()).await;
        // A flip in the head (first 512 bytes) does not touch the share.
        match bit / 8 < 512 {
            true => {
                harmless += 1;
                proved(answer, &data, &[(0, 100_000)]);
            }
            false => assert_eq!(refusal(answer.response, &ann).0, Reason::NotFound, "bit {bit}"),
        }
        disk.flip(&path, bit);
    }
    assert_eq!(harmless, 1);
    proved(call(&holder, &bob.caller(), all.clone()).await, &data, &[(0, 100_000)]);
    disk.damage(&path, |file| file.truncate(50_000));
    assert_eq!(refusal(call(&holder, &bob.caller(), all.clone()).await.response, &ann).0, Reason::NotFound);
    assert_eq!(holder.status().damaged, 1);
    // Put again, it is whole again.
    receipt(put(&holder, &bob, &data).await, &ann);
    proved(call(&holder, &bob.caller(), all.clone()).await, &data, &[(0, 100_000)]);
    assert_eq!(holder.status().damaged, 0);
    // A file deleted behind its back is a lost lease after the next start.
    world(&disk).0.disk.remove(&path).unwrap();
    assert_eq!(refusal(call(&holder, &bob.caller(), all).await.response, &ann).0, Reason::NotFound);
    drop(holder);
    let holder = ann.holder(&world(&disk).0).await;
    assert_eq!((holder.status().leases, holder.status().lent), (0, 0));
}

fn disk_len(disk: &SimDisk, path: &std::path::Path) -> u64 {
    let mut len = 0;
    disk.damage(path, |bytes| len = bytes.len() as u64);
    len
}

#[tokio::test(start_paused = true)]
async fn a_release_waits_a_week_and_names_its_generation() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let (world, clock) = world(&disk);
    let holder = ann.holder(&world).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let data = bytes(1, 1000);
    let first = receipt(put(&holder, &bob, &data).await, &ann);
    let second = receipt(put(&holder, &bob, &data).await, &ann);
    assert!(second.generation > first.generation);
    let account = bob.id();
    let release = |generation| Request::LeaseRelease { account, shares: vec![(first.share, generation)] };
    let old = call(&holder, &bob.caller(), release(first.generation)).await.response;
    assert_eq!(old, Response::Leases { done: Vec::new() });
    let now = call(&holder, &bob.caller(), release(second.generation)).await.response;
    assert_eq!(now, Response::Leases { done: vec![(first.share, second.generation)] });
    clock.wall_ms.fetch_add(6 * DAY_MS, Ordering::Relaxed);
    holder.maintain().await;
    assert_eq!(holder.status().leases, 1);
    let shares = vec![(first.share, second.generation)];
    call(&holder, &bob.caller(), Request::LeaseCancelRelease { account, shares }).await;
    clock.wall_ms.fetch_add(9 * DAY_MS, Ordering::Relaxed);
    holder.maintain().await;
    assert_eq!(holder.status().leases, 1);
    call(&holder, &bob.caller(), release(second.generation)).await;
    clock.wall_ms.fetch_add(7 * DAY_MS, Ordering::Relaxed);
    holder.maintain().await;
    assert_eq!((holder.status().leases, holder.status().lent), (0, 0));
    assert!(!disk.paths().iter().any(|p| p.to_string_lossy().contains("/shares/")));
}

#[tokio::test(start_paused = true)]
async fn forty_receipts_share_their_syncs() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let before = disk.counts();
    let bob = std::sync::Arc::new(bob);
    let puts: Vec<_> = (0..40u64)
        .map(|i| {
            let (holder, bob) = (holder.clone(), bob.clone());
            tokio::spawn(async move { put(&holder, &bob, &bytes(i, 3000)).await })
        })
        .collect();
    for put in puts {
        receipt(put.await.unwrap(), &ann);
    }
    let after = disk.counts();
    // One sync of data per share; names and leases in groups.
    assert!(after.syncs - before.syncs <= 40 + 20, "{} syncs", after.syncs - before.syncs);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_for_a_while_costs_no_share() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let (world, clock) = world(&SimDisk::new());
    let holder = ann.holder(&world).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    receipt(put(&holder, &bob, &bytes(1, 5000)).await, &ann);
    let (hour, later) = (std::time::Duration::from_secs(3600), 400 * DAY_MS);
    clock.wall_ms.fetch_add(later, Ordering::Relaxed);
    tokio::time::sleep(hour * 20).await;
    assert_eq!(holder.status().leases, 1);
    clock.wall_ms.fetch_sub(later, Ordering::Relaxed);
    tokio::time::sleep(hour * 20).await;
    clock.wall_ms.fetch_add(later, Ordering::Relaxed);
    tokio::time::sleep(hour * 20).await;
    assert_eq!(holder.status().leases, 1, "no day on end");
    tokio::time::sleep(hour * 6).await;
    assert_eq!(holder.status().leases, 0);
}
