//! Giving shares back, with proof: every byte is checked against the hash tree first.

use super::shares::ShareError;
use super::turns::Turn;
use super::{Caller, Holder, Reply};
use crate::content::Leaf;
use crate::keys::{PersonId, ct_eq, read_token_hash};
use crate::ledger::LeaseKey;
use crate::wire::{Range, Reason, Response};
use bytes::Bytes;
use std::sync::Arc;

/// What a Get asks for.
pub(super) struct Wanted {
    pub key: LeaseKey,
    pub token: [u8; 32],
    pub ranges: Vec<Range>,
    pub leaf: u8,
    /// Said again in the answer.
    pub nonce: [u8; 16],
}

/// Shares that could not be read, looked at again at a time: each is read whole.
const LOOKED_AT_AGAIN: usize = 16;
/// Room for the proof of an answer, in units, beyond its bytes.
const PROOF_UNITS: u32 = 32;

/// An answer's bytes; the room they were counted for is free when they are, and not before:
/// whoever reads slowly has them in memory here for as long.
struct Answer {
    proof: Vec<u8>,
    _room: Turn,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.proof
    }
}

impl Holder {
    /// Ranges of a share with proof. Billed to the lease; read by whoever has the token.
    pub(super) async fn get(self: &Arc<Self>, caller: &Caller, wanted: Wanted) -> Reply {
        let Wanted { key, token, ranges, leaf, nonce } = wanted;
        let (account, share) = key;
        let asker = caller.person.unwrap_or(account);
        // Whether a share is here is not said to those without its token.
        let absent = || self.refuse(Reason::NotFound, asker, "no such share, or not for this token");
        let known = {
            let state = self.state.lock();
            state.book.get(&account, &share).map(|k| (k.lease.len, k.lease.read_token_hash))
        };
        let Some((len, expected)) = known else { return absent().into() };
        if !ct_eq(&read_token_hash(&token).0, &expected.0) {
            return absent().into();
        }
        let Some(leaf) = Leaf::new(leaf) else {
            return self.refuse(Reason::Malformed, asker, "no such leaf size").into();
        };
        let wanted: Vec<_> = ranges.iter().map(|r| r.offset..r.offset.saturating_add(r.len.into())).collect();
        let bytes: u64 = ranges.iter().map(|r| u64::from(r.len)).sum();
        // Bounds the memory of all answers together; a proof is little more than its bytes.
        let units = super::answer_units(bytes).saturating_add(PROOF_UNITS);
        let Ok(room) = self.answers.take(asker, units).await else {
            return self.refuse(Reason::Busy, asker, "shutting down").into();
        };
        let files = self.files.clone();
        let proved = self.world.blocking(move || files.prove(&key, len, &wanted, leaf)).await;
        match proved.unwrap_or_else(|e| Err(ShareError::Stopped(e.to_string()))) {
            Ok(proof) => {
                let mut state = self.state.lock();
                state.forget_file(&key);
                let counters = state.counters.entry(account).or_default();
                counters.bytes_read = counters.bytes_read.saturating_add(bytes);
                let ledger_head = state.ledger_head(&account);
                let response = Response::Data { len: proof.len() as u64, nonce, ledger_head };
                Reply { response, body: Some(Bytes::from_owner(Answer { proof, _room: room })) }
            }
            Err(e) => self.unserved(key, asker, &e).into(),
        }
    }

    /// Why a share that is kept here is not given. `NotFound` is this holder's word that it lost
    /// it, upon which it is made again elsewhere: so only for what is gone or damaged, and never
    /// for a disk or a process that cannot read at the moment. One that cannot for long is lost
    /// all the same: a bad sector must not keep its share from being repaired.
    pub(super) fn unserved(&self, key: LeaseKey, asker: PersonId, e: &ShareError) -> Response {
        tracing::warn!(share = %key.1.short(), error = %e, "a kept share cannot be served");
        let now = self.world.clock.monotonic();
        let lost = match e {
            ShareError::Ranges => {
                return self.refuse(
                    Reason::Malformed,
                    asker,
                    "the ranges are not ascending and inside the share",
                );
            }
            ShareError::Gone | ShareError::Damaged(_) => true,
            ShareError::Stopped(_) | ShareError::Disk { .. } => {
                let mut state = self.state.lock();
                state.damaged.contains(&key) || state.unreadable(key, now)
            }
        };
        if lost {
            let mut state = self.state.lock();
            // Unless its lease ended meanwhile: then nobody asks for it any more.
            if state.book.get(&key.0, &key.1).is_some() {
                state.damaged.insert(key);
            }
            drop(state);
            return self.refuse(Reason::NotFound, asker, e.told());
        }
        self.refuse(Reason::Busy, asker, format!("the share cannot be read at the moment: {}", e.told()))
    }

    /// Shares that could not be read are looked at by this holder itself: friends may not ask for
    /// days, and what was back in between has not been away all the time.
    pub(super) async fn look_again(&self) {
        let some: Vec<(LeaseKey, u64)> = {
            let state = self.state.lock();
            let all = state.unreadable.len();
            // Anywhere among them, so that it is each one's turn some time.
            let first = u64::from_le_bytes(self.world.random::<8>()) as usize % all.max(1);
            let known = |key: &LeaseKey| state.book.get(&key.0, &key.1).map(|kept| (*key, kept.lease.len));
            let turn = state.unreadable.keys().cycle().skip(first).take(all.min(LOOKED_AT_AGAIN));
            turn.filter_map(known).collect()
        };
        for (key, len) in some {
            let files = self.files.clone();
            let read = self.world.blocking(move || files.bytes(&key, len).map(drop)).await;
            match read.unwrap_or_else(|e| Err(ShareError::Stopped(e.to_string()))) {
                Ok(()) => self.state.lock().readable(&key, self.world.clock.monotonic()),
                Err(e) => tracing::debug!(share = %key.1.short(), error = %e, "still cannot be read"),
            }
        }
    }
}
