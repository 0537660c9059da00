use super::*;
use crate::keys::{DriveId, Hash, NodeId, PersonId, ShareId, Signed};
use crate::wire::{Grant, Lease, Reason, Regime};
use proptest::prelude::*;
use std::collections::BTreeMap;

const HOLDER: NodeId = NodeId([9; 32]);

fn person(i: u8) -> PersonId {
    PersonId([i; 32])
}

fn grant(issuer: u8, subject: u8, bytes: u64) -> Grant {
    Grant {
        issuer: person(issuer),
        subject: person(subject),
        holder: None,
        regime: Regime::Friends,
        bytes,
        egress_bytes_per_day: u64::MAX,
        not_before: 10,
        expires: Some(100),
        retention_days: 30,
        rank: 5,
        obligation_bytes: 0,
        delegable: true,
        parent: None,
        serial: 1,
    }
}

/// A "signature" that names the signer: enough to test the chain's logic.
fn sign(grant: &Grant) -> Signed {
    Signed { bytes: crate::keys::encode_record(grant), signature: grant.issuer.as_bytes().to_vec() }
}

fn by_name(person: &PersonId, signed: &Signed) -> bool {
    signed.signature == person.as_bytes()
}

fn check(chain: &[Signed], subject: u8) -> Result<Chain, ChainError> {
    verify_chain(chain, &HOLDER, &person(1), &person(subject), 50, &by_name)
}

/// Owner 1 grants to 2, who delegates to 3.
fn two_links(change_root: impl Fn(&mut Grant), change_child: impl Fn(&mut Grant)) -> Vec<Signed> {
    let mut root = grant(1, 2, 100);
    change_root(&mut root);
    let root = sign(&root);
    let mut child = grant(2, 3, 50);
    child.parent = Some(grant_hash(&root));
    change_child(&mut child);
    vec![root, sign(&child)]
}

#[test]
fn a_delegated_grant_is_billed_to_all() {
    let chain = check(&two_links(|_| {}, |_| {}), 3).unwrap();
    assert_eq!(chain.path(), vec![person(2), person(3)]);
    assert_eq!(chain.limits(), vec![100, 50]);
}

#[test]
fn rejections_named_after_the_flaw() {
    let none = |_: &mut Grant| {};
    assert_eq!(check(&[], 2), Err(ChainError::Empty));
    assert_eq!(check(&vec![sign(&grant(1, 2, 1)); 5], 2), Err(ChainError::TooLong));
    assert_eq!(check(&[sign(&grant(7, 2, 1))], 2), Err(ChainError::NotOurs));
    assert_eq!(check(&[sign(&grant(1, 2, 1))], 3), Err(ChainError::WrongSubject));
    let cases: Vec<(Vec<Signed>, ChainError)> = vec![
        (two_links(|r| r.delegable = false, none), ChainError::NotDelegable),
        (two_links(|r| r.parent = Some(Hash([1; 32])), none), ChainError::RootHasParent),
        (two_links(|r| r.expires = Some(50), none), ChainError::NotToday),
        (two_links(|r| r.not_before = 51, none), ChainError::NotToday),
        (two_links(|r| r.holder = Some(NodeId([8; 32])), none), ChainError::WrongHolder),
        (two_links(none, |c| c.parent = None), ChainError::WrongParent),
        (two_links(none, |c| c.issuer = person(4)), ChainError::WrongIssuer),
        (two_links(none, |c| c.bytes = 101), ChainError::Widens),
        (two_links(none, |c| c.expires = None), ChainError::Widens),
        (two_links(none, |c| c.expires = Some(101)), ChainError::Widens),
        (two_links(none, |c| c.not_before = 9), ChainError::Widens),
        (two_links(none, |c| c.retention_days = 31), ChainError::Widens),
        (two_links(none, |c| c.rank = 6), ChainError::Widens),
        (two_links(none, |c| c.regime = Regime::Contract), ChainError::Widens),
        (two_links(|r| r.holder = Some(HOLDER), none), ChainError::Widens),
    ];
    for (i, (chain, error)) in cases.into_iter().enumerate() {
        assert_eq!(check(&chain, 3), Err(error), "case {i}");
    }
    let mut forged = two_links(none, none);
    forged[1].signature = person(3).as_bytes().to_vec();
    assert_eq!(check(&forged, 3), Err(ChainError::Signature));
    let mut trailing = two_links(none, none);
    trailing[1].bytes.push(0);
    assert_eq!(check(&trailing, 3), Err(ChainError::Malformed));
}

#[test]
fn refusals_say_the_limit() {
    let disk = DiskFacts { capacity: 1000, lent: 0, free: 1000, floor: 100, reserved: 0 };
    let policy = Policy::default();
    let facts = [Facts::friend(500, 100), Facts::friend(200, 90)];
    assert_eq!(admit(110, 1000, &facts, &disk, &policy), Decision::Accept);
    assert_eq!(
        admit(111, 1000, &facts, &disk, &policy),
        Decision::Refuse { reason: Reason::OverLimit, limit: 200, used: 90 }
    );
    let full = DiskFacts { free: 209, ..disk };
    assert!(matches!(
        admit(110, 1000, &facts, &full, &policy),
        Decision::Refuse { reason: Reason::DiskFull, .. }
    ));
    let lent_out = DiskFacts { lent: 891, ..disk };
    assert_eq!(
        admit(110, 1000, &facts, &lent_out, &policy),
        Decision::Refuse { reason: Reason::DiskFull, limit: 1000, used: 891 }
    );
    assert!(matches!(admit(1, 1, &[], &disk, &policy), Decision::Refuse { reason: Reason::NoGrant, .. }));
    assert!(matches!(
        admit(u64::MAX, u64::MAX, &[Facts::friend(u64::MAX, 1)], &disk, &policy),
        Decision::Refuse { reason: Reason::OverLimit, .. }
    ));
}

#[test]
fn limits_of_the_other_regimes() {
    let policy = Policy::default();
    let contract =
        Facts { regime: Regime::Contract, obligation: 200, verified_held: 50, ..Facts::friend(1000, 0) };
    assert_eq!(limit(&contract, &policy), 250);
    assert_eq!(limit(&Facts { obligation: 0, ..contract }, &policy), 1000);
    let stranger = Facts {
        regime: Regime::Strangers,
        vouched: false,
        verified_held: 1400,
        verified_days: 7,
        credit: 300,
        routed: 5,
        newcomer_pool_left: 3,
        ..Facts::friend(1000, 0)
    };
    assert_eq!(limit(&stranger, &policy), 700 + 10 + 5 + 3);
    assert_eq!(limit(&Facts { vouched: true, credit: -9, ..stranger }, &policy), 1400 + 5 + 3);
}

#[test]
fn a_release_takes_effect_late_and_can_be_cancelled() {
    let mut book = LeaseBook::default();
    let lease = lease(2, 1, 10, Some(30));
    let (account, share) = (lease.account, lease.share);
    book.apply(&LeaseEvent::Keep { lease, path: vec![account], generation: 4, since: 0, until: 90 });
    book.apply(&LeaseEvent::Release { account, share, effective: 17 });
    assert!(book.ended(16, 0).is_empty());
    assert!(book.ended(17, 0).is_empty(), "locked until day 30");
    assert_eq!(book.ended(30, 0), vec![(account, share)]);
    book.apply(&LeaseEvent::Cancel { account, share });
    assert!(book.ended(30, 0).is_empty());
    assert!(book.ended(119, 30).is_empty());
    assert_eq!(book.ended(120, 30), vec![(account, share)]);
    assert_eq!(book.next_generation(), 5);
}

fn lease(account: u8, share: u8, len: u64, lock_until: Option<u32>) -> Lease {
    Lease {
        account: person(account),
        share: ShareId([share; 32]),
        drive: DriveId([0; 32]),
        len,
        term_days: 90,
        priority: 0,
        lock_until,
        sponsor: false,
        read_token_hash: Hash([0; 32]),
    }
}

/// Any event, over few accounts and shares so that they collide.
fn events() -> impl Strategy<Value = LeaseEvent> {
    let key = (1u8..4, 0u8..4);
    prop_oneof![
        4 => (key.clone(), 0u64..1000, any::<bool>()).prop_map(|((a, s), len, via)| {
            let path = if via { vec![person(1), person(a)] } else { vec![person(a)] };
            LeaseEvent::Keep { lease: lease(a, s, len, None), path, generation: 1, since: 0, until: 90 }
        }),
        1 => key.clone().prop_map(|(a, s)| LeaseEvent::Renew {
            account: person(a), share: ShareId([s; 32]), until: 200 }),
        1 => key.clone().prop_map(|(a, s)| LeaseEvent::Release {
            account: person(a), share: ShareId([s; 32]), effective: 7 }),
        1 => key.clone().prop_map(|(a, s)| LeaseEvent::Cancel { account: person(a), share: ShareId([s; 32]) }),
        2 => key.clone().prop_map(|(a, s)| LeaseEvent::Drop { account: person(a), share: ShareId([s; 32]) }),
        1 => key.prop_map(|(a, s)| LeaseEvent::Lost { account: person(a), share: ShareId([s; 32]) }),
    ]
}

proptest! {
    #[test]
    fn usage_is_the_sum_of_the_leases(all in prop::collection::vec(events(), 0..60)) {
        let mut book = LeaseBook::default();
        for event in &all {
            book.apply(event);
            prop_assert_eq!(&book.recount(), book.usage());
            prop_assert_eq!(book.lent(), book.iter().map(|(_, k)| k.lease.len).sum::<u64>());
        }
    }

    #[test]
    fn replaying_a_suffix_twice_changes_nothing(all in prop::collection::vec(events(), 0..40), from in 0usize..40) {
        let mut once = LeaseBook::default();
        all.iter().for_each(|e| once.apply(e));
        // The last event of every lease decides; replaying the whole log again gives the same.
        let mut twice = once.clone();
        all.iter().skip(from.min(all.len())).for_each(|e| twice.apply(e));
        let keys = |b: &LeaseBook| b.iter().map(|(k, v)| (*k, v.lease.len)).collect::<BTreeMap<_, _>>();
        if from == 0 {
            prop_assert_eq!(keys(&once), keys(&twice));
        }
        prop_assert_eq!(&twice.recount(), twice.usage());
    }

    #[test]
    fn admission_never_passes_a_limit(
        asks in prop::collection::vec((1u8..4, any::<bool>(), 0u64..400), 1..60),
        limits in prop::array::uniform4(0u64..1500), capacity in 0u64..4000,
    ) {
        let mut book = LeaseBook::default();
        let policy = Policy::default();
        for (i, (account, via, len)) in asks.into_iter().enumerate() {
            let path = if via { vec![person(1), person(account)] } else { vec![person(account)] };
            let links: Vec<Facts> = (1..=path.len())
                .map(|end| Facts::friend(limits[usize::from(path[end - 1].0[0])], book.used(&path[..end])))
                .collect();
            let disk = DiskFacts { capacity, lent: book.lent(), free: u64::MAX, floor: 0, reserved: 0 };
            if admit(len, u64::MAX, &links, &disk, &policy) == Decision::Accept {
                let lease = Lease { share: ShareId([i as u8; 32]), ..lease(account, 0, len, None) };
                book.apply(&LeaseEvent::Keep { lease, path, generation: 0, since: 0, until: 90 });
            }
            for (path, used) in book.usage() {
                prop_assert!(*used <= limits[usize::from(path[path.len() - 1].0[0])]);
            }
            prop_assert!(book.lent() <= capacity);
        }
    }

    #[test]
    fn no_delegation_widens(
        root in (0u64..10, 0u64..10, 0u32..10, 0u32..10, 0u8..4, prop::option::of(60u32..64)),
        child in (0u64..10, 0u64..10, 0u32..10, 0u32..10, 0u8..4, prop::option::of(60u32..64)),
    ) {
        let set = |g: &mut Grant, (bytes, egress, from, keep, rank, end): (u64, u64, u32, u32, u8, Option<u32>)| {
            g.bytes = bytes; g.egress_bytes_per_day = egress; g.not_before = from;
            g.retention_days = keep; g.rank = rank; g.expires = end;
        };
        let chain = two_links(|g| set(g, root), |g| set(g, child));
        let wider = child.0 > root.0 || child.1 > root.1 || child.2 < root.2 || child.3 > root.3
            || child.4 > root.4 || child.5.unwrap_or(u32::MAX) > root.5.unwrap_or(u32::MAX);
        prop_assert_eq!(check(&chain, 3).is_err(), wider);
    }
}

#[test]
fn statements_chain_and_never_go_back() {
    let counters = Counters { bytes_read: 5, ..Counters::default() };
    let first = form_statement(person(2), HOLDER, None, &counters, Hash([0; 32]), Holding::default(), 3);
    assert!(follows(None, &first));
    let signed = Signed { bytes: postcard::to_allocvec(&first).unwrap(), signature: Vec::new() };
    let more = Counters { bytes_read: 6, ..counters };
    let next = form_statement(
        person(2),
        HOLDER,
        Some((&first, &signed)),
        &more,
        Hash([0; 32]),
        Holding::default(),
        4,
    );
    assert!(follows(Some((&first, &signed)), &next));
    let less = Counters { bytes_read: 4, ..counters };
    let back = form_statement(
        person(2),
        HOLDER,
        Some((&first, &signed)),
        &less,
        Hash([0; 32]),
        Holding::default(),
        4,
    );
    assert!(!follows(Some((&first, &signed)), &back));
    let skipped = crate::wire::Statement { seq: 3, ..next };
    assert!(!follows(Some((&first, &signed)), &skipped));
}

#[test]
fn days_have_dates() {
    let known = [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_781, "2026-11-24")];
    for (day, date) in known {
        assert_eq!(date_of(day), date);
    }
    assert_eq!(date_of(u32::MAX).len(), "11761191-01-20".len());
}
