//! What a roster takes in, and what it does not believe.

use super::village::*;
use crate::content::FailureDomains;
use crate::grid::placement::domains_of;
use crate::grid::{Invitation, Me, Roster};
use crate::holder::tests::common::{START_MS, Someone, places, world};
use crate::keys::{
    DeviceKeys, DriveId, Hash, PersonId, Power, Record, Revocation, Seed, Signed, encode_record,
    failure_domain,
};
use crate::ledger::{Counters, Holding, form_statement};
use crate::net::{Admission, Policy};
use crate::wire::{Grant, Member};
use crate::world::stored::{pack, sample, unpack};
use crate::world::{SimDisk, World};
use std::sync::Arc;
use std::time::Duration;

async fn roster(disk: &SimDisk) -> Arc<Roster> {
    roster_in(&world(disk).0).await
}

async fn roster_in(world: &World) -> Arc<Roster> {
    let you = Someone::new(1);
    let me = Me {
        node: you.node(),
        person: you.id(),
        signing: you.device.signing().clone(),
        root: Some(you.person.clone()),
        certificate: member(&you, 0),
        label: "you".into(),
        household: Hash([0; 32]),
        lends: 1,
        addrs: Vec::new(),
    };
    Roster::open(world, &places().state, &you.device.local(), me).await.unwrap()
}

fn changed(who: &Someone, signer: &Someone, change: impl FnOnce(&mut Member)) -> Signed {
    let mut record: Member = member(who, 2).peek().unwrap();
    change(&mut record);
    Signed::record(signer.person.signing(), &record)
}

async fn skipped(roster: &Roster, record: Signed) {
    let before = roster.records();
    assert!(!roster.merge(&[record]).await.unwrap());
    assert_eq!(roster.records(), before);
}

#[tokio::test(start_paused = true)]
async fn rejects_forged_records() {
    let (roster, bob, eve) = (roster(&SimDisk::new()).await, Someone::new(2), Someone::new(3));
    // Signed by another person than it names.
    skipped(&roster, changed(&bob, &eve, |_| {})).await;
    // One byte changed after signing.
    let mut altered = member(&bob, 2);
    *altered.bytes.last_mut().unwrap() ^= 1;
    skipped(&roster, altered).await;
    // Its person's signature, but made for another kind of record.
    let mut borrowed = member(&bob, 2);
    borrowed.signature = bob.person.revoke(bob.node(), 1).signature;
    skipped(&roster, borrowed).await;
    // Rightly signed, with a byte after its end, or of a version of the future.
    for bytes in [[&member(&bob, 2).bytes[..], &[0]].concat(), [&[2], &member(&bob, 2).bytes[1..]].concat()] {
        let signature = bob.person.signing().sign(Member::DOMAIN, &bytes).to_vec();
        skipped(&roster, Signed { bytes, signature }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rejects_foreign_and_stale_records() {
    let (roster, bob, eve) = (roster(&SimDisk::new()).await, Someone::new(2), Someone::new(3));
    assert!(roster.merge(&[changed(&bob, &bob, |m| m.serial = 5)]).await.unwrap());
    // Another person's claim to a node that is somebody's already, whatever its serial.
    skipped(&roster, changed(&bob, &eve, |m| (m.person, m.serial) = (eve.id(), 99))).await;
    // Older, or as old and different.
    skipped(&roster, changed(&bob, &bob, |m| m.serial = 4)).await;
    skipped(&roster, changed(&bob, &bob, |m| (m.serial, m.lends) = (5, 7))).await;
    // About this very node.
    let me = Someone::new(1);
    skipped(&roster, changed(&me, &me, |m| m.serial = 99)).await;
    skipped(&roster, changed(&me, &eve, |m| (m.person, m.serial) = (eve.id(), 99))).await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_kept_passed_on_and_final() {
    let (disk, bob, eve) = (SimDisk::new(), Someone::new(2), Someone::new(3));
    let you = roster(&disk).await;
    let good = bob.person.revoke(bob.node(), 100);
    // Nobody knows the device yet.
    assert!(!you.merge_revocations(std::slice::from_ref(&good)).await.unwrap());
    you.merge(&[member(&bob, 2)]).await.unwrap();
    let said = Revocation { person: bob.id(), node: bob.node(), day: 100 };
    let mut altered = good.clone();
    *altered.bytes.last_mut().unwrap() ^= 1;
    let mut trailing = encode_record(&said);
    trailing.push(0);
    let signature = bob.person.signing().sign(Revocation::DOMAIN, &trailing).to_vec();
    let flawed = [
        ("by another person", eve.person.revoke(bob.node(), 100)),
        ("signed by another", Signed::record(eve.person.signing(), &said)),
        ("signed by the device", Signed::record(bob.device.signing(), &said)),
        ("altered", altered),
        ("a byte after its end", Signed { bytes: trailing, signature }),
    ];
    for (flaw, revocation) in flawed {
        assert!(!you.merge_revocations(&[revocation]).await.unwrap(), "{flaw}");
    }
    assert_eq!(you.admit(&bob.node()), Admission::Friend);

    assert!(you.merge_revocations(std::slice::from_ref(&good)).await.unwrap());
    // A later record of the device does not bring it back, nor does a restart.
    you.merge(&[changed(&bob, &bob, |m| m.serial = 9)]).await.unwrap();
    drop(you);
    let you = roster(&disk).await;
    assert_eq!((you.admit(&bob.node()), you.member(&bob.node())), (Admission::Refuse, None));
    assert!(you.is_removed(&bob.node()) && you.members().is_empty());
    assert_eq!(you.revocations(), [good]);
    // Only devices of this person can be given up here.
    you.merge(&[member(&eve, 3)]).await.unwrap();
    assert!(you.revoke(eve.node()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_new_device_of_a_friend_is_known_by_the_root_and_a_revoked_one_stays_out() {
    let (bob, eve) = (Someone::new(2), Someone::new(3));
    let you = roster(&SimDisk::new()).await;
    you.merge(&[member(&bob, 2)]).await.unwrap();
    let new = DeviceKeys::from_seed(Seed::from_bytes([77; 32]));
    let certify =
        |by: &Someone, from: u32| by.person.certify(&new.certificate(by.id(), "new", Hash([1; 32]), from, 1));
    let record =
        |by: &Someone| changed(by, by, |m| (m.node, m.signing_key) = (new.node(), new.signing().public()));
    let good = certify(&bob, 100);
    assert_eq!(you.check_device(&good, &record(&bob)), Ok((bob.id(), new.node())));
    assert_eq!(you.admit(&new.node()), Admission::Refuse, "looked at only");
    for (flaw, certificate, member) in [
        ("not valid yet", certify(&bob, 101), record(&bob)),
        ("valid no more", certify(&bob, 5), record(&bob)),
        ("another's record", good.clone(), record(&eve)),
        ("another device's record", good.clone(), member(&bob, 3)),
        ("a record that says it is gone", good.clone(), {
            let keys = (new.node(), new.signing().public());
            changed(&bob, &bob, |m| ((m.node, m.signing_key), m.removed) = (keys, true))
        }),
        (
            "a certificate signed by another",
            Signed { signature: certify(&eve, 100).signature, ..good.clone() },
            record(&bob),
        ),
    ] {
        assert!(you.check_device(&certificate, &member).is_err(), "{flaw}");
    }
    you.take_device(bob.id(), new.node(), &record(&bob)).await.unwrap();
    assert_eq!(you.admit(&new.node()), Admission::Friend);
    // Somebody else's from now on: no.
    assert!(you.take_device(eve.id(), new.node(), &record(&eve)).await.is_err());
    assert!(you.merge_revocations(&[bob.person.revoke(new.node(), 100)]).await.unwrap());
    let why = you.check_device(&good, &record(&bob)).unwrap_err();
    assert!(why.contains("given up"), "{why}");
    assert_eq!(you.admit(&new.node()), Admission::Refuse);
}

const VERIFIED: u64 = START_MS + 5_000;

/// A roster and its accounts, with something in every field.
#[tokio::test(start_paused = true)]
#[ignore = "writes the sample anew"]
async fn write_the_sample() {
    let (disk, [bob, eve]) = (SimDisk::new(), [2, 3].map(Someone::new));
    let you = roster(&disk).await;
    you.merge(&[member(&bob, 2), member(&eve, 3)]).await.unwrap();
    you.merge_revocations(&[eve.person.revoke(eve.node(), 100)]).await.unwrap();
    you.give(bob.id(), 1 << 30).await.unwrap();
    let mut grant: Grant = bob.grant(you.me().person, 1 << 20, 1).peek().unwrap();
    grant.holder = Some(bob.node());
    let grant = Signed::record(bob.person.signing(), &grant);
    you.keep_chain(bob.node(), vec![grant]).await.unwrap();
    let drives = vec![(DriveId([7; 32]), Power::Write, "family".into())];
    let invitation = Invitation { bytes: 5, valid: Duration::from_secs(60), drives };
    you.invite(invitation, Some("carl".into())).await.unwrap();
    you.set_name(bob.id(), "robert").await.unwrap();
    you.statements().count(&bob.node(), |c| (c.bytes_read, c.bytes_written) = (11, 12));
    you.statements().verified(&bob.node(), 1000, VERIFIED);
    you.statements().keep(bob.node(), said(&bob)).await.unwrap();
    std::fs::write(sample("node.disk"), pack(&disk)).unwrap();
}

/// A statement of a friend.
fn said(bob: &Someone) -> Signed {
    let (account, node) = (Someone::new(1).id(), bob.node());
    let said =
        form_statement(account, node, None, &Counters::default(), Hash([6; 32]), Holding::default(), 100);
    Signed::record(bob.device.signing(), &said)
}

#[tokio::test(start_paused = true)]
async fn a_stored_disk_opens() {
    let (bob, eve) = (Someone::new(2), Someone::new(3));
    let disk = unpack(&std::fs::read(sample("node.disk")).unwrap());
    let you = roster(&disk).await;
    assert_eq!(you.members(), [member(&bob, 2).peek().unwrap()]);
    assert!(you.is_revoked(&eve.node()) && you.records().len() == 3);
    assert_eq!((you.allowed_at(&bob.node()), you.given_to(&bob.id()).unwrap().bytes), (1 << 20, 1 << 30));
    assert_eq!(you.name_of(&bob.node()), "robert");
    let open = you.tickets(|t| t.any_open(START_MS / 1000)).await.unwrap();
    assert!(open, "the ticket");
    let account = you.statements().account(&bob.node());
    assert_eq!((account.said, account.verified_ms), (Some(said(&bob)), Some(VERIFIED)));
    let c = account.counters;
    assert_eq!((c.bytes_read, c.bytes_written, c.byte_days_verified, c.audits.ok), (11, 12, 1000, 1));
}

/// A node whose roster is gone, with what it gave: friends have later numbers than any it knows.
#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_roster_is_heard_by_friends() {
    let (disk, bob) = (SimDisk::new(), Someone::new(2));
    let you = roster(&disk).await;
    for bytes in 1..=5 {
        you.give(bob.id(), bytes).await.unwrap();
    }
    let (record, grant) = (you.own_record().unwrap(), you.given_signed(&bob.id()).unwrap());
    let serial = |grant: &Signed| grant.peek::<Grant>().unwrap().serial;
    let member_serial = |record: &Signed| record.peek::<Member>().unwrap().serial;
    drop(you);
    let world = world(&disk).0;
    let state = places().state;
    for path in disk.paths().into_iter().filter(|path| path.starts_with(&state)) {
        world.disk.remove(&path).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let you = roster_in(&world).await;
    assert!(you.given_to(&bob.id()).is_none(), "it is gone");
    let anew = you.give(bob.id(), 7).await.unwrap();
    assert!(serial(&anew) > serial(&grant), "{} after {}", serial(&anew), serial(&grant));
    let told = you.own_record().unwrap();
    assert!(member_serial(&told) > member_serial(&record));
    // A clock that was ahead once: what the lent space knows is gone beyond.
    let ahead = u64::from(u32::MAX);
    let next = you.give_after(bob.id(), 8, Some(ahead)).await.unwrap();
    assert_eq!(serial(&next), ahead + 1);
    assert_eq!(serial(&you.give(bob.id(), 9).await.unwrap()), ahead + 2);
}

#[test]
fn a_place_records_what_its_holder_may_fail_with() {
    let mut bob: Member = member(&Someone::new(2), 2).peek().unwrap();
    let unknown = FailureDomains {
        operator: failure_domain("operator", &bob.person.0),
        site: failure_domain("site", &bob.site.0),
        ..FailureDomains::default()
    };
    bob.addrs = vec!["127.0.0.1:1".parse().unwrap(), "10.1.2.3:1".parse().unwrap()];
    assert_eq!(domains_of(&bob), unknown, "an address of a home says nothing of its network");
    bob.addrs.push("198.51.100.7:1".parse().unwrap());
    (bob.introducer, bob.operator) = (Some(PersonId([4; 32])), Some(PersonId([5; 32])));
    let known = domains_of(&bob);
    assert_eq!(known.prefix, failure_domain("prefix", &[198, 51, 100]));
    assert_eq!(known.introducer, failure_domain("introducer", &[4; 32]));
    assert_eq!(known.operator, failure_domain("operator", &[5; 32]));
    bob.addrs = vec!["[::ffff:198.51.100.9]:1".parse().unwrap()];
    assert_eq!(domains_of(&bob).prefix, known.prefix);
    bob.addrs = vec!["[2001:db8:1:2::9]:1".parse().unwrap()];
    assert_eq!(domains_of(&bob).prefix, failure_domain("prefix", &[0x20, 1, 0xd, 0xb8, 0, 1]));
}
