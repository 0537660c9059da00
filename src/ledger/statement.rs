//! The daily tally between an account and a holder: cumulative, monotone, hash-chained.

use crate::keys::{Hash, NodeId, PersonId, Signed};
use crate::wire::{Audits, Day, Statement};

/// What is counted between two statements; every counter only rises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    pub byte_days_verified: u128,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub audits: Audits,
    pub routed_in: u128,
    pub routed_out: u128,
}

impl Counters {
    /// At least what was said in a statement: nothing that was signed may be counted again.
    pub fn raise(&mut self, said: &Statement) {
        let (a, b) = (&mut self.audits, &said.audits);
        self.byte_days_verified = self.byte_days_verified.max(said.byte_days_verified);
        self.bytes_read = self.bytes_read.max(said.bytes_read);
        self.bytes_written = self.bytes_written.max(said.bytes_written);
        (a.ok, a.wrong) = (a.ok.max(b.ok), a.wrong.max(b.wrong));
        (a.offline, a.contained) = (a.offline.max(b.offline), a.contained.max(b.contained));
        a.unknown = a.unknown.max(b.unknown);
        self.routed_in = self.routed_in.max(said.routed_in);
        self.routed_out = self.routed_out.max(said.routed_out);
    }
}

/// What an account may have at a holder, and has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holding {
    pub limit: u64,
    pub used: u64,
    pub leases: u64,
}

/// The next statement after `previous` (the signed bytes of the last co-signed one).
pub fn form_statement(
    account: PersonId,
    holder: NodeId,
    previous: Option<(&Statement, &Signed)>,
    counters: &Counters,
    lease_set: Hash,
    holding: Holding,
    day: Day,
) -> Statement {
    Statement {
        account,
        holder,
        seq: previous.map_or(1, |(s, _)| s.seq.saturating_add(1)),
        previous: previous.map_or(Hash([0; 32]), |(_, signed)| statement_hash(signed)),
        day,
        byte_days_verified: counters.byte_days_verified,
        bytes_read: counters.bytes_read,
        bytes_written: counters.bytes_written,
        audits: counters.audits,
        lease_set,
        routed_in: counters.routed_in,
        routed_out: counters.routed_out,
        limit: holding.limit,
        used: holding.used,
        leases: holding.leases,
    }
}

/// The hash by which a statement names the one before it.
pub fn statement_hash(signed: &Signed) -> Hash {
    signed.hash()
}

/// Whether `next` may follow `previous`: its number is one more, it names it, and no
/// counter goes back.
pub fn follows(previous: Option<(&Statement, &Signed)>, next: &Statement) -> bool {
    let Some((before, signed)) = previous else {
        return next.seq == 1 && next.previous == Hash([0; 32]);
    };
    rises(before, next)
        && before.seq.checked_add(1) == Some(next.seq)
        && next.previous == statement_hash(signed)
}

/// Whether `next` may be a later statement of the same pair (those between may be lost), or the
/// same one again: no counter goes back.
pub fn rises(before: &Statement, next: &Statement) -> bool {
    next.account == before.account
        && next.holder == before.holder
        && next.seq >= before.seq
        && next.day >= before.day
        && next.byte_days_verified >= before.byte_days_verified
        && next.bytes_read >= before.bytes_read
        && next.bytes_written >= before.bytes_written
        && audits_rise(&before.audits, &next.audits)
        && next.routed_in >= before.routed_in
        && next.routed_out >= before.routed_out
}

fn audits_rise(a: &Audits, b: &Audits) -> bool {
    b.ok >= a.ok
        && b.wrong >= a.wrong
        && b.offline >= a.offline
        && b.contained >= a.contained
        && b.unknown >= a.unknown
}
