//! The one exchange by which an invited person joins, makes mutual grants and is enrolled.
//!
//! The joiner proves the ticket's secret by a MAC over this TLS connection's exporter, so
//! that a Join cannot be replayed on another connection; the answer is sealed to both, so
//! that only who knows the ticket reads it.

use super::{WireError, decode, encode};
use crate::keys::{DriveId, Kind, OpenError, Position, Purpose, Seal, SealKey, Signed, ct_eq, derive_array};
use serde::{Deserialize, Serialize};

/// TLS exporter label of the Join exchange.
pub const JOIN_EXPORTER: &[u8] = b"EXPORTER-kith-1-join";

/// A writer key that asks to be enrolled in a drive of the ticket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Enrol {
    pub drive: DriveId,
    /// Ed25519 public key of the writer.
    pub writer: [u8; 32],
    /// The person's X25519 public key, to which keys are wrapped.
    pub exchange_key: [u8; 32],
    /// The writer key's consent (`keys::WriterKey::consent`), 64 bytes.
    pub consent: Vec<u8>,
}

/// The body of a Join request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The joiner's device certificate.
    pub certificate: Signed,
    /// The joiner's member record (with its household and addresses).
    pub member: Signed,
    /// Grants of the joiner to the inviter.
    pub grants: Vec<Signed>,
    pub enrol: Vec<Enrol>,
}

/// A drive handed over in a Join answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinedDrive {
    pub drive: DriveId,
    pub label: String,
    /// Genesis and admin log so far, the joiner's enrolment included.
    pub admin: Vec<Signed>,
    /// The capability's string; empty when its keys are wrapped in the admin log.
    pub capability: String,
}

/// The body of a Joined answer, before it is sealed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The inviter's device certificate.
    pub certificate: Signed,
    /// Member records of the grid.
    pub roster: Vec<Signed>,
    /// Device certificates of its nodes.
    pub certificates: Vec<Signed>,
    /// Grants of the inviter to the joiner, and sub-grants at the inviter's holders, each
    /// with the grants it descends from.
    pub grants: Vec<Signed>,
    pub drives: Vec<JoinedDrive>,
}

impl JoinRequest {
    /// The body's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }
    /// The body from bytes whose MAC was checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<JoinRequest, WireError> {
        decode(bytes)
    }
}

/// Proof of the ticket's secret, bound to this connection by the TLS exporter.
pub fn join_mac(secret: &[u8; 16], exporter: &[u8; 32], body: &[u8]) -> [u8; 32] {
    *derive_array(Purpose::JoinMac, secret, &[exporter, body])
}

/// Whether a MAC is that of the body, compared in constant time.
pub fn check_join_mac(secret: &[u8; 16], exporter: &[u8; 32], body: &[u8], mac: &[u8; 32]) -> bool {
    ct_eq(&join_mac(secret, exporter, body), mac)
}

/// Why a Join answer does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    #[error("the answer to the invitation was not made by who made the ticket: {0}")]
    Seal(#[from] OpenError),
    #[error("the answer to the invitation is damaged: {0}")]
    Wire(#[from] WireError),
}

fn answer_key(secret: &[u8; 16], exporter: &[u8; 32]) -> SealKey {
    let base = derive_array(Purpose::JoinSeal, secret, &[exporter]);
    SealKey::derive(&base, &[], Kind::JoinAnswer, &[])
}

impl JoinAnswer {
    /// The body of [`super::Response::Joined`].
    pub fn seal(&self, secret: &[u8; 16], exporter: &[u8; 32]) -> Vec<u8> {
        answer_key(secret, exporter).seal(Position::WHOLE, &encode(self))
    }
    /// Opens the body of [`super::Response::Joined`].
    pub fn open(sealed: &[u8], secret: &[u8; 16], exporter: &[u8; 32]) -> Result<JoinAnswer, JoinError> {
        let bytes = answer_key(secret, exporter).open(Position::WHOLE, sealed)?;
        Ok(decode(&bytes)?)
    }
}
