//! Taking over: an account gets a lease of its own on a share that is kept here for another.

use super::shares::ShareError;
use super::state::Event;
use super::{Caller, Holder};
use crate::keys::{ShareId, Signed, ct_eq};
use crate::ledger::LeaseKey;
use crate::wire::{Lease, Reason, Receipt, Response};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Shares taken over in one request: each is read and written once. What is beyond is
/// answered as not done, and may be asked for again.
const ADOPT_MAX: usize = 64;

impl Holder {
    /// Leases on shares that are here already. Who shows the hash of a share's read token can
    /// read it anyway; room is admitted and billed as for a share that is sent.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        caller: &Caller,
        leases: Vec<Lease>,
        grants: &[Signed],
    ) -> Response {
        let account = caller.person.unwrap_or(self.owner());
        if leases.iter().any(|l| l.account != account) {
            return self.refuse(Reason::NotYours, account, "a lease is for another account");
        }
        let kept = self.kept_shares(&leases);
        let (mut done, mut refused) = (Vec::new(), None);
        for lease in leases.into_iter().take(ADOPT_MAX) {
            let share = lease.share;
            let answer = match self.renewed(&lease).await {
                Some(answer) => answer,
                None => match kept.get(&share) {
                    Some(from) => self.copy(caller, *from, lease, grants).await,
                    None => {
                        Err(self.refuse(Reason::NotFound, account, "no such share, or not for this token"))
                    }
                },
            };
            match answer {
                Ok(generation) => done.push((share, generation)),
                Err(response) => drop(refused.get_or_insert(response)),
            }
        }
        match refused {
            Some(refusal) if done.is_empty() => refusal,
            _ => Response::Leases { done },
        }
    }

    /// The account has it already: prolonged, and no more on its way out, before it is told so.
    async fn renewed(&self, lease: &Lease) -> Option<Result<u64, Response>> {
        let (generation, ticket) = {
            let mut state = self.state.lock();
            let kept = state.book.get(&lease.account, &lease.share)?;
            let (generation, event) = (kept.generation, self.renewal(kept, lease.term_days));
            (generation, event.map(|e| state.record(&self.log, Event::Lease(e))))
        };
        Some(match ticket {
            None => Ok(generation),
            Some(ticket) => match ticket.durable().await {
                Ok(_) => Ok(generation),
                Err(e) => Err(self.refuse(Reason::Internal, lease.account, e.to_string())),
            },
        })
    }

    /// Where the shares of these leases are kept under the same token and length.
    fn kept_shares(&self, leases: &[Lease]) -> BTreeMap<ShareId, LeaseKey> {
        let wanted: BTreeMap<ShareId, &Lease> = leases.iter().map(|l| (l.share, l)).collect();
        let state = self.state.lock();
        let same = state.book.iter().filter(|((_, share), kept)| {
            wanted.get(share).is_some_and(|lease| {
                lease.len == kept.lease.len && ct_eq(&lease.read_token_hash.0, &kept.lease.read_token_hash.0)
            })
        });
        same.map(|(key, _)| (key.1, *key)).collect()
    }

    async fn copy(
        self: &Arc<Self>,
        caller: &Caller,
        from: LeaseKey,
        lease: Lease,
        grants: &[Signed],
    ) -> Result<u64, Response> {
        let (account, len, files) = (lease.account, lease.len, self.files.clone());
        let internal = |e: String| self.refuse(Reason::Internal, account, e);
        let room = self.answers.take(account, super::answer_units(len)).await;
        let _room = room.map_err(|e| internal(e.to_string()))?;
        let bytes = self.world.blocking(move || files.bytes(&from, len)).await;
        let bytes = bytes.unwrap_or_else(|e| Err(ShareError::Stopped(e.to_string())));
        let bytes = bytes.map_err(|e| self.unserved(from, account, &e))?;
        let mut body = VecDeque::from([Bytes::from(bytes)]);
        match self.put(caller, lease, grants, None, &mut body).await {
            Response::Receipt { receipt } => {
                receipt.peek::<Receipt>().map(|r| r.generation).map_err(|e| internal(e.to_string()))
            }
            refused => Err(refused),
        }
    }
}
