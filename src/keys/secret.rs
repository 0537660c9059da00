//! Secrets have types: zeroed on drop, compared in constant time, never printed.

use super::derive::{Purpose, derive};
use serde::{Deserialize, Serialize};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident[$len:literal];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
        pub struct $name([u8; $len]);

        impl $name {
            /// From random bytes, or bytes once given by [`Self::expose`].
            pub const fn from_bytes(bytes: [u8; $len]) -> Self { Self(bytes) }
            /// The secret itself; the caller answers for where it goes.
            pub const fn expose(&self) -> &[u8; $len] { &self.0 }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool { self.0.ct_eq(&other.0).into() }
        }
        impl Eq for $name {}
    )*};
}

secrets! {
    /// Opens everything of an epoch. Random; wrapped to members in the admin log.
    ReadKey[32];
    /// Opens holder seals and rebuilds shares; reads no name and no byte.
    RepairKey[32];
    /// Opens the catalogue: which packs and shares exist and who holds them.
    VerifyKey[32];
    /// Seals pages.
    ContentKey[32];
    /// Names chunks.
    ChunkIdKey[32];
    /// Seals operations, vectors and the drive's name.
    EntryKey[32];
    /// Seals what never leaves this machine: journal, segments, index, state files.
    LocalKey[32];
    /// The random key beside a keystore that has no passphrase.
    FileKey[32];
    /// Lets one device ask an admin to be enrolled as a writer, once.
    EnrolmentSecret[16];
    /// The seed of an Ed25519 key.
    Seed[32];
}

/// Constant-time comparison of two byte strings of public length.
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

impl ReadKey {
    /// Seals pages; a sibling of the repair key.
    pub fn content_key(&self) -> ContentKey {
        ContentKey(*derive(Purpose::ContentKey, &self.0, &[]))
    }
    /// Names chunks; a sibling of the repair key.
    pub fn chunk_id_key(&self) -> ChunkIdKey {
        ChunkIdKey(*derive(Purpose::ChunkIdKey, &self.0, &[]))
    }
    /// Seals operations, vectors and the drive's name; a sibling of the repair key.
    pub fn entry_key(&self) -> EntryKey {
        EntryKey(*derive(Purpose::EntryKey, &self.0, &[]))
    }
    /// The power below read.
    pub fn repair_key(&self) -> RepairKey {
        RepairKey(*derive(Purpose::RepairKey, &self.0, &[]))
    }
}

impl RepairKey {
    /// The power below repair.
    pub fn verify_key(&self) -> VerifyKey {
        VerifyKey(*derive(Purpose::VerifyKey, &self.0, &[]))
    }
}
