//! The fold of a drive's admin log: who rules, who is a member, who may write, which epoch
//! it is. Every record is checked against the state before it; nothing is skipped.

use super::admin_error::{AdminError, AdminRule, AppendError};
use super::admin_record::{
    ADMIN_LOG_MAX, AdminChange, AdminRecord, EpochRecord, LastEntry, MEMBERS_MAX, Member, WRITERS_MAX, Wrap,
    Writer,
};
use super::genesis::Genesis;
use super::identity::check_exchange_key;
use super::signed::{Domain, Signed, check_public_key, verify};
use super::wrap::SEALED_KEY_LEN;
use super::{DriveId, Epoch, Hash, LogId, PersonId, Power};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A point of an admin log: how many records (the genesis record included) and the last one's
/// hash. Who knows one cannot be shown an older log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AdminHead {
    pub len: u32,
    pub hash: Hash,
}

/// A writer as the log has it now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriterState {
    pub writer: Writer,
    /// Set when it was cut off: its logs end here.
    pub cut: Option<Vec<LastEntry>>,
}

/// Where a log of a writer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogEnd {
    /// It goes on.
    Open,
    /// The writer was cut off: only this entry and its ancestors count.
    After(LastEntry),
    /// The writer was cut off and nothing in this log counts.
    Void,
}

impl WriterState {
    /// Which entries of one of the writer's logs count.
    pub fn end_of(&self, log: &LogId) -> LogEnd {
        match &self.cut {
            None => LogEnd::Open,
            Some(last) => last
                .iter()
                .find(|entry| entry.log == *log)
                .map_or(LogEnd::Void, |entry| LogEnd::After(*entry)),
        }
    }
}

/// A verified admin log and what it says.
#[derive(Clone, Debug)]
pub struct AdminLog {
    pub(super) drive: DriveId,
    pub(super) genesis: Genesis,
    records: Vec<Signed>,
    head: Hash,
    admin: [u8; 32],
    former_admins: BTreeSet<[u8; 32]>,
    members: BTreeMap<PersonId, Member>,
    writers: BTreeMap<[u8; 32], WriterState>,
    epochs: Vec<EpochRecord>,
    /// The latest key wrapped to each member, and of which epoch it is.
    wraps: BTreeMap<PersonId, (Epoch, Wrap)>,
    tickets: BTreeSet<Hash>,
}

impl AdminLog {
    /// Begin with a genesis record. Nothing may be done before epoch 1 has begun.
    pub fn begin(genesis: Signed, drive: &DriveId) -> Result<AdminLog, AdminError> {
        let parsed = Genesis::verify(&genesis, drive)?;
        Ok(AdminLog {
            drive: *drive,
            admin: parsed.admin,
            genesis: parsed,
            head: genesis.hash(),
            records: vec![genesis],
            former_admins: BTreeSet::new(),
            members: BTreeMap::new(),
            writers: BTreeMap::new(),
            epochs: Vec::new(),
            wraps: BTreeMap::new(),
            tickets: BTreeSet::new(),
        })
    }
    /// Verify and fold a whole log: the genesis record, then all others.
    pub fn load(drive: &DriveId, records: &[Signed]) -> Result<AdminLog, AdminError> {
        let (genesis, rest) = records.split_first().ok_or(AdminError::Empty)?;
        let mut log = AdminLog::begin(genesis.clone(), drive)?;
        for record in rest {
            log.append(record.clone())?;
        }
        Ok(log)
    }
    /// Take in records that begin at place `start` of the log (0 is the genesis record);
    /// those known already must be the same. Returns how many are new. On an error all
    /// records before the faulty one are kept.
    pub fn extend(&mut self, start: u32, records: &[Signed]) -> Result<usize, AdminError> {
        let mut new = 0;
        for (seq, record) in (start..).zip(records) {
            match self.records.get(seq as usize) {
                Some(known) if known.bytes == record.bytes => {}
                Some(_) => return Err(AdminError::Fork { seq }),
                None if seq > self.len() => {
                    return Err(AdminError::Gap { expected: self.len(), found: seq });
                }
                None => {
                    self.append(record.clone())?;
                    new += 1;
                }
            }
        }
        Ok(new)
    }
    /// Verify and fold the next record.
    pub fn append(&mut self, signed: Signed) -> Result<(), AdminError> {
        let seq = self.len();
        let wrap = |error| AdminError::Signed { seq, error };
        let record: AdminRecord = signed.peek().map_err(wrap)?;
        if record.drive != self.drive {
            let found = record.drive;
            return Err(AdminError::OtherDrive { seq, found, expected: self.drive });
        }
        if record.seq != seq {
            return Err(match record.seq < seq {
                true => AdminError::Fork { seq: record.seq },
                false => AdminError::Gap { expected: seq, found: record.seq },
            });
        }
        signed.verify(Domain::AdminRecord, &self.admin).map_err(wrap)?;
        if record.previous != self.head {
            return Err(AdminError::Fork { seq });
        }
        self.apply(seq, record.change).map_err(|rule| AdminError::Rule { seq, rule })?;
        self.head = signed.hash();
        self.records.push(signed);
        Ok(())
    }

    /// Which drive.
    pub const fn drive(&self) -> DriveId {
        self.drive
    }
    /// The record the drive began with.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }
    /// Records, the genesis record included.
    pub fn len(&self) -> u32 {
        self.records.len() as u32
    }
    /// Never: a log has at least its genesis record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
    /// The records from place `start` on, to hand on.
    pub fn records(&self, start: u32) -> &[Signed] {
        self.records.get(start as usize..).unwrap_or_default()
    }
    /// Where the log ends.
    pub fn head(&self) -> AdminHead {
        AdminHead { len: self.len(), hash: self.head }
    }
    /// Refuse a log that is older than, or forked from, a head known otherwise.
    pub fn require(&self, head: &AdminHead) -> Result<(), AdminError> {
        let last = head.len.checked_sub(1).ok_or(AdminError::Empty)?;
        match self.records.get(last as usize) {
            None => Err(AdminError::Stale { have: self.len(), expected: head.len }),
            Some(record) if record.hash() == head.hash => Ok(()),
            Some(_) => Err(AdminError::Fork { seq: last }),
        }
    }
    /// The key that rules now.
    pub const fn admin(&self) -> &[u8; 32] {
        &self.admin
    }
    /// The epoch in force (0 before the first has begun).
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epochs.len() as u32)
    }
    /// The record of an epoch.
    pub fn epoch_record(&self, epoch: Epoch) -> Option<&EpochRecord> {
        self.epochs.get((epoch.0 as usize).checked_sub(1)?)
    }
    /// A member, if it is one.
    pub fn member(&self, person: &PersonId) -> Option<&Member> {
        self.members.get(person)
    }
    /// All members, by person.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }
    /// The last key wrapped to a member, and its epoch.
    pub fn wrapped(&self, person: &PersonId) -> Option<(Epoch, &Wrap)> {
        self.wraps.get(person).map(|(epoch, wrap)| (*epoch, wrap))
    }
    /// A writer by its public key, cut or not.
    pub fn writer(&self, key: &[u8; 32]) -> Option<&WriterState> {
        self.writers.get(key)
    }
    /// All writers, by key.
    pub fn writers(&self) -> impl Iterator<Item = &WriterState> {
        self.writers.values()
    }
    /// Was this invitation used?
    pub fn ticket_used(&self, ticket: &Hash) -> bool {
        self.tickets.contains(ticket)
    }
    /// May this writer append a new entry sealed in `epoch`? With which power (repair: only
    /// catalogue records)? A holder's check, made without reading the entry.
    pub fn may_append(&self, writer: &[u8; 32], epoch: Epoch) -> Result<Power, AppendError> {
        let state = self.writers.get(writer).ok_or(AppendError::NotEnrolled)?;
        if state.cut.is_some() {
            return Err(AppendError::Cut);
        }
        let member = self.members.get(&state.writer.person).ok_or(AppendError::NoMember)?;
        let power = state.writer.power.min(member.power);
        if power < Power::Repair || power == Power::Read {
            return Err(AppendError::NoMember);
        }
        let current = self.epoch();
        if epoch > current {
            return Err(AppendError::NewEpoch { entry: epoch, current });
        }
        if epoch < current || epoch < state.writer.from {
            return Err(AppendError::OldEpoch { entry: epoch, current });
        }
        Ok(power)
    }

    fn apply(&mut self, seq: u32, change: AdminChange) -> Result<(), AdminRule> {
        if seq >= ADMIN_LOG_MAX {
            return Err(AdminRule::TooLong);
        }
        if self.epochs.is_empty() && !matches!(change, AdminChange::NewEpoch(_)) {
            return Err(AdminRule::NoEpoch);
        }
        match change {
            AdminChange::NewEpoch(record) => self.fold_epoch(record),
            AdminChange::AddMember { member, wrap, ticket } => self.fold_member(member, wrap, ticket),
            AdminChange::RemoveMember { person } => {
                self.wraps.remove(&person);
                self.members.remove(&person).map(|_| ()).ok_or(AdminRule::NotMember)
            }
            AdminChange::EnrolWriter(writer) => self.fold_writer(writer),
            AdminChange::CutWriter { writer, last } => self.fold_cut(&writer, last),
            AdminChange::ChangeAdmin { admin, consent, wraps } => {
                self.fold_admin(seq, admin, &consent, &wraps)
            }
        }
    }
    fn fold_epoch(&mut self, record: EpochRecord) -> Result<(), AdminRule> {
        if record.epoch.0 != self.epoch().0 + 1 {
            return Err(AdminRule::EpochOrder);
        }
        check_wraps(&record.wraps, self.members.keys())?;
        let levels = if self.epochs.is_empty() { 0 } else { 3 };
        let sound = record.previous.iter().all(|sealed| sealed.len() == SEALED_KEY_LEN);
        if record.previous.len() != levels || !sound {
            return Err(AdminRule::EpochPrevious);
        }
        for wrap in &record.wraps {
            self.wraps.insert(wrap.person, (record.epoch, wrap.clone()));
        }
        self.epochs.push(record);
        Ok(())
    }
    fn fold_member(&mut self, member: Member, wrap: Wrap, ticket: Option<Hash>) -> Result<(), AdminRule> {
        check_public_key(&member.person.0).map_err(|_| AdminRule::MemberKey)?;
        check_exchange_key(&member.exchange_key).map_err(|_| AdminRule::MemberKey)?;
        if wrap.person != member.person || wrap.sealed.len() != SEALED_KEY_LEN {
            return Err(AdminRule::BadWrap);
        }
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(&member.person) {
            return Err(AdminRule::TooManyMembers);
        }
        self.burn(ticket)?;
        self.wraps.insert(member.person, (self.epoch(), wrap));
        self.members.insert(member.person, member);
        Ok(())
    }
    fn fold_writer(&mut self, writer: Writer) -> Result<(), AdminRule> {
        check_public_key(&writer.key).map_err(|_| AdminRule::WriterKey)?;
        check_public_key(&writer.node.0).map_err(|_| AdminRule::WriterKey)?;
        let member = self.members.get(&writer.person).ok_or(AdminRule::NotMember)?;
        let writes = matches!(writer.power, Power::Repair | Power::Write | Power::Admin);
        if !writes || writer.power > member.power {
            return Err(AdminRule::WriterPower);
        }
        if writer.from < self.epoch() || writer.from.0 > self.epoch().0 + 1 {
            return Err(AdminRule::WriterEpoch);
        }
        if self.writers.contains_key(&writer.key) {
            return Err(AdminRule::WriterTwice);
        }
        if self.writers.len() >= WRITERS_MAX {
            return Err(AdminRule::TooManyWriters);
        }
        self.burn(writer.ticket)?;
        self.writers.insert(writer.key, WriterState { writer, cut: None });
        Ok(())
    }
    fn burn(&mut self, ticket: Option<Hash>) -> Result<(), AdminRule> {
        match ticket.is_none_or(|ticket| self.tickets.insert(ticket)) {
            true => Ok(()),
            false => Err(AdminRule::TicketUsed),
        }
    }
    fn fold_cut(&mut self, key: &[u8; 32], last: Vec<LastEntry>) -> Result<(), AdminRule> {
        let state = self.writers.get_mut(key).ok_or(AdminRule::NoWriter)?;
        if state.cut.is_some() {
            return Err(AdminRule::CutTwice);
        }
        if !last.is_sorted_by(|a, b| a.log < b.log) {
            return Err(AdminRule::CutOrder);
        }
        state.cut = Some(last);
        Ok(())
    }
    fn fold_admin(
        &mut self,
        seq: u32,
        admin: [u8; 32],
        consent: &[u8],
        wraps: &[Wrap],
    ) -> Result<(), AdminRule> {
        let known = admin == self.admin || self.former_admins.contains(&admin);
        if known || check_public_key(&admin).is_err() {
            return Err(AdminRule::AdminKey);
        }
        let message = handover_message(&self.drive, seq, &self.head);
        verify(Domain::AdminHandover, &admin, &message, consent).map_err(|_| AdminRule::AdminConsent)?;
        let admins = self.members.values().filter(|m| m.power == Power::Admin);
        check_wraps(wraps, admins.map(|m| &m.person))?;
        self.former_admins.insert(self.admin);
        self.admin = admin;
        Ok(())
    }
}

/// What a new admin key signs: drive, place, hash of the record before.
pub(super) fn handover_message(drive: &DriveId, seq: u32, previous: &Hash) -> Vec<u8> {
    [&drive.0[..], &seq.to_le_bytes(), &previous.0].concat()
}

fn check_wraps<'a>(wraps: &[Wrap], persons: impl Iterator<Item = &'a PersonId>) -> Result<(), AdminRule> {
    if !wraps.iter().map(|wrap| &wrap.person).eq(persons) {
        return Err(AdminRule::EpochWraps);
    }
    match wraps.iter().all(|wrap| wrap.sealed.len() == SEALED_KEY_LEN) {
        true => Ok(()),
        false => Err(AdminRule::BadWrap),
    }
}
