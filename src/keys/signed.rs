//! Signed bytes: Ed25519 over a domain string and the bytes as received; one encoding only.

use super::derive::{Purpose, hash};
use super::secret::Seed;
use super::{Hash, NodeId, PersonId};
use ed25519_dalek::Signer as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a signature is about: its string is signed before the bytes, so that a
        /// signature over one kind of object never fits another.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Domain { $($(#[$doc])* $name,)* }

        /// Every domain of this version, once.
        pub const DOMAINS: &[Domain] = &[$(Domain::$name,)*];

        impl Domain {
            /// The string that is signed, without the zero byte that ends it.
            pub const fn text(self) -> &'static str {
                match self { $(Domain::$name => concat!("kith v1 ", $text),)* }
            }
        }
    };
}

domains! {
    /// A person's word that a device is its own.
    Certificate = "device certificate",
    /// A person's word that a device is no longer its own.
    Revocation = "device revocation",
    /// The record a drive begins with.
    Genesis = "drive genesis",
    /// A link of a drive's admin log.
    AdminRecord = "admin record",
    /// A new admin key's consent to rule.
    AdminHandover = "admin handover",
    /// A device's wish to write in a drive.
    Enrolment = "enrolment request",
    /// A writer key's consent to be enrolled.
    WriterConsent = "writer consent",
    /// The header of an entry in a writer's log.
    EntryHeader = "entry header",
    /// Permission to use space.
    Grant = "grant",
    /// A holder's word that it has a share.
    Receipt = "receipt",
    /// A holder's word that it has logs.
    LogReceipt = "log receipt",
    /// A refusal.
    Refusal = "refusal",
    /// A daily tally.
    Statement = "statement",
    /// A roster's word on one node.
    Member = "roster member",
    /// Agreement to a checkpoint.
    Checkpoint = "checkpoint commitment",
    /// A recovery record.
    Recovery = "recovery record",
    /// For tests.
    Test = "test signature",
}

/// A signed object: the bytes that were signed, and the Ed25519 signature over
/// `domain string || 0 || bytes`, the domain being that of the object's type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signed {
    pub bytes: Vec<u8>,
    pub signature: Vec<u8>,
}

/// Why a signed object is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignedError {
    /// The public key is no point, not canonically encoded, or of small order.
    #[error("the public key is not a sound Ed25519 key")]
    BadKey,
    /// The signature does not fit key, domain and bytes (or has not 64 bytes).
    #[error("the signature of the {} does not fit", &.0.text()["kith v1 ".len()..])]
    Forged(Domain),
    /// A signature without a domain does not fit.
    #[error("the signature does not fit")]
    BadSignature,
    /// The signature fits, the bytes are no such object.
    #[error("the {} is signed but malformed: {}", &.0.text()["kith v1 ".len()..], .1)]
    Malformed(Domain, DecodeError),
}

/// Why bytes are not the one encoding of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("{len} bytes are more than the {max} allowed")]
    TooLong { len: usize, max: usize },
    #[error("it was written by a newer version of kith (format {0}); upgrade")]
    UnknownVersion(u8),
    #[error("the bytes end too early or have a value that does not exist")]
    Malformed,
    #[error("there are bytes after the end")]
    Trailing,
    #[error("the bytes are not the one encoding of their value")]
    NotCanonical,
}

/// An object with one encoding, signed in one domain: a version byte, then postcard.
pub trait Record: Serialize + DeserializeOwned {
    /// What its signatures are about.
    const DOMAIN: Domain;
    /// The version byte this code writes and reads.
    const VERSION: u8 = 1;
    /// Longest encoding in bytes, checked before anything is decoded.
    const MAX: usize;
}

/// An Ed25519 key that signs; zeroed on drop.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From its 32-byte seed.
    pub fn from_seed(seed: &Seed) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed.expose()))
    }
    /// The seed, for the keystore.
    pub fn seed(&self) -> Seed {
        Seed::from_bytes(self.0.to_bytes())
    }
    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
    /// The signature over `domain || 0 || bytes`.
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(&message(domain, bytes)).to_bytes()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl Signed {
    /// Sign bytes.
    pub fn sign(domain: Domain, key: &SigningKey, bytes: Vec<u8>) -> Signed {
        let signature = key.sign(domain, &bytes).to_vec();
        Signed { bytes, signature }
    }
    /// The bytes, once the signature of `key` over them in `domain` is found sound.
    pub fn verify(&self, domain: Domain, key: &[u8; 32]) -> Result<&[u8], SignedError> {
        verify(domain, key, &self.bytes, &self.signature)?;
        Ok(&self.bytes)
    }
    /// Encode and sign a record.
    pub fn record<T: Record>(key: &SigningKey, record: &T) -> Signed {
        Signed::sign(T::DOMAIN, key, encode_record(record))
    }
    /// The record, once signature, version and encoding are found sound.
    pub fn open<T: Record>(&self, key: &[u8; 32]) -> Result<T, SignedError> {
        self.verify(T::DOMAIN, key)?;
        self.peek()
    }
    /// The record, its signature not checked: to learn which key should have signed it.
    pub fn peek<T: Record>(&self) -> Result<T, SignedError> {
        decode_record(&self.bytes).map_err(|e| SignedError::Malformed(T::DOMAIN, e))
    }
    /// The hash by which others name this object: over its bytes, not the signature.
    pub fn hash(&self) -> Hash {
        hash(Purpose::SignedBytes, &[&self.bytes])
    }
}

/// Check a signature, strictly: keys that are not canonical or of small order, and
/// signatures with a second form, are refused.
pub fn verify(domain: Domain, key: &[u8; 32], bytes: &[u8], signature: &[u8]) -> Result<(), SignedError> {
    match verify_raw(key, &message(domain, bytes), signature) {
        Err(SignedError::BadSignature) => Err(SignedError::Forged(domain)),
        other => other,
    }
}

/// [`verify`] without a domain: for TLS, whose messages have their own.
pub fn verify_raw(key: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<(), SignedError> {
    let key = public_key(key)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| SignedError::BadSignature)?;
    key.verify_strict(message, &signature).map_err(|_| SignedError::BadSignature)
}

/// Is this a sound Ed25519 public key: a point, canonically encoded, not of small order?
pub fn check_public_key(key: &[u8; 32]) -> Result<(), SignedError> {
    public_key(key).map(|_| ())
}

fn public_key(key: &[u8; 32]) -> Result<ed25519_dalek::VerifyingKey, SignedError> {
    let point = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| SignedError::BadKey)?;
    let canonical = point.to_edwards().compress().to_bytes() == *key;
    if canonical && !point.is_weak() { Ok(point) } else { Err(SignedError::BadKey) }
}

fn message(domain: Domain, bytes: &[u8]) -> Vec<u8> {
    [domain.text().as_bytes(), &[0], bytes].concat()
}

/// The one encoding of a record: version byte, postcard.
pub fn encode_record<T: Record>(record: &T) -> Vec<u8> {
    let mut out = vec![T::VERSION];
    out.extend_from_slice(&encode(record));
    out
}

/// Decode a record; anything but its one encoding is refused.
pub fn decode_record<T: Record>(bytes: &[u8]) -> Result<T, DecodeError> {
    check_len(bytes, T::MAX)?;
    let (&version, body) = bytes.split_first().ok_or(DecodeError::Malformed)?;
    if version != T::VERSION {
        return Err(DecodeError::UnknownVersion(version));
    }
    decode_canonical(body, T::MAX)
}

/// Most values encode into so many bytes.
const SHORT: usize = 512;

/// postcard of a value (no secret: copies of it stay in memory).
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // A buffer that grows byte by byte takes several times as long.
    let mut short = [0; SHORT];
    match postcard::to_slice(value, &mut short) {
        Ok(bytes) => bytes.to_vec(),
        Err(_) => {
            postcard::to_allocvec(value).expect("the types of kith have a length and encode into memory")
        }
    }
}

/// [`encode`] for secrets: into one buffer of the right size, since growing one would leave
/// copies behind.
pub fn encode_secret<T: Serialize + ?Sized>(value: &T) -> Zeroizing<Vec<u8>> {
    let size = postcard::experimental::serialized_size(value).expect("the types of kith have a length");
    let mut out = Zeroizing::new(vec![0; size]);
    postcard::to_slice(value, &mut out).expect("the buffer has the size just computed");
    out
}

/// Decode postcard; a trailing byte, or any encoding but the one [`encode`] gives, is refused.
pub fn decode_canonical<T: Serialize + DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    check_len(bytes, max)?;
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| DecodeError::Malformed)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing);
    }
    if encode(&value) != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

fn check_len(bytes: &[u8], max: usize) -> Result<(), DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { len: bytes.len(), max });
    }
    Ok(())
}

impl PersonId {
    /// Is it a sound public key?
    pub fn check(&self) -> Result<(), SignedError> {
        check_public_key(&self.0)
    }
}

impl NodeId {
    /// Is it a sound public key?
    pub fn check(&self) -> Result<(), SignedError> {
        check_public_key(&self.0)
    }
}
