//! The recovery record: all that a person needs to come back with nothing but the root, sealed
//! under the root and kept by every friend.
//!
//! ```text
//! base      = derive("recovery seal", root, [])
//! plaintext = version u8 (1) || len u32 LE || postcard(RecoveryContent) (len) || zeros to the next 4096
//! sealed    = seal(base, scope person, kind 23, object generation u64 LE, whole, plaintext)
//! record    = Signed { person, generation, door, sealed } by the root
//! ```
//!
//! `door` is the node id of the keys that the root gives to a device that is nobody's yet
//! ([`PersonKey::door`]): with them, and with nothing else, a machine that no friend has seen may
//! ask for the record.

use super::admin_log::AdminHead;
use super::derive::{Purpose, derive, hash};
use super::identity::{DeviceKeys, PersonKey};
use super::seal::{Kind, Position, SEAL_HEAD, Seal, SealKey};
use super::secret::Seed;
use super::signed::{
    DecodeError, Domain, Record, Signed, SignedError, check_public_key, decode_canonical, encode_secret,
};
use super::{DriveId, Epoch, Hash, NodeId, PersonId, Power};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Longest sealed content of a record.
pub const RECOVERY_SEALED_MAX: usize = 256 << 10;
/// Longest record, encoded.
pub const RECOVERY_RECORD_MAX: usize = RECOVERY_SEALED_MAX + 128;
/// The plaintext is padded to a multiple of this: friends do not see one drive more.
const BUCKET: usize = 4096;
const VERSION: u8 = 1;
/// Version and length.
const HEAD: usize = 1 + 4;

/// What a person needs to come back. Records of others are as they signed them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecoveryContent {
    /// Settings of the machine: the name friends see, the household's name, bytes lent in all and
    /// to one friend.
    pub label: String,
    pub household: String,
    pub lends: u64,
    pub grant: u64,
    /// Generation of the person's X25519 key.
    pub sharing: u32,
    pub drives: Vec<RecoveryDrive>,
    /// Member records of friends' nodes.
    pub members: Vec<Signed>,
    /// Grants to show at friends' nodes: chains, by node.
    pub held: Vec<(NodeId, Vec<Signed>)>,
    /// Bytes that the person granted to others on the machine.
    pub given: Vec<(PersonId, u64)>,
    /// What the person calls others.
    pub names: Vec<(PersonId, String)>,
}

/// What it has of one drive. The writer key stays with the machine it was made on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecoveryDrive {
    pub drive: DriveId,
    pub label: String,
    pub power: Power,
    /// An epoch and its key (at most read).
    pub epoch: Epoch,
    pub key: Seed,
    /// No older admin log is believed.
    pub head: AdminHead,
    /// The admin key, where the person rules the drive.
    pub admin: Option<Seed>,
}

/// What friends keep. Signed by the person's root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecoveryRecord {
    pub person: PersonId,
    /// Rises with every change; a friend takes no lower one.
    pub generation: u64,
    /// Who may ask for it, beside the person's devices.
    pub door: NodeId,
    pub sealed: Vec<u8>,
}

impl Record for RecoveryRecord {
    const DOMAIN: Domain = Domain::Recovery;
    const MAX: usize = RECOVERY_RECORD_MAX;
}

/// Why a record does not open or cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("{0}")]
    Signed(#[from] SignedError),
    #[error("the record is of another person")]
    OtherPerson,
    #[error("the record does not open with this person's root")]
    Seal,
    #[error("the record opens but is malformed: {0}")]
    Malformed(#[from] DecodeError),
    #[error("what there is to keep takes {0} bytes, more than the {RECOVERY_SEALED_MAX} allowed")]
    TooLong(usize),
}

impl PersonKey {
    /// The keys with which a machine that no friend has seen asks for the recovery record.
    pub fn door(&self) -> DeviceKeys {
        let seed = self.seed();
        DeviceKeys::from_seed(Seed::from_bytes(*derive(Purpose::RecoveryDoor, seed.expose(), &[])))
    }

    fn recovery_seal(&self, generation: u64) -> SealKey {
        let base = derive(Purpose::RecoverySeal, self.seed().expose(), &[]);
        SealKey::derive(&base, &self.id().0, Kind::Recovery, &generation.to_le_bytes())
    }
}

impl RecoveryRecord {
    /// The record, if its person signed it and its lengths are in bounds. Needs no secret.
    pub fn verify(signed: &Signed) -> Result<RecoveryRecord, RecoveryError> {
        let person = signed.peek::<RecoveryRecord>()?.person;
        let record: RecoveryRecord = signed.open(&person.0)?;
        check_public_key(&record.door.0)?;
        if record.sealed.len() > RECOVERY_SEALED_MAX {
            return Err(RecoveryError::TooLong(record.sealed.len()));
        }
        Ok(record)
    }

    /// What is in it.
    pub fn open(&self, person: &PersonKey) -> Result<RecoveryContent, RecoveryError> {
        if self.person != person.id() {
            return Err(RecoveryError::OtherPerson);
        }
        let len = self.sealed.len().checked_sub(SEAL_HEAD).ok_or(RecoveryError::Seal)?;
        if len > RECOVERY_SEALED_MAX {
            return Err(RecoveryError::TooLong(len));
        }
        let mut plain = Zeroizing::new(vec![0; len]);
        person
            .recovery_seal(self.generation)
            .open_to(Position::WHOLE, &self.sealed, &mut plain)
            .map_err(|_| RecoveryError::Seal)?;
        let (head, rest) = plain.split_first_chunk::<HEAD>().ok_or(DecodeError::Malformed)?;
        let [version, a, b, c, d] = *head;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion(version).into());
        }
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let (body, padding) = rest.split_at_checked(len).ok_or(DecodeError::Malformed)?;
        if padding.iter().any(|&byte| byte != 0) || padding.len() >= BUCKET {
            return Err(DecodeError::NotCanonical.into());
        }
        Ok(decode_canonical(body, RECOVERY_SEALED_MAX)?)
    }
}

impl RecoveryContent {
    /// The signed record of a generation. The same content gives the same bytes.
    pub fn seal(&self, person: &PersonKey, generation: u64) -> Result<Signed, RecoveryError> {
        let body = encode_secret(self);
        let padded = (HEAD + body.len()).next_multiple_of(BUCKET);
        if padded + SEAL_HEAD > RECOVERY_SEALED_MAX {
            return Err(RecoveryError::TooLong(padded + SEAL_HEAD));
        }
        let mut plain = Zeroizing::new(vec![0; padded]);
        plain[0] = VERSION;
        plain[1..HEAD].copy_from_slice(&(body.len() as u32).to_le_bytes());
        plain[HEAD..HEAD + body.len()].copy_from_slice(&body);
        let sealed = person.recovery_seal(generation).seal(Position::WHOLE, &plain);
        let door = person.door().node();
        let record = RecoveryRecord { person: person.id(), generation, door, sealed };
        Ok(Signed::record(person.signing(), &record))
    }

    /// Tells whether something has changed.
    pub fn hash(&self) -> Hash {
        hash(Purpose::RecoveryContent, &[&encode_secret(self)])
    }
}
