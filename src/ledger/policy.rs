//! What facts allow: one limit and one admission for every regime.

use crate::wire::{Reason, Regime};

/// What is known about one account at this holder (or of one link of its chain).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    pub regime: Regime,
    /// Bytes of the grant in force; 0 without one.
    pub granted: u64,
    /// Bytes the subject must hold for the issuer, and holds, verified (least of 7 days).
    pub obligation: u64,
    pub verified_held: u64,
    /// Credit in byte-days; may be negative.
    pub credit: i128,
    /// Bytes routed to it over paths of friends, reserved hop by hop.
    pub routed: u64,
    /// A person stands for it.
    pub vouched: bool,
    /// Days of verified service.
    pub verified_days: u32,
    /// Days since the pair first met.
    pub age_days: u32,
    /// Left of the pool that all newcomers share.
    pub newcomer_pool_left: u64,
    /// Bytes leased and reserved now.
    pub used: u64,
}

impl Facts {
    /// Facts of a friend: a grant, and what is used of it.
    pub fn friend(granted: u64, used: u64) -> Facts {
        Facts {
            regime: Regime::Friends,
            granted,
            obligation: 0,
            verified_held: 0,
            credit: 0,
            routed: 0,
            vouched: true,
            verified_days: 0,
            age_days: 0,
            newcomer_pool_left: 0,
            used,
        }
    }
}

/// Numbers of this node's policy; none of them appears in the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Lease term and when an owner renews, in days.
    pub term_friends: u16,
    pub renew_friends: u16,
    pub term_others: u16,
    pub renew_others: u16,
    /// Days for which a share is kept after its term has run out.
    pub retention_friends: u32,
    /// A term is written down anew when that makes it longer by so many days.
    pub renew_worth: u32,
    /// Days between a release and its effect.
    pub release_delay: u32,
    /// Days of service before a stranger nobody vouches for counts in full.
    pub dues_days: u32,
    /// Credit in byte-days that allows one byte.
    pub credit_days: u32,
    /// Most a newcomer gets of the pool.
    pub newcomer_max: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            term_friends: 90,
            renew_friends: 45,
            term_others: 30,
            renew_others: 15,
            retention_friends: 90,
            renew_worth: 7,
            release_delay: 7,
            dues_days: 14,
            credit_days: 30,
            newcomer_max: 64 << 20,
        }
    }
}

impl Policy {
    /// Longest lease term under a regime, in days.
    pub fn term(&self, regime: Regime) -> u16 {
        match regime {
            Regime::Friends => self.term_friends,
            Regime::Contract | Regime::Strangers => self.term_others,
        }
    }
}

/// Bytes an account may have here: granted + earned + routed + newcomer pool.
///
/// A friend has what the person chose. A contract scales with the obligation kept. A
/// stranger earns what it verifiably holds (in full after the dues, at once when vouched
/// for), and its positive credit over thirty days.
pub fn limit(facts: &Facts, policy: &Policy) -> u64 {
    let granted = match facts.regime {
        Regime::Friends => facts.granted,
        Regime::Contract => scale(facts.granted, facts.verified_held, facts.obligation),
        Regime::Strangers => 0,
    };
    let earned = match facts.regime {
        Regime::Strangers => earned(facts, policy),
        Regime::Friends | Regime::Contract => 0,
    };
    let pool = match facts.regime {
        Regime::Strangers => facts.newcomer_pool_left.min(policy.newcomer_max),
        Regime::Friends | Regime::Contract => 0,
    };
    granted.saturating_add(earned).saturating_add(facts.routed).saturating_add(pool)
}

fn earned(facts: &Facts, policy: &Policy) -> u64 {
    let held = if facts.vouched {
        facts.verified_held
    } else {
        scale(facts.verified_held, facts.verified_days.into(), policy.dues_days.into())
    };
    let days = i128::from(policy.credit_days.max(1));
    let credit = u64::try_from(facts.credit.max(0) / days).unwrap_or(u64::MAX);
    held.saturating_add(credit)
}

/// `whole * min(1, part / of)`; all of it when nothing is asked.
fn scale(whole: u64, part: u64, of: u64) -> u64 {
    if of == 0 || part >= of {
        return whole;
    }
    let scaled = u128::from(whole) * u128::from(part) / u128::from(of);
    u64::try_from(scaled).unwrap_or(whole)
}

/// What the disk below allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskFacts {
    /// Bytes this node lends in all, and has lent (leases and reservations).
    pub capacity: u64,
    pub lent: u64,
    /// Free on the filesystem, and what must stay free.
    pub free: u64,
    pub floor: u64,
    /// Reserved and not written yet.
    pub reserved: u64,
}

/// The answer to an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Accept,
    /// With the limit that was met and what is used of it.
    Refuse {
        reason: Reason,
        limit: u64,
        used: u64,
    },
}

/// Whether `len` more bytes are taken: every link of the chain has room (`links`, the
/// account's last), the node lends that much, and the disk keeps its floor.
pub fn admit(len: u64, len_max: u64, links: &[Facts], disk: &DiskFacts, policy: &Policy) -> Decision {
    let Some(account) = links.last() else {
        return Decision::Refuse { reason: Reason::NoGrant, limit: 0, used: 0 };
    };
    let refuse = |reason, limit, used| Decision::Refuse { reason, limit, used };
    if len > len_max {
        return refuse(Reason::TooLarge, limit(account, policy), account.used);
    }
    for link in links {
        let max = limit(link, policy);
        if link.used.checked_add(len).is_none_or(|sum| sum > max) {
            return refuse(Reason::OverLimit, max, link.used);
        }
    }
    if disk.lent.checked_add(len).is_none_or(|sum| sum > disk.capacity) {
        return refuse(Reason::DiskFull, disk.capacity, disk.lent);
    }
    let needed = len.saturating_add(disk.reserved).saturating_add(disk.floor);
    if needed > disk.free {
        return refuse(Reason::DiskFull, limit(account, policy), account.used);
    }
    Decision::Accept
}

/// Most shares of one object behind a single trust cut (introducer, operator, prefix,
/// site): floor((n - k) / 2), and at least 1.
pub fn placement_cap(k: u8, n: u8) -> usize {
    usize::from(n.saturating_sub(k) / 2).max(1)
}
