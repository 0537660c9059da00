//! At a start, the log of leases and the share files are made to agree.
//!
//! The log can be gone, cut or damaged, and a cut end looks like that of a crash. So what it does
//! not know is no reason to remove a file: its own head says the lease again. Only what the log
//! says was released or ran out is removed, and what is not sound is set aside.

use super::HolderError;
use super::shares::{ShareFiles, ShareHead};
use super::state::{Event, State};
use crate::ledger::{LeaseBook, LeaseEvent, LeaseKey, day_of};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Leases that ended, by the log: up to which generation.
#[derive(Default)]
pub(super) struct Dropped(BTreeMap<LeaseKey, u64>);

impl Dropped {
    /// Take note of an event that is about to be applied to the book.
    pub fn note(&mut self, book: &LeaseBook, event: &Event) {
        // Of a lease whose beginning is not in the log it is not known which one ended.
        if let Event::Lease(LeaseEvent::Drop { account, share }) = event
            && let Some(kept) = book.get(account, share)
        {
            self.0.insert((*account, *share), kept.generation);
        }
    }

    /// A file is put anew under a later generation.
    fn has(&self, head: &ShareHead) -> bool {
        self.0.get(&key_of(head)).is_some_and(|generation| head.generation <= *generation)
    }
}

/// Make leases and files agree: a file of a lease that ended goes, one that the log does not know
/// is taken up again, one that is not sound is set aside; a lease without a file is lost. Returns
/// the changes.
pub(super) fn reconcile(
    world: &World,
    files: &ShareFiles,
    state: &mut State,
    dropped: &Dropped,
) -> Result<Vec<LeaseEvent>, HolderError> {
    let today = day_of(world.now_ms());
    let mut there: BTreeSet<PathBuf> = BTreeSet::new();
    let mut changes = Vec::new();
    let expected: BTreeMap<PathBuf, LeaseKey> =
        state.book.iter().map(|(key, _)| (files.path(key), *key)).collect();
    for (path, len) in files.scan()? {
        if expected.contains_key(&path) {
            there.insert(path);
            continue;
        }
        let head = match files.head(&path) {
            Ok(head) => head,
            Err(e) => {
                tracing::warn!(error = %e, "a file among the shares stays as it is: it cannot be read now");
                continue;
            }
        };
        let sound = head.filter(|h| h.file_len() == len && files.path(&key_of(h)) == path);
        match sound {
            Some(head) if dropped.has(&head) => files.remove_path(&path)?,
            Some(head) => {
                tracing::warn!(share = %head.lease.share.short(), "the log of leases has nothing of a share that is here; it is kept by what its file says");
                changes.push(kept_again(head, today));
            }
            None => set_aside(files, &path)?,
        }
    }
    for (path, (account, share)) in expected {
        if !there.contains(&path) {
            tracing::warn!(share = %share.short(), "a share's file is gone");
            changes.push(LeaseEvent::Lost { account, share });
        }
    }
    changes.iter().for_each(|e| state.book.apply(e));
    Ok(changes)
}

fn set_aside(files: &ShareFiles, path: &std::path::Path) -> Result<(), HolderError> {
    match files.set_aside(path)? {
        Some(to) => {
            tracing::warn!(file = %to.display(), "a file among the shares is none, and was set aside");
        }
        // Not removed even so: it may be all that is left of something.
        None => {
            tracing::warn!(file = %path.display(), "a file among the shares is none; it stays, since what was set aside already takes too much")
        }
    }
    Ok(())
}

fn key_of(head: &ShareHead) -> LeaseKey {
    (head.lease.account, head.lease.share)
}

fn kept_again(head: ShareHead, today: u32) -> LeaseEvent {
    LeaseEvent::Keep {
        // Renewals and releases since are not known: the owner renews or releases again.
        until: head.until.max(today.saturating_add(u32::from(head.lease.term_days))),
        lease: head.lease,
        path: head.payers,
        generation: head.generation,
        since: head.since,
    }
}
