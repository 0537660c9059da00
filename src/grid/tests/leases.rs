use super::village::*;
use crate::content::Coding;
use crate::grid::{Audit, LeasedShare, PackRange, UploadEvent};
use crate::holder::tests::common::*;
use crate::ledger::{DAY_MS, follows};
use crate::wire::{Request, Response};
use std::time::Duration;

const CODING: Coding = Coding { k: 2, n: 5 };
const DAY: Duration = Duration::from_millis(DAY_MS);

/// Content at five friends, leased.
async fn stored(v: &Village) -> (std::sync::Arc<Pack>, Vec<crate::content::SharePlace>) {
    let pack = v.pack(2, 300_000);
    let (placed, missing) = finished(&v.upload(&pack, CODING, Vec::new()).await);
    assert!(missing.is_empty());
    let leased =
        placed.iter().map(|p| LeasedShare { holder: p.holder, share: p.id, pack: pack.encoder.id() });
    *v.access.leased.lock() = Ok(leased.collect());
    (pack, placed)
}

#[tokio::test(start_paused = true)]
async fn content_outlives_its_leases_while_they_are_renewed_and_no_longer() {
    let v = Village::new(5, 1 << 30).await;
    let (pack, placed) = stored(&v).await;
    let before = v.asked();
    tokio::time::sleep(DAY * 500).await;
    let asked = v.asked() - before;
    assert!(asked < 5 * 500 * 10, "a few requests a day at most, for renewals and statements: {asked}");
    let all = [PackRange { offset: 0, len: 300_000 }];
    let got = v.grid.fetch(&v.drive.id(), &pack.record(placed), &all, Duration::from_secs(15)).await;
    assert_eq!(got.unwrap()[0][..], pack.encoder.bytes()[..]);
    // One friend cannot be asked for longer than a term and the time after it.
    v.set(0, Mood::Off);
    tokio::time::sleep(DAY * 200).await;
    assert_eq!(v.holder(0).status().leases, 0, "what nobody renews goes");
    assert_eq!(v.holder(1).status().leases, 1);
    // It is back: what it let go is found missing at once.
    v.set(0, Mood::On);
    tokio::time::sleep(DAY).await;
    assert_eq!(v.grid.suspects(&v.drive.id()), [pack.encoder.id()]);
    assert!(v.grid.suspects(&v.drive.id()).is_empty(), "told once");
    // Nobody has the drive open any more: after a term it is still there, in the end it goes.
    v.grid.close_drive(&v.drive.id());
    tokio::time::sleep(DAY * 120).await;
    assert_eq!(v.holder(1).status().leases, 1, "kept for a while after the term");
    tokio::time::sleep(DAY * 100).await;
    for friend in 1..5 {
        assert_eq!(v.holder(friend).status().lent, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_share_of_one_who_was_overtaken_is_let_go() {
    let v = Village::new(6, 1 << 30).await;
    v.set(2, Mood::Slow);
    // Whichever packs the slow friend is asked first for.
    let mut overtaken = 0;
    for i in 0..6 {
        let pack = v.pack(2, 300_000 + i);
        let events = v.upload(&pack, CODING, Vec::new()).await;
        let (placed, _) = finished(&events);
        let slow = events.iter().any(|(_, e)| matches!(e, UploadEvent::Slow { .. }));
        overtaken += usize::from(slow && placed.iter().all(|p| v.index(&p.holder) != 2));
    }
    assert!(overtaken > 0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(v.holder(2).status().leases, overtaken, "it has finished meanwhile");
    tokio::time::sleep(DAY * 9).await;
    assert_eq!(v.holder(2).status().leases, 0);
}

/// Not to know all that is leased is no reason to let a share go.
#[tokio::test(start_paused = true)]
async fn nothing_is_let_go_by_a_list_that_is_not_known_to_be_whole() {
    for closed in [false, true] {
        let v = Village::new(6, 1 << 30).await;
        v.set(2, Mood::Slow);
        for i in 0..6 {
            v.upload(&v.pack(2, 300_000 + i), CODING, Vec::new()).await;
        }
        let before = v.holder(2).status().leases;
        match closed {
            true => v.grid.close_drive(&v.drive.id()),
            false => *v.access.leased.lock() = Err("the index cannot be read".into()),
        }
        tokio::time::sleep(DAY * 9).await;
        assert!(v.holder(2).status().leases >= before.max(1), "the drive is closed: {closed}");
    }
}

/// Shares that an answer does not name are asked for again before they are looked for.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_cut_short_says_nothing_of_the_other_leases() {
    let v = Village::new(5, 1 << 30).await;
    let mut leased = Vec::new();
    for i in 0..7 {
        let pack = v.pack(2, 50_000 + i);
        let (placed, _) = finished(&v.upload(&pack, CODING, Vec::new()).await);
        let of = |p: &crate::content::SharePlace| (p.holder, p.id);
        let here = placed.iter().map(of);
        leased.extend(here.map(|(holder, share)| LeasedShare { holder, share, pack: pack.encoder.id() }));
    }
    *v.access.leased.lock() = Ok(leased);
    v.set(0, Mood::Terse);
    tokio::time::sleep(DAY * 40).await;
    assert_eq!(v.grid.suspects(&v.drive.id()), []);
}

/// While the list cannot be had nothing is renewed, and nothing counts as renewed.
#[tokio::test(start_paused = true)]
async fn leases_are_renewed_as_soon_as_all_are_known_again() {
    let v = Village::new(5, 1 << 30).await;
    stored(&v).await;
    let all = std::mem::replace(&mut *v.access.leased.lock(), Err("the index cannot be read".into()));
    tokio::time::sleep(DAY * 100).await;
    *v.access.leased.lock() = all;
    tokio::time::sleep(DAY * 100).await;
    assert!((0..5).all(|friend| v.holder(friend).status().leases == 1));
}

#[tokio::test(start_paused = true)]
async fn a_friend_says_signed_what_it_keeps() {
    let v = Village::new(2, 1 << 30).await;
    let pack = v.pack(1, 200_000);
    v.upload(&pack, Coding { k: 1, n: 2 }, Vec::new()).await;
    let first = v.grid.statement_of(v.nodes[0]).await.unwrap();
    assert_eq!((first.used, first.limit, first.leases, first.seq), (200_000, 1 << 30, 1, 1));
    // Nothing has changed: the same again. Something has: the next, which names it.
    assert_eq!(v.grid.statement_of(v.nodes[0]).await.unwrap(), first);
    let (_, signed) = v.grid.roster.statements().last(&v.nodes[0]).unwrap();
    let other = v.pack(1, 100_000);
    v.upload(&other, Coding { k: 1, n: 2 }, Vec::new()).await;
    let second = v.grid.statement_of(v.nodes[0]).await.unwrap();
    assert_eq!((second.used, second.leases), (300_000, 2));
    assert!(follows(Some((&first, &signed)), &second));
    let status = v.grid.status();
    let status = status.iter().find(|f| f.node == v.nodes[0]).unwrap();
    assert_eq!((status.used, status.said.as_ref()), (300_000, Some(&second)));
    // As after a restart: what was said last is known before anybody is asked.
    v.grid.note(&v.nodes[0], |h| *h = Default::default());
    v.grid.recall_statements();
    assert_eq!(v.grid.status().iter().find(|f| f.node == v.nodes[0]).unwrap().used, 300_000);
    // What a receipt and an answer name is that statement.
    let (_, signed) = v.grid.roster.statements().last(&v.nodes[0]).unwrap();
    assert_eq!(v.holder(0).ledger_head(&second.account), signed.hash());
    // Somebody else's statement is not answered.
    let eve = Someone::new(99);
    let forged = Request::Statement { statement: crate::keys::Signed::record(eve.device.signing(), &second) };
    let answer = call(&v.holder(0), &v.net.you, forged).await.response;
    assert!(matches!(answer, Response::Refusal { .. }), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_another_account_is_taken_over_without_sending_it() {
    let v = Village::new(1, 1 << 30).await;
    let pack = v.pack(1, 200_000);
    let (placed, _) = finished(&v.upload(&pack, Coding { k: 1, n: 1 }, Vec::new()).await);
    // Another member of the drive, with a right of its own at that friend.
    let other = Village::of(Someone::new(40), &v, 150_000).await;
    let mut place = placed[0].clone();
    let refused = other.grid.adopt(v.drive.id(), 200_000, &place).await.unwrap_err();
    assert!(refused.contains("0 of 150000 bytes are used"), "{refused}");
    let other = Village::of(Someone::new(40), &v, 1 << 20).await;
    place = other.grid.adopt(v.drive.id(), 200_000, &place).await.unwrap();
    assert_eq!(place.minter, Someone::new(40).id());
    assert_eq!(v.holder(0).status().leases, 2);
    // The first lets go of it; the second reads it still.
    let release = Request::LeaseRelease { account: placed[0].minter, shares: vec![(place.id, 0)] };
    call(&v.holder(0), &v.net.you, release).await;
    tokio::time::sleep(DAY * 9).await;
    assert_eq!(v.holder(0).status().leases, 1);
    let (record, all) = (pack.record(vec![place.clone()]), [PackRange { offset: 0, len: 200_000 }]);
    let got = other.grid.fetch(&v.drive.id(), &record, &all, Duration::from_secs(5)).await;
    assert_eq!(got.unwrap()[0][..], pack.encoder.bytes()[..]);
    // One that is not there, or whose token is not known, is refused alike.
    place.id = crate::keys::ShareId([9; 32]);
    assert!(other.grid.adopt(v.drive.id(), 200_000, &place).await.unwrap_err().contains("no such share"));
}

#[tokio::test(start_paused = true)]
async fn what_a_friend_says_of_itself_is_heard() {
    let v = Village::new(2, 1 << 30).await;
    let (pack, placed) = {
        let pack = v.pack(1, 50_000);
        let (placed, _) = finished(&v.upload(&pack, Coding { k: 1, n: 2 }, Vec::new()).await);
        (pack, placed)
    };
    let leased =
        placed.iter().map(|p| LeasedShare { holder: p.holder, share: p.id, pack: pack.encoder.id() });
    *v.access.leased.lock() = Ok(leased.collect());
    let from = v.nodes[0];
    let said = [
        Request::Notice { reason: "the disk is small".into(), bytes: 5, evict_after: 120 },
        Request::Away { until: 130 },
        Request::LossDeclaration { shares: placed.iter().map(|p| p.id).collect() },
    ];
    for request in said {
        assert_eq!(v.grid.heard(&from, request).await, Ok(Response::Done));
    }
    let status = v.grid.status().into_iter().find(|f| f.node == from).unwrap();
    assert!(status.notice.unwrap().contains("the disk is small"));
    assert_eq!(status.away_until, Some(130));
    assert_eq!(v.grid.suspects(&v.drive.id()), [pack.encoder.id()]);
    assert!(v.grid.heard(&from, Request::Relay { to: from }).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_audit_tells_what_is_kept_lost_and_not_known() {
    let v = Village::new(5, 1 << 30).await;
    let (pack, placed) = stored(&v).await;
    let record = pack.record(placed.clone());
    let audit = async |place: usize| v.grid.audit(v.drive.id(), &record, place, false).await;
    let friend = |place: usize| v.index(&placed[place].holder);
    for place in 0..5 {
        assert_eq!(audit(place).await, Audit::Kept);
    }
    v.set(friend(0), Mood::Off);
    v.set(friend(1), Mood::Hung);
    v.set(friend(2), Mood::Lying);
    let disk = v.disk(friend(3));
    let path = disk.paths().into_iter().find(|p| p.to_string_lossy().contains("/shares/")).unwrap();
    world_of(&disk).disk.remove(&path).unwrap();
    let status = |place: usize| {
        let status = v.grid.status();
        status.into_iter().find(|f| f.node == placed[place].holder).unwrap()
    };
    assert!(status(4).audits == (1, 0) && status(4).verified_ms.is_some());
    let found = [audit(0).await, audit(1).await, audit(2).await, audit(3).await, audit(4).await];
    assert_eq!(found[..2], [Audit::NoAnswer, Audit::NoAnswer]);
    assert!(
        matches!(&found[2..4], [Audit::Lost(wrong), Audit::Lost(_)] if wrong.contains("wrong")),
        "{found:?}"
    );
    assert_eq!(found[4], Audit::Kept);
    assert_eq!((status(2).audits, status(3).audits, status(4).audits), ((1, 1), (1, 1), (2, 0)));
    // One that cannot read at the moment has lost nothing.
    v.disk(friend(4)).fail_reads(Some(5));
    assert_eq!(audit(4).await, Audit::NoAnswer);
    assert_eq!(status(4).audits, (2, 0));
    v.disk(friend(4)).fail_reads(None);
    // What was counted is said, and the bytes of one day count once.
    let counters = v.grid.roster.statements().account(&placed[4].holder).counters;
    assert_eq!(counters.byte_days_verified, u128::from(status(4).used));
    assert_eq!((counters.bytes_written, counters.audits.ok), (status(4).used, 2));
    let off = v.grid.roster.statements().account(&placed[0].holder).counters;
    assert_eq!((off.audits.offline, off.audits.unknown), (1, 0));
    // A holder never heard of has lost nothing; one that was removed has nothing for us any more.
    let mut strange = placed.clone();
    strange[0].holder = crate::keys::NodeId([200; 32]);
    let strange = pack.record(strange);
    assert_eq!(v.grid.audit(v.drive.id(), &strange, 0, false).await, Audit::NoAnswer);
    v.remove(friend(4)).await;
    assert!(matches!(audit(4).await, Audit::Lost(_)));
}
