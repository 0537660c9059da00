//! What a tree says of content, and what a catalogue says of packs.

use crate::keys::{ChunkId, Epoch, Hash, NodeId, PackId, PersonId, ShareId};
use serde::{Deserialize, Serialize};

/// Plaintext bytes of a full chunk: the unit of address and deduplication.
pub const CHUNK_LEN: usize = 1 << 20;
/// Plaintext bytes of a full page: the unit of sealing.
pub const PAGE_LEN: usize = 64 << 10;
/// Bytes a seal adds: nonce (24) and tag (16).
pub const SEAL_OVERHEAD: usize = 24 + 16;
/// One full sealed page, the unit of striping.
pub const UNIT_LEN: usize = PAGE_LEN + SEAL_OVERHEAD;
/// Units after which a pack is closed (about 16 MiB).
pub const PACK_UNITS: usize = 256;
/// Longest content that lives inside its operation.
pub const INLINE_MAX: usize = 4 << 10;
/// References an operation carries itself; a longer list becomes a tree of node chunks.
pub const FLAT_REFS: usize = 8;
/// References in one node chunk. (Small, because each carries its page hashes, 0.5 kB:
/// a change of one byte in a large file re-sends one node per level.)
pub const FANOUT: usize = 32;

/// The content of a file, whole: an operation never names a bare patch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Content {
    /// Up to [`INLINE_MAX`] bytes, here.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// `size` bytes. At depth 0 `refs[i]` is data chunk `i`; at depth d each reference is a
    /// node chunk holding up to [`FANOUT`] references of depth d-1 (postcard of `Vec<Ref>`).
    Tree { size: u64, depth: u8, refs: Vec<Ref> },
}

/// A child in a content tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ref {
    /// Nothing was ever written here: zeros, at any depth, costing nothing.
    Hole,
    /// A chunk.
    Chunk(ChunkRef),
}

/// One chunk: enough to fetch (by `id`, through the index), verify and open it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChunkRef {
    /// Keyed hash of the plaintext.
    pub id: ChunkId,
    /// Epoch whose content key seals the pages.
    pub epoch: Epoch,
    /// Plaintext length, 1..=[`CHUNK_LEN`].
    pub len: u32,
    /// The sealed pages, in order; they lie one after another.
    pub pages: Vec<PageRef>,
}

/// One sealed page of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PageRef {
    /// How the plaintext was compressed before sealing (0: not at all).
    pub codec: u8,
    /// Sealed length: nonce, tag and (compressed) plaintext.
    pub sealed_len: u32,
    /// BLAKE3 of the sealed page.
    pub hash: Hash,
}

impl ChunkRef {
    /// Bytes of all sealed pages.
    pub fn sealed_len(&self) -> usize {
        self.pages.iter().map(|p| p.sealed_len as usize).sum()
    }
}

/// How many shares restore a pack, and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Coding {
    pub k: u8,
    pub n: u8,
}

impl Coding {
    /// Shares beyond k that must stand before a pack is called safe: ceil((n-k)/2).
    pub const fn margin(self) -> u8 {
        (self.n - self.k).div_ceil(2)
    }
}

/// What the catalogue says of one pack. Later records replace it share by share.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CatalogueRecord {
    pub pack: PackId,
    pub epoch: Epoch,
    pub k: u8,
    /// Bytes of the pack (padded): the sum of the unsealed data shares, less the last row's filling.
    pub len: u64,
    /// BLAKE3 roots of the k unsealed data shares.
    pub data_roots: Vec<Hash>,
    pub shares: Vec<SharePlace>,
}

/// What may fail together beyond one household. Placement only asks whether two are equal, so
/// eight bytes of a hash are enough ([`crate::keys::failure_domain`]); zeros: not known. Two that
/// are equal by chance cost some choice and no safety.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FailureDomains {
    /// Who brought the holder into the grid.
    pub introducer: [u8; 8],
    /// Who runs it.
    pub operator: [u8; 8],
    /// Where it is in the network: the /24 or /48 of its first public address.
    pub prefix: [u8; 8],
    /// The building or town it stands in.
    pub site: [u8; 8],
}

/// Where one share lies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SharePlace {
    /// 0..k are data shares, k.. parity.
    pub number: u16,
    pub id: ShareId,
    pub holder: NodeId,
    /// Failure domain the holder declares; copies in one household are one loss.
    pub household: Hash,
    /// The wider ones, as they were when the share was placed.
    pub domains: FailureDomains,
    /// The account that leases it.
    pub minter: PersonId,
    /// Epoch of the repair key in the holder seal.
    pub seal_epoch: Epoch,
}
