//! One drive's logs on the disk and in memory: what is kept, what may follow it, what lies
//! beyond a vector.

use super::records::{Place, RecordError, RecordFile};
use crate::keys::{AdminLog, AppendError, DriveId, EntryHash, Epoch, LogId, PersonId, Signed, encode};
use crate::wire::{ADMIN_RECORDS_MAX, ENTRY_MAX, FETCH_ENTRIES_MAX, Head, Reason, VECTOR_MAX};
use crate::world::World;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
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
/// As [`RECORD_ADMIN`], with the account that brought it and pays for it.
const RECORD_ADMIN_OF: u8 = 2;

/// Bytes of a record of an admin record before it: kind and account.
const ADMIN_HEAD: usize = 1 + 32;

/// One drive's logs.
pub(super) struct DriveLogs {
    file: RecordFile,
    pub known: Mutex<Known>,
    /// One append at a time.
    appending: tokio::sync::Mutex<()>,
    pub changed: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct Known {
    admin: Option<AdminLog>,
    logs: BTreeMap<LogId, OneLog>,
    /// Bytes each account had kept: entries and admin records.
    pub bytes: BTreeMap<PersonId, u64>,
    /// Of these, bytes of admin records, which lie in memory.
    pub admin_bytes: BTreeMap<PersonId, u64>,
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
            RECORD_ADMIN_OF => {
                let Some((account, rest)) = rest.split_first_chunk::<32>() else { return };
                if let Ok(record) = crate::wire::decode::<Signed>(rest) {
                    self.admin_record(drive, record);
                    self.bill_admin(PersonId(*account), payload.len() as u64);
                }
            }
            RECORD_ENTRY => {
                let Some((account, entry)) = rest.split_first_chunk::<32>() else { return };
                // Checked when it came, and the record's checksum holds: the header is enough.
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

    fn bill_admin(&mut self, account: PersonId, bytes: u64) {
        for bill in [&mut self.bytes, &mut self.admin_bytes] {
            let sum = bill.entry(account).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }

    /// Whether a person is a member by the longer of this admin log and the one shown: who was
    /// let go does not come back with the beginning of it.
    pub fn is_member(&self, shown: &AdminLog, person: &PersonId) -> bool {
        let longest = self.admin.as_ref().filter(|known| known.len() >= shown.len()).unwrap_or(shown);
        longest.member(person).is_some()
    }

    /// Bytes that admin records take which are not here yet.
    pub fn admin_news(&self, shown: &[Signed]) -> u64 {
        let had = self.admin.as_ref().map_or(0, AdminLog::len) as usize;
        shown.iter().skip(had).map(|record| (ADMIN_HEAD + encode(record).len()) as u64).sum()
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

    pub fn heads(&self) -> Vec<Head> {
        self.logs.values().map(|l| l.head).take(VECTOR_MAX).collect()
    }
}

/// One answer to a fetch.
pub(super) struct Page {
    pub admin: Vec<Signed>,
    pub entries: Vec<Vec<u8>>,
    pub more: bool,
}

impl DriveLogs {
    /// Open or make the logs of a drive. Blocking.
    pub fn open(
        world: &World,
        path: &Path,
        drive: DriveId,
        check: CheckEntry,
    ) -> Result<DriveLogs, RecordError> {
        let mut known = Known::default();
        let replay = |place: Place, bytes: &[u8]| known.replay(&drive, check, place, bytes);
        let (file, scan) = RecordFile::open(world, path, replay)?;
        if scan.damaged > 0 {
            tracing::warn!(drive = %drive.short(), damaged = scan.damaged, "a drive's logs have damaged records");
        }
        Ok(DriveLogs {
            file,
            known: Mutex::new(known),
            appending: tokio::sync::Mutex::new(()),
            changed: watch::channel(0).0,
        })
    }
    /// Take in admin records from the genesis on, which an account pays for. The inner error is about the records.
    pub async fn extend_admin(
        &self,
        drive: &DriveId,
        account: PersonId,
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
        let (mut last, mut bytes) = (None, 0u64);
        for record in log.records(had) {
            let payload = [&[RECORD_ADMIN_OF][..], &account.0, &encode(record)].concat();
            bytes += payload.len() as u64;
            last = Some(self.file.enqueue(&payload));
        }
        if let Some(ticket) = last {
            ticket.durable().await?;
            let mut known = self.known.lock();
            known.admin = Some(log);
            known.bill_admin(account, bytes);
            drop(known);
            self.changed.send_modify(|n| *n += 1);
        }
        Ok(Ok(()))
    }

    /// Check and keep entries; those known already are passed over. The inner error says
    /// which rule an entry breaks; those before it are kept.
    pub async fn append(
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
    pub async fn page(
        self: &Arc<Self>,
        world: &World,
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
