//! Packs made again: from the same chunks, from what friends have, or without what is lost.

use super::packer::{RETRY, Source};
use super::records::{self, PackIntent};
use super::shared::Shared;
use crate::content::{ChunkRef, PackBuilder};
use crate::grid::Level;
use crate::keys::{ChunkId, Epoch, PackId};
use crate::tree::{Change, ObjectId};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A pack that neither this machine nor friends can give is tried again after so many [`RETRY`].
const HOPELESS_RETRIES: u32 = 30;

impl Shared {
    /// A chunk of this machine's, with its reference.
    pub(super) async fn own_chunk(&self, id: &ChunkId) -> Option<(ChunkRef, Bytes)> {
        for segments in [&self.own, &self.cache] {
            let (Some(place), Ok(Some(note))) = (segments.place(id), segments.note(id).await) else {
                continue;
            };
            let Some((reference, _)) = records::decode::<ChunkRef>(&note) else { continue };
            if let Ok(Some(bytes)) = segments.read(id, 0..place.len).await {
                return Some((reference, bytes));
            }
        }
        None
    }

    /// A chunk that was to be uploaded cannot be read here, and nobody else has it.
    pub(super) fn lose(&self, id: &ChunkId) {
        tracing::warn!(drive = %self.drive.short(), chunk = %id.short(), "damaged before friends had it");
        self.uploads.lock().lost(id);
        self.progressed();
    }

    /// Files of which a part was damaged on this machine before friends had it.
    pub(super) fn unreadable_files(&self) -> BTreeSet<ObjectId> {
        if !self.uploads.lock().any_lost() {
            return BTreeSet::new();
        }
        let core = self.core.lock();
        // One that is being written again is not lost yet: what becomes of it is seen then.
        let written = self.being_written();
        let uploads = self.uploads.lock();
        let lost = core.pending.all().filter(|p| uploads.needs_lost(p.op.n));
        let lost = lost.filter_map(|p| match &p.op.change {
            Change::SetContent { object, .. } => Some(*object),
            _ => None,
        });
        lost.filter(|object| !written.contains(object)).collect()
    }

    /// Whether an object has no name any more.
    pub(super) fn is_gone(&self, object: ObjectId) -> bool {
        matches!(self.view().inode(object), Ok(Some(inode)) if !inode.is_live())
    }

    /// A pack that friends cannot read and that cannot be made any more is given up; what of it
    /// is sound here is packed anew, so that one rotten chunk takes no other file with it.
    /// False: friends may give the pack, or count on it.
    pub(super) fn remake_without(&self, id: &PackId, why: &str) -> bool {
        let core = self.core.lock();
        let mut uploads = self.uploads.lock();
        let known = uploads.packs.get(id);
        if known.is_none_or(|p| p.told || p.repair.is_some() || p.level() >= Level::Published) {
            return false;
        }
        // Without this record it is given up once more after a start.
        let _ = self.journal.append(records::PACK_DONE, &records::encode(id));
        uploads.abandon(id);
        for pending in core.pending.all() {
            let n = &pending.op.n;
            if let Change::SetContent { object, .. } = &pending.op.change {
                uploads.for_object(*n, *object);
            }
        }
        drop((uploads, core));
        tracing::warn!(pack = %id.short(), "{why}: what is sound of it is packed anew");
        self.pack_wake.notify_one();
        true
    }

    /// Bring a pack up again that cannot be made from what is here: its bytes come from friends,
    /// one pack at a time, and hold nothing else up.
    pub(super) fn start_repair(
        self: &Arc<Self>,
        intent: PackIntent,
        why: String,
        turns: Arc<Semaphore>,
        stragglers: Arc<Semaphore>,
    ) {
        let shared = self.clone();
        let mut closing = self.closing.subscribe();
        tokio::spawn(async move {
            let id = intent.pack;
            let repair = async {
                let _one_at_a_time = shared.repairing.lock().await;
                match shared.fetch_pack(&id).await {
                    Ok(encoder) if encoder.id() == id => {
                        let source = Source { encoder, keys: shared.keys(), epoch: intent.epoch };
                        let Ok(turn) = turns.acquire_owned().await else { return };
                        shared.upload(id, Arc::new(source), turn, stragglers).await;
                    }
                    Ok(_) => shared.give_up(&id, "friends hold other bytes"),
                    Err(from_friends) => shared.give_up(&id, &format!("{why}; {from_friends}")),
                }
            };
            tokio::select! {
                biased;
                _ = closing.wait_for(|c| *c) => {}
                () = repair => {}
            }
        });
    }

    fn give_up(&self, id: &PackId, why: &str) {
        self.note(format!("pack {} cannot be made again: {why}", id.short()));
        if let Some(pack) = self.uploads.lock().packs.get_mut(id) {
            pack.uploading = false;
            pack.not_before = self.world.clock.monotonic() + RETRY * HOPELESS_RETRIES;
        }
    }

    /// The same pack from the same chunks.
    pub(super) async fn rebuild(
        &self,
        chunks: &[(ChunkId, u64)],
        k: u8,
        epoch: Epoch,
    ) -> Result<Source, String> {
        let mut builder = PackBuilder::new();
        for (id, at) in chunks {
            let (reference, sealed) =
                self.own_chunk(id).await.ok_or_else(|| format!("chunk {} is not here", id.short()))?;
            match builder.append(&reference, &sealed) {
                Some(offset) if u64::from(offset) == *at => {}
                _ => return Err("chunks no longer lie as they did".into()),
            }
        }
        self.encode(builder, k, epoch).await
    }
}
