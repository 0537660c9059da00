//! Shares that friends no longer have, as this machine found out: kept on its disk, so that no
//! restart makes a file look better than it is.

use super::api::Result;
use super::shared::{Shared, index_error};
use super::status::FileState;
use crate::content::{CatalogueRecord, Coding, SharePlace};
use crate::grid::Level;
use crate::keys::{Hash, NodeId, PackId, ShareId, decode_canonical, encode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Name of the file, and its longest content.
pub const LOST: &str = "lost";
const LOST_BYTES_MAX: usize = 32 << 20;
/// Shares remembered; a drive that has lost more is past counting.
const LOST_MAX: usize = 100_000;

/// One of them. It counts as long as the catalogue names this very share at this holder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LostShare {
    pub pack: PackId,
    pub number: u16,
    pub holder: NodeId,
    pub share: ShareId,
}

/// All of them, by pack.
#[derive(Default)]
pub struct LostShares(BTreeMap<PackId, BTreeSet<LostShare>>);

impl LostShares {
    /// From the file's content; None when it is not what is written there.
    pub fn decode(bytes: &[u8]) -> Option<LostShares> {
        let all: Vec<LostShare> = decode_canonical(bytes, LOST_BYTES_MAX).ok()?;
        let mut out = LostShares::default();
        for lost in all {
            out.set(lost, true);
        }
        Some(out)
    }
    fn encode(&self) -> Vec<u8> {
        encode(&self.0.values().flatten().cloned().collect::<Vec<_>>())
    }
    /// Whether a place of a pack is known to be lost.
    fn has(&self, pack: &PackId, place: &SharePlace) -> bool {
        self.0.get(pack).is_some_and(|all| {
            all.iter().any(|l| (l.number, l.holder, l.share) == (place.number, place.holder, place.id))
        })
    }
    /// Note a share as lost, or as there; answers whether that is news.
    fn set(&mut self, share: LostShare, lost: bool) -> bool {
        let pack = share.pack;
        let all = self.0.entry(pack).or_default();
        let news = if lost { all.insert(share) } else { all.remove(&share) };
        if all.is_empty() {
            self.0.remove(&pack);
        }
        news
    }
    /// Packs of which something is noted.
    pub fn packs(&self) -> Vec<PackId> {
        self.0.keys().copied().collect()
    }
    fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }
}

impl Shared {
    /// The shares of a record that are not known to be lost.
    pub fn standing(&self, record: &CatalogueRecord) -> Vec<SharePlace> {
        let lost = self.lost.lock();
        record.shares.iter().filter(|s| !lost.has(&record.pack, s)).cloned().collect()
    }

    /// Whether a share is known to be lost.
    pub fn known_lost(&self, pack: &PackId, place: &SharePlace) -> bool {
        self.lost.lock().has(pack, place)
    }

    /// A read found a share lost: it counts no more from this moment on, and its repair begins.
    pub fn read_lost(&self, pack: &PackId, place: &SharePlace) {
        if self.set_share(pack, place, true) {
            tracing::warn!(
                pack = %pack.short(), holder = %place.holder.short(), number = place.number,
                "a share is lost: a read of it failed"
            );
            self.lost_wake.notify_one();
        }
    }

    /// Note what an audit found; on this machine's disk when this returns.
    pub async fn note_share(&self, pack: &PackId, place: &SharePlace, lost: bool) -> bool {
        let news = self.set_share(pack, place, lost);
        if news {
            self.save_lost().await;
        }
        news
    }

    fn set_share(&self, pack: &PackId, place: &SharePlace, lost: bool) -> bool {
        let share = LostShare { pack: *pack, number: place.number, holder: place.holder, share: place.id };
        let news = {
            let mut all = self.lost.lock();
            !(lost && all.len() >= LOST_MAX) && all.set(share, lost)
        };
        if news {
            self.progressed();
        }
        news
    }

    pub(super) async fn save_lost(&self) {
        // What is written is what is known when the turn comes: a later writer never loses.
        let _one_at_a_time = self.lost_saving.lock().await;
        let bytes = self.lost.lock().encode();
        if let Err(e) = self.lost_file.store(&bytes).await {
            self.note(format!("what friends have lost was not written down: {e}"));
        }
    }

    /// Forget what is noted of a pack of which the catalogue says something else by now.
    pub async fn forget_moved(&self, record: &CatalogueRecord) {
        let moved = {
            let mut lost = self.lost.lock();
            let noted = lost.0.get(&record.pack).into_iter().flatten();
            let gone = noted.filter(|old| {
                let same = |s: &SharePlace| (s.number, s.holder, s.id) == (old.number, old.holder, old.share);
                !record.shares.iter().any(same)
            });
            let gone: Vec<LostShare> = gone.cloned().collect();
            gone.into_iter().filter(|old| lost.set(old.clone(), false)).count()
        };
        if moved > 0 {
            self.save_lost().await;
        }
    }

    /// How well a pack is kept by those who still prove that they have their shares.
    pub fn pack_state(&self, pack: &PackId) -> Result<FileState> {
        let Some(record) = self.view().pack(pack).map_err(index_error)? else {
            return Ok(FileState::AtRisk { margin: 0 });
        };
        // While it is uploaded its own coding is known; the catalogue tells of the shares placed.
        let uploading = self.uploads.lock().packs.get(pack).map(|p| p.intent.coding);
        let coding = uploading.unwrap_or_else(|| coding_of(&record));
        // A repair counts when it is done: promised, told in an entry, and that at friends.
        let under_repair = self.uploads.lock().packs.get(pack).and_then(|p| p.repair.clone());
        let damaged = under_repair.is_some();
        let mut standing = under_repair.unwrap_or_else(|| self.standing(&record));
        // What was lost since the repair began stands no more either.
        standing.retain(|place| !self.known_lost(pack, place));
        let households: BTreeSet<Hash> = standing.iter().map(|s| s.household).collect();
        Ok(match Level::of(coding, households.len()) {
            Level::Local => FileState::AtRisk { margin: 0 },
            Level::Published if damaged || standing.len() < record.shares.len() => {
                let over = households.len() - usize::from(coding.k);
                FileState::AtRisk { margin: u8::try_from(over).unwrap_or(u8::MAX) }
            }
            level => {
                // Shares are worth nothing to those who were not told where they are.
                let told = !self.publishing.lock().entries.values().any(|e| e.packs.contains(pack));
                let state = self.level_state(level, coding);
                if told { state } else { state.min(FileState::Published) }
            }
        })
    }

    /// The least state of a pack that has lost a share; None when none has.
    pub fn worst_damage(&self) -> Option<FileState> {
        let mut packs: BTreeSet<PackId> = self.lost.lock().packs().into_iter().collect();
        packs.retain(|pack| self.has_lost(pack));
        let uploads = self.uploads.lock();
        packs.extend(uploads.packs.values().filter(|p| p.repair.is_some()).map(|p| p.intent.pack));
        drop(uploads);
        let state = |pack: &PackId| self.pack_state(pack).unwrap_or(FileState::AtRisk { margin: 0 });
        packs.iter().map(state).min()
    }

    fn has_lost(&self, pack: &PackId) -> bool {
        let record = self.view().pack(pack).ok().flatten();
        record.is_some_and(|record| self.standing(&record).len() < record.shares.len())
    }

    /// Holders of lost shares that are not made good yet, and how many each.
    pub fn losses(&self) -> BTreeMap<NodeId, u64> {
        let mut out = BTreeMap::new();
        let packs = self.lost.lock().packs();
        for pack in packs {
            let Ok(Some(record)) = self.view().pack(&pack) else { continue };
            for place in &record.shares {
                *out.entry(place.holder).or_default() += u64::from(self.lost.lock().has(&pack, place));
            }
        }
        out.retain(|_, n| *n > 0);
        out
    }
}

/// The coding that a record's shares are of.
pub fn coding_of(record: &CatalogueRecord) -> Coding {
    let highest = record.shares.iter().map(|s| s.number + 1).max().unwrap_or(0);
    Coding { k: record.k, n: u8::try_from(highest).unwrap_or(u8::MAX).max(record.k) }
}
