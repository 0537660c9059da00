//! Taking in entries.

use super::super::state::encode;
use super::super::{Batch, Key, Opened, Overlay, Table, apply_catalogue};
use super::applied::Applied;
use super::order::{apply_entry, claimed};
use super::record::{Body, HeadRecord, Known, OrderKey, Pending, Waiting, read_waiting};
use super::{Fold, FoldError, Step};
use crate::keys::EntryHash;
use std::collections::{BTreeMap, BTreeSet};

impl Fold {
    /// Take in entries (verified and opened), in any order. Those known already are skipped,
    /// those whose dependencies are missing wait until these arrive (or are turned away, where too
    /// many wait: [`Step::turned_away`]), those whose counter is not the one it must be have no
    /// effect. Operations of this device's log that an entry
    /// carries stop being pending; the others stand after everything again.
    ///
    /// Memory is proportional to what is given and to what is rewound for it: thousands of
    /// entries are best given some hundreds at a time, in their order.
    pub fn take(&mut self, table: &dyn Table, entries: Vec<Opened>) -> Result<Step, FoldError> {
        let mut over = Overlay::new(table);
        let mut fresh = BTreeSet::new();
        let (mut carried, mut turned_away) = (Vec::new(), BTreeSet::new());
        let mut ready = entries;
        ready.reverse();
        while let Some(entry) = ready.pop() {
            if self.waiting.contains_key(&entry.hash) || Known::read(&over, &entry.hash)?.is_some() {
                continue;
            }
            let missing = self.missing(&over, &entry)?;
            if missing.is_empty() {
                let hash = entry.hash;
                fresh.extend(self.admit(&mut over, entry, &mut carried)?);
                ready.extend(self.woken(&mut over, hash)?);
            } else {
                let waiting = Waiting { entry, missing };
                let record = encode(&waiting);
                if !self.has_room(1, record.len()) {
                    turned_away.insert(waiting.entry.hash);
                    continue;
                }
                self.waits(waiting.entry.hash, waiting.missing, record.len());
                over.put(Waiting::key(&waiting.entry.hash), Some(record))?;
            }
        }
        carried.sort_unstable();
        self.insert(&mut over, fresh, &carried)?;
        Ok(Step { turned_away, ..self.finish(over)? })
    }

    /// Whether an entry was taken in, or waits.
    pub fn knows(&self, table: &dyn Table, hash: &EntryHash) -> Result<bool, FoldError> {
        Ok(self.waiting.contains_key(hash) || Known::read(table, hash)?.is_some())
    }

    /// Which of these [`Fold::take`] would turn away: what is not taken in needs not be kept.
    pub fn would_turn_away<'a>(
        &self,
        table: &dyn Table,
        entries: impl Iterator<Item = &'a Opened> + Clone,
    ) -> Result<BTreeSet<EntryHash>, FoldError> {
        // Whom they wait for is no longer than their vectors, and that twice is more than enough.
        let bytes = entries.clone().fold(0, |sum: usize, entry| {
            let size = postcard::experimental::serialized_size(entry).unwrap_or(usize::MAX / 2);
            sum.saturating_add(size.saturating_mul(2))
        });
        if self.has_room(entries.clone().count(), bytes) {
            return Ok(BTreeSet::new());
        }
        let mut trial = self.clone();
        Ok(trial.take(table, entries.cloned().collect())?.turned_away)
    }

    /// An entry made from a [`super::Draft`] was signed and is in the journal.
    pub fn published(&mut self, table: &dyn Table, entry: Opened) -> Result<Step, FoldError> {
        self.take(table, vec![entry])
    }

    /// Entries this one depends on that were not taken in.
    fn missing(&self, over: &Overlay<'_>, entry: &Opened) -> Result<BTreeSet<EntryHash>, FoldError> {
        let mut out = BTreeSet::new();
        let previous = (entry.header.seq > 1).then_some(entry.header.previous);
        for hash in previous.into_iter().chain(entry.vector.heads.iter().map(|h| h.hash)) {
            if Known::read(over, &hash)?.is_none() {
                out.insert(hash);
            }
        }
        Ok(out)
    }

    /// Entries that waited for this one and for nothing else now.
    fn woken(&mut self, over: &mut Overlay<'_>, hash: EntryHash) -> Result<Vec<Opened>, FoldError> {
        let mut out = Vec::new();
        for waiter in self.awaited.remove(&hash).unwrap_or_default() {
            let Some(waits) = self.waiting.get_mut(&waiter) else { continue };
            waits.missing.remove(&hash);
            if waits.missing.is_empty() {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(waits.bytes);
                self.waiting.remove(&waiter);
                if let Some(waiting) = read_waiting(over, &waiter)? {
                    out.push(waiting.entry);
                }
                over.put(Waiting::key(&waiter), None)?;
            }
        }
        Ok(out)
    }

    /// Note an entry whose dependencies are all here; its place in the order if it counts.
    fn admit(
        &mut self,
        over: &mut Overlay<'_>,
        entry: Opened,
        carried: &mut Vec<u64>,
    ) -> Result<Option<OrderKey>, FoldError> {
        let Opened { hash, header, vector, label, operations, catalogue } = entry;
        let log = header.log();
        let mut seen = 0;
        let mut sound = true;
        for head in &vector.heads {
            if let Some(known) = Known::read(over, &head.hash)? {
                seen = seen.max(known.lamport);
                sound &= known.log == head.log && known.seq == head.seq;
            }
        }
        if header.seq > 1
            && let Some(known) = Known::read(over, &header.previous)?
        {
            seen = seen.max(known.lamport);
            sound &= known.log == log && known.seq + 1 == header.seq;
        }
        let lamport = seen.saturating_add(1);
        let known = Known { log, seq: header.seq, lamport, ignored: !sound || header.lamport != lamport };
        known.put(over, &hash)?;
        self.new_head(
            over,
            HeadRecord { log, seq: header.seq, hash, lamport, told: log == self.log },
            header.previous,
        )?;
        if log == self.log {
            let numbers = operations.iter().map(|op| op.n).max();
            self.counters.number = self.counters.number.max(numbers.unwrap_or(0));
            carried.extend(operations.iter().filter_map(|op| self.places.get(&op.n)));
            for head in &vector.heads {
                if let Some(told) = self.heads.get_mut(&(head.log, head.hash)) {
                    told.told = true;
                    told.put(over)?;
                }
            }
        }
        if known.ignored {
            return Ok(None);
        }
        Body { label, operations, catalogue }.put(over, &hash)?;
        Ok(Some(OrderKey { lamport, log, hash }))
    }

    fn new_head(
        &mut self,
        over: &mut Overlay<'_>,
        head: HeadRecord,
        previous: EntryHash,
    ) -> Result<(), FoldError> {
        if let Some(old) = self.heads.remove(&(head.log, previous)) {
            old.remove(over)?;
        }
        head.put(over)?;
        self.heads.insert((head.log, head.hash), head);
        Ok(())
    }

    /// Put entries into the order, taking out of the tail what they carry.
    fn insert(
        &mut self,
        over: &mut Overlay<'_>,
        fresh: BTreeSet<OrderKey>,
        carried: &[u64],
    ) -> Result<(), FoldError> {
        let Some(&first) = fresh.first() else { return Ok(()) };
        if fresh.len() == 1 && self.convert(over, first, carried)? {
            return Ok(());
        }
        if carried.is_empty() && self.pass_by(over, &fresh)? {
            return Ok(());
        }
        self.rewind_tail(over, 0)?;
        self.remove_from_tail(over, carried)?;
        let mut again = fresh;
        self.rewind_to(over, first, &mut again)?;
        for order in again {
            self.append(over, order)?;
        }
        self.replay_tail(over, 0)
    }

    /// The common case of publishing: an own entry that stands last and carries operations
    /// that do the same before those of the tail they overtake as after them. What was done
    /// stays done; only its records change.
    fn convert(
        &mut self,
        over: &mut Overlay<'_>,
        order: OrderKey,
        carried: &[u64],
    ) -> Result<bool, FoldError> {
        let last = self.counters.last.is_none_or(|last| last < order);
        if order.log != self.log || !last || !self.footprints.overtake(carried) {
            return Ok(false);
        }
        let body = Body::read(over, &order.hash)?;
        if body.label != self.label || body.operations.len() != carried.len() {
            return Ok(false);
        }
        let mut undo: BTreeMap<Key, Option<Vec<u8>>> = BTreeMap::new();
        for (at, op) in carried.iter().zip(&body.operations) {
            let pending = Pending::read(over, *at)?;
            if pending.op != *op {
                return Ok(false);
            }
            for (key, value) in pending.undo.writes {
                undo.entry(key).or_insert(value);
            }
        }
        // Catalogue tables are written by no operation, so it does not matter that the rest
        // of the tail stands on top already.
        over.mark();
        for record in &body.catalogue {
            apply_catalogue(over, record)?;
        }
        undo.extend(over.take_undo().writes);
        self.remove_from_tail(over, carried)?;
        let undo = Batch { writes: undo.into_iter().collect() };
        self.record(over, Applied { order, since: claimed(&body), undo });
        Ok(true)
    }

    /// The common case of receiving: entries that stand after all others and have nothing to do with
    /// the pending operations. These stay done, however many they are.
    fn pass_by(&mut self, over: &mut Overlay<'_>, fresh: &BTreeSet<OrderKey>) -> Result<bool, FoldError> {
        let last = self.counters.last.is_none_or(|last| fresh.first().is_some_and(|first| last < *first));
        if !last || self.tail.is_empty() {
            return Ok(false);
        }
        let mut beside = Overlay::new(&*over);
        let mut applied = Vec::new();
        for &order in fresh {
            let done = apply_entry(&mut beside, order)?;
            if self.footprints.meet(&beside.take_footprint()) {
                return Ok(false);
            }
            applied.push(done);
        }
        let batch = beside.into_batch();
        over.put_all(batch)?;
        applied.into_iter().for_each(|applied| self.record(over, applied));
        Ok(true)
    }
}
