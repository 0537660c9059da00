//! Publishing: pending operations whose content friends have become signed entries, kept on
//! this machine's disk before any friend sees them, and sent to every holder.

use super::access::entry_key;
use super::api::{Error, Result};
use super::pending::{Pending, PendingOps};
use super::records;
use super::shared::{Shared, index_error, tree_error};
use super::uploads::Uploads;
use crate::content::CatalogueRecord;
use crate::grid::{AppendEvent, Level};
use crate::keys::{Hash, LogId, PackId};
use crate::tree::{
    Change, Checked, Draft, ENTRY_OPS_MAX, Kind, ObjectId, OpId, Opened, Operation, queues, seal_entry,
};
use crate::wire::Head;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Entries that too few holders have are sent again after this, or when friends change.
const AGAIN: Duration = Duration::from_secs(20);
/// While something is pending, whether it may go is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// Catalogue records in one entry: with their roots and places about 2.5 kB each.
const RECORDS_MAX: usize = 96;

/// What people are told when a friend has entries of this machine's log that it does not have.
const FORK_SAID: &str = "a friend has other entries of this machine than there are here, and does not take these: \
    is there a clone of this machine, or was its state restored from a backup?";
/// Chunks whose places one operation tells.
const TOLD_AT_ONCE: usize = 4096;

/// Own entries that too few households have.
#[derive(Default)]
pub struct Publishing {
    pub entries: BTreeMap<u64, EntryState>,
    /// All up to this one are at enough of them.
    pub safe: u64,
}

/// One of them.
#[derive(Clone, Debug, Default)]
pub struct EntryState {
    /// What it changes.
    pub objects: BTreeSet<ObjectId>,
    /// Packs whose places it tells.
    pub packs: BTreeSet<PackId>,
    pub households: BTreeSet<Hash>,
}

impl EntryState {
    /// Nobody is known to have it.
    pub fn new(log: LogId, entry: &Opened) -> EntryState {
        EntryState {
            objects: entry.operations.iter().flat_map(|op| queues(log, op)).collect(),
            packs: entry.catalogue.iter().map(|record| record.pack).collect(),
            households: BTreeSet::new(),
        }
    }
}

impl Publishing {
    /// A household has all entries up to `seq`; `enough` must. What is safe now, if that is more
    /// than before.
    fn acked(&mut self, household: Hash, seq: u64, enough: usize) -> Option<u64> {
        for state in self.entries.range_mut(..=seq).map(|e| e.1) {
            state.households.insert(household);
        }
        let last = self.entries.last_key_value().map(|(seq, _)| *seq)?;
        self.entries.retain(|_, e| e.households.len() < enough);
        let safe = self.entries.first_key_value().map_or(last, |(seq, _)| *seq - 1);
        let more = safe > self.safe;
        self.safe = self.safe.max(safe);
        more.then_some(safe)
    }
}

/// What the next entry is to carry.
struct Plan {
    chosen: Vec<u64>,
    catalogue: Vec<CatalogueRecord>,
    /// Packs in the catalogue: shares and level told.
    packs: Vec<(PackId, usize, Level)>,
}

impl Shared {
    /// Publishes, for ever.
    pub async fn publisher_loop(self: Arc<Self>) {
        let mut changes = self.grid.changes();
        loop {
            tokio::select! {
                biased;
                () = self.publish_wake.notified() => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        tokio::time::sleep(AGAIN).await;
                    }
                    self.resend();
                }
                () = tokio::time::sleep(AGAIN) => self.resend(),
                // A new file without content is told of after a while.
                () = tokio::time::sleep(LOOK), if !self.core.lock().pending.is_empty() => {}
            }
            tokio::time::sleep(self.options.publish_every).await;
            loop {
                match self.publish_once().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(e) => {
                        self.note(format!("publishing: {e}"));
                        tokio::time::sleep(AGAIN).await;
                        break;
                    }
                }
            }
            self.tidy_packs();
        }
    }

    /// Make and send one entry, if there is something for it and somebody to send it to.
    async fn publish_once(self: &Arc<Self>) -> Result<bool> {
        if self.writable().is_err() || self.grid.coding(&self.drive).is_none() {
            return Ok(false);
        }
        self.tell_packs()?;
        let Some((draft, plan)) = self.plan()? else { return Ok(false) };
        let ns: Vec<u64> = draft.operations.iter().map(|op| op.n).collect();
        let shared = self.clone();
        let done = self.to_the_end(async move { shared.make_entry(draft, plan).await }).await;
        let mut core = self.core.lock();
        ns.iter().for_each(|n| {
            core.drafted.remove(n);
        });
        done.map(|()| true)
    }

    /// Packs that can be read by others now: say in the tree where their chunks lie.
    fn tell_packs(&self) -> Result<()> {
        let due: Vec<(PackId, Vec<_>)> = {
            let uploads = self.uploads.lock();
            let due = uploads.packs.values().filter(|p| !p.told && p.level() >= Level::Published);
            due.map(|p| (p.intent.pack, p.intent.chunks.clone())).collect()
        };
        for (pack, chunks) in due {
            for chunks in chunks.chunks(TOLD_AT_ONCE) {
                self.change(|_| Ok(Change::PackContents { pack, chunks: chunks.to_vec() }))?;
            }
            if let Some(p) = self.uploads.lock().packs.get_mut(&pack) {
                p.told = true;
            }
        }
        Ok(())
    }

    fn plan(&self) -> Result<Option<(Draft, Plan)>> {
        let (catalogue, packs) = self.catalogue_due();
        self.take_back_gone();
        let written = self.being_written();
        let mut core = self.core.lock();
        let chosen = {
            let uploads = self.uploads.lock();
            let unready = |op: &Operation| self.unready(op, &core.pending, &uploads, &written);
            core.pending.publishable(ENTRY_OPS_MAX, unready)
        };
        if chosen.is_empty() && catalogue.is_empty() {
            return Ok(None);
        }
        let places = core.pending.places();
        let mut draft = core.fold.draft(&*self.index, &chosen).map_err(tree_error)?;
        let inside: BTreeSet<u64> = draft.operations.iter().map(|op| op.n).collect();
        if !places.iter().all(|n| inside.contains(n)) {
            // A content must not be seen before the places of its chunks are.
            draft = core.fold.draft(&*self.index, &places).map_err(tree_error)?;
        }
        let head = self.admin.lock().head();
        (draft.vector.admin_len, draft.vector.admin_head) = (head.len, head.hash.0);
        core.drafted.extend(draft.operations.iter().map(|op| op.n));
        Ok(Some((draft, Plan { chosen, catalogue, packs })))
    }

    /// Whether an operation may not be published yet: its content is not at friends, or the file is
    /// still being `written`.
    fn unready(
        &self,
        op: &Operation,
        pending: &PendingOps,
        uploads: &Uploads,
        written: &BTreeSet<ObjectId>,
    ) -> bool {
        match &op.change {
            // What will never be there holds up neither a file's name, and all behind it in
            // the directory, nor its removal.
            Change::SetContent { object, .. } => {
                uploads.waits(op.n) && !(uploads.needs_lost(op.n) && self.is_gone(*object))
            }
            // A new file is told of together with its first content.
            Change::Create { kind: Kind::File, .. } => {
                let object = OpId { log: self.log, n: op.n };
                let is_content = |p: &&Pending| matches!(p.op.change, Change::SetContent { .. });
                if let Some(first) = pending.on(&object).find(is_content) {
                    return uploads.waits(first.op.n) && !uploads.needs_lost(first.op.n);
                }
                let age = self.now().saturating_sub(op.time);
                let new = (0..self.options.settle_quiet.as_nanos() as i64).contains(&age);
                new || written.contains(&object)
            }
            _ => false,
        }
    }

    /// Catalogue records that say more than was said before.
    fn catalogue_due(&self) -> (Vec<CatalogueRecord>, Vec<(PackId, usize, Level)>) {
        let uploads = self.uploads.lock();
        let due = uploads.packs.values().filter(|p| {
            let level = p.level();
            p.told
                && level >= Level::Published
                && p.placed.len() > p.catalogued
                && (level > p.catalogued_level || !p.uploading)
        });
        due.take(RECORDS_MAX).map(|p| (p.record(), (p.intent.pack, p.placed.len(), p.level()))).unzip()
    }

    async fn make_entry(self: &Arc<Self>, draft: Draft, plan: Plan) -> Result<()> {
        let Some(writer) = self.writer.clone() else { return Err(Error::ReadOnly) };
        self.index_takes(true)?;
        let (keys, catalogue) = (self.keys(), plan.catalogue);
        let sealed = self.world.blocking(move || seal_entry(&keys, &writer, &draft, &catalogue)).await;
        let sealed = sealed.map_err(|e| Error::Internal(e.to_string()))?;
        let (bytes, opened) = sealed.map_err(|e| Error::Internal(e.to_string()))?;
        tracing::debug!(ops = opened.operations.len(), of = plan.chosen.len(), "entry {}", opened.header.seq);
        // What the entry tells, and what it overtakes, is in the journal first: otherwise a power
        // cut could leave a content that friends have beside the writes that it was made of,
        // which would then look like those of somebody else.
        self.journal.sync_all().await.map_err(|e| self.fail(&e))?;
        self.entries.append(&bytes).await.map_err(|e| self.fail(&e))?;
        self.sync_entries().await?;
        let seq = opened.header.seq;
        let state = EntryState::new(self.log, &opened);
        {
            let mut core = self.core.lock();
            let done: Vec<u64> = opened.operations.iter().map(|op| op.n).collect();
            core.fold.set_now(self.now());
            let step = core.fold.published(&*self.index, opened);
            let mut step = step.map_err(|e| self.stop_tree(e))?;
            step.batch.writes.push((entry_key(&self.log, seq), Some(bytes.clone())));
            self.index.commit(step.batch).map_err(|e| self.stop(index_error(e)))?;
            for n in done {
                core.pending.remove(n);
            }
        }
        self.publishing.lock().entries.insert(seq, state);
        let mut uploads = self.uploads.lock();
        for (pack, shares, level) in plan.packs {
            if let Some(p) = uploads.packs.get_mut(&pack) {
                (p.catalogued, p.catalogued_level) = (shares, level);
            }
        }
        drop(uploads);
        self.send(bytes);
        Ok(())
    }

    /// Send an entry to all holders, and count the households that have it.
    fn send(self: &Arc<Self>, bytes: Vec<u8>) {
        let shared = self.clone();
        let mut closing = self.closing.subscribe();
        tokio::spawn(async move {
            let mut events = shared.grid.append(shared.drive, vec![bytes]);
            loop {
                let event = tokio::select! {
                    biased;
                    _ = closing.wait_for(|c| *c) => return,
                    event = events.recv() => event,
                };
                match event {
                    Some(AppendEvent::Acked { household, heads, .. }) => {
                        let ours = heads.iter().filter(|h| h.log == shared.log);
                        let (same, other): (Vec<&Head>, Vec<&Head>) =
                            ours.partition(|h| shared.is_own_entry(h));
                        if !other.is_empty() {
                            // Only its word: no reason to stop writing, but to be told.
                            shared.note(FORK_SAID.into());
                        }
                        shared.acked(household, same.iter().map(|h| h.seq).max().unwrap_or(0));
                    }
                    Some(AppendEvent::Refused { refusal, .. }) => {
                        shared.note(format!("a friend refused an entry: {}", refusal.detail));
                    }
                    Some(AppendEvent::Failed { why, .. }) => tracing::info!("an entry was not sent: {why}"),
                    Some(AppendEvent::Finished { .. }) | None => return,
                }
            }
        });
    }

    /// Whether a head is an entry of this machine's log as it is here. A holder may have another
    /// entry under the same number, of a clone of this machine or of one set back to a backup:
    /// then it does not have ours.
    fn is_own_entry(&self, head: &Head) -> bool {
        if self.forked.load(Ordering::Relaxed) {
            return false;
        }
        let Ok(Some(bytes)) = self.index.get(&entry_key(&self.log, head.seq)) else { return false };
        Checked::claimed(&bytes, &self.drive).is_ok_and(|entry| entry.hash == head.hash)
    }

    /// A household has our log up to `seq`.
    fn acked(&self, household: Hash, seq: u64) {
        let enough = self.entry_target();
        let safe = self.publishing.lock().acked(household, seq, enough);
        if let Some(safe) = safe {
            // Without this record they are only asked about once more.
            let _ = self.journal.append(records::ENTRIES_SAFE, &records::encode(&safe));
        }
        if self.publishing.lock().entries.is_empty() {
            // Packs that waited for this are done.
            self.publish_wake.notify_one();
        }
        self.progressed();
    }

    /// After a start: own entries that were not known to be at enough households are in doubt
    /// until they say so again, and with them what they tell of.
    pub(super) fn doubt_entries(&self, safe: u64) {
        let mut publishing = self.publishing.lock();
        publishing.safe = safe;
        let own = self.core.lock().fold.heads().into_iter().find(|h| h.log == self.log);
        let Some(head) = own.filter(|_| self.writer.is_some()) else { return };
        for seq in safe + 1..=head.seq {
            let Ok(Some(bytes)) = self.index.get(&entry_key(&self.log, seq)) else { continue };
            let opened = Checked::claimed(&bytes, &self.drive).and_then(|c| c.open(&self.keys()));
            let state = opened.map(|entry| EntryState::new(self.log, &entry)).unwrap_or_default();
            publishing.entries.insert(seq, state);
        }
    }

    /// Households that must have an entry so that it is as safe as full packs are.
    fn entry_target(&self) -> usize {
        let losses = self.grid.coding(&self.drive).map_or(0, |c| usize::from(c.n - c.k));
        let holders: BTreeSet<Hash> = self.grid.holders(&self.drive).iter().map(|h| h.household).collect();
        (losses + 1).min(holders.len().max(1))
    }

    /// Send the newest entry again: holders that lack earlier ones ask for them.
    fn resend(self: &Arc<Self>) {
        if self.publishing.lock().entries.is_empty() {
            return;
        }
        let own = self.core.lock().fold.heads().into_iter().find(|h| h.log == self.log);
        let Some(head) = own else { return };
        if let Ok(Some(bytes)) = self.index.get(&entry_key(&self.log, head.seq)) {
            self.send(bytes);
        }
    }

    /// Packs that are full, told and kept need no attention any more; of those that are safe
    /// the own copies may go when room is needed.
    pub(super) fn tidy_packs(&self) {
        let entries_safe = self.publishing.lock().entries.is_empty();
        if !entries_safe {
            return;
        }
        let mut release = Vec::new();
        let mut done = Vec::new();
        let mut uploads = self.uploads.lock();
        for pack in uploads.packs.values_mut() {
            let told = pack.catalogued == pack.placed.len() && pack.told;
            // At the only friend it is thin: the own copy stays.
            let good = pack.intent.coding.n > pack.intent.coding.k
                && pack.catalogued_level >= super::packer::good(pack.intent.coding);
            if told && good && !pack.released {
                pack.released = true;
                release.extend(pack.intent.chunks.iter().map(|(id, _)| *id));
            }
            if told && pack.catalogued_level == Level::Full {
                done.push(pack.intent.pack);
            }
        }
        for pack in &done {
            uploads.packs.remove(pack);
        }
        drop(uploads);
        if !done.is_empty() {
            self.progressed();
        }
        release.iter().for_each(|id| self.own.release(id));
        for pack in done {
            // Without this record the pack is only looked at once more.
            let _ = self.journal.append(records::PACK_DONE, &records::encode(&pack));
        }
    }
}
