//! Leases after the put: renewed, released with delay, cancelled, ended; grants; status.

use super::state::{Event, HolderStatus};
use super::{Caller, Holder, HolderError};
use crate::keys::{PersonId, ShareId, Signed};
use crate::ledger::{Kept, LeaseEvent, LeaseKey, decode_grant, signed_by_person};
use crate::wire::{Day, Grant, Reason, Response};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A lease that ran out goes when that was seen for so long.
const RUN_OUT_SEEN: Duration = Duration::from_secs(86_400);

impl Holder {
    /// Change leases of the caller's account; answers those it was done for.
    async fn change(
        self: &Arc<Self>,
        caller: &Caller,
        account: PersonId,
        shares: Vec<(ShareId, Option<u64>)>,
        event: impl Fn(&Kept) -> Option<LeaseEvent>,
    ) -> Response {
        if caller.person != Some(account) {
            return self.refuse(Reason::NotYours, account, "these are leases of another account");
        }
        let (mut done, mut last) = (Vec::new(), None);
        {
            let mut state = self.state.lock();
            for (share, generation) in shares {
                let Some(kept) = state.book.get(&account, &share) else { continue };
                let current = kept.generation;
                if generation.is_some_and(|g| g != current) {
                    continue;
                }
                let event = event(kept);
                done.push((share, current));
                if let Some(event) = event {
                    last = Some(state.record(&self.log, Event::Lease(event)));
                }
            }
        }
        match last {
            None => Response::Leases { done },
            // The last is durable only when all before it are.
            Some(ticket) => match ticket.durable().await {
                Ok(_) => Response::Leases { done },
                Err(e) => self.refuse(Reason::Internal, account, e.to_string()),
            },
        }
    }

    pub(super) async fn renew(
        self: &Arc<Self>,
        caller: &Caller,
        account: PersonId,
        shares: Vec<ShareId>,
        days: u16,
    ) -> Response {
        let shares = shares.into_iter().map(|s| (s, None)).collect();
        self.change(caller, account, shares, |kept: &Kept| self.renewal(kept, days)).await
    }

    /// What prolongs a lease that is asked for again, and takes a release of it back: who is
    /// told yes counts on the share. To be recorded under the lock under which it was looked up;
    /// a lease that ended is found, and its end recorded, in one step under that lock as well.
    pub(super) fn renewal(&self, kept: &Kept, days: u16) -> Option<LeaseEvent> {
        let policy = &self.options.policy;
        let until = self.today().saturating_add(u32::from(days.min(policy.term_friends)));
        let longer = until >= kept.until.saturating_add(policy.renew_worth);
        let (account, share) = (kept.lease.account, kept.lease.share);
        (longer || kept.releasing.is_some()).then_some(LeaseEvent::Renew { account, share, until })
    }

    pub(super) async fn release(
        self: &Arc<Self>,
        caller: &Caller,
        account: PersonId,
        shares: Vec<(ShareId, u64)>,
    ) -> Response {
        let effective = self.today().saturating_add(self.options.policy.release_delay);
        let shares = shares.into_iter().map(|(s, g)| (s, Some(g))).collect();
        let event = |kept: &Kept| Some(LeaseEvent::Release { account, share: kept.lease.share, effective });
        self.change(caller, account, shares, event).await
    }

    pub(super) async fn cancel_release(
        self: &Arc<Self>,
        caller: &Caller,
        account: PersonId,
        shares: Vec<(ShareId, u64)>,
    ) -> Response {
        let shares = shares.into_iter().map(|(s, g)| (s, Some(g))).collect();
        let event = |kept: &Kept| Some(LeaseEvent::Cancel { account, share: kept.lease.share });
        self.change(caller, account, shares, event).await
    }

    /// Leases that ended go, with their files; what could not be read is looked at again; counters
    /// are written down.
    pub async fn maintain(self: &Arc<Self>) {
        self.look_again().await;
        let today = self.today();
        let ended = self.ended(today);
        for key in ended {
            if let Err(e) = self.drop_lease(key).await {
                tracing::error!(error = %e, "an ended lease could not be removed");
                return;
            }
        }
        if let Err(e) = self.write_counters().await {
            tracing::error!(error = %e, "counters could not be written");
        }
    }

    /// Leases whose release has taken effect, and those that were found run out for a day in a
    /// row: a clock that is wrong for a while must not cost friends their shares.
    fn ended(&self, today: Day) -> Vec<LeaseKey> {
        let now = self.world.clock.monotonic();
        let mut state = self.state.lock();
        let ended = state.book.ended(today, self.options.policy.retention_friends);
        let (released, run_out): (Vec<_>, Vec<_>) = ended.into_iter().partition(|(account, share)| {
            state.book.get(account, share).and_then(|k| k.releasing).is_some_and(|day| today >= day)
        });
        let before = std::mem::take(&mut state.run_out);
        state.run_out = run_out.iter().map(|key| (*key, before.get(key).copied().unwrap_or(now))).collect();
        let due = state.run_out.iter().filter(|(_, since)| now >= **since + RUN_OUT_SEEN);
        released.into_iter().chain(due.map(|(key, _)| *key)).collect()
    }

    pub(super) async fn drop_lease(self: &Arc<Self>, key: LeaseKey) -> Result<(), HolderError> {
        let lock = self.busy_lock(key);
        let busy = lock.lock().await;
        let done = self.drop_ended(key).await;
        drop(busy);
        self.release_busy(&key, lock);
        done
    }

    /// Under the lock of the lease's file.
    async fn drop_ended(self: &Arc<Self>, key: LeaseKey) -> Result<(), HolderError> {
        let (account, share) = key;
        let (today, retention) = (self.today(), self.options.policy.retention_friends);
        let ticket = {
            let mut state = self.state.lock();
            if !state.book.has_ended(&key, today, retention) {
                // Put anew, renewed, taken over or cancelled in the meantime.
                return Ok(());
            }
            // In one step with the look: whoever renews it next does not find it any more.
            state.forget_file(&key);
            state.record(&self.log, Event::Lease(LeaseEvent::Drop { account, share }))
        };
        // Recorded first: a crash in between leaves a file whose lease is known to have ended,
        // which goes at the next start, and never a lease without its file.
        ticket.durable().await?;
        let files = self.files.clone();
        self.world.blocking(move || files.remove(&key)).await??;
        Ok(())
    }

    async fn write_counters(self: &Arc<Self>) -> Result<(), HolderError> {
        let last = {
            let mut state = self.state.lock();
            let all: Vec<_> = state.counters.iter().map(|(a, c)| (*a, *c)).collect();
            let mut last = None;
            for (account, counters) in all {
                last = Some(state.record(&self.log, Event::Counted { account, counters }));
            }
            last
        };
        if let Some(ticket) = last {
            ticket.durable().await?;
        }
        Ok(())
    }

    /// Record a grant of this disk's owner; a later serial replaces an earlier one.
    pub async fn give(self: &Arc<Self>, grant: &Signed) -> Result<Grant, HolderError> {
        let wrong = |why: &str| HolderError::Io(std::io::Error::other(format!("the grant {why}")));
        let decoded = decode_grant(grant).ok_or_else(|| wrong("is malformed"))?;
        if decoded.issuer != self.options.owner || !signed_by_person(&decoded.issuer, grant) {
            return Err(wrong("is not signed by the owner of this disk"));
        }
        let ticket = self.state.lock().record(&self.log, Event::Given(grant.clone()));
        ticket.durable().await?;
        Ok(decoded)
    }

    /// Grants given, the latest to each friend.
    pub fn given(&self) -> Vec<(Signed, Grant)> {
        self.state.lock().given.values().cloned().collect()
    }

    /// The holder at a glance.
    pub fn status(&self) -> HolderStatus {
        let drives = self.drives.lock().len();
        let state = self.state.lock();
        HolderStatus {
            leases: state.book.len(),
            lent: state.book.lent(),
            lends: self.lends.load(Ordering::Relaxed),
            reserved: state.reserved(),
            damaged: state.damaged.len(),
            accounts: state.given.iter().map(|(p, (_, g))| (*p, g.bytes, state.used(&[*p]))).collect(),
            drives,
        }
    }
}
