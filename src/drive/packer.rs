//! Packs: chunks that wait are put together, coded, and brought to friends.

use super::records::{self, PackIntent, Placed};
use super::shared::Shared;
use super::uploads::PackState;
use crate::content::{Coding, HolderStream, PACK_LEN, PackBuilder, PackEncoder};
use crate::grid::{Level, PackSource, SealedShare, UploadEvent};
use crate::keys::{ChunkId, DriveKeys, Epoch, NodeId, PackId};
use crate::tree::ObjectId;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A pack that friends did not take whole is tried again after this, or when friends change.
pub(super) const RETRY: Duration = Duration::from_secs(20);
/// One that was ended only because others had a slow rest is tried again after this, once.
const CUT_OFF_RETRY: Duration = Duration::from_secs(1);
/// Chunks in one pack: what says where they lie is one operation (36 bytes each).
const PACK_CHUNKS_MAX: usize = 4096;
/// Transfers that outlive their turn because a holder is slow; more are cut off.
const STRAGGLERS_MAX: usize = 2;

/// A pack, coded when asked.
pub(super) struct Source {
    pub(super) encoder: PackEncoder,
    pub(super) keys: Arc<DriveKeys>,
    pub(super) epoch: Epoch,
}

impl PackSource for Source {
    fn pack(&self) -> PackId {
        self.encoder.id()
    }
    fn seal_epoch(&self) -> Epoch {
        self.epoch
    }
    fn share_len(&self) -> u64 {
        self.encoder.layout().share_len()
    }
    fn seal(&self, number: u16, holder: &NodeId) -> Result<SealedShare, String> {
        let stream = HolderStream::derive(&self.keys, self.epoch, &self.encoder.id(), number, holder);
        let stream = stream.map_err(|e| e.to_string())?;
        let share = self.encoder.share(number, &stream).map_err(|e| e.to_string())?;
        Ok(SealedShare { id: share.id, bytes: Bytes::from(share.bytes) })
    }
}

/// Chunks put together, not yet coded.
struct Filled {
    builder: PackBuilder,
    chunks: Vec<(ChunkId, u64)>,
    objects: BTreeSet<ObjectId>,
    bytes: u64,
}

impl Shared {
    /// Packs and uploads, for ever.
    pub async fn packer_loop(self: Arc<Self>) {
        let turns = Arc::new(Semaphore::new(self.options.packs_in_flight));
        let stragglers = Arc::new(Semaphore::new(STRAGGLERS_MAX));
        let mut changes = self.grid.changes();
        loop {
            self.retry_packs(&turns, &stragglers).await;
            let ready = self.pack_ready();
            if ready && let Some(coding) = self.grid.coding(&self.drive) {
                let Ok(turn) = turns.clone().acquire_owned().await else { return };
                if let Err(why) = self.pack_one(coding, turn, &stragglers).await {
                    self.note(format!("a pack was not made: {why}"));
                    tokio::time::sleep(RETRY).await;
                }
                continue;
            }
            let wait = if self.uploads.lock().waiting() > 0 && self.grid.coding(&self.drive).is_some() {
                self.options.pack_quiet
            } else {
                self.next_retry()
            };
            tokio::select! {
                biased;
                () = self.pack_wake.notified() => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        tokio::time::sleep(RETRY).await;
                    }
                    for pack in self.uploads.lock().packs.values_mut() {
                        pack.not_before = Duration::ZERO;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Until the next pack may be tried again.
    fn next_retry(&self) -> Duration {
        let now = self.world.clock.monotonic();
        let uploads = self.uploads.lock();
        let idle = uploads.packs.values().filter(|p| !p.uploading && p.level() < Level::Full);
        let next = idle.map(|p| p.not_before.saturating_sub(now)).min().unwrap_or(RETRY);
        next.clamp(self.options.pack_quiet, RETRY)
    }

    /// Enough waits for a pack, or what waits has waited long enough.
    fn pack_ready(&self) -> bool {
        let uploads = self.uploads.lock();
        let now = self.world.clock.monotonic();
        uploads.waiting() >= crate::content::PACK_UNITS / 16
            || (uploads.waiting() > 0 && now >= uploads.last_queued + self.options.pack_quiet)
    }

    async fn pack_one(
        self: &Arc<Self>,
        coding: Coding,
        turn: OwnedSemaphorePermit,
        stragglers: &Arc<Semaphore>,
    ) -> Result<(), String> {
        let Some(filled) = self.fill().await? else { return Ok(()) };
        let Filled { builder, chunks, objects, bytes } = filled;
        let keys = self.keys();
        let epoch = keys.epoch();
        let source = self.encode(builder, coding.k, epoch).await?;
        let intent = PackIntent {
            pack: source.pack(),
            epoch,
            coding,
            len: source.encoder.layout().len(),
            data_roots: source.encoder.data_roots().to_vec(),
            chunks,
        };
        self.append(records::PACK, &[&records::encode(&intent)]).await.map_err(|e| e.to_string())?;
        let id = source.pack();
        let pack = PackState { bytes, objects, uploading: true, ..PackState::new(intent) };
        self.uploads.lock().add_pack(pack);
        self.start_upload(id, Arc::new(source), turn, stragglers.clone());
        Ok(())
    }

    /// Take chunks from the queue into a pack.
    async fn fill(&self) -> Result<Option<Filled>, String> {
        self.take_back_gone();
        let mut builder = PackBuilder::new();
        let (mut chunks, mut objects, mut bytes) = (Vec::new(), BTreeSet::new(), 0);
        while builder.used() < PACK_LEN && chunks.len() < PACK_CHUNKS_MAX {
            let Some((id, users)) = self.uploads.lock().pop() else { break };
            let Some((reference, sealed)) = self.own_chunk(&id).await else {
                self.lose(&id);
                continue;
            };
            let Some(offset) = builder.append(&reference, &sealed) else {
                self.uploads.lock().push_front(id, users);
                break;
            };
            bytes += sealed.len() as u64;
            chunks.push((id, u64::from(offset)));
            objects.extend(users);
        }
        Ok((!chunks.is_empty()).then_some(Filled { builder, chunks, objects, bytes }))
    }

    pub(super) async fn encode(&self, builder: PackBuilder, k: u8, epoch: Epoch) -> Result<Source, String> {
        let keys = self.keys();
        let drive = self.drive;
        let work = move || {
            let closed = builder.close(&keys, epoch).map_err(|e| e.to_string())?.ok_or("an empty pack")?;
            let encoder = PackEncoder::new(&drive, epoch, k, closed.bytes).map_err(|e| e.to_string())?;
            Ok(Source { encoder, keys, epoch })
        };
        self.world.blocking(work).await.map_err(|e| e.to_string())?
    }

    /// Bring a pack to friends. The turn ends when it is as safe as it is promised, or nothing
    /// more can be done now; a slow rest goes on by itself, within bounds.
    fn start_upload(
        self: &Arc<Self>,
        id: PackId,
        source: Arc<Source>,
        turn: OwnedSemaphorePermit,
        stragglers: Arc<Semaphore>,
    ) {
        let shared = self.clone();
        let mut closing = self.closing.subscribe();
        tokio::spawn(async move {
            let upload = shared.upload(id, source, turn, stragglers);
            tokio::select! {
                biased;
                _ = closing.wait_for(|c| *c) => {}
                () = upload => {}
            }
        });
    }

    pub(super) async fn upload(
        self: &Arc<Self>,
        id: PackId,
        source: Arc<Source>,
        turn: OwnedSemaphorePermit,
        stragglers: Arc<Semaphore>,
    ) {
        let found = self.uploads.lock().packs.get(&id).map(|p| (p.intent.coding, p.placed.clone()));
        let Some((coding, placed)) = found else { return };
        let mut events = self.grid.upload(self.drive, source, coding, placed);
        let (mut turn, mut place, mut cut_off) = (Some(turn), None, false);
        while let Some(event) = events.recv().await {
            match event {
                UploadEvent::Placed { place, .. } => self.placed(&id, place).await,
                UploadEvent::Refused { holder, refusal, .. } => {
                    let friends = self.grid.holders(&self.drive);
                    let name =
                        friends.iter().find(|f| f.node == holder).map_or(holder.short(), |f| f.label.clone());
                    self.note(format!("{name} has no room within its limit: {}", refusal.detail));
                }
                UploadEvent::Failed { why, .. } => tracing::info!(pack = %id.short(), "{why}"),
                UploadEvent::Slow { .. } => {}
                UploadEvent::Finished { .. } => break,
            }
            let enough =
                self.uploads.lock().packs.get(&id).is_none_or(|p| p.level() >= good(p.intent.coding));
            if enough && turn.is_some() {
                match stragglers.clone().try_acquire_owned() {
                    Ok(permit) => (turn, place) = (None, Some(permit)),
                    Err(_) => {
                        cut_off = true;
                        break;
                    }
                }
            }
        }
        drop((turn, place));
        self.finished(&id, cut_off);
    }

    /// A holder has a share.
    async fn placed(&self, id: &PackId, place: crate::content::SharePlace) {
        let record = Placed { pack: *id, place: place.clone() };
        // Not having it only costs another upload.
        let _ = self.append(records::PLACED, &[&records::encode(&record)]).await;
        let (before, after) = {
            let mut uploads = self.uploads.lock();
            let Some(pack) = uploads.packs.get_mut(id) else { return };
            let before = pack.level();
            pack.placed.retain(|p| p.number != place.number);
            pack.placed.push(place.clone());
            let after = pack.level();
            if before < Level::Published && after >= Level::Published {
                uploads.published(id);
            }
            (before, after)
        };
        // Should it have been lost there, it is kept again.
        self.note_share(id, &place, false).await;
        if after > before {
            self.publish_wake.notify_one();
            self.progressed();
        }
    }

    fn finished(&self, id: &PackId, cut_off: bool) {
        if let Some(pack) = self.uploads.lock().packs.get_mut(id) {
            pack.uploading = false;
            let wait = if cut_off && !pack.cut_off { CUT_OFF_RETRY } else { RETRY };
            pack.cut_off |= cut_off;
            pack.not_before = self.world.clock.monotonic() + wait;
        }
        self.publish_wake.notify_one();
        self.pack_wake.notify_one();
        self.progressed();
    }

    /// Packs that are not full and not under way go again.
    async fn retry_packs(self: &Arc<Self>, turns: &Arc<Semaphore>, stragglers: &Arc<Semaphore>) {
        if self.grid.coding(&self.drive).is_none() {
            return;
        }
        let now = self.world.clock.monotonic();
        let due: Vec<PackIntent> = {
            let mut uploads = self.uploads.lock();
            let due = uploads.packs.values_mut();
            let due = due.filter(|p| !p.uploading && p.level() < Level::Full && p.not_before <= now);
            due.map(|p| {
                p.uploading = true;
                p.intent.clone()
            })
            .collect()
        };
        for intent in due {
            let Ok(turn) = turns.clone().acquire_owned().await else { return };
            let why = match self.rebuild(&intent.chunks, intent.coding.k, intent.epoch).await {
                Ok(source) if source.pack() == intent.pack => {
                    self.start_upload(intent.pack, Arc::new(source), turn, stragglers.clone());
                    continue;
                }
                Ok(_) => "it was made of other bytes".to_string(),
                Err(why) => why,
            };
            if self.remake_without(&intent.pack, &why) {
                continue;
            }
            self.start_repair(intent, why, turns.clone(), stragglers.clone());
        }
    }
}

/// The level at which a pack no longer holds back the next.
pub fn good(coding: Coding) -> Level {
    if coding.margin() > 0 { Level::Safe } else { Level::Full }
}
