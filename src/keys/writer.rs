//! A device's own key in one drive, and the log it writes.

use super::derive::{Purpose, hash};
use super::secret::Seed;
use super::signed::{Domain, SignedError, SigningKey, verify};
use super::{DriveId, LogId, NodeId};

/// A writer's signing key and the incarnation of its log.
#[derive(Clone, Debug)]
pub struct WriterKey {
    key: SigningKey,
    incarnation: [u8; 16],
}

impl WriterKey {
    /// From a random seed and a random incarnation.
    pub fn new(seed: &Seed, incarnation: [u8; 16]) -> WriterKey {
        WriterKey { key: SigningKey::from_seed(seed), incarnation }
    }
    /// The public key, as the admin log enrols it.
    pub fn public(&self) -> [u8; 32] {
        self.key.public()
    }
    /// The key that signs entries ([`Domain::EntryHeader`]).
    pub const fn signing(&self) -> &SigningKey {
        &self.key
    }
    /// The incarnation of the log in use.
    pub const fn incarnation(&self) -> &[u8; 16] {
        &self.incarnation
    }
    /// The log this key writes.
    pub fn log(&self) -> LogId {
        log_id(&self.public(), &self.incarnation)
    }
    /// The same key with a new log: when the old one's continuity cannot be proved.
    pub fn reincarnate(&self, incarnation: [u8; 16]) -> WriterKey {
        WriterKey { key: self.key.clone(), incarnation }
    }
    /// Consent to be enrolled in a drive for a node.
    pub fn consent(&self, drive: &DriveId, node: &NodeId) -> [u8; 64] {
        self.key.sign(Domain::WriterConsent, &consent_message(drive, node))
    }
}

/// The name of a log: the hash of its writer's public key and its incarnation.
pub fn log_id(writer: &[u8; 32], incarnation: &[u8; 16]) -> LogId {
    LogId(hash(Purpose::LogId, &[writer, incarnation]).0)
}

/// Did the writer key consent to be enrolled in a drive for a node?
pub fn check_consent(
    drive: &DriveId,
    node: &NodeId,
    writer: &[u8; 32],
    consent: &[u8],
) -> Result<(), SignedError> {
    verify(Domain::WriterConsent, writer, &consent_message(drive, node), consent)
}

pub(super) fn consent_message(drive: &DriveId, node: &NodeId) -> [u8; 64] {
    let mut message = [0; 64];
    message[..32].copy_from_slice(&drive.0);
    message[32..].copy_from_slice(&node.0);
    message
}
