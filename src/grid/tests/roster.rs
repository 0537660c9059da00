//! What a roster takes in, and what it does not believe.

use super::village::*;
use crate::content::FailureDomains;
use crate::grid::placement::domains_of;
use crate::grid::{Me, Roster};
use crate::holder::tests::common::{Someone, places, world};
use crate::keys::{Hash, PersonId, Record, Revocation, Signed, encode_record, failure_domain};
use crate::net::{Admission, Policy};
use crate::wire::Member;
use crate::world::SimDisk;
use std::sync::Arc;

async fn roster(disk: &SimDisk) -> Arc<Roster> {
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
    Roster::open(&world(disk).0, &places().state, &you.device.local(), me).await.unwrap()
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
