//! The logs of drives: the admin log and every writer's entries, kept as they came.
//!
//! `logs/<drive>` is one record file. Entries are opaque here but for their signed headers:
//! signature, enrolment, sequence and chain are checked before they are kept, and an append
//! is acknowledged when it is synced.

use super::records::{Place, RecordError, RecordFile};
use super::state::{Event, Opener};
use super::{Caller, Holder, HolderError};
use crate::keys::{
    AdminLog, AppendError, DriveId, EntryHash, Epoch, Hash, LogId, PersonId, Signed, ct_eq, encode,
    read_token_hash,
};
use crate::ledger::Path as Payers;
use crate::wire::{
    ADMIN_RECORDS_MAX, ENTRY_MAX, FETCH_ENTRIES_MAX, Head, LogReceipt, Reason, Response, VECTOR_MAX,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a holder sees of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckedEntry {
    pub log: LogId,
    pub seq: u64,
    pub previous: EntryHash,
    pub hash: EntryHash,
    pub epoch: Epoch,
    /// Public key of the writer whose signature was found sound.
    pub writer: [u8; 32],
}

/// Checks an entry's form and signature, as far as that goes without any key of the drive.
pub type CheckEntry = fn(&DriveId, &[u8]) -> Result<CheckedEntry, String>;

/// Bytes of entries and admin records in one answer.
const PAGE_BYTES: usize = ENTRY_MAX;

const RECORD_ADMIN: u8 = 0;
const RECORD_ENTRY: u8 = 1;

/// One drive's logs.
pub(super) struct DriveLogs {
    file: RecordFile,
    known: Mutex<Known>,
    /// One append at a time.
    appending: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    admin: Option<AdminLog>,
    logs: BTreeMap<LogId, OneLog>,
    /// Bytes each account had kept.
    bytes: BTreeMap<PersonId, u64>,
}

struct OneLog {
    head: Head,
    /// Entry `i` has sequence number `i + 1`.
    places: Vec<Place>,
}

impl Known {
    fn replay(&mut self, drive: &DriveId, check: CheckEntry, place: Place, payload: &[u8]) {
        let Some((kind, rest)) = payload.split_first() else { return };
        match *kind {
            RECORD_ADMIN => {
                if let Ok(record) = crate::wire::decode::<Signed>(rest) {
                    self.admin_record(drive, record);
                }
            }
            RECORD_ENTRY => {
                let Some((account, entry)) = rest.split_first_chunk::<32>() else { return };
                // Checked when it came, and the record's checksum holds: the header is enough,
                // but there is one way to read it, and it verifies.
                if let Ok(checked) = check(drive, entry)
                    && self.follows(&checked)
                {
                    self.take_entry(PersonId(*account), &checked, place);
                }
            }
            _ => {}
        }
    }

    fn admin_record(&mut self, drive: &DriveId, record: Signed) {
        match &mut self.admin {
            None => self.admin = AdminLog::begin(record, drive).ok(),
            // One that does not fit was refused before it was written.
            Some(log) => drop(log.append(record)),
        }
    }

    /// Whether an entry is the next of its log.
    fn follows(&self, entry: &CheckedEntry) -> bool {
        match self.logs.get(&entry.log) {
            None => entry.seq == 1 && entry.previous == EntryHash([0; 32]),
            Some(log) => log.head.seq.checked_add(1) == Some(entry.seq) && entry.previous == log.head.hash,
        }
    }

    fn take_entry(&mut self, account: PersonId, entry: &CheckedEntry, place: Place) {
        let head = Head { log: entry.log, seq: entry.seq, hash: entry.hash };
        let log = self.logs.entry(entry.log).or_insert_with(|| OneLog { head, places: Vec::new() });
        log.head = head;
        log.places.push(place);
        let bytes = self.bytes.entry(account).or_default();
        *bytes = bytes.saturating_add(place.len.into());
    }

    fn heads(&self) -> Vec<Head> {
        self.logs.values().map(|l| l.head).take(VECTOR_MAX).collect()
    }
}

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
        let (world, check) = (self.world.clone(), self.options.check_entry);
        let path = self.places.lent.join("logs").join(drive.to_string());
        let opened = self.world.blocking(move || {
            let mut known = Known::default();
            let file =
                RecordFile::open(&world, &path, |place, bytes| known.replay(&drive, check, place, bytes));
            file.map(|(file, scan)| (file, scan, known))
        });
        let (file, scan, known) = opened.await??;
        if scan.damaged > 0 {
            tracing::warn!(drive = %drive.short(), damaged = scan.damaged, "a drive's logs have damaged records");
        }
        Ok(Arc::new(DriveLogs {
            file,
            known: Mutex::new(known),
            appending: tokio::sync::Mutex::new(()),
            changed: watch::channel(0).0,
        }))
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
        let payers = match self.chain(account, &open.grants) {
            Ok(chain) => chain.path(),
            Err(refusal) => return *refusal,
        };
        // A log of a drive nobody has here yet is verified before a file is made for it.
        let verified = match AdminLog::load(&open.drive, &open.admin) {
            Ok(log) => log,
            Err(e) => return self.refuse(Reason::BadEntry, account, e.to_string()),
        };
        if verified.member(&account).is_none() {
            return self.refuse(Reason::NotYours, account, "this person is not a member of the drive");
        }
        let this = self.clone();
        let done = tokio::spawn(async move { this.log_opened(open, payers).await }).await;
        match done.unwrap_or_else(|e| Err(HolderError::Io(std::io::Error::other(e)))) {
            Ok(response) => response,
            Err(e) => self.refuse(Reason::Internal, account, e.to_string()),
        }
    }

    async fn log_opened(self: &Arc<Self>, open: OpenLog, payers: Payers) -> Result<Response, HolderError> {
        let OpenLog { drive, account, admin, read_token_hash, .. } = open;
        let known = self.drives.lock().get(&drive).cloned();
        let logs = match known {
            Some(logs) => logs,
            None => {
                let opened = self.open_drive_logs(drive).await?;
                self.drives.lock().entry(drive).or_insert(opened).clone()
            }
        };
        if let Err(why) = logs.extend_admin(&drive, &admin).await? {
            return Ok(self.refuse(Reason::BadEntry, account, why));
        }
        let opener = Opener { payers: payers.clone(), read_token_hash };
        let news = self.state.lock().openers.get(&(drive, account)) != Some(&opener);
        if news {
            let event = Event::LogOpen { drive, account, payers, read_token_hash };
            let ticket = self.state.lock().record(&self.log, event);
            ticket.durable().await?;
        }
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
        if let Err(refusal) = self.admit_log(&opener.payers, account, bytes).await {
            return *refusal;
        }
        let (this, check) = (self.clone(), self.options.check_entry);
        let done = tokio::spawn(async move {
            let result = logs.append(&drive, account, entries, check).await?;
            this.bill_logs(&drive);
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

struct Page {
    admin: Vec<Signed>,
    entries: Vec<Vec<u8>>,
    more: bool,
}

impl DriveLogs {
    /// Take in admin records from the genesis on. The inner error is about the records.
    async fn extend_admin(
        &self,
        drive: &DriveId,
        records: &[Signed],
    ) -> Result<Result<(), String>, RecordError> {
        let _one = self.appending.lock().await;
        let mut log = match (self.known.lock().admin.clone(), records.first()) {
            (Some(log), _) => log,
            (None, Some(first)) => match AdminLog::begin(first.clone(), drive) {
                Ok(log) => log,
                Err(e) => return Ok(Err(e.to_string())),
            },
            (None, None) => return Ok(Err("an admin log without records".into())),
        };
        let had = self.known.lock().admin.as_ref().map_or(0, AdminLog::len);
        if let Err(e) = log.extend(0, records) {
            return Ok(Err(e.to_string()));
        }
        let mut last = None;
        for record in log.records(had) {
            let payload = [&[RECORD_ADMIN][..], &encode(record)].concat();
            last = Some(self.file.enqueue(&payload));
        }
        if let Some(ticket) = last {
            ticket.durable().await?;
            self.known.lock().admin = Some(log);
            self.changed.send_modify(|n| *n += 1);
        }
        Ok(Ok(()))
    }

    /// Check and keep entries; those known already are passed over. The inner error says
    /// which rule an entry breaks; those before it are kept.
    async fn append(
        &self,
        drive: &DriveId,
        account: PersonId,
        entries: Vec<Vec<u8>>,
        check: CheckEntry,
    ) -> Result<Result<(), (Reason, String)>, RecordError> {
        let _one = self.appending.lock().await;
        let (taken, verdict) = self.select(drive, entries, check);
        let mut tickets = Vec::new();
        for (entry, checked) in taken {
            let payload = [&[RECORD_ENTRY][..], &account.0, &entry].concat();
            tickets.push((self.file.enqueue(&payload), checked));
        }
        let any = !tickets.is_empty();
        for (ticket, checked) in tickets {
            let place = ticket.durable().await?;
            self.known.lock().take_entry(account, &checked, place);
        }
        if any {
            self.changed.send_modify(|n| *n += 1);
        }
        Ok(verdict)
    }

    /// The entries that are new and in order, and what was wrong with the first that is not.
    #[allow(clippy::type_complexity)]
    fn select(
        &self,
        drive: &DriveId,
        entries: Vec<Vec<u8>>,
        check: CheckEntry,
    ) -> (Vec<(Vec<u8>, CheckedEntry)>, Result<(), (Reason, String)>) {
        let known = self.known.lock();
        let mut heads: BTreeMap<LogId, Head> = known.logs.iter().map(|(id, log)| (*id, log.head)).collect();
        let mut taken = Vec::new();
        for entry in entries {
            let checked = match judge(&known, &heads, drive, &entry, check) {
                Ok(Some(checked)) => checked,
                Ok(None) => continue,
                Err(wrong) => return (taken, Err(wrong)),
            };
            heads.insert(checked.log, Head { log: checked.log, seq: checked.seq, hash: checked.hash });
            taken.push((entry, checked));
        }
        (taken, Ok(()))
    }

    /// What lies beyond a vector, as much as fits into one answer.
    async fn page(
        self: &Arc<Self>,
        world: &crate::world::World,
        vector: &[Head],
        admin_len: u32,
    ) -> Result<Page, RecordError> {
        let since: BTreeMap<LogId, u64> = vector.iter().map(|h| (h.log, h.seq)).collect();
        let (mut admin, mut places, mut bytes, mut more) = (Vec::new(), Vec::new(), 0usize, false);
        {
            let known = self.known.lock();
            let records = known.admin.as_ref().map_or(&[][..], |log| log.records(admin_len));
            for record in records {
                bytes += record.bytes.len() + record.signature.len() + 16;
                if admin.len() >= ADMIN_RECORDS_MAX || (bytes > PAGE_BYTES && !admin.is_empty()) {
                    more = true;
                    break;
                }
                admin.push(record.clone());
            }
            'logs: for (id, log) in &known.logs {
                let after = usize::try_from(since.get(id).copied().unwrap_or(0)).unwrap_or(usize::MAX);
                for place in log.places.get(after..).unwrap_or_default() {
                    bytes += place.len as usize + 16;
                    let full = places.len() >= FETCH_ENTRIES_MAX || bytes > PAGE_BYTES;
                    if full && !(places.is_empty() && admin.is_empty()) {
                        more = true;
                        break 'logs;
                    }
                    places.push(*place);
                }
            }
        }
        let this = self.clone();
        let entries =
            world.blocking(move || places.into_iter().map(|p| this.entry(p)).collect::<Result<_, _>>());
        let failed =
            |e: std::io::Error| RecordError { file: "logs".into(), what: "read", why: e.to_string() };
        Ok(Page { admin, entries: entries.await.map_err(failed)??, more })
    }

    fn entry(&self, place: Place) -> Result<Vec<u8>, RecordError> {
        let mut payload = self.file.read(place)?;
        payload.drain(..1 + 32);
        Ok(payload)
    }
}

/// Whether an entry may be appended after these heads: Some when it is new, None when it is
/// known already.
fn judge(
    known: &Known,
    heads: &BTreeMap<LogId, Head>,
    drive: &DriveId,
    entry: &[u8],
    check: CheckEntry,
) -> Result<Option<CheckedEntry>, (Reason, String)> {
    if entry.len() > ENTRY_MAX {
        return Err((Reason::TooLarge, format!("an entry of {} bytes", entry.len())));
    }
    let checked = check(drive, entry).map_err(|e| (Reason::BadEntry, e))?;
    let name = || format!("entry {} of log {}", checked.seq, checked.log.short());
    let head = heads.get(&checked.log);
    let (seq, hash) = head.map_or((0, EntryHash([0; 32])), |h| (h.seq, h.hash));
    if checked.seq <= seq {
        if checked.seq == seq && checked.hash != hash {
            return Err((Reason::BadEntry, format!("{} forks the log kept here", name())));
        }
        return Ok(None);
    }
    if checked.seq != seq + 1 {
        return Err((Reason::Gap, format!("{} came where {} was due", name(), seq + 1)));
    }
    if checked.previous != hash {
        return Err((Reason::BadEntry, format!("{} does not follow the one before it", name())));
    }
    let Some(admin) = &known.admin else {
        return Err((Reason::NotFound, "no admin log is here".into()));
    };
    match admin.may_append(&checked.writer, checked.epoch) {
        Ok(_) => Ok(Some(checked)),
        Err(e @ AppendError::OldEpoch { .. }) => Err((Reason::StaleEpoch, format!("{}: {e}", name()))),
        Err(e) => Err((Reason::BadEntry, format!("{}: {e}", name()))),
    }
}
