//! Which coding, and which friend gets which share. Pure.

use crate::content::{Coding, FailureDomains};
use crate::keys::{Hash, NodeId, failure_domain};
use crate::wire::Member;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// (k, n) by usable households, this machine's own never counted; the largest row not
/// above the number is taken.
pub const CODINGS: [(usize, Coding); 9] = [
    (1, Coding { k: 1, n: 1 }),
    (2, Coding { k: 1, n: 2 }),
    (3, Coding { k: 1, n: 3 }),
    (4, Coding { k: 1, n: 3 }),
    (5, Coding { k: 2, n: 5 }),
    (6, Coding { k: 2, n: 5 }),
    (7, Coding { k: 3, n: 7 }),
    (10, Coding { k: 4, n: 9 }),
    (20, Coding { k: 6, n: 14 }),
];

/// What a holder may fail together with, by its own record.
pub fn domains_of(member: &Member) -> FailureDomains {
    let prefix = member.addrs.iter().map(|a| a.ip().to_canonical()).find(|ip| !is_local(ip));
    FailureDomains {
        introducer: member.introducer.map_or([0; 8], |p| failure_domain("introducer", &p.0)),
        operator: failure_domain("operator", &member.operator.unwrap_or(member.person).0),
        prefix: prefix.map_or([0; 8], |ip| match ip {
            IpAddr::V4(ip) => failure_domain("prefix", &ip.octets()[..3]),
            IpAddr::V6(ip) => failure_domain("prefix", &ip.octets()[..6]),
        }),
        site: failure_domain("site", &member.site.0),
    }
}

/// Addresses that say nothing of where in the network a node is.
fn is_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
    }
}

/// The coding for a number of usable households; None for none.
pub fn coding_for(households: usize) -> Option<Coding> {
    CODINGS.iter().rev().find(|(at_least, _)| households >= *at_least).map(|(_, coding)| *coding)
}

/// What placement knows of a holder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub node: NodeId,
    pub household: Hash,
    pub online: bool,
    /// Bytes left there.
    pub room: u64,
    /// Requests that failed lately, and whether it ever served wrong bytes.
    pub errors: u64,
    pub wrong_bytes: u64,
    /// Round trip in microseconds; `u64::MAX` when unknown.
    pub rtt_us: u64,
}

/// Candidates in the order in which they should be asked: online first, then those that
/// never lied, have room, failed least and have most room left; ties are broken by a hash
/// of the pack and the node, so that load spreads.
pub fn rank(candidates: &[Candidate], share_len: u64, seed: &[u8; 32]) -> Vec<Candidate> {
    let mut ranked = candidates.to_vec();
    ranked.sort_by_cached_key(|c| {
        (
            !c.online,
            c.wrong_bytes > 0,
            c.room < share_len,
            c.errors.min(8),
            *blake3::keyed_hash(seed, c.node.as_bytes()).as_bytes(),
        )
    });
    ranked
}

/// Who gets which share, and who steps in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Share number and holder; one per household.
    pub assigned: Vec<(u16, NodeId)>,
    /// Holders of other households (or other nodes of used ones last), in order.
    pub spares: Vec<NodeId>,
    /// Numbers nobody is left for.
    pub missing: Vec<u16>,
}

/// Place the shares `0..n` that are not in `placed` (number, holder, household): at most one
/// per node and one per household.
pub fn plan(
    candidates: &[Candidate],
    coding: Coding,
    placed: &[(u16, NodeId, Hash)],
    share_len: u64,
    seed: &[u8; 32],
) -> Plan {
    let mut used: BTreeMap<Hash, ()> = placed.iter().map(|(_, _, h)| (*h, ())).collect();
    let have: BTreeSet<u16> = placed.iter().map(|(number, _, _)| *number).collect();
    let mut todo = (0..u16::from(coding.n)).filter(|n| !have.contains(n));
    let mut plan = Plan::default();
    let mut next = todo.next();
    for candidate in rank(candidates, share_len, seed) {
        if candidate.room < share_len || used.insert(candidate.household, ()).is_some() {
            continue;
        }
        match next {
            Some(number) => {
                plan.assigned.push((number, candidate.node));
                next = todo.next();
            }
            None => plan.spares.push(candidate.node),
        }
    }
    plan.missing.extend(next);
    plan.missing.extend(todo);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(i: u8, household: u8, online: bool, room: u64) -> Candidate {
        Candidate {
            node: NodeId([i; 32]),
            household: Hash([household; 32]),
            online,
            room,
            errors: 0,
            wrong_bytes: 0,
            rtt_us: u64::MAX,
        }
    }

    #[test]
    fn coding_is_the_largest_row_not_above() {
        let of = |h| coding_for(h).map(|c| (c.k, c.n));
        let expected =
            [None, Some((1, 1)), Some((1, 2)), Some((1, 3)), Some((1, 3)), Some((2, 5)), Some((2, 5))];
        assert_eq!((0..=6).map(of).collect::<Vec<_>>(), expected);
        assert_eq!(
            [7, 9, 10, 19, 20, 500].map(of),
            [(3, 7), (3, 7), (4, 9), (4, 9), (6, 14), (6, 14)].map(Some)
        );
    }

    #[test]
    fn every_coding_fits_its_households() {
        for (households, coding) in CODINGS {
            assert!(usize::from(coding.n) <= households && coding.k <= coding.n);
        }
    }

    #[test]
    fn offline_friends_are_asked_last() {
        let c = [candidate(1, 1, false, 10), candidate(2, 2, true, 10), candidate(3, 3, true, 10)];
        let plan = plan(&c, Coding { k: 1, n: 2 }, &[], 5, &[0; 32]);
        assert_eq!(plan.spares, vec![NodeId([1; 32])]);
    }

    proptest! {
        #[test]
        fn one_share_per_household_and_none_where_there_is_no_room(
            seen in prop::collection::vec((0u8..8, any::<bool>(), 0u64..20), 0..16),
            n in 1u8..9, len in 1u64..10, already in 0u8..3, seed in any::<[u8; 32]>(),
        ) {
            let c: Vec<_> = seen.iter().enumerate()
                .map(|(i, (h, on, room))| candidate(i as u8, *h, *on, *room)).collect();
            let placed: Vec<_> = (0..already.min(n))
                .map(|i| (u16::from(i), NodeId([100 + i; 32]), Hash([i; 32]))).collect();
            let plan = plan(&c, Coding { k: 1, n }, &placed, len, &seed);
            let mut households: BTreeSet<_> = placed.iter().map(|p| p.2).collect();
            for (_, node) in &plan.assigned {
                let holder = c.iter().find(|c| c.node == *node).unwrap();
                prop_assert!(households.insert(holder.household));
                prop_assert!(holder.room >= len);
            }
            let mut numbers: Vec<u16> = plan.assigned.iter().map(|a| a.0)
                .chain(placed.iter().map(|p| p.0)).chain(plan.missing.iter().copied()).collect();
            numbers.sort();
            prop_assert_eq!(numbers, (0..u16::from(n)).collect::<Vec<_>>());
            // Nobody is missing while a household with room is unused.
            let unused = c.iter().any(|c| c.room >= len && !households.contains(&c.household));
            prop_assert!(plan.missing.is_empty() || !unused);
        }
    }
}
