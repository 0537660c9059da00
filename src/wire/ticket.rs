//! Invitation tickets.

use super::WireError;
use crate::keys::{DriveId, NodeId, Power};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// What a ticket begins with.
pub const TICKET_PREFIX: &str = "kith-";
/// The only version so far.
pub const TICKET_VERSION: u8 = 1;
/// Most addresses in a ticket.
pub const TICKET_ADDRS_MAX: usize = 4;
/// Most drives in a ticket.
pub const TICKET_DRIVES_MAX: usize = 4;
/// Longest text accepted as a ticket.
pub const TICKET_TEXT_MAX: usize = 2048;

/// A drive that comes with an invitation, and the power over it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invited {
    pub drive: DriveId,
    pub power: Power,
    pub label: String,
}

/// A short-lived, single-use invitation. Its text is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub version: u8,
    pub inviter: NodeId,
    pub addrs: Vec<SocketAddr>,
    pub secret: [u8; 16],
    /// Seconds since 1970.
    pub expires: u64,
    /// Bytes the inviter will lend.
    pub lends: u64,
    /// Bytes the inviter asks for in return.
    pub asks: u64,
    pub drives: Vec<Invited>,
}

/// Why a text is not a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("not a ticket: a ticket begins with kith-")]
    Prefix,
    #[error("not a ticket: it has a character that is not a letter a-z or a digit 2-7")]
    Letters,
    #[error("the ticket is mistyped or incomplete: its checksum does not match")]
    Checksum,
    #[error("the ticket is of version {0}, which this kith does not know")]
    Version(u8),
    #[error("the ticket is damaged: {0}")]
    Wire(#[from] WireError),
}

impl Ticket {
    /// The name by which the inviter finds the ticket; says nothing about the secret.
    pub fn id(&self) -> [u8; 16] {
        todo!()
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl std::str::FromStr for Ticket {
    type Err = TicketError;
    fn from_str(_s: &str) -> Result<Self, TicketError> {
        todo!()
    }
}
