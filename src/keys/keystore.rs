//! The keystore: every secret of a node, sealed under a passphrase or a key file.
//!
//! Bytes only; where they lie and how they are replaced is the store's concern.

use super::admin_log::AdminHead;
use super::derive::{Purpose, derive_array, hash};
use super::drive_keys::LevelKey;
use super::enrol::Invitation;
use super::identity::{DeviceKeys, ExchangeKey, PersonKey};
use super::seal::{Kind, Position, SEAL_HEAD, Seal, SealKey};
use super::secret::{FileKey, Seed, ct_eq};
use super::signed::{DecodeError, Signed, SigningKey, decode_canonical, encode_secret};
use super::writer::WriterKey;
use super::{DriveId, Epoch, PersonId, Power};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Longest keystore file.
pub const KEYSTORE_MAX: usize = 16 << 20;
const MAGIC: [u8; 8] = *b"kithkeys";
const VERSION: u8 = 1;
const LOCK_FILE_KEY: u8 = 0;
const LOCK_PASSPHRASE: u8 = 1;
const SALT_LEN: usize = 16;
const CHECK_LEN: usize = 16;
/// magic, version, lock, memory, passes, lanes, salt, passphrase check, checksum
const HEADER_LEN: usize = 8 + 1 + 1 + 4 + 4 + 4 + SALT_LEN + CHECK_LEN + 8;

/// All secrets of one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Keystore {
    pub person: PersonSecrets,
    /// Seed of the [`DeviceKeys`].
    pub device: Seed,
    /// The person's certificate of this device.
    pub certificate: Option<Signed>,
    pub drives: BTreeMap<DriveId, DriveSecrets>,
    /// Powers offered to others by single-use secrets, not yet used.
    pub invitations: Vec<Invitation>,
    /// What other rooms keep here, by name (open join tickets, for one).
    pub other: BTreeMap<String, Sensitive>,
}

/// What a device has of its person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PersonSecrets {
    pub id: PersonId,
    /// The root; None once it lives in the recovery kit only.
    pub root: Option<Seed>,
    /// The X25519 key to which drives' keys are wrapped, and its generation.
    pub sharing: Seed,
    pub generation: u32,
}

/// What a device has of one drive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DriveSecrets {
    /// What this machine calls it.
    pub label: String,
    pub power: Power,
    /// The newest epoch whose key is here, and the key (its power is at most read).
    pub epoch: Epoch,
    pub key: Seed,
    /// The highest admin head seen: an older log is refused.
    pub head: AdminHead,
    /// The admin key, where this is an admin device.
    pub admin: Option<Seed>,
    pub writer: Option<WriterSecrets>,
}

/// A writer key and the incarnation of its log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WriterSecrets {
    pub seed: Seed,
    pub incarnation: [u8; 16],
}

/// Bytes that are zeroed on drop and never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Sensitive(pub Vec<u8>);

impl std::fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sensitive(..)")
    }
}

/// What argon2id costs; part of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Argon2Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Argon2Cost {
    /// 64 MiB, three passes.
    pub const DEFAULT: Argon2Cost = Argon2Cost { memory_kib: 64 << 10, passes: 3, lanes: 1 };
    /// For tests only: as little as argon2 allows.
    pub const TEST: Argon2Cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };
    /// The most a file may ask for: 1 GiB, so that a forged header cannot exhaust the machine.
    const MAX: Argon2Cost = Argon2Cost { memory_kib: 1 << 20, passes: 16, lanes: 4 };
}

/// What opens a keystore.
#[derive(Clone, Copy)]
pub enum Unlock<'a> {
    /// What a person types.
    Passphrase(&'a str),
    /// A random key in a file of this machine: no guard but the permissions of that file.
    FileKey(&'a FileKey),
}

/// What a keystore asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    Passphrase(Argon2Cost),
    FileKey,
}

/// Why a keystore does not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeystoreError {
    #[error("this is not a kith keystore")]
    NotKeystore,
    #[error("the keystore was written by a newer version of kith (format {0}); upgrade")]
    UnknownVersion(u8),
    #[error("the keystore is damaged")]
    Damaged,
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    #[error("the keystore does not belong to the key file beside it")]
    WrongFileKey,
    #[error("the keystore is sealed with a passphrase")]
    NeedsPassphrase,
    #[error("the keystore is sealed with a key file, not a passphrase")]
    NeedsFileKey,
    #[error("the keystore asks for an unreasonable amount of work; it is damaged or forged")]
    Cost,
    #[error("the keystore opens but is malformed: {0}")]
    Malformed(DecodeError),
}

impl Keystore {
    /// What a keystore file asks for, from its header.
    pub fn lock(file: &[u8]) -> Result<Lock, KeystoreError> {
        let header = Header::parse(file)?;
        Ok(match header.lock {
            LOCK_PASSPHRASE => Lock::Passphrase(header.cost),
            _ => Lock::FileKey,
        })
    }
    /// The file. `salt`: 16 fresh random bytes; `cost` matters for a passphrase only.
    pub fn seal(
        &self,
        unlock: Unlock<'_>,
        cost: Argon2Cost,
        salt: [u8; SALT_LEN],
    ) -> Result<Vec<u8>, KeystoreError> {
        let (lock, cost) = match unlock {
            Unlock::Passphrase(_) => (LOCK_PASSPHRASE, cost),
            Unlock::FileKey(_) => (LOCK_FILE_KEY, Argon2Cost { memory_kib: 0, passes: 0, lanes: 0 }),
        };
        let mut header = Header { lock, cost, salt, check: [0; CHECK_LEN] };
        let base = header.base(unlock)?;
        header.check = check(&base, &header);
        let mut file = header.encode().to_vec();
        let plain = encode_secret(self);
        seal_key(&base, &file).seal_into(Position::WHOLE, &plain, &mut file);
        Ok(file)
    }
    /// Open a keystore file.
    pub fn open(file: &[u8], unlock: Unlock<'_>) -> Result<Keystore, KeystoreError> {
        let header = Header::parse(file)?;
        let base = header.base(unlock)?;
        if !ct_eq(&check(&base, &header), &header.check) {
            return Err(match unlock {
                Unlock::Passphrase(_) => KeystoreError::WrongPassphrase,
                Unlock::FileKey(_) => KeystoreError::WrongFileKey,
            });
        }
        let (head, sealed) = file.split_at(HEADER_LEN);
        let len = sealed.len().checked_sub(SEAL_HEAD).ok_or(KeystoreError::Damaged)?;
        let mut plain = Zeroizing::new(vec![0; len]);
        seal_key(&base, head)
            .open_to(Position::WHOLE, sealed, &mut plain)
            .map_err(|_| KeystoreError::Damaged)?;
        decode_canonical(&plain, KEYSTORE_MAX).map_err(KeystoreError::Malformed)
    }
    /// This device's keys.
    pub fn device_keys(&self) -> DeviceKeys {
        DeviceKeys::from_seed(self.device.clone())
    }
    /// The person's root key, while it is here.
    pub fn person_key(&self) -> Option<PersonKey> {
        self.person.root.as_ref().map(PersonKey::from_seed)
    }
    /// The person's X25519 key.
    pub fn sharing_key(&self) -> ExchangeKey {
        ExchangeKey::from_seed(self.person.sharing.clone())
    }
}

impl PersonSecrets {
    /// Of a new person: everything, from the root.
    pub fn new(person: &PersonKey) -> PersonSecrets {
        PersonSecrets {
            id: person.id(),
            root: Some(person.seed()),
            sharing: person.sharing(0).seed().clone(),
            generation: 0,
        }
    }
}

impl DriveSecrets {
    /// The epoch's key, to be checked by `AdminLog::unlock`.
    pub fn level_key(&self) -> LevelKey {
        LevelKey::new(self.power, *self.key.expose())
    }
    /// The admin key, where this is an admin device.
    pub fn admin_key(&self) -> Option<SigningKey> {
        self.admin.as_ref().map(SigningKey::from_seed)
    }
    /// This device's writer key, once enrolled.
    pub fn writer_key(&self) -> Option<WriterKey> {
        self.writer.as_ref().map(|writer| WriterKey::new(&writer.seed, writer.incarnation))
    }
}

/// The part of the file before the seal; bound into the seal as its scope.
struct Header {
    lock: u8,
    cost: Argon2Cost,
    salt: [u8; SALT_LEN],
    check: [u8; CHECK_LEN],
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8] = VERSION;
        out[9] = self.lock;
        out[10..14].copy_from_slice(&self.cost.memory_kib.to_le_bytes());
        out[14..18].copy_from_slice(&self.cost.passes.to_le_bytes());
        out[18..22].copy_from_slice(&self.cost.lanes.to_le_bytes());
        out[22..38].copy_from_slice(&self.salt);
        out[38..54].copy_from_slice(&self.check);
        let sum = hash(Purpose::KeystoreHeader, &[&out[..54]]);
        out[54..].copy_from_slice(&sum.0[..8]);
        out
    }
    fn parse(file: &[u8]) -> Result<Header, KeystoreError> {
        if file.len() > KEYSTORE_MAX {
            return Err(KeystoreError::Damaged);
        }
        let rest = file.strip_prefix(&MAGIC).ok_or(KeystoreError::NotKeystore)?;
        let &version = rest.first().ok_or(KeystoreError::Damaged)?;
        if version != VERSION {
            return Err(KeystoreError::UnknownVersion(version));
        }
        let bytes: &[u8; HEADER_LEN] = file.first_chunk().ok_or(KeystoreError::Damaged)?;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let cost = Argon2Cost { memory_kib: number(10), passes: number(14), lanes: number(18) };
        let mut header = Header { lock: bytes[9], cost, salt: [0; SALT_LEN], check: [0; CHECK_LEN] };
        header.salt.copy_from_slice(&bytes[22..38]);
        header.check.copy_from_slice(&bytes[38..54]);
        if header.encode() != *bytes || header.lock > LOCK_PASSPHRASE {
            return Err(KeystoreError::Damaged);
        }
        Ok(header)
    }
    /// The key that the passphrase or the key file gives.
    fn base(&self, unlock: Unlock<'_>) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        match (self.lock, unlock) {
            (LOCK_FILE_KEY, Unlock::FileKey(key)) => Ok(Zeroizing::new(*key.expose())),
            (LOCK_FILE_KEY, _) => Err(KeystoreError::NeedsFileKey),
            (_, Unlock::Passphrase(passphrase)) => argon2id(passphrase, &self.salt, self.cost),
            _ => Err(KeystoreError::NeedsPassphrase),
        }
    }
}

fn argon2id(
    passphrase: &str,
    salt: &[u8; SALT_LEN],
    cost: Argon2Cost,
) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    let max = Argon2Cost::MAX;
    if cost.memory_kib > max.memory_kib || cost.passes > max.passes || cost.lanes > max.lanes {
        return Err(KeystoreError::Cost);
    }
    let params = argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| KeystoreError::Cost)?;
    // Our own memory, to be zeroed: its last blocks give the key.
    let mut memory = Zeroizing::new(vec![argon2::Block::default(); params.block_count()]);
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut out = Zeroizing::new([0; 32]);
    argon
        .hash_password_into_with_memory(passphrase.as_bytes(), salt, &mut out[..], &mut memory[..])
        .map_err(|_| KeystoreError::Cost)?;
    Ok(out)
}

/// Tells a wrong passphrase from damage, and commits the file to its key.
fn check(base: &[u8; 32], header: &Header) -> [u8; CHECK_LEN] {
    *derive_array(Purpose::KeystoreCheck, base, &[&header.encode()[..38]])
}

fn seal_key(base: &[u8; 32], header: &[u8]) -> SealKey {
    SealKey::derive(base, header, Kind::Keystore, b"")
}
