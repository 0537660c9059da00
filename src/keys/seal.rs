//! The one seal: XSalsa20-Poly1305 in NaCl secretbox form under a synthetic nonce.
//!
//! ```text
//! encryption key || nonce key = derive("kith v1 seal", base key, [scope, kind, object])   64 bytes
//! nonce  = keyed BLAKE3(nonce key, plaintext || index u64 LE || total u64 LE || codec u8)[..24]
//! sealed = nonce (24) || secretbox(encryption key, nonce, plaintext), which is tag (16) || ciphertext
//! ```
//!
//! secretbox has no associated data, so kind and object are bound by the key and the position
//! by the nonce, which the opener computes again from what it decrypted and compares. That also
//! commits to the key (a second key would have to give the same 192-bit nonce), and means that
//! two plaintexts never meet one nonce, whatever the state of the random source.

use super::derive::{Purpose, derive_array};
use subtle::ConstantTimeEq;
use xsalsa20poly1305::aead::{AeadInPlace, KeyInit};
use xsalsa20poly1305::{Nonce, Tag, XSalsa20Poly1305};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of the nonce that begins a sealed object.
pub const NONCE_LEN: usize = 24;
/// Bytes of the authentication tag that follows it.
pub const TAG_LEN: usize = 16;
/// Bytes a seal adds in front of the ciphertext: nonce and tag.
pub const SEAL_HEAD: usize = NONCE_LEN + TAG_LEN;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $tag:literal,)*) => {
        /// What is sealed. Things of different kinds never open as one another.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $tag,)* }

        /// Every kind of this version; the tag is part of the format.
        pub const KINDS: &[Kind] = &[$(Kind::$name,)*];
    };
}

kinds! {
    /// A page of a chunk (content key; object: chunk id).
    Page = 1,
    /// The vector of an entry (entry key; object: log id, sequence).
    EntryVector = 2,
    /// The operations of an entry (entry key; object: log id, sequence).
    EntryOperations = 3,
    /// The catalogue part of an entry (verify key; object: log id, sequence).
    EntryCatalogue = 4,
    /// A run of a checkpoint (entry key; object: the run's name).
    Checkpoint = 5,
    /// A drive's name (entry key; scope: the genesis record's random bytes).
    DriveName = 6,
    /// An epoch's key wrapped to a member.
    MemberKey = 7,
    /// The previous epoch's key of a level, under the new one.
    PreviousKey = 8,
    /// The admin seed, wrapped to an admin.
    AdminKey = 9,
    /// A record of the journal (local key).
    Journal = 16,
    /// A record of a segment (local key).
    Segment = 17,
    /// A value of the index (local key).
    IndexValue = 18,
    /// The keystore.
    Keystore = 19,
    /// A small state file (local key; object: its name).
    StateFile = 20,
    /// Own copies of entries (local key).
    EntryFile = 21,
    /// A local checkpoint file (local key).
    LocalCheckpoint = 22,
    /// A message of the keyring drive or a recovery record.
    Recovery = 23,
    /// The answer to a Join (key of ticket and TLS exporter).
    JoinAnswer = 24,
    /// For tests.
    Test = 255,
}

/// Where a plaintext stands in its object. Bound into the nonce.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    /// Which part, from 0.
    pub index: u64,
    /// How many parts the object has.
    pub total: u64,
    /// How the plaintext was encoded before sealing (0: not at all).
    pub codec: u8,
}

impl Position {
    /// The only part of an object.
    pub const WHOLE: Position = Position { index: 0, total: 1, codec: 0 };

    /// Part `index` of `total`, not compressed.
    pub const fn part(index: u64, total: u64) -> Position {
        Position { index, total, codec: 0 }
    }
}

/// Why a sealed object did not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// Fewer bytes than nonce and tag.
    #[error("sealed bytes are too short to hold a nonce and a tag")]
    TooShort,
    /// The tag does not match: other key, other kind or object, or changed bytes.
    #[error("sealed bytes do not open: they were changed or belong elsewhere")]
    Forged,
    /// The tag matches, the nonce does not follow from the plaintext and position.
    #[error("sealed bytes open, but not at this position")]
    Misplaced,
    /// The room for the plaintext has another length than the plaintext.
    #[error("the buffer for the opened bytes has the wrong length")]
    Buffer,
}

/// Seals and opens the parts of one object.
pub trait Seal {
    /// Encrypt `text` in place; the nonce and tag that go before it.
    fn seal_detached(&self, at: Position, text: &mut [u8]) -> [u8; SEAL_HEAD];

    /// Decrypt `text` in place. On error it is zeroed or still ciphertext, never plaintext.
    fn open_detached(&self, at: Position, head: &[u8; SEAL_HEAD], text: &mut [u8]) -> Result<(), OpenError>;

    /// Seal a buffer whose plaintext stands after [`SEAL_HEAD`] bytes of headroom.
    fn seal_in_place(&self, at: Position, buffer: &mut [u8]) -> Result<(), OpenError> {
        let (head, text) = buffer.split_first_chunk_mut::<SEAL_HEAD>().ok_or(OpenError::TooShort)?;
        *head = self.seal_detached(at, text);
        Ok(())
    }

    /// Open a sealed buffer in place; the plaintext is the part returned.
    fn open_in_place<'a>(&self, at: Position, buffer: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        let (head, text) = buffer.split_first_chunk_mut::<SEAL_HEAD>().ok_or(OpenError::TooShort)?;
        self.open_detached(at, head, text)?;
        Ok(text)
    }

    /// Append the sealed form of `plaintext` to `out`.
    fn seal_into(&self, at: Position, plaintext: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(SEAL_HEAD + plaintext.len());
        out.extend_from_slice(&[0; SEAL_HEAD]);
        out.extend_from_slice(plaintext);
        let (head, text) = out[start..].split_at_mut(SEAL_HEAD);
        head.copy_from_slice(&self.seal_detached(at, text));
    }

    /// Open into a buffer of exactly the plaintext's length (`sealed.len() - SEAL_HEAD`).
    fn open_to(&self, at: Position, sealed: &[u8], out: &mut [u8]) -> Result<(), OpenError> {
        let (head, text) = sealed.split_first_chunk().ok_or(OpenError::TooShort)?;
        if text.len() != out.len() {
            return Err(OpenError::Buffer);
        }
        out.copy_from_slice(text);
        self.open_detached(at, head, out)
    }

    /// The sealed form of `plaintext`.
    fn seal(&self, at: Position, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.seal_into(at, plaintext, &mut out);
        out
    }

    /// The plaintext of `sealed`.
    fn open(&self, at: Position, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut out = vec![0; sealed.len().checked_sub(SEAL_HEAD).ok_or(OpenError::TooShort)?];
        self.open_to(at, sealed, &mut out)?;
        Ok(out)
    }
}

/// The keys of one object: the one implementation of [`Seal`].
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealKey {
    encryption: [u8; 32],
    nonce: [u8; 32],
}

impl SealKey {
    /// The keys of `object` of a kind, below `base`. `scope` is the drive id, or what stands
    /// in its place for things outside a drive (a device's node id).
    pub fn derive(base: &[u8; 32], scope: &[u8], kind: Kind, object: &[u8]) -> SealKey {
        let both = derive_array::<64>(Purpose::Seal, base, &[scope, &[kind as u8], object]);
        let mut key = SealKey { encryption: [0; 32], nonce: [0; 32] };
        key.encryption.copy_from_slice(&both[..32]);
        key.nonce.copy_from_slice(&both[32..]);
        key
    }

    fn nonce(&self, at: Position, plaintext: &[u8]) -> [u8; NONCE_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonce);
        hasher.update(plaintext);
        let mut place = [0; 17];
        place[..8].copy_from_slice(&at.index.to_le_bytes());
        place[8..16].copy_from_slice(&at.total.to_le_bytes());
        place[16] = at.codec;
        hasher.update(&place);
        let mut nonce = [0; NONCE_LEN];
        hasher.finalize_xof().fill(&mut nonce);
        nonce
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

impl Seal for SealKey {
    fn seal_detached(&self, at: Position, text: &mut [u8]) -> [u8; SEAL_HEAD] {
        let nonce = self.nonce(at, text);
        let tag = secretbox(&self.encryption, &nonce, text);
        let mut head = [0; SEAL_HEAD];
        head[..NONCE_LEN].copy_from_slice(&nonce);
        head[NONCE_LEN..].copy_from_slice(&tag);
        head
    }

    fn open_detached(&self, at: Position, head: &[u8; SEAL_HEAD], text: &mut [u8]) -> Result<(), OpenError> {
        let (nonce, tag) = head.split_at(NONCE_LEN);
        secretbox_open(&self.encryption, nonce, tag, text)?;
        if bool::from(self.nonce(at, text).ct_eq(nonce)) {
            return Ok(());
        }
        text.zeroize();
        Err(OpenError::Misplaced)
    }
}

/// NaCl `crypto_secretbox`: encrypts in place, gives the tag.
pub(super) fn secretbox(key: &[u8; 32], nonce: &[u8; NONCE_LEN], text: &mut [u8]) -> [u8; TAG_LEN] {
    XSalsa20Poly1305::new(key.into())
        .encrypt_in_place_detached(Nonce::from_slice(nonce), b"", text)
        .expect("secretbox encrypts any text when there is no associated data")
        .into()
}

/// NaCl `crypto_secretbox_open`: checks the tag in constant time before it decrypts.
/// `nonce` and `tag` must have their lengths.
pub(super) fn secretbox_open(
    key: &[u8; 32],
    nonce: &[u8],
    tag: &[u8],
    text: &mut [u8],
) -> Result<(), OpenError> {
    XSalsa20Poly1305::new(key.into())
        .decrypt_in_place_detached(Nonce::from_slice(nonce), b"", text, Tag::from_slice(tag))
        .map_err(|_| OpenError::Forged)
}
