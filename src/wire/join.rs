//! The one exchange by which an invited person joins, makes mutual grants and is enrolled.

use crate::keys::{DriveId, Signed};
use serde::{Deserialize, Serialize};

/// TLS exporter label of the Join exchange.
pub const JOIN_EXPORTER: &[u8] = b"EXPORTER-kith-1-join";

/// A writer key that asks to be enrolled in a drive of the ticket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Enrol {
    pub drive: DriveId,
    /// Ed25519 public key of the writer.
    pub writer: [u8; 32],
    /// X25519 public key to which epoch keys are wrapped.
    pub wrap_to: [u8; 32],
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
    /// The admin log so far, the joiner's enrolment included.
    pub admin: Vec<Signed>,
    /// The capability's string.
    pub capability: String,
}

/// The body of a Joined answer, before it is sealed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The inviter's device certificate.
    pub certificate: Signed,
    /// Member records of the grid.
    pub roster: Vec<Signed>,
    /// Grants of the inviter to the joiner, and sub-grants at the inviter's holders with
    /// the grants they descend from.
    pub grants: Vec<Signed>,
    pub drives: Vec<JoinedDrive>,
}

/// Proof of the ticket's secret, bound to this connection by the TLS exporter.
pub fn join_mac(_secret: &[u8; 16], _exporter: &[u8; 32], _body: &[u8]) -> [u8; 32] {
    todo!()
}
