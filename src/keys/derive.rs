//! The one key derivation: BLAKE3 `derive_key` under a context string from one table.
//!
//! `derive(purpose, key, parts) = BLAKE3.derive_key("kith v1 <purpose>", key || enc(parts))`
//! where `enc` writes each part as its length (u64, little-endian) and its bytes, so that no
//! two lists of parts give the same input. A hash is the same function without a key.

use super::Hash;
use zeroize::Zeroizing;

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a derived key or hash is for. No two share a context string.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Purpose { $($(#[$doc])* $name,)* }

        /// Every context string of this version, once.
        pub const PURPOSES: &[(Purpose, &str)] = &[$((Purpose::$name, concat!("kith v1 ", $text)),)*];

        impl Purpose {
            /// The context string.
            pub const fn context(self) -> &'static str {
                match self { $(Purpose::$name => concat!("kith v1 ", $text),)* }
            }
        }
    };
}

purposes! {
    /// Keys of the one seal (see [`super::SealKey::derive`]).
    Seal = "seal",
    /// Read key to content key.
    ContentKey = "content key",
    /// Read key to chunk-id key.
    ChunkIdKey = "chunk id key",
    /// Read key to entry key.
    EntryKey = "entry key",
    /// Read key to repair key.
    RepairKey = "repair key",
    /// Repair key to verify key.
    VerifyKey = "verify key",
    /// Repair key to the XChaCha20 key of a holder seal.
    HolderSealKey = "holder seal key",
    /// Nonce of a holder seal.
    HolderSealNonce = "holder seal nonce",
    /// Verify key and holder to read token.
    ReadToken = "read token",
    /// What an admin record publishes of an epoch's keys.
    KeyCommitment = "key commitment",
    /// X25519 secret to the key that wraps a member's key.
    WrapKey = "wrap key",
    /// Person's root to its X25519 key.
    PersonSharing = "person sharing key",
    /// Device seed to its TLS key.
    DeviceTls = "device tls key",
    /// Device seed to its signing key.
    DeviceSigning = "device signing key",
    /// Device seed to its X25519 key.
    DeviceExchange = "device exchange key",
    /// Device seed to the key of what never leaves the machine.
    DeviceLocal = "device local key",
    /// Local key to the key under which an index hides its keys.
    IndexBlind = "index blinding key",
    /// Genesis record to drive id.
    DriveId = "drive id",
    /// Writer key and incarnation to log id.
    LogId = "log id",
    /// Signed header to entry hash.
    EntryHash = "entry hash",
    /// Sealed vector or body to the hash in an entry's header.
    EntryBody = "entry body hash",
    /// Entry key to the key of the padding in packs.
    PackPadding = "pack padding",
    /// The hash that names a pack.
    PackId = "pack id",
    /// Hash of a signed object's bytes (grants, certificates, admin records).
    SignedBytes = "signed bytes hash",
    /// Hash of a tree's state.
    TreeState = "tree state hash",
    /// What may fail together beyond a household to its short public name.
    FailureDomain = "failure domain",
    /// A household's random name to its public hash.
    Household = "household hash",
    /// Enrolment secret to the public name of the invitation.
    EnrolmentTicket = "enrolment ticket",
    /// Enrolment secret to the MAC of a request.
    EnrolmentMac = "enrolment mac",
    /// Enrolment secret of a greater power to that of a lesser one.
    EnrolmentDiminish = "enrolment diminish",
    /// Join ticket's secret to the MAC over the TLS exporter.
    JoinMac = "join mac",
    /// Join ticket's secret to the name by which its inviter finds it.
    TicketId = "join ticket id",
    /// Join ticket's secret and the TLS exporter to the key that seals the answer.
    JoinSeal = "join answer seal",
    /// Device seed to the key of QUIC's stateless resets.
    StatelessReset = "stateless reset key",
    /// Randomness to QUIC connection ids.
    ConnectionIds = "quic connection ids",
    /// Checksum of a capability string.
    CapabilityChecksum = "capability checksum",
    /// Checksum of a join ticket string.
    TicketChecksum = "ticket checksum",
    /// Checksum of a keystore's header.
    KeystoreHeader = "keystore header checksum",
    /// What tells a wrong passphrase from a damaged keystore.
    KeystoreCheck = "keystore passphrase check",
    /// Person's root to the key that seals its recovery record.
    RecoverySeal = "recovery seal",
    /// Person's root to the keys with which a new machine asks for that record.
    RecoveryDoor = "recovery door",
    /// What a recovery record holds, to see whether it has changed.
    RecoveryContent = "recovery content",
    /// Checksum of a record or file on this machine's disk.
    DiskChecksum = "disk checksum",
    /// For tests.
    Test = "test",
}

/// `BLAKE3.derive_key(purpose, key || parts)`, 32 bytes.
pub fn derive(purpose: Purpose, key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    derive_array(purpose, key, parts)
}

/// [`derive`] with another length of output.
pub fn derive_array<const N: usize>(purpose: Purpose, key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    hasher(purpose, key, parts).finalize_xof().fill(&mut out[..]);
    out
}

/// A hash that nothing else computes by the same rule: [`derive`] without a key.
pub fn hash(purpose: Purpose, parts: &[&[u8]]) -> Hash {
    Hash(hasher(purpose, &[], parts).finalize().into())
}

fn hasher(purpose: Purpose, key: &[u8], parts: &[&[u8]]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key(purpose.context());
    hasher.update(key);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher
}
