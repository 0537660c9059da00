//! Invitation tickets.
//!
//! `kith-` and base32 (RFC 4648, lower case, no padding) of
//! `postcard(Ticket) || checksum`, the checksum being the first 4 bytes of
//! `derive("ticket checksum", postcard(Ticket))`. The first byte is the version.

use super::{LABEL_MAX, WireError, decode, encode};
use crate::keys::{DriveId, NodeId, Power, Purpose, derive_array, hash};
use data_encoding::BASE32_NOPAD;
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
const CHECKSUM_LEN: usize = 4;

/// A drive that comes with an invitation, and the power over it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invited {
    pub drive: DriveId,
    pub power: Power,
    /// For people; at most [`LABEL_MAX`] bytes.
    pub label: String,
}

/// A short-lived, single-use invitation. Its text is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// [`TICKET_VERSION`].
    pub version: u8,
    pub inviter: NodeId,
    /// Where the inviter may be found; at most [`TICKET_ADDRS_MAX`].
    pub addrs: Vec<SocketAddr>,
    pub secret: [u8; 16],
    /// Seconds since 1970, by the inviter's clock.
    pub expires: u64,
    /// Bytes the inviter will lend.
    pub lends: u64,
    /// Bytes the inviter asks for in return.
    pub asks: u64,
    /// At most [`TICKET_DRIVES_MAX`].
    pub drives: Vec<Invited>,
}

/// Why a text is not a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("not a ticket: a ticket begins with kith-")]
    Prefix,
    #[error("not a ticket: it is longer than {TICKET_TEXT_MAX} characters")]
    TooLong,
    #[error("the ticket is mistyped: {0:?} is not a letter a-z or a digit 2-7")]
    Letter(char),
    #[error("the ticket is mistyped or incomplete: its checksum does not match")]
    Checksum,
    #[error("the ticket is of version {0}, which this kith does not know: upgrade")]
    Version(u8),
    #[error("the ticket is damaged: {0}")]
    Wire(#[from] WireError),
}

impl Ticket {
    /// The name by which the inviter finds the ticket; says nothing about the secret.
    pub fn id(&self) -> [u8; 16] {
        ticket_id(&self.secret)
    }

    fn check(&self) -> Result<(), WireError> {
        let over = |what, is, max| Err(WireError::OverLimit { what, is: is as u64, max: max as u64 });
        if self.addrs.len() > TICKET_ADDRS_MAX {
            return over("addresses in a ticket", self.addrs.len(), TICKET_ADDRS_MAX);
        }
        if self.drives.len() > TICKET_DRIVES_MAX {
            return over("drives in a ticket", self.drives.len(), TICKET_DRIVES_MAX);
        }
        match self.drives.iter().map(|d| d.label.len()).find(|len| *len > LABEL_MAX) {
            Some(len) => over("bytes of a label", len, LABEL_MAX),
            None => Ok(()),
        }
    }
}

/// [`Ticket::id`] from the secret alone.
pub fn ticket_id(secret: &[u8; 16]) -> [u8; 16] {
    *derive_array(Purpose::TicketId, secret, &[])
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = hash(Purpose::TicketChecksum, &[bytes]).0;
    [a, b, c, d]
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = encode(self);
        bytes.extend_from_slice(&checksum(&bytes));
        write!(f, "{TICKET_PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket(of {}, expires {})", self.inviter.short(), self.expires)
    }
}

impl std::str::FromStr for Ticket {
    type Err = TicketError;

    /// Case and surrounding white space do not matter.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        if text.len() > TICKET_TEXT_MAX {
            return Err(TicketError::TooLong);
        }
        let text = text.to_ascii_lowercase();
        let letters = text.strip_prefix(TICKET_PREFIX).ok_or(TicketError::Prefix)?;
        if let Some(c) = letters.chars().find(|c| !matches!(c, 'a'..='z' | '2'..='7')) {
            return Err(TicketError::Letter(c));
        }
        let bytes = BASE32_NOPAD
            .decode(letters.to_ascii_uppercase().as_bytes())
            .map_err(|_| TicketError::Checksum)?;
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(TicketError::Checksum)?;
        if checksum(body) != *sum {
            return Err(TicketError::Checksum);
        }
        match body.first() {
            Some(&TICKET_VERSION) => {}
            Some(&other) => return Err(TicketError::Version(other)),
            None => return Err(TicketError::Checksum),
        }
        let ticket: Ticket = decode(body)?;
        ticket.check()?;
        Ok(ticket)
    }
}
