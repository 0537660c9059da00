//! File bytes -> chunks -> sealed pages -> packs -> shares, and back.
//!
//! Pure: no I/O, no clock, no randomness (every nonce is derived from what it seals).
//!
//! | step | write | read |
//! |---|---|---|
//! | chunk, page | [`seal_chunk_into`] | [`open_page`], [`open_chunk`] |
//! | content tree | [`build`], [`update`] | [`extents`], [`seek_data`], [`seek_hole`] |
//! | pack | [`PackBuilder`] | [`Layout::wanted`] |
//! | share | [`PackEncoder`], [`rebuild_share`] | [`ShareRanges`], [`assemble`], [`recover_pack`] |
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
pub mod stages;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod types;

pub use chunk::{
    ChunkError, check_page, chunk_problem, open_chunk, open_page, open_page_into, seal_chunk, seal_chunk_into,
};
pub use coding::{CodingError, Coefficients, NoAvx2, SHARES_MAX, check_cpu};
pub use compress::{CODEC_LZ4, CODEC_RAW};
pub use encode::{PackEncoder, SealedShare, pack_id};
pub use gather::{
    AssembleError, RecordError, RecoverError, ShareRanges, assemble, check_record, rebuild_range,
    rebuild_share, recover_pack,
};
pub use holder_seal::HolderStream;
pub use layout::{Layout, LayoutError, Piece, Wanted};
pub use pack::{ClosedPack, PACK_LEN, PackBuilder};
pub use padme::padme;
pub use proof::{
    Leaf, ProofDecoder, ProofEncoder, ProofError, RANGES_MAX, ShareHasher, ShareTree, TREE_GROUP,
    decode_ranges, encode_ranges, proof_len,
};
pub use tree::{
    DEPTH_MAX, Extent, ExtentKind, NODE_MAX, Nodes, SIZE_MAX, Step, TreeError, allocated, allocated_estimate,
    build, chunk_count, chunk_plain_len, content_problem, depth_of, extents, seek_data, seek_hole, update,
};
pub use types::*;
