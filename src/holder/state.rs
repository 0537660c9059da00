//! What a holder knows of leases, grants and accounts: replayed from its record log at
//! start and reconciled with the share files.

use super::reconcile::{Dropped, reconcile};
use super::records::{RecordFile, Scan};
use super::shares::ShareFiles;
use super::{HolderError, admission::Reservation};
use crate::keys::{DriveId, Hash, PersonId, Signed};
use crate::ledger::{Counters, Kept, LeaseBook, LeaseEvent, LeaseKey, Path as Payers, decode_grant};
use crate::wire::{self, Grant};
use crate::world::World;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// The record log's name below `places.lent`.
const LEASES_LOG: &str = "leases.log";
/// A share that could not be read for so long is lost, whatever its disk may say one day.
const UNREADABLE_LONG: Duration = Duration::from_secs(86_400);
/// Shares of which it is known since when they cannot be read. Of one beyond, it is not: it stays
/// one that cannot be read at the moment.
pub(super) const UNREADABLE_MAX: usize = 4096;
/// The log is written anew at start when it holds this many times more records than needed.
const COMPACT_FACTOR: u64 = 4;
/// ... and more than this.
const COMPACT_MIN: u64 = 10_000;

/// One record of the holder's log (postcard). New kinds are added at the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Event {
    Lease(LeaseEvent),
    /// A grant this holder's owner gave.
    Given(Signed),
    /// An account keeps a drive's logs here.
    LogOpen {
        drive: DriveId,
        account: PersonId,
        payers: Payers,
        read_token_hash: Hash,
    },
    /// What was counted for an account so far.
    Counted {
        account: PersonId,
        counters: Counters,
    },
    /// A statement, co-signed by both.
    Statement {
        account: PersonId,
        ours: Signed,
        theirs: Vec<u8>,
    },
    /// What each link of the grants shown for a drive's logs allows: entries come without them.
    LogLimits {
        payers: Payers,
        bytes: Vec<u64>,
    },
    /// A person's recovery record is kept here, and who pays for it.
    Recovery {
        person: PersonId,
        payers: Payers,
    },
}

/// An account that keeps a drive's logs here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Opener {
    pub payers: Payers,
    pub read_token_hash: Hash,
}

/// Everything but the bytes.
#[derive(Default)]
pub(super) struct State {
    pub book: LeaseBook,
    /// The latest grant to each direct friend.
    pub given: BTreeMap<PersonId, (Signed, Grant)>,
    pub openers: BTreeMap<(DriveId, PersonId), Opener>,
    /// Bytes each link of the grants along these payers allows, as last shown.
    pub log_limits: BTreeMap<Payers, Vec<u64>>,
    /// Whose recovery records are kept here, and who pays for each.
    pub recoveries: BTreeMap<PersonId, Payers>,
    pub counters: BTreeMap<PersonId, Counters>,
    pub statements: BTreeMap<PersonId, Signed>,
    pub reservations: BTreeMap<[u8; 16], Reservation>,
    /// Share files found damaged since the start.
    pub damaged: BTreeSet<LeaseKey>,
    /// Shares that could not be read when last asked for, and since when (on the monotonic clock).
    pub unreadable: BTreeMap<LeaseKey, Duration>,
    /// Leases found run out, and since when (on the monotonic clock).
    pub run_out: BTreeMap<LeaseKey, Duration>,
}

/// A holder at a glance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HolderStatus {
    pub leases: usize,
    /// Bytes of leases and logs, bytes lent in all, bytes reserved.
    pub lent: u64,
    pub lends: u64,
    pub reserved: u64,
    /// Share files found damaged or gone since the start.
    pub damaged: usize,
    /// Per direct friend: bytes granted, bytes used (what it delegated included).
    pub accounts: Vec<(PersonId, u64, u64)>,
    pub drives: usize,
}

impl State {
    /// Take in one record.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Lease(event) => self.book.apply(&event),
            Event::Given(signed) => {
                if let Some(grant) = decode_grant(&signed) {
                    let newer = self.given.get(&grant.subject).is_none_or(|(_, g)| g.serial <= grant.serial);
                    if newer {
                        self.given.insert(grant.subject, (signed, grant));
                    }
                }
            }
            Event::LogOpen { drive, account, payers, read_token_hash } => {
                self.openers.insert((drive, account), Opener { payers, read_token_hash });
            }
            Event::Counted { account, counters } => {
                self.counters.insert(account, counters);
            }
            Event::Statement { account, ours, .. } => {
                // Counters are written down more rarely than statements.
                if let Ok(said) = ours.peek() {
                    self.counters.entry(account).or_default().raise(&said);
                }
                self.statements.insert(account, ours);
            }
            Event::LogLimits { payers, bytes } => {
                self.log_limits.insert(payers, bytes);
            }
            Event::Recovery { person, payers } => {
                self.recoveries.insert(person, payers);
            }
        }
    }

    /// Apply a change and put its record in line, in one step, so that the order in memory is
    /// the order on the disk.
    pub fn record(&mut self, log: &RecordFile, event: Event) -> super::records::Ticket {
        let ticket = log.enqueue(&wire::encode(&event));
        self.apply(event);
        ticket
    }

    /// Note that a share's file could not be read; whether that has been so for long.
    pub fn unreadable(&mut self, key: LeaseKey, now: Duration) -> bool {
        if self.unreadable.len() >= UNREADABLE_MAX && !self.unreadable.contains_key(&key) {
            return false;
        }
        let since = *self.unreadable.entry(key).or_insert(now);
        let long = now >= since + UNREADABLE_LONG;
        if long {
            // From here on it counts as damaged: its place is another's.
            self.unreadable.remove(&key);
        }
        long
    }

    /// A share's file could be read after all. The day of the others begins anew: it was the disk,
    /// or this process, and not they.
    pub fn readable(&mut self, key: &LeaseKey, now: Duration) {
        self.forget_file(key);
        self.unreadable.values_mut().for_each(|since| *since = now);
    }

    /// What was found of a share's file is over: there is another one, or none.
    pub fn forget_file(&mut self, key: &LeaseKey) {
        self.damaged.remove(key);
        self.unreadable.remove(key);
    }

    /// A generation for a lease that is on its way; never given out twice.
    pub fn take_generation(&mut self) -> u64 {
        let next = self.book.next_generation();
        self.book.apply(&LeaseEvent::Generation { next: next.saturating_add(1) });
        next
    }

    /// Bytes reserved and not yet leased.
    pub fn reserved(&self) -> u64 {
        self.reservations.values().fold(0, |sum, r| sum.saturating_add(r.bytes))
    }

    /// Bytes used by a path of payers, reservations included.
    pub fn used(&self, payers: &[PersonId]) -> u64 {
        let reserved = self.reservations.values().filter(|r| r.payers.starts_with(payers));
        reserved.fold(self.book.used(payers), |sum, r| sum.saturating_add(r.bytes))
    }

    /// Hash of the last statement signed for an account: what its owner can look up.
    pub fn ledger_head(&self, account: &PersonId) -> Hash {
        self.statements.get(account).map_or(Hash([0; 32]), Signed::hash)
    }

    /// The records that make this state from nothing.
    fn snapshot(&self) -> Vec<Event> {
        let mut out = vec![Event::Lease(LeaseEvent::Generation { next: self.book.next_generation() })];
        for (_, kept) in self.book.iter() {
            out.push(Event::Lease(keep(kept)));
            if let Some(effective) = kept.releasing {
                let (account, share) = (kept.lease.account, kept.lease.share);
                out.push(Event::Lease(LeaseEvent::Release { account, share, effective }));
            }
        }
        out.extend(self.given.values().map(|(signed, _)| Event::Given(signed.clone())));
        out.extend(self.openers.iter().map(|((drive, account), opener)| Event::LogOpen {
            drive: *drive,
            account: *account,
            payers: opener.payers.clone(),
            read_token_hash: opener.read_token_hash,
        }));
        out.extend(
            self.log_limits
                .iter()
                .map(|(payers, bytes)| Event::LogLimits { payers: payers.clone(), bytes: bytes.clone() }),
        );
        let recoveries = self.recoveries.iter();
        out.extend(
            recoveries.map(|(person, payers)| Event::Recovery { person: *person, payers: payers.clone() }),
        );
        out.extend(self.counters.iter().map(|(a, c)| Event::Counted { account: *a, counters: *c }));
        out.extend(self.statements.iter().map(|(account, ours)| Event::Statement {
            account: *account,
            ours: ours.clone(),
            theirs: Vec::new(),
        }));
        out
    }
}

fn keep(kept: &Kept) -> LeaseEvent {
    LeaseEvent::Keep {
        lease: kept.lease.clone(),
        path: kept.path.clone(),
        generation: kept.generation,
        since: kept.since,
        until: kept.until,
    }
}

pub(super) struct OpenedState {
    pub files: ShareFiles,
    pub log: RecordFile,
    pub state: State,
}

/// Replay and reconcile. Blocking.
pub(super) fn open(world: &World, dir: &Path) -> Result<OpenedState, HolderError> {
    let files = ShareFiles::open(world, dir)?;
    let path = dir.join(LEASES_LOG);
    finish_compaction(world, dir)?;
    let mut state = State::default();
    let (log, scan, dropped) = replay(world, &path, &mut state)?;
    let found = reconcile(world, &files, &mut state, &dropped)?;
    let needed = state.snapshot();
    let wasteful = scan.records > COMPACT_MIN && scan.records > COMPACT_FACTOR * needed.len() as u64;
    if found.is_empty() && !wasteful {
        return Ok(OpenedState { files, log, state });
    }
    // What reconciling changed is written by writing the log anew.
    drop(log);
    compact(world, dir, &needed)?;
    let mut state = State::default();
    let (log, _, _) = replay(world, &path, &mut state)?;
    Ok(OpenedState { files, log, state })
}

fn replay(world: &World, path: &Path, state: &mut State) -> Result<(RecordFile, Scan, Dropped), HolderError> {
    let (mut unknown, mut dropped) = (0u64, Dropped::default());
    let (log, scan) = RecordFile::open(world, path, |_, payload| match wire::decode::<Event>(payload) {
        Ok(event) => {
            dropped.note(&state.book, &event);
            state.apply(event);
        }
        Err(_) => unknown += 1,
    })?;
    if scan.damaged > 0 || scan.torn > 0 || unknown > 0 {
        let Scan { damaged, torn, .. } = scan;
        tracing::warn!(damaged, torn, unknown, "the log of leases has damaged records");
    }
    Ok((log, scan, dropped))
}

const COMPACTED: &str = "leases.new";

/// Write the log anew beside the old one, then put it in its place.
fn compact(world: &World, dir: &Path, events: &[Event]) -> Result<(), HolderError> {
    let (new, old) = (dir.join(COMPACTED), dir.join(LEASES_LOG));
    let (file, _) = RecordFile::open(world, &new, |_, _| {})?;
    file.append_all_blocking(events.iter().map(wire::encode))?;
    world.disk.rename(&new, &old)?;
    world.disk.sync_dir(dir)?;
    Ok(())
}

/// Remove what a compaction that did not finish left behind.
fn finish_compaction(world: &World, dir: &Path) -> Result<(), HolderError> {
    match world.disk.remove(&dir.join(COMPACTED)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}
