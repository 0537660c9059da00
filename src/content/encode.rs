//! Pack -> shares.

use super::{HolderStream, Layout, LayoutError, ShareTree};
use crate::keys::{DriveId, Epoch, Hash, PackId, ShareId};

/// Hash of {drive, epoch, k, length, roots of the k unsealed data shares}.
pub fn pack_id(drive: &DriveId, epoch: Epoch, layout: Layout, data_roots: &[Hash]) -> PackId {
    let _ = (drive, epoch, layout, data_roots);
    todo!()
}

/// One share, sealed for its holder.
#[derive(Clone, Debug)]
pub struct SealedShare {
    pub number: u16,
    pub id: ShareId,
    pub bytes: Vec<u8>,
    /// The hash tree, as a holder keeps it.
    pub tree: ShareTree,
}

/// A closed pack, ready to give out shares, each produced when asked for (so memory is the
/// pack and what the caller holds). `&self` everywhere: shares may be made on many threads.
pub struct PackEncoder {
    bytes: Vec<u8>,
    layout: Layout,
    data_roots: Vec<Hash>,
    id: PackId,
}

impl PackEncoder {
    /// Hashes the k unsealed data shares.
    pub fn new(drive: &DriveId, epoch: Epoch, k: u8, bytes: Vec<u8>) -> Result<Self, LayoutError> {
        let _ = (drive, epoch, k, bytes);
        todo!()
    }
    pub fn id(&self) -> PackId {
        self.id
    }
    pub fn layout(&self) -> Layout {
        self.layout
    }
    pub fn data_roots(&self) -> &[Hash] {
        &self.data_roots
    }
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// Share `number` (0..k data, k..256 parity, n is soft), sealed for its holder.
    pub fn share(&self, number: u16, stream: &HolderStream) -> SealedShare {
        let _ = (number, stream);
        todo!()
    }
    /// Several shares in one pass over the pack (better for the cache than one by one).
    pub fn shares(&self, wanted: &[(u16, HolderStream)]) -> Vec<SealedShare> {
        let _ = wanted;
        todo!()
    }
    /// Bytes `range` of sealed share `number`: for resuming an upload.
    pub fn sealed_range(&self, number: u16, stream: &HolderStream, range: std::ops::Range<u64>) -> Vec<u8> {
        let _ = (number, stream, range);
        todo!()
    }
    /// Bytes `range` of unsealed share `number`.
    pub fn unsealed_range(&self, number: u16, range: std::ops::Range<u64>) -> Vec<u8> {
        let _ = (number, range);
        todo!()
    }
}
