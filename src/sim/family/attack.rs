//! I5: what somebody without the right to it tries at holders, over the wire.
//!
//! The worst case is taken: every attacker has the reader's keys of the drive, its admin log,
//! and entries that writers really wrote. It asks with its own node's connection.

use super::forge::{self, Loot};
use super::{Family, READER};
use crate::daemon::node::Node;
use crate::keys::{Hash, Seed, ShareId, Signed, SigningKey};
use crate::net::Priority;
use crate::tree::Checked;
use crate::wire::{Grant, Lease, Range, Reason, Refusal, Regime, Request, Response};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long an attacker waits for its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a share that is not to be kept.
const SHARE: usize = 2000;

/// What is tried, and the refusal that proves the rule was looked at (another one proves
/// nothing, and is counted by itself).
struct Try {
    what: &'static str,
    why: Reason,
    request: Request,
    body: Vec<Bytes>,
}

/// An attacker and the holder it asks.
struct Raid {
    from: Arc<Node>,
    to: Arc<Node>,
    loot: Loot,
}

impl Family {
    pub(super) async fn attack(&mut self) {
        let n = self.homes.village.len();
        let attacker = if self.below(2) == 0 { READER } else { READER + 1 + self.below(n - READER - 1) };
        // The founder, at whom everybody may keep something, is asked more than the others.
        let holder = if self.below(2) == 0 { 0 } else { (attacker + 1 + self.below(n - 1)) % n };
        let (Some(from), Some(to)) = (self.node(attacker), self.node(holder)) else { return };
        let Some(loot) = self.loot(&from, &to).await else { return };
        let raid = Raid { from, to, loot };
        let Some(attempt) = self.choose(&raid, attacker == READER) else { return };
        let Try { what, why, request, body } = attempt;
        let peer = raid.from.peer(raid.to.id());
        match peer.request_with_body(&request, body, Priority::Log, PATIENCE).await {
            Ok(Response::Refusal { refusal }) => match refusal.peek::<Refusal>() {
                Ok(r) if r.reason == why => self.count(what),
                Ok(_) => self.count("I5 tries refused for another reason"),
                Err(e) => self.violation("I5", format!("{what}: a refusal that cannot be read: {e}")),
            },
            Ok(other) => {
                let text: String = format!("{other:?}").chars().take(60).collect();
                self.violation("I5", format!("{what}: node {holder} answered {attacker} with {text}"));
            }
            Err(_) => self.count("I5 tries that were not answered"),
        }
        self.look_at_holder(&raid, holder).await;
    }

    /// What an attacker knows. None while nothing has been written, or friends are away.
    async fn loot(&mut self, from: &Node, to: &Node) -> Option<Loot> {
        let drive = self.drive(READER)?;
        let heads = drive.heads();
        let keys = self.reader_keys.clone()?;
        let head = *heads.get(self.below(heads.len().max(1)))?;
        let mut vector = heads.clone();
        vector.iter_mut().filter(|h| h.log == head.log).for_each(|h| h.seq = head.seq.saturating_sub(1));
        let token = keys.read_token(keys.epoch(), &to.id()).ok()?;
        let request = Request::LogFetch { drive: self.drive, token, vector, admin_len: u32::MAX };
        let answer = from.peer(to.id()).request(&request, Priority::Log, PATIENCE).await.ok()?;
        let Response::LogEntries { entries, .. } = answer else { return None };
        let real = entries.into_iter().find(|e| {
            Checked::parse(e, &self.drive).is_ok_and(|c| c.log == head.log && c.header.seq >= head.seq)
        })?;
        let seed = Seed::from_bytes(self.secret());
        Some(Loot { drive: self.drive, keys, admin: drive.admin_records(), heads, real, seed })
    }

    pub(super) fn secret(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        crate::world::Rng::fill(&*self.rng, &mut seed);
        seed
    }

    fn choose(&self, raid: &Raid, member: bool) -> Option<Try> {
        let bit = self.rng.next() as usize;
        match self.below(12) {
            0 => append(raid, "I5 refused: an entry of nobody's", forge::entry(&raid.loot)?),
            1 => append(raid, "I5 refused: an entry in a writer's name", forge::in_its_name(&raid.loot)?),
            2 => append(raid, "I5 refused: an altered entry", forge::altered(&raid.loot, bit)),
            3 => open_log(raid, "I5 refused: a forged admin record", Reason::BadEntry, true),
            4 if member => None,
            4 => open_log(raid, "I5 refused: logs opened by a stranger", Reason::NotYours, false),
            5 => another_account(raid),
            6 | 7 => leases(raid, bit),
            8 => put(raid, "I5 refused: a share in another's name", Reason::NotYours),
            9 => put(raid, "I5 refused: a share under a forged grant", Reason::NoGrant),
            10 => read_share(raid),
            _ => give_grant(raid),
        }
    }

    /// No log is at a holder but those of enrolled writers (and what is on a liar's own disk).
    async fn look_at_holder(&mut self, raid: &Raid, holder: usize) {
        let Loot { keys, heads, .. } = &raid.loot;
        let Ok(token) = keys.read_token(keys.epoch(), &raid.to.id()) else { return };
        let vector = heads.clone();
        let request = Request::LogFetch { drive: self.drive, token, vector, admin_len: u32::MAX };
        let asked = raid.from.peer(raid.to.id()).request(&request, Priority::Log, PATIENCE).await;
        let Ok(Response::LogEntries { entries, .. }) = asked else { return };
        let strange = entries.iter().any(|e| match Checked::parse(e, &self.drive) {
            Ok(entry) => !self.logs.contains(&entry.log),
            Err(_) => true,
        });
        if strange && !self.liars.contains(&holder) {
            self.violation("I5", format!("node {holder} keeps an entry of no enrolled writer"));
        }
        self.count("I5 looks at a holder's logs");
    }
}

fn attempt(what: &'static str, why: Reason, request: Request) -> Option<Try> {
    Some(Try { what, why, request, body: Vec::new() })
}

fn append(raid: &Raid, what: &'static str, entry: Vec<u8>) -> Option<Try> {
    let (drive, account) = (raid.loot.drive, raid.from.person());
    attempt(what, Reason::BadEntry, Request::LogAppend { drive, account, entries: vec![entry] })
}

fn another_account(raid: &Raid) -> Option<Try> {
    let (drive, account) = (raid.loot.drive, raid.to.person());
    let entries = vec![raid.loot.real.clone()];
    let what = "I5 refused: an append for another's account";
    attempt(what, Reason::NotYours, Request::LogAppend { drive, account, entries })
}

fn open_log(raid: &Raid, what: &'static str, why: Reason, forged: bool) -> Option<Try> {
    let mut admin = raid.loot.admin.clone();
    if forged {
        admin.push(forge::admin_record(&raid.loot, raid.from.person())?);
    }
    let request = Request::LogOpen {
        drive: raid.loot.drive,
        account: raid.from.person(),
        admin,
        grants: raid.from.grants_at(&raid.to.id()),
        bytes: 1 << 30,
        read_token_hash: Hash([7; 32]),
    };
    attempt(what, why, request)
}

fn leases(raid: &Raid, bits: usize) -> Option<Try> {
    let account = raid.to.person();
    let share = ShareId(*blake3::hash(&bits.to_le_bytes()).as_bytes());
    let request = match bits % 3 {
        0 => Request::LeaseRelease { account, shares: vec![(share, 1)] },
        1 => Request::LeaseCancelRelease { account, shares: vec![(share, 1)] },
        _ => Request::LeaseRenew { account, shares: vec![share], term_days: 1 },
    };
    attempt("I5 refused: leases of another's account", Reason::NotYours, request)
}

/// A share in the holder's own name, or in one's own under a grant the holder's owner never gave.
fn put(raid: &Raid, what: &'static str, why: Reason) -> Option<Try> {
    let signer = SigningKey::from_seed(&raid.loot.seed);
    let bytes = vec![7; SHARE];
    let own = why == Reason::NoGrant;
    let account = if own { raid.from.person() } else { raid.to.person() };
    let lease = Lease {
        account,
        share: ShareId(*blake3::hash(&bytes).as_bytes()),
        drive: raid.loot.drive,
        len: SHARE as u64,
        term_days: 90,
        priority: 0,
        lock_until: None,
        sponsor: false,
        read_token_hash: Hash([7; 32]),
    };
    let grants = if own { vec![forged_grant(raid, &signer)] } else { Vec::new() };
    let request = Request::Put { lease, grants, reservation: None };
    Some(Try { what, why, request, body: vec![Bytes::from(bytes)] })
}

fn forged_grant(raid: &Raid, signer: &SigningKey) -> Signed {
    let grant = Grant {
        issuer: raid.to.person(),
        subject: raid.from.person(),
        holder: Some(raid.to.id()),
        regime: Regime::Friends,
        bytes: 1 << 40,
        egress_bytes_per_day: u64::MAX,
        not_before: 0,
        expires: None,
        retention_days: 0,
        rank: 0,
        obligation_bytes: 0,
        delegable: true,
        parent: None,
        serial: u64::MAX,
    };
    Signed::record(signer, &grant)
}

fn read_share(raid: &Raid) -> Option<Try> {
    let request = Request::Get {
        share: ShareId([9; 32]),
        account: raid.to.person(),
        token: *raid.loot.seed.expose(),
        ranges: vec![Range { offset: 0, len: 16 }],
        leaf: 0,
        nonce: [0; 16],
    };
    attempt("I5 refused: a share read without its token", Reason::NotFound, request)
}

/// A grant that somebody else is said to have given the one who is told of it.
fn give_grant(raid: &Raid) -> Option<Try> {
    let grant = forged_grant(raid, &SigningKey::from_seed(&raid.loot.seed));
    attempt("I5 refused: a grant in another's name", Reason::NoGrant, Request::GrantGive { grant })
}
