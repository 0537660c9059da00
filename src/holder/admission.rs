//! Whether something is taken: grants checked, limits kept, room reserved before any byte.

use super::Holder;
use super::state::State;
use crate::keys::{PersonId, Signed};
use crate::ledger::{
    Chain, Decision, DiskFacts, Facts, LeaseKey, Path as Payers, admit, signed_by_person, verify_chain,
};
use crate::wire::{Lease, Reason, Response, SHARE_MAX};
use std::sync::Arc;
use std::time::Duration;

/// How long an accepted offer is kept.
pub const RESERVATION_TIME: Duration = Duration::from_secs(60);
/// Accepted offers of one account at a time.
pub const RESERVATIONS_MAX: usize = 256;

/// Room promised to an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reservation {
    /// None for bytes of logs.
    pub key: Option<LeaseKey>,
    pub payers: Payers,
    pub bytes: u64,
    /// On the monotonic clock; None while the share is arriving.
    pub expires: Option<Duration>,
}

/// A reservation in use; given back when dropped.
pub(super) struct Held {
    /// None once the reservation is to stand by itself.
    holder: Option<Arc<Holder>>,
    pub id: [u8; 16],
    pub payers: Payers,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(holder) = &self.holder {
            holder.state.lock().reservations.remove(&self.id);
        }
    }
}

impl Held {
    /// Let the reservation stand until it expires (an accepted offer).
    pub(super) fn stand(mut self) -> [u8; 16] {
        self.holder = None;
        self.id
    }
}

impl Holder {
    /// The chain of grants an account shows, or the one given to it directly. A root that a
    /// later grant replaced counts for no more than that one.
    pub(super) fn chain(&self, account: PersonId, grants: &[Signed]) -> Result<Chain, Box<Response>> {
        if account == self.options.owner {
            return Ok(Chain { grants: vec![own_grant(account)] });
        }
        let own = self.state.lock().given.get(&account).map(|(signed, _)| vec![signed.clone()]);
        let shown = match (grants.is_empty(), own) {
            (false, _) => grants.to_vec(),
            (true, Some(own)) => own,
            (true, None) => {
                return Err(Box::new(self.refuse(
                    Reason::NoGrant,
                    account,
                    "no grant was given to this account",
                )));
            }
        };
        let (node, owner) = (self.options.node, self.options.owner);
        let mut chain = verify_chain(&shown, &node, &owner, &account, self.today(), &signed_by_person)
            .map_err(|e| Box::new(self.refuse(Reason::NoGrant, account, e.to_string())))?;
        if let Some(root) = chain.grants.first_mut() {
            let mut state = self.state.lock();
            if state.given.get(&root.subject).is_none_or(|(_, known)| known.serial < root.serial)
                && let Some(signed) = shown.first()
            {
                // Given by this owner, perhaps on another device: known from now on.
                drop(state.record(&self.log, super::state::Event::Given(signed.clone())));
            }
            if let Some((_, latest)) = state.given.get(&root.subject)
                && latest.serial > root.serial
            {
                root.bytes = root.bytes.min(latest.bytes);
            }
        }
        Ok(chain)
    }

    /// Reserve room for a lease, or say why not.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        lease: &Lease,
        grants: &[Signed],
        expires: bool,
    ) -> Result<Held, Box<Response>> {
        let account = lease.account;
        if lease.len == 0 || lease.term_days == 0 {
            return Err(Box::new(self.refuse(Reason::Malformed, account, "an empty share, or for no time")));
        }
        let chain = self.chain(account, grants)?;
        let free = self.free_space().await;
        let id = self.world.random::<16>();
        let now = self.world.clock.monotonic();
        let mut state = self.state.lock();
        state.reservations.retain(|_, r| r.expires.is_none_or(|at| now < at));
        let mine = state.reservations.values().filter(|r| r.key.is_some_and(|k| k.0 == account)).count();
        if mine >= RESERVATIONS_MAX {
            drop(state);
            return Err(Box::new(self.refuse(Reason::Busy, account, "too many offers are open")));
        }
        let disk = self.disk_facts(&state, free);
        let key = (account, lease.share);
        let extra = if has(&state, &key, lease.len) { 0 } else { lease.len };
        if let Err((reason, limit, used)) = decide(&state, &chain, extra, &disk, self) {
            drop(state);
            let detail = format!("{used} of {limit} bytes are used, {} more were asked for", lease.len);
            return Err(Box::new(self.refuse_at(reason, account, limit, used, detail)));
        }
        let payers = chain.path();
        let expires = expires.then(|| now + RESERVATION_TIME);
        let reservation = Reservation { key: Some(key), payers: payers.clone(), bytes: extra, expires };
        state.reservations.insert(id, reservation);
        drop(state);
        Ok(Held { holder: Some(self.clone()), id, payers })
    }

    /// Take over the reservation an accepted offer made, if it still stands and is for as much.
    pub(super) fn take_reservation(self: &Arc<Self>, id: [u8; 16], lease: &Lease) -> Option<Held> {
        let now = self.world.clock.monotonic();
        let key = (lease.account, lease.share);
        let mut state = self.state.lock();
        let here = has(&state, &key, lease.len);
        let reservation = state.reservations.get_mut(&id)?;
        let in_time = reservation.expires.is_some_and(|at| now < at);
        let enough = here || reservation.bytes >= lease.len;
        if reservation.key != Some(key) || !in_time || !enough {
            return None;
        }
        reservation.expires = None;
        let payers = reservation.payers.clone();
        drop(state);
        Some(Held { holder: Some(self.clone()), id, payers })
    }

    /// Reserve room for `bytes` more of a drive's logs, or say why not.
    pub(super) async fn reserve_log(
        self: &Arc<Self>,
        payers: &Payers,
        account: PersonId,
        bytes: u64,
    ) -> Result<Held, Box<Response>> {
        let free = self.free_space().await;
        let id = self.world.random::<16>();
        let decided = {
            let mut state = self.state.lock();
            let disk = self.disk_facts(&state, free);
            let links = self.log_links(&state, payers);
            let admitted = match bytes {
                // Nothing new is no reason to refuse one whose grant was lowered since.
                0 => Decision::Accept,
                _ => admit(bytes, u64::MAX, &links, &disk, &self.options.policy),
            };
            match admitted {
                Decision::Accept => {
                    let reservation = Reservation { key: None, payers: payers.clone(), bytes, expires: None };
                    state.reservations.insert(id, reservation);
                    Ok(())
                }
                Decision::Refuse { reason, limit, used } => Err((reason, limit, used)),
            }
        };
        match decided {
            Ok(()) => Ok(Held { holder: Some(self.clone()), id, payers: payers.clone() }),
            Err((reason, limit, used)) => {
                let detail =
                    format!("{used} of {limit} bytes are used; there is no room for {bytes} more of logs");
                Err(Box::new(self.refuse_at(reason, account, limit, used, detail)))
            }
        }
    }

    /// What bounds the logs along a path of payers: the root's grant as it is now, and the
    /// delegated ones as they were shown when the logs were opened.
    fn log_links(&self, state: &State, payers: &Payers) -> Vec<Facts> {
        let shown = state.log_limits.get(payers);
        let limit = |i: usize| match (i, payers.first()) {
            (0, Some(root)) if *root != self.options.owner => {
                state.given.get(root).map_or(0, |(_, grant)| grant.bytes)
            }
            _ => shown.and_then(|bytes| bytes.get(i)).copied().unwrap_or(u64::MAX),
        };
        (0..payers.len()).map(|i| Facts::friend(limit(i), state.used(&payers[..=i]))).collect()
    }
}

fn has(state: &State, key: &LeaseKey, len: u64) -> bool {
    state.book.get(&key.0, &key.1).is_some_and(|kept| kept.lease.len == len)
}

fn decide(
    state: &State,
    chain: &Chain,
    bytes: u64,
    disk: &DiskFacts,
    holder: &Holder,
) -> Result<(), (Reason, u64, u64)> {
    let path = chain.path();
    let links: Vec<Facts> = (1..=path.len())
        .zip(&chain.grants)
        .map(|(end, grant)| Facts {
            regime: grant.regime,
            ..Facts::friend(grant.bytes, state.used(&path[..end]))
        })
        .collect();
    match admit(bytes, SHARE_MAX, &links, disk, &holder.options.policy) {
        Decision::Accept => Ok(()),
        Decision::Refuse { reason, limit, used } => Err((reason, limit, used)),
    }
}

/// What the owner of the disk may use of it: as much as it lends.
fn own_grant(owner: PersonId) -> crate::wire::Grant {
    crate::wire::Grant {
        issuer: owner,
        subject: owner,
        holder: None,
        regime: crate::wire::Regime::Friends,
        bytes: u64::MAX,
        egress_bytes_per_day: u64::MAX,
        not_before: 0,
        expires: None,
        retention_days: u32::MAX,
        rank: u8::MAX,
        obligation_bytes: 0,
        delegable: true,
        parent: None,
        serial: 0,
    }
}
