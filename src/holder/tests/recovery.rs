//! Recovery records: whose, which generation, how long, and who pays.

use super::common::*;
use crate::holder::Holder;
use crate::keys::{RECOVERY_SEALED_MAX, RecoveryRecord, Signed};
use crate::wire::{Reason, Request, Response};
use crate::world::SimDisk;
use crate::world::stored::{pack, sample, unpack};
use std::sync::Arc;

fn record(who: &Someone, generation: u64, filling: u8) -> Signed {
    let (person, door) = (who.id(), who.person.door().node());
    let record = RecoveryRecord { person, generation, door, sealed: vec![filling; 4136] };
    Signed::record(who.person.signing(), &record)
}

fn size(record: &Signed) -> u64 {
    (record.bytes.len() + record.signature.len()) as u64
}

async fn bring(holder: &Arc<Holder>, who: &Someone, record: &Signed, grants: Vec<Signed>) -> Response {
    let request = Request::RecoveryPut { record: record.clone(), grants };
    call(holder, &who.caller(), request).await.response
}

async fn kept(holder: &Holder, who: &Someone) -> Option<Signed> {
    match holder.recovery_of(&who.id()).await {
        Response::Recovery { record } => Some(record),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_kept_through_a_restart_and_replaced_by_later_ones_only() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let (world, _) = world(&SimDisk::new());
    let holder = ann.holder(&world).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    assert!(kept(&holder, &bob).await.is_none() && !holder.is_door(&bob.person.door().node()));
    let five = record(&bob, 5, 1);
    for _ in 0..2 {
        assert!(matches!(bring(&holder, &bob, &five, vec![]).await, Response::Done));
    }
    assert_eq!(holder.status().lent, size(&five), "it counts, once");
    for (generation, filling) in [(4, 1), (5, 2), (0, 1)] {
        let refused = refusal(bring(&holder, &bob, &record(&bob, generation, filling), vec![]).await, &ann);
        assert_eq!(refused.0, Reason::StaleEpoch, "{generation}");
    }
    assert_eq!(kept(&holder, &bob).await, Some(five.clone()));
    let nine = record(&bob, 9, 3);
    assert!(matches!(bring(&holder, &bob, &nine, vec![]).await, Response::Done));
    drop(holder);
    let holder = ann.holder(&world).await;
    assert_eq!((kept(&holder, &bob).await, holder.status().lent), (Some(nine.clone()), size(&nine)));
    let door = bob.person.door().node();
    assert!(holder.is_door(&door) && holder.is_door_of(&door, &bob.id()));
    assert!(!holder.is_door_of(&door, &ann.id()) && !holder.is_door(&bob.node()));
    assert_eq!(refusal(bring(&holder, &bob, &five, vec![]).await, &ann).0, Reason::StaleEpoch);
}

#[tokio::test(start_paused = true)]
async fn anothers_an_unsigned_or_an_endless_record_is_refused() {
    let (ann, bob, eve) = (Someone::new(1), Someone::new(2), Someone::new(3));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    for who in [&bob, &eve] {
        holder.give(&ann.grant(who.id(), 1 << 30, 1)).await.unwrap();
    }
    let hers = record(&bob, 1, 1);
    assert!(matches!(bring(&holder, &bob, &hers, vec![]).await, Response::Done));
    // Her own record, brought by another; another's, in her name; one too long.
    assert_eq!(refusal(bring(&holder, &eve, &record(&bob, 2, 1), vec![]).await, &ann).0, Reason::NotYours);
    let unsigned: RecoveryRecord = record(&bob, 2, 1).peek().unwrap();
    let forged = Signed::record(eve.person.signing(), &unsigned);
    assert_eq!(refusal(bring(&holder, &bob, &forged, vec![]).await, &ann).0, Reason::BadEntry);
    let endless = RecoveryRecord { sealed: vec![0; RECOVERY_SEALED_MAX + 1], ..unsigned };
    let endless = Signed::record(bob.person.signing(), &endless);
    assert_eq!(refusal(bring(&holder, &bob, &endless, vec![]).await, &ann).0, Reason::BadEntry);
    assert_eq!(kept(&holder, &bob).await, Some(hers));
    // Eve names Bob's door as her own: that opens her record, not his.
    let door = bob.person.door().node();
    let claim = RecoveryRecord { person: eve.id(), generation: 1, door, sealed: vec![0; 4136] };
    let claim = Signed::record(eve.person.signing(), &claim);
    assert!(matches!(bring(&holder, &eve, &claim, vec![]).await, Response::Done));
    assert!(holder.is_door_of(&door, &bob.id()));
}

#[tokio::test(start_paused = true)]
async fn a_record_needs_a_grant_with_room_and_is_billed_along_it() {
    let (ann, bob, cat) = (Someone::new(1), Someone::new(2), Someone::new(3));
    let (world, _) = world(&SimDisk::new());
    let holder = ann.holder(&world).await;
    let (of_bob, of_cat) = (record(&bob, 1, 1), record(&cat, 1, 2));
    assert_eq!(refusal(bring(&holder, &bob, &of_bob, vec![]).await, &ann).0, Reason::NoGrant);
    let grant = ann.grant(bob.id(), size(&of_bob) + size(&of_cat) - 1, 1);
    holder.give(&grant).await.unwrap();
    assert!(matches!(bring(&holder, &bob, &of_bob, vec![]).await, Response::Done));
    // Bob passes on what he may use: it is one account's room.
    let mut passed: crate::wire::Grant = grant.peek().unwrap();
    (passed.issuer, passed.subject) = (bob.id(), cat.id());
    passed.parent = Some(crate::ledger::grant_hash(&grant));
    let chain = vec![grant, Signed::record(bob.person.signing(), &passed)];
    assert_eq!(refusal(bring(&holder, &cat, &of_cat, chain.clone()).await, &ann).0, Reason::OverLimit);
    holder.give(&ann.grant(bob.id(), 1 << 30, 2)).await.unwrap();
    let mut wider: crate::wire::Grant = passed.clone();
    let root = ann.grant(bob.id(), 1 << 30, 2);
    (wider.bytes, wider.parent, wider.serial) = (1 << 20, Some(crate::ledger::grant_hash(&root)), 2);
    let chain = vec![root, Signed::record(bob.person.signing(), &wider)];
    assert!(matches!(bring(&holder, &cat, &of_cat, chain).await, Response::Done));
    let used = size(&of_bob) + size(&of_cat);
    assert_eq!(holder.status().lent, used);
    drop(holder);
    let holder = ann.holder(&world).await;
    assert_eq!((holder.status().lent, holder.status().reserved), (used, 0));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_brought_again() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let (world, _) = world(&disk);
    let holder = ann.holder(&world).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let three = record(&bob, 3, 1);
    assert!(matches!(bring(&holder, &bob, &three, vec![]).await, Response::Done));
    drop(holder);
    let files: Vec<_> =
        disk.paths().into_iter().filter(|p| p.to_string_lossy().contains("/recovery/")).collect();
    assert!(!files.is_empty());
    for path in files {
        assert!(disk.flip(&path, 2000));
    }
    let holder = ann.holder(&world).await;
    assert_eq!((kept(&holder, &bob).await, holder.status().lent), (None, 0));
    assert!(matches!(bring(&holder, &bob, &three, vec![]).await, Response::Done));
    assert_eq!(kept(&holder, &bob).await, Some(three));
}

/// A record that replaced another.
#[tokio::test(start_paused = true)]
#[ignore = "writes the sample anew"]
async fn write_the_sample() {
    let (ann, bob, disk) = (Someone::new(1), Someone::new(2), SimDisk::new());
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    for generation in [3, 4] {
        let brought = bring(&holder, &bob, &record(&bob, generation, 5), vec![]).await;
        assert!(matches!(brought, Response::Done));
    }
    holder.close().await;
    std::fs::write(sample("recovery.disk"), pack(&disk)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stored_record_is_read() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = unpack(&std::fs::read(sample("recovery.disk")).unwrap());
    let holder = ann.holder(&world(&disk).0).await;
    let four = record(&bob, 4, 5);
    assert_eq!((kept(&holder, &bob).await, holder.status().lent), (Some(four.clone()), size(&four)));
    assert!(holder.is_door_of(&bob.person.door().node(), &bob.id()));
    assert_eq!(refusal(bring(&holder, &bob, &record(&bob, 3, 5), vec![]).await, &ann).0, Reason::StaleEpoch);
}
