//! Tickets this node has given out: each works once, until it expires.

use crate::wire::{Invited, Reason, ticket_id};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Tickets open at once; each lets strangers try one Join.
pub const TICKETS_MAX: usize = 64;
/// A used or expired ticket is remembered this long (seconds), to say why it is refused.
const REMEMBERED_S: u64 = 30 * 86_400;

/// One ticket, on the side that gave it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenTicket {
    pub secret: [u8; 16],
    /// Seconds since 1970 by this machine's clock.
    pub expires: u64,
    pub lends: u64,
    pub drives: Vec<Invited>,
    /// What this node will call the guest.
    pub name: Option<String>,
    pub used: bool,
}

/// All of them, by id.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Tickets {
    by_id: BTreeMap<[u8; 16], OpenTicket>,
}

impl Tickets {
    /// Add a ticket; false when too many are open.
    pub fn open(&mut self, ticket: OpenTicket, now: u64) -> bool {
        self.by_id.retain(|_, t| t.expires.saturating_add(REMEMBERED_S) > now);
        let open = self.by_id.values().filter(|t| !t.used && t.expires > now).count();
        let room = open < TICKETS_MAX;
        if room {
            self.by_id.insert(ticket_id(&ticket.secret), ticket);
        }
        room
    }

    pub fn get(&self, id: &[u8; 16]) -> Option<&OpenTicket> {
        self.by_id.get(id)
    }

    pub fn any_open(&self, now: u64) -> bool {
        self.by_id.values().any(|t| !t.used && t.expires > now)
    }

    /// Use a ticket: whoever comes second is told so.
    pub fn burn(&mut self, id: &[u8; 16], now: u64) -> Result<(), Reason> {
        let ticket = self.by_id.get_mut(id).ok_or(Reason::TicketUnknown)?;
        if ticket.used {
            return Err(Reason::TicketUsed);
        }
        if ticket.expires <= now {
            return Err(Reason::TicketExpired);
        }
        ticket.used = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(n: u8, expires: u64) -> OpenTicket {
        OpenTicket { secret: [n; 16], expires, lends: 1, drives: vec![], name: None, used: false }
    }

    #[test]
    fn a_ticket_works_once_and_in_time() {
        let mut tickets = Tickets::default();
        assert!(tickets.open(ticket(1, 100), 0));
        assert!(tickets.open(ticket(2, 100), 0));
        let (one, two) = (ticket_id(&[1; 16]), ticket_id(&[2; 16]));
        assert!(tickets.any_open(99) && !tickets.any_open(100));
        assert_eq!(tickets.burn(&one, 50), Ok(()));
        assert_eq!(tickets.burn(&one, 50), Err(Reason::TicketUsed));
        assert_eq!(tickets.burn(&two, 100), Err(Reason::TicketExpired));
        assert_eq!(tickets.burn(&[9; 16], 0), Err(Reason::TicketUnknown));
    }

    #[test]
    fn open_tickets_are_bounded() {
        let mut tickets = Tickets::default();
        for n in 0..TICKETS_MAX {
            assert!(tickets.open(ticket(n as u8, 100), 0));
        }
        assert!(!tickets.open(ticket(200, 100), 0));
        assert!(tickets.open(ticket(200, 300), 150), "expired ones make room");
    }
}
