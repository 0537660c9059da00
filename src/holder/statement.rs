//! The tally between an account and this holder: asked for with the account's own, answered
//! with the holder's, both signed, both kept.

use super::state::{Event, State};
use super::{Caller, Holder};
use crate::keys::{Certificate, PersonId, Signed};
use crate::ledger::{Holding, Path as Payers, form_statement};
use crate::wire::{self, Reason, Response, Statement};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl State {
    /// Who pays for what an account has here, as far as anything was kept for it.
    fn payers_of(&self, account: &PersonId) -> Payers {
        if self.given.contains_key(account) {
            return vec![*account];
        }
        let opener = self.openers.iter().find(|((_, a), _)| a == account).map(|(_, o)| o.payers.clone());
        let lease = || self.book.of_account(account).next().map(|kept| kept.path.clone());
        opener.or_else(lease).unwrap_or_else(|| vec![*account])
    }

    /// What an account may have here and has; `lends` is what the node lends in all.
    fn holding(&self, account: &PersonId, lends: u64) -> Holding {
        let payers = self.payers_of(account);
        let used = self.book.used(&payers);
        let root = payers.first().and_then(|p| self.given.get(p)).map_or(0, |(_, grant)| grant.bytes);
        let left = root.saturating_sub(self.book.used(&payers[..1]));
        let left = left.min(lends.saturating_sub(self.book.lent()));
        let leases = self.book.of_account(account).count() as u64;
        Holding { limit: used.saturating_add(left), used, leases }
    }
}

impl Holder {
    /// Answer an account's statement with this holder's.
    pub(super) async fn statement(self: &Arc<Self>, caller: &Caller, theirs: Signed) -> Response {
        let Some(account) = caller.person else {
            return self.refuse(Reason::NotAFriend, self.owner(), "this node is not known here");
        };
        let certificate = caller.certificate.as_ref().and_then(|c| Certificate::verify_undated(c).ok());
        let Some(certificate) = certificate else {
            return self.refuse(
                Reason::Malformed,
                account,
                "a statement without a certificate to check it by",
            );
        };
        let said: Statement = match theirs.open(&certificate.signing_key) {
            Ok(said) => said,
            Err(e) => return self.refuse(Reason::Malformed, account, format!("the statement: {e}")),
        };
        if (said.account, said.holder) != (account, self.node()) {
            return self.refuse(Reason::NotYours, account, "the statement is of another account or holder");
        }
        match self.next_statement(account, &theirs) {
            Ok((statement, None)) => Response::Statement { statement },
            Ok((statement, Some(ticket))) => match ticket.durable().await {
                Ok(_) => Response::Statement { statement },
                Err(e) => self.refuse(Reason::Internal, account, e.to_string()),
            },
            Err(e) => self.refuse(Reason::Internal, account, e),
        }
    }

    /// The last statement where nothing has changed since; else the next, about to be on disk.
    fn next_statement(
        &self,
        account: PersonId,
        theirs: &Signed,
    ) -> Result<(Signed, Option<super::records::Ticket>), String> {
        let lends = self.lends.load(Ordering::Relaxed);
        let (day, holder) = (self.today(), self.node());
        let mut state = self.state.lock();
        let last = match state.statements.get(&account) {
            Some(signed) => Some((signed.peek::<Statement>().map_err(|e| e.to_string())?, signed.clone())),
            None => None,
        };
        let counters = state.counters.get(&account).copied().unwrap_or_default();
        let (holding, leases) = (state.holding(&account, lends), state.book.lease_set(&account));
        let previous = last.as_ref().map(|(statement, signed)| (statement, signed));
        let next = form_statement(account, holder, previous, &counters, leases, holding, day);
        if let Some((before, signed)) = &last
            && (Statement { seq: next.seq, previous: next.previous, ..before.clone() }) == next
        {
            return Ok((signed.clone(), None));
        }
        let ours = self.sign(&next);
        let event = Event::Statement { account, ours: ours.clone(), theirs: wire::encode(theirs) };
        let ticket = state.record(&self.log, event);
        Ok((ours, Some(ticket)))
    }
}
