//! Names of things: 32-byte identifiers, each its own type so that none is mistaken for another.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes of the identifier.
            pub const fn as_bytes(&self) -> &[u8; 32] { &self.0 }
            /// Eight characters for a screen; never accepted as an identity.
            pub fn short(&self) -> String { self.to_string()[..8].to_string() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(s: &str) -> Result<Self, BadId> {
                let bytes = data_encoding::BASE32_NOPAD
                    .decode(s.to_ascii_uppercase().as_bytes()).map_err(|_| BadId)?;
                Ok($name(bytes.try_into().map_err(|_| BadId)?))
            }
        }
    )*};
}

/// A text that is not an identifier of 52 base32 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: 52 letters a-z and digits 2-7 are expected")]
pub struct BadId;

id! {
    /// A person's root public key (Ed25519); also the account it owns at a holder.
    PersonId;
    /// A node's Ed25519 TLS public key.
    NodeId;
    /// The hash of a drive's genesis record.
    DriveId;
    /// The hash of {writer key, incarnation}.
    LogId;
    /// The hash of an entry's signed header.
    EntryHash;
    /// Keyed BLAKE3 of a chunk's plaintext.
    ChunkId;
    /// The hash that names a pack (drive, epoch, k, length, roots of the unsealed data shares).
    PackId;
    /// The BLAKE3 root of a sealed share.
    ShareId;
    /// A BLAKE3 hash of anything else.
    Hash;
}

/// The span of one read key. The first is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch that a genesis record begins.
    pub const FIRST: Epoch = Epoch(1);
}

/// The power a capability gives over a drive; each includes those below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Power {
    Verify,
    Repair,
    Read,
    Write,
    Admin,
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::Verify => "verify",
            Power::Repair => "repair",
            Power::Read => "read",
            Power::Write => "write",
            Power::Admin => "admin",
        })
    }
}

impl std::str::FromStr for Power {
    type Err = BadPower;
    fn from_str(s: &str) -> Result<Power, BadPower> {
        [Power::Verify, Power::Repair, Power::Read, Power::Write, Power::Admin]
            .into_iter()
            .find(|power| power.to_string() == s)
            .ok_or(BadPower)
    }
}

/// A text that names no power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a power: admin, write, read, repair or verify is expected")]
pub struct BadPower;
