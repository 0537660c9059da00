//! Audits at a low rate, and what follows when a friend does not have what it promised: the
//! share counts no more, and is made again from the others.

use super::api::Result;
use super::lost::coding_of;
use super::records::PackIntent;
use super::shared::{Shared, index_error};
use super::uploads::PackState;
use crate::content::{CatalogueRecord, PackEncoder};
use crate::grid::{Audit, PackRange};
use crate::keys::{NodeId, PackId};
use crate::tree::Cursor;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// One pack is audited, all its holders, in this time when nothing is wrong.
const AUDIT_EVERY: Duration = Duration::from_secs(30);
/// Suspicion is looked at this often; packs in doubt are audited this fast.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const QUICK_EVERY: Duration = Duration::from_millis(200);
/// Packs in doubt at once: more are found again by the next round.
const DOUBTS_MAX: usize = 4096;
/// Packs being repaired at once.
const REPAIRS_MAX: usize = 64;
/// Fetching a whole pack from friends to make a share again.
const REPAIR_READ: Duration = Duration::from_secs(120);

/// Where the round is, and what is in doubt.
#[derive(Default)]
struct Round {
    after: Option<Cursor>,
    doubts: VecDeque<PackId>,
    /// Holders found wanting in this round: their other shares were put in doubt.
    wanting: BTreeSet<NodeId>,
}

impl Shared {
    /// Audits and repairs, for ever.
    pub async fn auditor_loop(self: Arc<Self>) {
        let mut round = Round::default();
        let mut next = self.world.clock.monotonic() + AUDIT_EVERY;
        loop {
            let wait = if round.doubts.is_empty() { LOOK_EVERY } else { QUICK_EVERY };
            tokio::select! { biased;
                () = self.lost_wake.notified() => {
                    self.save_lost().await;
                    if let Err(e) = self.begin_repairs() {
                        self.note(format!("a repair: {e}"));
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
            round.doubts.extend(self.grid.suspects(&self.drive));
            round.doubts.truncate(DOUBTS_MAX);
            let now = self.world.clock.monotonic();
            let pack = match round.doubts.pop_front() {
                Some(pack) => Some(pack),
                None if now >= next => {
                    next = now + AUDIT_EVERY;
                    self.next_pack(&mut round)
                }
                None => None,
            };
            if let Some(pack) = pack
                && let Err(e) = self.audit_pack(&pack, &mut round).await
            {
                self.note(format!("an audit: {e}"));
            }
            if let Err(e) = self.begin_repairs() {
                self.note(format!("a repair: {e}"));
            }
        }
    }

    /// The next pack of the round; after the last the round begins anew.
    fn next_pack(&self, round: &mut Round) -> Option<PackId> {
        let page = self.view().packs(round.after.take(), 1).ok()?;
        match page.into_iter().next() {
            Some((cursor, info)) => {
                round.after = Some(cursor);
                Some(info.pack)
            }
            None => {
                round.wanting.clear();
                None
            }
        }
    }

    /// Ask every holder of a pack for a piece of its share.
    async fn audit_pack(&self, pack: &PackId, round: &mut Round) -> Result<()> {
        let Some(record) = self.view().pack(pack).map_err(index_error)? else { return Ok(()) };
        self.forget_moved(&record).await;
        for (i, place) in record.shares.iter().enumerate() {
            match self.proved(&record, i).await {
                Audit::Kept => {
                    self.note_share(pack, place, false).await;
                }
                Audit::NoAnswer => {}
                Audit::Lost(why) => {
                    if self.note_share(pack, place, true).await {
                        tracing::warn!(
                            pack = %pack.short(), holder = %place.holder.short(), number = place.number,
                            "a share is lost: {why}"
                        );
                    }
                    if round.wanting.insert(place.holder) {
                        self.doubt(place.holder, pack, round)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// An answer; a bad one only when a second question is answered badly, too. A share of which
    /// a part was found damaged has to be whole: its other parts say nothing of that one.
    async fn proved(&self, record: &CatalogueRecord, place: usize) -> Audit {
        let lost = self.known_lost(&record.pack, &record.shares[place]);
        let first = self.grid.audit(self.drive, record.clone(), place, lost).await;
        match first {
            Audit::Lost(_) => self.grid.audit(self.drive, record.clone(), place, true).await,
            other => other,
        }
    }

    /// Who has lost one share has often lost more: its others are looked at soon.
    fn doubt(&self, holder: NodeId, except: &PackId, round: &mut Round) -> Result<()> {
        self.each_pack(|record| {
            let there = record.shares.iter().any(|s| s.holder == holder);
            if there && record.pack != *except {
                round.doubts.push_back(record.pack);
            }
            round.doubts.len() < DOUBTS_MAX
        })
    }

    /// Packs that have lost shares go up again: what is missing of them.
    fn begin_repairs(&self) -> Result<()> {
        if self.writable().is_err() {
            return Ok(());
        }
        let packs = self.lost.lock().packs();
        let mut begun = false;
        for pack in packs.into_iter().take(REPAIRS_MAX) {
            if self.uploads.lock().packs.contains_key(&pack) {
                continue;
            }
            let Some(record) = self.view().pack(&pack).map_err(index_error)? else { continue };
            let placed = self.standing(&record);
            if placed.len() == record.shares.len() {
                continue;
            }
            let packed = self.view().packed(&pack).map_err(index_error)?;
            let intent = PackIntent {
                pack,
                epoch: record.epoch,
                coding: coding_of(&record),
                len: record.len,
                data_roots: record.data_roots.clone(),
                chunks: packed.into_iter().map(|p| (p.chunk, p.offset)).collect(),
            };
            let mut state = PackState::new(intent);
            state.repair = Some(placed.clone());
            (state.told, state.catalogued, state.placed) = (true, placed.len(), placed);
            (state.bytes, state.catalogued_level) = (record.len, state.level());
            self.uploads.lock().add_pack(state);
            begun = true;
        }
        if begun {
            self.pack_wake.notify_one();
        }
        Ok(())
    }

    /// A pack's bytes from friends, coded again: when its chunks are not all on this machine.
    pub async fn fetch_pack(&self, pack: &PackId) -> std::result::Result<PackEncoder, String> {
        let record = self.view().pack(pack).map_err(|e| e.to_string())?;
        let mut record = record.ok_or("it is not in the catalogue")?;
        record.shares = self.standing(&record);
        let (epoch, k, drive) = (record.epoch, record.k, self.drive);
        let len = u32::try_from(record.len).map_err(|e| e.to_string())?;
        let all = vec![PackRange { offset: 0, len }];
        let parts = self.grid.fetch(self.drive, record, all, REPAIR_READ).await.map_err(|e| e.to_string())?;
        let bytes = parts.into_iter().next().ok_or("the grid answered nonsense")?;
        let coded = self.world.blocking(move || PackEncoder::new(&drive, epoch, k, bytes.to_vec()));
        coded.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
    }
}
