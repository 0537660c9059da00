//! File bytes -> chunks -> sealed pages -> packs -> shares, and back.
//!
//! Pure: no I/O, no clock, no randomness (every nonce is derived from what it seals).
//!
//! | step | write | read |
//! |---|---|---|
//! | chunk, page | [`seal_chunk`] | [`open_page`], [`open_chunk`] |
//! | content tree | [`build`], [`update`] | [`extents`], [`seek_data`], [`seek_hole`] |
//! | pack | [`PackBuilder`] | [`Layout::pieces`] |
//! | share | [`PackEncoder`] | [`ShareRanges`], [`assemble`], [`recover_pack`] |
//! | hash tree | [`ShareHasher`], [`ProofEncoder`] | [`ProofDecoder`] |
#![forbid(unsafe_code)]

mod chunk;
mod coding;
mod compress;
mod encode;
mod gather;
mod holder_seal;
mod layout;
mod pack;
mod padme;
mod proof;
mod seal;
mod tree;
mod types;

pub use chunk::{ChunkError, ChunkSealer, chunk_problem, open_chunk, open_page, seal_chunk};
pub use coding::{CodingError, Coefficients, NoAvx2, SHARES_MAX, check_cpu};
pub use encode::{PackEncoder, SealedShare, pack_id};
pub use gather::{AssembleError, RecoverError, ShareRanges, assemble, rebuild_range, recover_pack};
pub use holder_seal::HolderStream;
pub use layout::{Layout, LayoutError, Piece};
pub use pack::{ClosedPack, PACK_LEN, PackBuilder};
pub use padme::padme;
pub use proof::{
    Leaf, ProofDecoder, ProofEncoder, ProofError, ShareHasher, ShareTree, TREE_GROUP, decode_ranges,
    encode_ranges, proof_len,
};
pub use seal::{ContentKeys, PagePosition, PageSeal};
pub use tree::{
    Extent, ExtentKind, NODE_MAX, Nodes, SIZE_MAX, Step, TreeError, allocated, allocated_estimate, build,
    chunk_count, chunk_plain_len, extents, seek_data, seek_hole, update,
};
pub use types::*;
