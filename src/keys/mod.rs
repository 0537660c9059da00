//! Identities, capabilities, key derivation; one primitive per function.
//!
//! Pure: no I/O, no clock; randomness comes in as bytes.
#![forbid(unsafe_code)]

mod derive;
mod drive_keys;
mod ids;
mod seal;
mod secret;
mod signed;

pub use derive::{PURPOSES, Purpose, derive, derive_array, hash};
pub use drive_keys::{DriveKeys, LevelKey, NoKey, read_token_hash};
pub use ids::{
    BadId, BadPower, ChunkId, DriveId, EntryHash, Epoch, Hash, LogId, NodeId, PackId, PersonId, Power,
    ShareId,
};
pub use seal::{KINDS, Kind, NONCE_LEN, OpenError, Position, SEAL_HEAD, Seal, SealKey, TAG_LEN};
pub use secret::{
    ChunkIdKey, ContentKey, EnrolmentSecret, EntryKey, FileKey, LocalKey, ReadKey, RepairKey, Seed,
    VerifyKey, ct_eq,
};
pub use signed::Signed;
