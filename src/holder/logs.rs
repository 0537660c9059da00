//! Requests about the logs of drives: the admin log and every writer's entries, kept as
//! they came.
//!
//! `logs/<drive>` is one record file. Entries are opaque here but for their signed headers:
//! signature, enrolment, sequence and chain are checked before they are kept, and an append
//! is acknowledged when it is synced.

use super::admission::Held;
use super::drive_logs::{DriveLogs, Known};
use super::records::RecordError;
use super::state::{Event, Opener};
use super::{Caller, Holder, HolderError};
use crate::keys::{AdminLog, DriveId, Hash, PersonId, Signed, ct_eq, read_token_hash};
use crate::ledger::Chain;
use crate::wire::{Head, LogReceipt, Reason, Response};
use std::sync::Arc;
use std::time::Duration;

/// Logs of drives kept for one friend and those it delegated to, counted once for each account.
const LOGS_EACH_MAX: usize = 512;
/// Bytes of admin records kept for these: they lie in memory as long as the node runs.
const ADMIN_EACH_MAX: u64 = 32 << 20;

/// An account keeps a drive's logs here: what the request says.
pub(super) struct OpenLog {
    pub drive: DriveId,
    pub account: PersonId,
    pub admin: Vec<Signed>,
    pub grants: Vec<Signed>,
    pub read_token_hash: Hash,
}

impl Holder {
    /// Read all logs at start.
    pub(super) async fn open_logs(self: &Arc<Self>) -> Result<(), HolderError> {
        let mut drives: Vec<DriveId> = self.state.lock().openers.keys().map(|(drive, _)| *drive).collect();
        drives.dedup();
        for drive in drives {
            let logs = self.open_drive_logs(drive).await?;
            self.drives.lock().insert(drive, logs);
            self.bill_logs(&drive);
        }
        Ok(())
    }

    async fn open_drive_logs(&self, drive: DriveId) -> Result<Arc<DriveLogs>, HolderError> {
        let (world, check) = (self.world.clone(), self.options.replay_entry);
        let path = self.places.lent.join("logs").join(drive.to_string());
        let opened = self.world.blocking(move || DriveLogs::open(&world, &path, drive, check)).await;
        Ok(Arc::new(opened??))
    }

    /// Write into the book what each account's logs take.
    fn bill_logs(&self, drive: &DriveId) {
        let Some(logs) = self.drives.lock().get(drive).cloned() else { return };
        let bytes: Vec<(PersonId, u64)> = logs.known.lock().bytes.iter().map(|(a, b)| (*a, *b)).collect();
        let mut state = self.state.lock();
        for (account, bytes) in bytes {
            let payers = state.openers.get(&(*drive, account)).map(|o| o.payers.clone());
            state.book.set_log_bytes(&payers.unwrap_or_else(|| vec![account]), *drive, bytes);
        }
    }

    /// Keep a drive's logs for an account; also brings the admin log up to date.
    pub(super) async fn log_open(self: &Arc<Self>, caller: &Caller, open: OpenLog) -> Response {
        let account = open.account;
        if caller.person != Some(account) {
            return self.refuse(Reason::NotYours, account, "the account is another's");
        }
        let chain = match self.chain(account, &open.grants) {
            Ok(chain) => chain,
            Err(refusal) => return *refusal,
        };
        // A log of a drive nobody has here yet is verified before a file is made for it.
        let verified = match AdminLog::load(&open.drive, &open.admin) {
            Ok(log) => log,
            Err(e) => return self.refuse(Reason::BadEntry, account, e.to_string()),
        };
        let known = self.drives.lock().get(&open.drive).cloned();
        let (member, news) = match known {
            Some(logs) => {
                let known = logs.known.lock();
                (known.is_member(&verified, &account), known.admin_news(&open.admin))
            }
            None => {
                let none = Known::default();
                (none.is_member(&verified, &account), none.admin_news(&open.admin))
            }
        };
        if !member {
            return self.refuse(Reason::NotYours, account, "this person is not a member of the drive");
        }
        let held = match self.admit_open(&chain, &open, news).await {
            Ok(held) => held,
            Err(refusal) => return *refusal,
        };
        let this = self.clone();
        let done = tokio::spawn(async move { this.log_opened(open, held).await }).await;
        match done.unwrap_or_else(|e| Err(HolderError::Io(std::io::Error::other(e)))) {
            Ok(response) => response,
            Err(e) => self.refuse(Reason::Internal, account, e.to_string()),
        }
    }

    /// Whether a drive's logs may be kept for an account: room for what is new of the admin log,
    /// reserved, and bounds on what of all logs lies in memory.
    async fn admit_open(
        self: &Arc<Self>,
        chain: &Chain,
        open: &OpenLog,
        news: u64,
    ) -> Result<Held, Box<Response>> {
        let (payers, account) = (chain.path(), open.account);
        let root = payers.first().copied().unwrap_or(account);
        let (drives, admin) = self.kept_for(&root, &(open.drive, account));
        if drives >= LOGS_EACH_MAX {
            let (limit, used) = (LOGS_EACH_MAX as u64, drives as u64);
            return Err(Box::new(self.refuse_at(Reason::OverLimit, account, limit, used, "too many drives")));
        }
        if admin.saturating_add(news) > ADMIN_EACH_MAX {
            let detail = format!("{admin} bytes of admin logs are here, {news} more were brought");
            return Err(Box::new(self.refuse_at(Reason::OverLimit, account, ADMIN_EACH_MAX, admin, detail)));
        }
        self.note_log_limits(chain);
        self.reserve_log(&payers, account, news).await
    }

    /// Remember what each link of a chain allows: what is brought later comes without it.
    pub(super) fn note_log_limits(&self, chain: &Chain) {
        let (payers, bytes) = (chain.path(), chain.grants.iter().map(|grant| grant.bytes).collect());
        // Made durable by the next record that somebody waits for.
        let mut state = self.state.lock();
        if payers.len() > 1 && state.log_limits.get(&payers) != Some(&bytes) {
            drop(state.record(&self.log, Event::LogLimits { payers, bytes }));
        }
    }

    /// What is kept of logs for a friend and whom it delegated to: openings other than `but`,
    /// and bytes of admin records.
    fn kept_for(&self, root: &PersonId, but: &(DriveId, PersonId)) -> (usize, u64) {
        let openings: Vec<(DriveId, PersonId)> = {
            let state = self.state.lock();
            let mine = state.openers.iter().filter(|(_, opener)| opener.payers.first() == Some(root));
            mine.map(|(key, _)| *key).collect()
        };
        let drives = self.drives.lock();
        let admin = openings.iter().filter_map(|(drive, account)| {
            drives.get(drive).and_then(|logs| logs.known.lock().admin_bytes.get(account).copied())
        });
        (openings.iter().filter(|key| *key != but).count(), admin.fold(0, u64::saturating_add))
    }

    async fn log_opened(self: &Arc<Self>, open: OpenLog, held: Held) -> Result<Response, HolderError> {
        let OpenLog { drive, account, admin, read_token_hash, .. } = open;
        let payers = held.payers.clone();
        let known = self.drives.lock().get(&drive).cloned();
        let logs = match known {
            Some(logs) => logs,
            None => {
                let opened = self.open_drive_logs(drive).await?;
                self.drives.lock().entry(drive).or_insert(opened).clone()
            }
        };
        if let Err(why) = logs.extend_admin(&drive, account, &admin).await? {
            return Ok(self.refuse(Reason::BadEntry, account, why));
        }
        let opener = Opener { payers: payers.clone(), read_token_hash };
        let news = self.state.lock().openers.get(&(drive, account)) != Some(&opener);
        if news {
            let event = Event::LogOpen { drive, account, payers, read_token_hash };
            let ticket = self.state.lock().record(&self.log, event);
            ticket.durable().await?;
        }
        self.bill_logs(&drive);
        drop(held);
        Ok(self.log_receipt(drive, &logs))
    }

    /// Entries of one log or several, each log's in sequence.
    pub(super) async fn log_append(
        self: &Arc<Self>,
        caller: &Caller,
        drive: DriveId,
        account: PersonId,
        entries: Vec<Vec<u8>>,
    ) -> Response {
        if caller.person != Some(account) {
            return self.refuse(Reason::NotYours, account, "the account is another's");
        }
        let logs = self.drives.lock().get(&drive).cloned();
        let opener = self.state.lock().openers.get(&(drive, account)).cloned();
        let (Some(logs), Some(opener)) = (logs, opener) else {
            return self.refuse(Reason::NotFound, account, "this account keeps no logs of the drive here");
        };
        let bytes = entries.iter().map(|e| e.len() as u64).sum();
        let held = match self.reserve_log(&opener.payers, account, bytes).await {
            Ok(held) => held,
            Err(refusal) => return *refusal,
        };
        let (this, check) = (self.clone(), self.options.check_entry);
        let done = tokio::spawn(async move {
            let result = logs.append(&drive, account, entries, check).await?;
            this.bill_logs(&drive);
            drop(held);
            Ok::<_, RecordError>(match result {
                Ok(()) => this.log_receipt(drive, &logs),
                Err((reason, why)) => this.refuse(reason, account, why),
            })
        });
        match done.await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => self.refuse(Reason::Internal, account, e.to_string()),
            Err(e) => self.refuse(Reason::Internal, account, e.to_string()),
        }
    }

    fn log_receipt(&self, drive: DriveId, logs: &DriveLogs) -> Response {
        let (holder, day) = (self.options.node, self.today());
        let receipt = LogReceipt { holder, drive, heads: logs.known.lock().heads(), day };
        Response::LogAck { receipt: self.sign(&receipt) }
    }

    /// What is here beyond a vector. Waits for something for up to `wait`.
    pub(super) async fn log_fetch(
        self: &Arc<Self>,
        caller: &Caller,
        drive: DriveId,
        token: &[u8; 32],
        vector: &[Head],
        admin_len: u32,
        wait: Duration,
    ) -> Response {
        let asker = caller.person.unwrap_or(self.options.owner);
        let logs = self.drives.lock().get(&drive).cloned();
        let hash = read_token_hash(token);
        let allowed = {
            let state = self.state.lock();
            let range = (drive, PersonId([0; 32]))..=(drive, PersonId([0xff; 32]));
            state.openers.range(range).any(|(_, o)| ct_eq(&o.read_token_hash.0, &hash.0))
        };
        let (Some(logs), true) = (logs, allowed) else {
            return self.refuse(Reason::NotFound, asker, "no such drive, or not for this token");
        };
        let until = tokio::time::Instant::now() + wait;
        let mut changed = logs.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let page = logs.page(&self.world, vector, admin_len).await;
            let page = match page {
                Ok(page) => page,
                Err(e) => return self.refuse(Reason::Internal, asker, e.to_string()),
            };
            let empty = page.admin.is_empty() && page.entries.is_empty();
            let over = tokio::time::Instant::now() >= until;
            if !empty || over {
                return Response::LogEntries { admin: page.admin, entries: page.entries, more: page.more };
            }
            // Either something came, or the time is over: the loop looks which.
            let _ = tokio::time::timeout_at(until, changed.changed()).await;
        }
    }
}
