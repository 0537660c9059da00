//! One way in for every request a holder answers.

use super::get::Wanted;
use super::logs::OpenLog;
use super::{Body, Caller, Holder, Reply};
use crate::wire::{Reason, Request, Response, WATCH_MAX};
use std::sync::Arc;
use std::time::Duration;

impl Holder {
    /// Whether this is a request for the holder (and not for the grid).
    pub fn answers(request: &Request) -> bool {
        matches!(
            request,
            Request::Offer { .. }
                | Request::Put { .. }
                | Request::Get { .. }
                | Request::LeaseRenew { .. }
                | Request::LeaseRelease { .. }
                | Request::LeaseCancelRelease { .. }
                | Request::LeaseAdopt { .. }
                | Request::LogOpen { .. }
                | Request::LogAppend { .. }
                | Request::LogFetch { .. }
                | Request::LogWatch { .. }
                | Request::Statement { .. }
                | Request::RecoveryPut { .. }
        )
    }

    /// Answer one request of a friend. The body is what follows a Put.
    pub async fn serve(self: &Arc<Self>, caller: &Caller, request: Request, body: &mut dyn Body) -> Reply {
        let Some(person) = caller.person else {
            return self.refuse(Reason::NotAFriend, self.owner(), "this node is not known here").into();
        };
        match request {
            Request::Put { lease, grants, reservation } => {
                self.put(caller, lease, &grants, reservation, body).await.into()
            }
            Request::Get { share, account, token, ranges, leaf, nonce } => {
                let wanted = Wanted { key: (account, share), token, ranges, leaf, nonce };
                self.get(caller, wanted).await
            }
            Request::LeaseAdopt { leases, grants } => self.adopt(caller, leases, &grants).await.into(),
            Request::Statement { statement } => self.statement(caller, statement).await.into(),
            Request::RecoveryPut { record, grants } => {
                self.recovery_put(caller, record, &grants).await.into()
            }
            Request::Offer { lease, grants } => self.offer(caller, lease, &grants).await.into(),
            other => match self.lease_request(caller, other).await {
                Ok(response) => response.into(),
                Err(other) => match self.log_request(caller, *other).await {
                    Some(response) => response.into(),
                    None => self.refuse(Reason::Unknown, person, "this node does not do that").into(),
                },
            },
        }
    }

    async fn lease_request(
        self: &Arc<Self>,
        caller: &Caller,
        request: Request,
    ) -> Result<Response, Box<Request>> {
        Ok(match request {
            Request::LeaseRenew { account, shares, term_days } => {
                self.renew(caller, account, shares, term_days).await
            }
            Request::LeaseRelease { account, shares } => self.release(caller, account, shares).await,
            Request::LeaseCancelRelease { account, shares } => {
                self.cancel_release(caller, account, shares).await
            }
            other => return Err(Box::new(other)),
        })
    }

    async fn log_request(self: &Arc<Self>, caller: &Caller, request: Request) -> Option<Response> {
        Some(match request {
            Request::LogOpen { drive, account, admin, grants, bytes: _, read_token_hash } => {
                let open = OpenLog { drive, account, admin, grants, read_token_hash };
                self.log_open(caller, open).await
            }
            Request::LogAppend { drive, account, entries } => {
                self.log_append(caller, drive, account, entries).await
            }
            Request::LogFetch { drive, token, vector, admin_len } => {
                self.log_fetch(caller, drive, &token, &vector, admin_len, Duration::ZERO).await
            }
            Request::LogWatch { drive, token, vector, admin_len, wait_ms } => {
                let wait = Duration::from_millis(wait_ms.into()).min(WATCH_MAX);
                self.log_fetch(caller, drive, &token, &vector, admin_len, wait).await
            }
            _ => return None,
        })
    }
}
