//! News from holders: entries of other devices are verified, kept, folded in, and the kernel
//! is told what to forget.

use super::access::entry_key;
use super::api::{Error, Invalidation, Result};
use super::shared::{Shared, index_error, tree_error};
use crate::grid::News;
use crate::keys::{AdminLog, AdminRecord, Power, Signed, encode};
use crate::tree::{Change, Checked, EntryError, Fold, FoldError, Opened, Touched};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Entries folded in one step, and bytes of them: while they are, they take many times as much memory.
const BATCH: usize = 256;
pub const BATCH_BYTES: usize = 1 << 20;
/// Entries of writers not known yet that are kept, and bytes of them.
const UNKNOWN_MAX: usize = 64;
const UNKNOWN_BYTES_MAX: usize = 16 << 20;
/// Entries that found no place to wait are asked for again after the first; where that brought
/// little forward, after twice as long, to the second: each time costs all that waits.
const TURNED_AWAY_AGAIN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));
/// More than little: what a drive in use takes in meanwhile is no reason to ask at once.
const FORWARD: u64 = 256;
/// When a watch ends, before the next.
const AGAIN: Duration = Duration::from_secs(5);

impl Shared {
    /// Takes in what holders have, as it arrives, for ever.
    pub async fn watcher_loop(self: Arc<Self>) {
        let mut wait = TURNED_AWAY_AGAIN.0;
        loop {
            let (begun, before) = (Instant::now(), self.core.lock().fold.applied());
            if !self.watch_once(begun, &mut wait).await {
                tokio::time::sleep(AGAIN).await;
            } else if !self.short.load(Ordering::Relaxed)
                && self.core.lock().fold.applied() < before.saturating_add(FORWARD)
            {
                wait = (wait * 2).min(TURNED_AWAY_AGAIN.1);
            }
        }
    }

    /// One watch: until it ends, or until it is to begin anew for those entries that were turned
    /// away. (A watch tells of nothing twice; a new one tells of all that was not taken in.)
    async fn watch_once(self: &Arc<Self>, begun: Instant, wait: &mut Duration) -> bool {
        let mut news = self.grid.watch(self.drive);
        let mut anew: Option<Instant> = None;
        self.turned_away.store(false, Ordering::Relaxed);
        loop {
            let due = async {
                match anew {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let told = tokio::select! { biased;
                () = due => return true,
                told = news.recv() => told,
            };
            let Some((_, told)) = told else { return false };
            if let Err(e) = self.take_news(told).await {
                self.note(format!("news from friends: {e}"));
                if e == Error::NoSpace {
                    // Nobody tells them again by themselves.
                    self.turned_away.store(true, Ordering::Relaxed);
                }
            }
            if anew.is_none() && self.turned_away.load(Ordering::Relaxed) {
                if begun.elapsed() > TURNED_AWAY_AGAIN.1 {
                    *wait = TURNED_AWAY_AGAIN.0;
                }
                anew = Some(Instant::now() + *wait);
            }
        }
    }

    /// Ask all holders now. Names of those that did not answer.
    pub async fn catch_up(self: &Arc<Self>, deadline: Duration) -> Result<Vec<String>> {
        let found = self.grid.fetch_since(self.drive, deadline).await;
        let (news, silent) = found.map_err(|e| Error::Unreadable(e.to_string()))?;
        for news in news {
            self.take_news(news).await?;
        }
        Ok(silent)
    }

    /// Verify, keep and fold in.
    pub async fn take_news(self: &Arc<Self>, news: News) -> Result<()> {
        if !news.admin.is_empty() {
            self.take_admin(news.admin).await?;
        }
        let mut rest = std::mem::take(&mut *self.unknown.lock());
        rest.extend(news.entries);
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(BATCH).take_while(|e| {
                let room = bytes < BATCH_BYTES;
                bytes += e.len();
                room
            });
            let batch: Vec<Vec<u8>> = rest.drain(..fits.count()).collect();
            let shared = self.clone();
            let checked = self.world.blocking(move || shared.with_place(shared.open_entries(batch))).await;
            let checked = checked.map_err(|e| Error::Internal(e.to_string()))??;
            if checked.is_empty() {
                continue;
            }
            let shared = self.clone();
            self.to_the_end(async move { shared.keep_and_fold(checked).await }).await?;
            self.progressed();
        }
        Ok(())
    }

    /// The tree never knows an entry that a power cut could take from this machine: nobody would
    /// be asked for it again.
    async fn keep_and_fold(self: Arc<Self>, checked: Vec<(Vec<u8>, Opened)>) -> Result<()> {
        self.index_takes(false)?;
        for (bytes, _) in &checked {
            self.entries.append(bytes).await.map_err(|e| self.fail(&e))?;
        }
        self.entries.sync().await.map_err(|e| self.fail(&e))?;
        let shared = self.clone();
        let folded = self.world.blocking(move || shared.fold_in(checked)).await;
        folded.map_err(|e| Error::Internal(e.to_string()))?
    }

    async fn take_admin(&self, records: Vec<Signed>) -> Result<()> {
        let new = {
            let mut admin = self.admin.lock();
            let first = &records[0];
            let start = match admin.records(0).first() {
                Some(genesis) if genesis.bytes == first.bytes => 0,
                _ => first.peek::<AdminRecord>().map(|r| r.seq).unwrap_or(0),
            };
            let before = admin.len();
            let taken = admin.extend(start, &records);
            if let Err(e) = taken {
                self.note(format!("the drive's admin log: {e}"));
            }
            admin.len() > before
        };
        if new { self.keep_admin().await } else { self.keep_admin_again().await }
    }

    /// What an earlier call found no room for. Friends, who are told that it is known here, do not tell it
    /// again.
    pub async fn keep_admin_again(&self) -> Result<()> {
        if self.admin_unsaved.load(Ordering::Relaxed) { self.keep_admin().await } else { Ok(()) }
    }

    /// The admin log's records, on this machine's disk.
    async fn keep_admin(&self) -> Result<()> {
        self.admin_unsaved.store(true, Ordering::Relaxed);
        let all = self.admin.lock().records(0).to_vec();
        self.admin_file.store(&encode(&all)).await.map_err(|e| self.fail(&e))?;
        self.admin_unsaved.store(self.admin.lock().records(0).len() > all.len(), Ordering::Relaxed);
        self.admin_changed.send_modify(|n| *n += 1);
        Ok(())
    }

    /// See [`super::Drive::author`].
    pub async fn author<T>(
        &self,
        change: impl FnOnce(&mut AdminLog) -> std::result::Result<T, String>,
    ) -> std::result::Result<T, String> {
        let _one = self.authoring.lock().await;
        let (done, with) = {
            let mut with = self.admin.lock().clone();
            (change(&mut with)?, with)
        };
        // First on the disk: a record that was signed and told, and is not known after a start, would
        // have another in its place.
        let all = with.records(0).to_vec();
        self.admin_file.store(&encode(&all)).await.map_err(|e| self.fail(&e).to_string())?;
        let alone = {
            let mut admin = self.admin.lock();
            let alone = admin.records(0).len() <= all.len()
                && admin.records(0).iter().zip(&all).all(|(here, with)| here.bytes == with.bytes);
            if alone {
                *admin = with;
            }
            alone
        };
        if !alone {
            self.keep_admin().await.map_err(|e| e.to_string())?;
            return Err("the drive's admin log changed meanwhile: try again".into());
        }
        self.admin_changed.send_modify(|n| *n += 1);
        // Holders are given the records before any entry, be there one or not.
        let mut told = self.grid.append(self.drive, Vec::new());
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        Ok(done)
    }

    /// Entries that are new here, verified and opened.
    fn open_entries(&self, batch: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Opened)> {
        let mut out = Vec::new();
        for bytes in batch {
            match self.open_entry(&bytes) {
                Ok(Some(opened)) => out.push((bytes, opened)),
                Ok(None) => {}
                Err(EntryError::Operations) => {
                    let why = "this drive holds entries that a newer version of kith wrote: upgrade";
                    self.failed.lock().get_or_insert_with(|| why.into());
                    self.note(why.into());
                }
                Err(e) => self.note(format!("an entry from a friend is refused: {e}")),
            }
        }
        out
    }

    /// Those that are taken in or may wait; the others are not kept here, and asked for again.
    fn with_place(&self, mut entries: Vec<(Vec<u8>, Opened)>) -> Result<Vec<(Vec<u8>, Opened)>> {
        let core = self.core.lock();
        let opened = entries.iter().map(|(_, opened)| opened);
        let away = core.fold.would_turn_away(&*self.index, opened);
        drop(core);
        if let Err(e @ FoldError::Upgrade(_)) = &away {
            self.failed.lock().get_or_insert_with(|| e.to_string());
        }
        let away = away.map_err(tree_error)?;
        if !away.is_empty() {
            self.turned_away.store(true, Ordering::Relaxed);
            entries.retain(|(_, opened)| !away.contains(&opened.hash));
        }
        Ok(entries)
    }

    fn open_entry(&self, bytes: &[u8]) -> std::result::Result<Option<Opened>, EntryError> {
        // Every holder hands it out: all but the first are known by their bytes alone.
        let claimed = Checked::claimed(bytes, &self.drive)?;
        if let Ok(Some(known)) = self.index.get(&entry_key(&claimed.log, claimed.header.seq))
            && known == bytes
        {
            return Ok(None);
        }
        let checked = Checked::parse(bytes, &self.drive)?;
        if checked.log == self.log {
            if matches!(self.index.get(&entry_key(&checked.log, checked.header.seq)), Ok(Some(_))) {
                self.forked();
            }
            if self.forked.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        let admin = self.admin.lock();
        let Some(writer) = admin.writer(&checked.header.writer) else {
            drop(admin);
            self.keep_unknown(bytes);
            return Ok(None);
        };
        if let Some(last) = &writer.cut {
            let valid = last.iter().any(|l| l.log == checked.log && checked.header.seq <= l.seq);
            if !valid {
                return Ok(None);
            }
        }
        let may_set_rules = writer.writer.power >= Power::Admin;
        drop(admin);
        let opened = checked.open(&self.keys())?;
        let sets_rules = opened.operations.iter().any(|op| matches!(op.change, Change::SetRules { .. }));
        if sets_rules && !may_set_rules {
            self.note("an entry is refused: its writer may not change the drive's rules".into());
            return Ok(None);
        }
        if opened.header.log() == self.log && self.contradicts(&opened) {
            self.forked();
            return Ok(None);
        }
        Ok(Some(opened))
    }

    /// The enrolment of its writer may still be on its way: looked at again with the next news.
    fn keep_unknown(&self, bytes: &[u8]) {
        let mut unknown = self.unknown.lock();
        let taken: usize = unknown.iter().map(Vec::len).sum();
        if unknown.len() < UNKNOWN_MAX && taken + bytes.len() <= UNKNOWN_BYTES_MAX {
            unknown.push(bytes.to_vec());
        } else {
            self.turned_away.store(true, Ordering::Relaxed);
        }
    }

    /// Whether an entry of this machine's log follows another one than the last that is here, or
    /// has other operations under numbers that are pending here.
    fn contradicts(&self, entry: &Opened) -> bool {
        let core = self.core.lock();
        let last = core.fold.heads().into_iter().find(|head| head.log == self.log);
        if last.is_some_and(|l| entry.header.seq == l.seq + 1 && entry.header.previous != l.hash) {
            return true;
        }
        entry.operations.iter().any(|op| core.pending.get(op.n).is_some_and(|p| p.op != *op))
    }

    /// Somebody else has gone on with this machine's log: nothing more is written here, so that
    /// neither takes the other's place.
    fn forked(&self) {
        let why = "another copy of this machine writes to the drive (a clone, or this is a restored \
                   backup): copy what is new here to another place, move the drive's state away, and start again";
        self.forked.store(true, Ordering::Relaxed);
        if self.failed.lock().replace(why.into()).is_none() {
            self.note(why.into());
        }
    }

    fn fold_in(&self, entries: Vec<(Vec<u8>, Opened)>) -> Result<()> {
        let mut core = self.core.lock();
        let mut writes = Vec::with_capacity(entries.len());
        let mut opened = Vec::with_capacity(entries.len());
        let mut own = Vec::new();
        for (bytes, entry) in entries {
            let (log, seq) = (entry.header.log(), entry.header.seq);
            writes.push((entry.hash, entry_key(&log, seq), bytes));
            if log == self.log {
                own.push((entry.hash, entry.operations.iter().map(|op| op.n).collect::<Vec<_>>()));
            }
            opened.push(entry);
        }
        core.fold.set_now(self.now());
        let mut step = match core.fold.take(&*self.index, opened) {
            Ok(step) => step,
            Err(e) => {
                // What it remembers is ahead of the table: begin again from there.
                let label = core.fold.label().to_string();
                core.fold = Fold::open(&*self.index, self.log, &label).map_err(tree_error)?;
                self.past.forget_moments();
                if let FoldError::Upgrade(_) = e {
                    self.failed.lock().get_or_insert_with(|| e.to_string());
                }
                return Err(tree_error(e));
            }
        };
        // One that found no place after all is not known here, so that it can come again.
        let away = &step.turned_away;
        let writes = writes.into_iter().filter(|(hash, ..)| !away.contains(hash));
        step.batch.writes.extend(writes.map(|(_, key, bytes)| (key, Some(bytes))));
        for n in own.into_iter().filter(|(hash, _)| !away.contains(hash)).flat_map(|(_, ops)| ops) {
            // Our own, come back to us: its operations are pending no more.
            core.pending.remove(n);
            core.next_n = core.next_n.max(n + 1);
        }
        if !away.is_empty() {
            self.turned_away.store(true, Ordering::Relaxed);
        }
        self.index.commit(step.batch).map_err(|e| self.stop(index_error(e)))?;
        drop(core);
        self.invalidate(&step.touched);
        Ok(())
    }

    /// Tell the kernel what to forget.
    fn invalidate(&self, touched: &Touched) {
        for name in &touched.names {
            let gone = Invalidation::Entry { parent: name.parent_ino, name: name.name.clone() };
            let _ = self.invalidations.send(gone);
        }
        for inode in &touched.inodes {
            if inode.data {
                self.epochs.lock().bump(inode.ino);
            }
            // Who has the file open goes on with the version it has.
            let open = self.live(inode.ino).is_some();
            let _ =
                self.invalidations.send(Invalidation::Inode { ino: inode.ino, data: inode.data && !open });
        }
    }
}
