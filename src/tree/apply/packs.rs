//! Where content lies, and the few operations about the drive itself.

use super::super::state::*;
use super::super::{Overlay, View};
use super::edit::{Done, Editor};
use crate::content::CatalogueRecord;
use crate::keys::{ChunkId, LogId, PackId};

impl Editor<'_, '_> {
    pub fn pack_contents(&mut self, pack: &PackId, chunks: &[(ChunkId, u64)]) -> Done {
        for (chunk, offset) in chunks {
            self.put(chunk_key(chunk, pack), &ChunkPlace { pack: *pack, offset: *offset })?;
            self.put(packed_key(pack, chunk), &PackedChunk { chunk: *chunk, offset: *offset })?;
        }
        Ok(())
    }
    pub fn drop_pack(&mut self, pack: &PackId) -> Done {
        let dropped = Dropped { pack: *pack, by: self.id, time: self.op.time };
        self.put(pack_key(tables::DROPPED, pack), &dropped)
    }
    pub fn park_log(&mut self, log: &LogId) -> Done {
        let by = self.id;
        self.put(log_key(tables::PARKED, log), &by)
    }
    pub fn set_rules(&mut self, version: u32) -> Done {
        let rules = self.view().rules()?.max(version);
        self.put(single(tables::RULES), &rules)
    }
}

/// Merge a catalogue record: share by share, the later in order stands.
pub(in super::super) fn apply_catalogue(over: &mut Overlay<'_>, record: &CatalogueRecord) -> Done {
    let key = pack_key(tables::PACK, &record.pack);
    if View(over).record::<PackInfo>(&key, "a pack")?.is_none() {
        let info = PackInfo {
            pack: record.pack,
            epoch: record.epoch,
            k: record.k,
            len: record.len,
            data_roots: record.data_roots.clone(),
        };
        over.put(key, Some(encode(&info)))?;
    }
    for share in &record.shares {
        over.put(share_key(&record.pack, share.number), Some(encode(share)))?;
    }
    Ok(())
}
