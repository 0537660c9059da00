//! Persons and their devices.
//!
//! A person is a root key; it certifies devices for a limited time and its revocation is
//! final. A device has three keys of different use (TLS, signing, X25519) and one for what
//! never leaves the machine, all derived from one seed.

use super::derive::{Purpose, derive};
use super::secret::{LocalKey, Seed};
use super::signed::{Domain, Record, Signed, SignedError, SigningKey, check_public_key};
use super::{Hash, NodeId, PersonId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Days since 1970, UTC.
pub type Day = u32;
/// Longest label of a person, device or drive, in bytes of UTF-8.
pub const LABEL_MAX: usize = 64;
/// Longest certificate or revocation, encoded.
pub const CERTIFICATE_MAX: usize = 512;
/// How long a device certificate is given for.
pub const CERTIFICATE_DAYS: Day = 90;

/// A person's root key.
#[derive(Clone, Debug)]
pub struct PersonKey {
    key: SigningKey,
}

impl PersonKey {
    /// From 32 random bytes (or those the recovery words give).
    pub fn from_seed(seed: &Seed) -> PersonKey {
        PersonKey { key: SigningKey::from_seed(seed) }
    }
    /// The seed, for the keystore and the recovery kit.
    pub fn seed(&self) -> Seed {
        self.key.seed()
    }
    /// The person, and its account at every holder.
    pub fn id(&self) -> PersonId {
        PersonId(self.key.public())
    }
    /// The key that signs as the person (grants, roster records).
    pub const fn signing(&self) -> &SigningKey {
        &self.key
    }
    /// The X25519 key to which drives' keys are wrapped. Devices keep it apart from the root,
    /// which may leave the machine; after a device is lost the next generation is used.
    pub fn sharing(&self, generation: u32) -> ExchangeKey {
        let seed = self.key.seed();
        let bytes = derive(Purpose::PersonSharing, seed.expose(), &[&generation.to_le_bytes()]);
        ExchangeKey::from_seed(Seed::from_bytes(*bytes))
    }
    /// Certify a device.
    pub fn certify(&self, certificate: &Certificate) -> Signed {
        Signed::record(&self.key, certificate)
    }
    /// Declare a device no longer this person's.
    pub fn revoke(&self, node: NodeId, day: Day) -> Signed {
        Signed::record(&self.key, &Revocation { person: self.id(), node, day })
    }
}

/// An X25519 secret key; zeroed on drop.
#[derive(Clone)]
pub struct ExchangeKey {
    seed: Seed,
}

impl ExchangeKey {
    /// From 32 random bytes.
    pub const fn from_seed(seed: Seed) -> ExchangeKey {
        ExchangeKey { seed }
    }
    /// The seed, for the keystore.
    pub const fn seed(&self) -> &Seed {
        &self.seed
    }
    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        let secret = x25519_dalek::StaticSecret::from(*self.seed.expose());
        x25519_dalek::PublicKey::from(&secret).to_bytes()
    }
    /// The shared secret with another's public key; None when that key is of small order.
    pub fn agree(&self, other: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let secret = x25519_dalek::StaticSecret::from(*self.seed.expose());
        let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(*other));
        shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
    }
}

/// Is this a sound X25519 public key: canonically encoded and not of small order?
pub fn check_exchange_key(key: &[u8; 32]) -> Result<(), SignedError> {
    // Below 2^255 - 19, little-endian; the few values between are second forms of others.
    let top = key[31] < 0x7f || key[1..31].iter().any(|&byte| byte != 0xff) || key[0] < 0xed;
    let canonical = key[31] <= 0x7f && top;
    let probe = ExchangeKey::from_seed(Seed::from_bytes([1; 32]));
    match canonical && probe.agree(key).is_some() {
        true => Ok(()),
        false => Err(SignedError::BadKey),
    }
}

impl std::fmt::Debug for ExchangeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExchangeKey(..)")
    }
}

/// The keys of one device (one node).
#[derive(Clone, Debug)]
pub struct DeviceKeys {
    seed: Seed,
    tls: SigningKey,
    signing: SigningKey,
    exchange: ExchangeKey,
}

impl DeviceKeys {
    /// From 32 random bytes.
    pub fn from_seed(seed: Seed) -> DeviceKeys {
        let sub = |purpose| Seed::from_bytes(*derive(purpose, seed.expose(), &[]));
        DeviceKeys {
            tls: SigningKey::from_seed(&sub(Purpose::DeviceTls)),
            signing: SigningKey::from_seed(&sub(Purpose::DeviceSigning)),
            exchange: ExchangeKey::from_seed(sub(Purpose::DeviceExchange)),
            seed,
        }
    }
    /// The seed, for the keystore.
    pub const fn seed(&self) -> &Seed {
        &self.seed
    }
    /// The node.
    pub fn node(&self) -> NodeId {
        NodeId(self.tls.public())
    }
    /// The key that signs receipts, refusals and requests (never the TLS key).
    pub const fn signing(&self) -> &SigningKey {
        &self.signing
    }
    /// The device's X25519 key.
    pub const fn exchange(&self) -> &ExchangeKey {
        &self.exchange
    }
    /// The key below which everything that never leaves this machine is sealed
    /// (`SealKey::derive(local.expose(), node id, kind, object)`).
    pub fn local(&self) -> LocalKey {
        LocalKey::from_bytes(*derive(Purpose::DeviceLocal, self.seed.expose(), &[]))
    }
    /// The TLS key as PKCS#8 v1 DER, as rustls takes it.
    pub fn tls_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + 32));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(self.tls.seed().expose());
        der
    }
    /// What a person certifies of this device.
    pub fn certificate(
        &self,
        person: PersonId,
        label: &str,
        household: Hash,
        from: Day,
        serial: u64,
    ) -> Certificate {
        Certificate {
            person,
            node: self.node(),
            signing_key: self.signing.public(),
            exchange_key: self.exchange.public(),
            label: label.to_string(),
            household,
            not_before: from,
            expires: from.saturating_add(CERTIFICATE_DAYS),
            serial,
        }
    }
}

/// RFC 8410: PrivateKeyInfo version 0, algorithm 1.3.101.112, key in two octet strings.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// RFC 8410: SubjectPublicKeyInfo, algorithm 1.3.101.112, bit string.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Bytes of a raw public key as TLS carries it.
pub const SPKI_LEN: usize = 44;

/// The raw public key of a node as TLS carries it (RFC 7250, RFC 8410).
pub fn spki(node: &NodeId) -> [u8; SPKI_LEN] {
    let mut der = [0; SPKI_LEN];
    der[..SPKI_PREFIX.len()].copy_from_slice(&SPKI_PREFIX);
    der[SPKI_PREFIX.len()..].copy_from_slice(&node.0);
    der
}

/// The node whose raw public key TLS carried; any other encoding or an unsound key is refused.
pub fn node_of_spki(der: &[u8]) -> Result<NodeId, SignedError> {
    let key = der.strip_prefix(&SPKI_PREFIX).ok_or(SignedError::BadKey)?;
    let key: [u8; 32] = key.try_into().map_err(|_| SignedError::BadKey)?;
    check_public_key(&key)?;
    Ok(NodeId(key))
}

/// Check a TLS 1.3 handshake signature by a node's TLS key (no domain: TLS has its own).
pub fn verify_tls(node: &NodeId, message: &[u8], signature: &[u8]) -> Result<(), SignedError> {
    super::signed::verify_raw(&node.0, message, signature)
}

/// A person's word that a device is its own. Signed by the person's root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certificate {
    pub person: PersonId,
    pub node: NodeId,
    /// Ed25519 key of what the device signs: receipts, refusals, requests.
    pub signing_key: [u8; 32],
    /// X25519 key of the device.
    pub exchange_key: [u8; 32],
    /// For people; at most [`LABEL_MAX`] bytes, no control characters.
    pub label: String,
    /// Failure domain the device declares.
    pub household: Hash,
    /// First day on which it holds.
    pub not_before: Day,
    /// First day on which it holds no longer.
    pub expires: Day,
    /// Of two certificates for one node the higher serial counts.
    pub serial: u64,
}

impl Record for Certificate {
    const DOMAIN: Domain = Domain::Certificate;
    const MAX: usize = CERTIFICATE_MAX;
}

/// A person's word that a device is no longer its own: final. Signed by the person's root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revocation {
    pub person: PersonId,
    pub node: NodeId,
    /// When it was said, by the person's clock; for people only.
    pub day: Day,
}

impl Record for Revocation {
    const DOMAIN: Domain = Domain::Revocation;
    const MAX: usize = CERTIFICATE_MAX;
}

/// Why a certificate is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{0}")]
    Signed(#[from] SignedError),
    #[error("the certificate is of person {}, not of {}", .found.short(), .expected.short())]
    OtherPerson { found: PersonId, expected: PersonId },
    #[error("the certificate is of node {}, not of {}", .found.short(), .expected.short())]
    OtherNode { found: NodeId, expected: NodeId },
    #[error("the certificate of node {} is not valid before day {from}", .node.short())]
    NotYet { node: NodeId, from: Day },
    #[error("the certificate of node {} expired on day {on}", .node.short())]
    Expired { node: NodeId, on: Day },
    #[error("node {} was revoked by its person", .0.short())]
    Revoked(NodeId),
    #[error("the label of node {} is longer than {LABEL_MAX} bytes or has control characters", .0.short())]
    Label(NodeId),
    #[error("the certificate of node {} uses one key for two purposes", .0.short())]
    SharedKey(NodeId),
}

impl Certificate {
    /// Check a certificate that is to speak for itself: signed by the person it names, sound
    /// keys, all different, valid on `today`. Whether the person is anyone is for the caller.
    pub fn verify(signed: &Signed, today: Day) -> Result<Certificate, CertificateError> {
        let certificate = Self::verify_undated(signed)?;
        certificate.valid_on(today)?;
        Ok(certificate)
    }
    /// [`Self::verify`] for a node proved otherwise (by TLS).
    pub fn verify_for(signed: &Signed, node: &NodeId, today: Day) -> Result<Certificate, CertificateError> {
        let certificate = Self::verify(signed, today)?;
        if certificate.node != *node {
            let found = certificate.node;
            return Err(CertificateError::OtherNode { found, expected: *node });
        }
        Ok(certificate)
    }
    /// Everything but the dates: for records that were accepted while it was valid.
    pub fn verify_undated(signed: &Signed) -> Result<Certificate, CertificateError> {
        let person = signed.peek::<Certificate>()?.person;
        let certificate: Certificate = signed.open(&person.0)?;
        certificate.check()?;
        Ok(certificate)
    }
    /// Does it hold on that day?
    pub fn valid_on(&self, today: Day) -> Result<(), CertificateError> {
        let node = self.node;
        if today < self.not_before {
            return Err(CertificateError::NotYet { node, from: self.not_before });
        }
        if today >= self.expires {
            return Err(CertificateError::Expired { node, on: self.expires });
        }
        Ok(())
    }
    fn check(&self) -> Result<(), CertificateError> {
        check_public_key(&self.node.0)?;
        check_public_key(&self.signing_key)?;
        check_exchange_key(&self.exchange_key)?;
        if self.label.len() > LABEL_MAX || self.label.chars().any(char::is_control) {
            return Err(CertificateError::Label(self.node));
        }
        let keys = [&self.person.0, &self.node.0, &self.signing_key, &self.exchange_key];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        if distinct.len() != keys.len() {
            return Err(CertificateError::SharedKey(self.node));
        }
        Ok(())
    }
}

/// Revocations seen, for ever.
#[derive(Clone, Default, Debug)]
pub struct Revocations {
    known: BTreeMap<(PersonId, NodeId), Signed>,
}

impl Revocations {
    /// Take in a revocation; true when it is news.
    pub fn insert(&mut self, signed: Signed) -> Result<bool, SignedError> {
        let person = signed.peek::<Revocation>()?.person;
        let revocation: Revocation = signed.open(&person.0)?;
        Ok(self.known.insert((person, revocation.node), signed).is_none())
    }
    /// Refuse a certificate whose device was revoked.
    pub fn check(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        match self.known.contains_key(&(certificate.person, certificate.node)) {
            true => Err(CertificateError::Revoked(certificate.node)),
            false => Ok(()),
        }
    }
    /// All of them, to hand on.
    pub fn iter(&self) -> impl Iterator<Item = &Signed> {
        self.known.values()
    }
}
