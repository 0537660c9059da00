//! The book of leases: every share kept here has an account, a term and a generation, and
//! usage is the sum of the leases, per path of accounts that pay for them.

use crate::keys::{DriveId, Hash, PersonId, ShareId};
use crate::wire::{Day, Lease};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The accounts that pay for something: the holder's own friend first, the account last.
pub type Path = Vec<PersonId>;

/// What a share is kept under.
pub type LeaseKey = (PersonId, ShareId);

/// One change to the book, as it is recorded and replayed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LeaseEvent {
    /// A share is kept (again): `path` pays, until `until`.
    Keep {
        lease: Lease,
        path: Path,
        generation: u64,
        since: Day,
        until: Day,
    },
    /// The term was prolonged; a release that was asked for is taken back by it.
    Renew {
        account: PersonId,
        share: ShareId,
        until: Day,
    },
    /// The account asked to let go; takes effect on `effective` unless cancelled.
    Release {
        account: PersonId,
        share: ShareId,
        effective: Day,
    },
    Cancel {
        account: PersonId,
        share: ShareId,
    },
    /// The lease ended; the file is removed after this is recorded.
    Drop {
        account: PersonId,
        share: ShareId,
    },
    /// The bytes turned out to be missing or damaged on the holder's own disk.
    Lost {
        account: PersonId,
        share: ShareId,
    },
    /// Generations below this were given out already (written when the log is compacted).
    Generation {
        next: u64,
    },
}

/// A lease in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    pub lease: Lease,
    pub path: Path,
    pub generation: u64,
    pub since: Day,
    pub until: Day,
    /// The day a requested release takes effect.
    pub releasing: Option<Day>,
}

impl Kept {
    fn ended(&self, today: Day, retention: u32) -> bool {
        let locked = self.lease.lock_until.is_some_and(|d| today < d);
        let released = self.releasing.is_some_and(|d| today >= d);
        let expired = today >= self.until.saturating_add(retention);
        !locked && (released || expired)
    }
}

/// The book. Every method is deterministic; [`LeaseBook::apply`] is the only change.
#[derive(Clone, Debug, Default)]
pub struct LeaseBook {
    leases: BTreeMap<LeaseKey, Kept>,
    usage: BTreeMap<Path, u64>,
    /// Bytes of a drive's logs kept for a path, counted as usage too.
    logs: BTreeMap<(Path, DriveId), u64>,
    lent: u64,
    next_generation: u64,
}

impl LeaseBook {
    /// Take in one change. Unknown leases are ignored, so replaying a prefix twice is harmless.
    pub fn apply(&mut self, event: &LeaseEvent) {
        match event {
            LeaseEvent::Keep { lease, path, generation, since, until } => {
                self.remove(&(lease.account, lease.share));
                self.bill(path, lease.len);
                self.next_generation = self.next_generation.max(generation.saturating_add(1));
                self.leases.insert(
                    (lease.account, lease.share),
                    Kept {
                        lease: lease.clone(),
                        path: path.clone(),
                        generation: *generation,
                        since: *since,
                        until: *until,
                        releasing: None,
                    },
                );
            }
            LeaseEvent::Renew { account, share, until } => {
                if let Some(kept) = self.leases.get_mut(&(*account, *share)) {
                    kept.until = kept.until.max(*until);
                    kept.releasing = None;
                }
            }
            LeaseEvent::Release { account, share, effective } => {
                if let Some(kept) = self.leases.get_mut(&(*account, *share)) {
                    kept.releasing = Some(*effective);
                }
            }
            LeaseEvent::Cancel { account, share } => {
                if let Some(kept) = self.leases.get_mut(&(*account, *share)) {
                    kept.releasing = None;
                }
            }
            LeaseEvent::Drop { account, share } | LeaseEvent::Lost { account, share } => {
                self.remove(&(*account, *share));
            }
            LeaseEvent::Generation { next } => {
                self.next_generation = self.next_generation.max(*next);
            }
        }
    }

    fn remove(&mut self, key: &LeaseKey) {
        if let Some(kept) = self.leases.remove(key) {
            self.unbill(&kept.path, kept.lease.len);
        }
    }

    fn bill(&mut self, path: &[PersonId], bytes: u64) {
        if bytes == 0 {
            return;
        }
        for end in 1..=path.len() {
            let used = self.usage.entry(path[..end].to_vec()).or_default();
            *used = used.saturating_add(bytes);
        }
        self.lent = self.lent.saturating_add(bytes);
    }

    fn unbill(&mut self, path: &[PersonId], bytes: u64) {
        for end in 1..=path.len() {
            if let Some(used) = self.usage.get_mut(&path[..end]) {
                *used = used.saturating_sub(bytes);
                if *used == 0 {
                    self.usage.remove(&path[..end]);
                }
            }
        }
        self.lent = self.lent.saturating_sub(bytes);
    }

    /// Say how many bytes of a drive's logs a path pays for.
    pub fn set_log_bytes(&mut self, path: &[PersonId], drive: DriveId, bytes: u64) {
        let before = self.logs.insert((path.to_vec(), drive), bytes).unwrap_or(0);
        self.unbill(path, before);
        self.bill(path, bytes);
    }

    /// A lease in force.
    pub fn get(&self, account: &PersonId, share: &ShareId) -> Option<&Kept> {
        self.leases.get(&(*account, *share))
    }

    /// All leases, ordered by account and share.
    pub fn iter(&self) -> impl Iterator<Item = (&LeaseKey, &Kept)> {
        self.leases.iter()
    }

    /// The leases of one account, by share.
    pub fn of_account(&self, account: &PersonId) -> impl Iterator<Item = &Kept> {
        let range = (*account, ShareId([0; 32]))..=(*account, ShareId([0xff; 32]));
        self.leases.range(range).map(|(_, kept)| kept)
    }

    /// Number of leases.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// True without any lease.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Bytes a path of accounts uses (whatever was delegated further included).
    pub fn used(&self, path: &[PersonId]) -> u64 {
        self.usage.get(path).copied().unwrap_or(0)
    }

    /// Bytes of all leases and logs.
    pub fn lent(&self) -> u64 {
        self.lent
    }

    /// The generation the next lease gets; never one used before.
    pub fn next_generation(&self) -> u64 {
        self.next_generation
    }

    /// Leases that have ended by `today`: the release took effect, or the term ran out
    /// `retention` days ago; a lease that is locked stays.
    pub fn ended(&self, today: Day, retention: u32) -> Vec<LeaseKey> {
        self.leases.iter().filter(|(_, k)| k.ended(today, retention)).map(|(key, _)| *key).collect()
    }

    /// Whether one lease is in force no more in that sense.
    pub fn has_ended(&self, key: &LeaseKey, today: Day, retention: u32) -> bool {
        self.leases.get(key).is_some_and(|kept| kept.ended(today, retention))
    }

    /// BLAKE3 over the sorted leases of an account, for the statement.
    pub fn lease_set(&self, account: &PersonId) -> Hash {
        let mut hasher = blake3::Hasher::new();
        let range = (*account, ShareId([0; 32]))..=(*account, ShareId([0xff; 32]));
        for ((_, share), kept) in self.leases.range(range) {
            hasher.update(share.as_bytes());
            hasher.update(&kept.lease.len.to_le_bytes());
            hasher.update(&kept.generation.to_le_bytes());
        }
        Hash(*hasher.finalize().as_bytes())
    }

    /// Usage recomputed from the leases and logs: equals what is kept (tests, `doctor`).
    pub fn recount(&self) -> BTreeMap<Path, u64> {
        let mut usage: BTreeMap<Path, u64> = BTreeMap::new();
        let shares = self.leases.values().map(|k| (&k.path, k.lease.len));
        let logs = self.logs.iter().map(|((path, _), bytes)| (path, *bytes));
        for (path, bytes) in shares.chain(logs) {
            for end in 1..=path.len() {
                let used = usage.entry(path[..end].to_vec()).or_default();
                *used = used.saturating_add(bytes);
            }
        }
        usage.retain(|_, used| *used > 0);
        usage
    }

    /// Usage as kept, per path.
    pub fn usage(&self) -> &BTreeMap<Path, u64> {
        &self.usage
    }
}
