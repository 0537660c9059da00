//! The record a drive begins with; its hash is the drive's id.

use super::DriveId;
use super::derive::{Purpose, hash};
use super::identity::LABEL_MAX;
use super::seal::{Kind, OpenError, Position, Seal, SealKey};
use super::secret::EntryKey;
use super::signed::{DecodeError, Domain, Record, Signed, SignedError, SigningKey, check_public_key};
use serde::{Deserialize, Serialize};

/// Longest genesis record, encoded.
pub const GENESIS_MAX: usize = 512;
/// A drive's name is sealed at this length, so that holders do not learn how long it is.
const NAME_PADDED: usize = 1 + LABEL_MAX;

/// The record a drive begins with, signed by its first admin key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Genesis {
    /// The first admin key.
    pub admin: [u8; 32],
    pub parameters: Parameters,
    /// Makes two drives of one admin differ; also the scope of the seal of the name.
    pub random: [u8; 32],
}

/// What holds for a drive from the start.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// The name, sealed under the first epoch's entry key (see [`seal_name`]).
    pub sealed_name: Vec<u8>,
    /// Days for which history is kept.
    pub retention_days: u32,
    /// Days between a request to release leases and its effect.
    pub release_delay_days: u16,
    /// Days after which a silent log no longer holds checkpoints back.
    pub park_after_days: u16,
}

impl Record for Genesis {
    const DOMAIN: Domain = Domain::Genesis;
    const MAX: usize = GENESIS_MAX;
}

/// Why a genesis record is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GenesisError {
    #[error("{0}")]
    Signed(#[from] SignedError),
    #[error("this is the beginning of drive {}, not of {}", .found.short(), .expected.short())]
    OtherDrive { found: DriveId, expected: DriveId },
    #[error("the sealed name of drive {} has a wrong length", .0.short())]
    Name(DriveId),
}

impl Genesis {
    /// Sign it; the drive begins to exist.
    pub fn sign(&self, admin: &SigningKey) -> Signed {
        Signed::record(admin, self)
    }
    /// The drive that a signed genesis record begins.
    pub fn drive_id(signed: &Signed) -> DriveId {
        DriveId(hash(Purpose::DriveId, &[&signed.bytes]).0)
    }
    /// Check a genesis record: signed by the admin it names, sound, of the drive expected.
    pub fn verify(signed: &Signed, expected: &DriveId) -> Result<Genesis, GenesisError> {
        let found = Genesis::drive_id(signed);
        if found != *expected {
            return Err(GenesisError::OtherDrive { found, expected: *expected });
        }
        let admin = signed.peek::<Genesis>()?.admin;
        check_public_key(&admin)?;
        let genesis: Genesis = signed.open(&admin)?;
        if genesis.parameters.sealed_name.len() != NAME_PADDED + super::SEAL_HEAD {
            return Err(GenesisError::Name(found));
        }
        Ok(genesis)
    }
    /// The drive's name. `key` is the first epoch's entry key.
    pub fn name(&self, key: &EntryKey) -> Result<String, NameError> {
        open_name(key, &self.random, &self.parameters.sealed_name)
    }
}

/// Why a drive has no readable name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    #[error("the drive's name does not open: {0}")]
    Seal(#[from] OpenError),
    #[error("the drive's name is malformed: {0}")]
    Malformed(DecodeError),
    #[error("a drive's name has 1 to {LABEL_MAX} bytes and no control characters")]
    Label,
}

/// Seal a drive's name for its genesis record with the given random bytes. `key` is the entry
/// key of the first epoch: readers see the name, holders and menders do not.
pub fn seal_name(key: &EntryKey, random: &[u8; 32], name: &str) -> Result<Vec<u8>, NameError> {
    check_name(name)?;
    let mut padded = [0; NAME_PADDED];
    padded[0] = name.len() as u8;
    padded[1..=name.len()].copy_from_slice(name.as_bytes());
    Ok(name_seal(key, random).seal(Position::WHOLE, &padded))
}

fn open_name(key: &EntryKey, random: &[u8; 32], sealed: &[u8]) -> Result<String, NameError> {
    let padded = name_seal(key, random).open(Position::WHOLE, sealed)?;
    let malformed = NameError::Malformed(DecodeError::Malformed);
    let (&len, rest) = padded.split_first().ok_or(malformed)?;
    let (name, filling) = rest.split_at_checked(len.into()).ok_or(malformed)?;
    if filling.iter().any(|&byte| byte != 0) {
        return Err(NameError::Malformed(DecodeError::NotCanonical));
    }
    let name = std::str::from_utf8(name).map_err(|_| malformed)?;
    check_name(name)?;
    Ok(name.to_string())
}

fn check_name(name: &str) -> Result<(), NameError> {
    let sound = (1..=LABEL_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if sound { Ok(()) } else { Err(NameError::Label) }
}

fn name_seal(key: &EntryKey, random: &[u8; 32]) -> SealKey {
    SealKey::derive(key.expose(), random, Kind::DriveName, b"")
}
