//! Inviting and joining: one exchange that makes two nodes friends and, where the ticket says
//! so, lets one into the other's drives.

use super::roster::{Roster, open_member};
use super::tickets::OpenTicket;
use super::{GridError, Invitation};
use crate::keys::{Certificate, DriveId, NodeId, PersonId, Power, Signed};
use crate::net::{BoxFuture, Endpoint, PeerInfo};
use crate::wire::{
    DETAIL_MAX, Enrol, Invited, JOIN_EXPORTER, JoinAnswer, JoinRequest, JoinedDrive, Member, Reason, Refusal,
    Request, Response, TICKET_ADDRS_MAX, TICKET_VERSION, Ticket, check_join_mac, join_mac,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long the whole exchange may take.
const JOIN_MAX_TIME: Duration = Duration::from_secs(20);

/// Lets joiners into drives: the admin log is not the grid's.
pub trait Door: Send + Sync + 'static {
    /// Enrol a person (and its device's writer key, for write power and above) in a drive.
    fn enrol<'a>(
        &'a self,
        drive: DriveId,
        power: Power,
        joiner: &'a Certificate,
        wish: Option<&'a Enrol>,
    ) -> BoxFuture<'a, Result<JoinedDrive, String>>;
}

/// What joining brought.
#[derive(Debug)]
pub struct Joined {
    pub inviter: Member,
    pub drives: Vec<JoinedDrive>,
}

impl Roster {
    /// Open a ticket. It can be used once, until it expires.
    pub async fn invite(&self, invitation: Invitation, name: Option<String>) -> Result<Ticket, GridError> {
        let now = self.world().now_ms() / 1000;
        let drives: Vec<Invited> = invitation
            .drives
            .into_iter()
            .map(|(drive, power, label)| Invited { drive, power, label })
            .collect();
        let ticket = Ticket {
            version: TICKET_VERSION,
            inviter: self.me().node,
            addrs: self.me().addrs.iter().take(TICKET_ADDRS_MAX).copied().collect(),
            secret: self.world().random(),
            expires: now + invitation.valid.as_secs(),
            lends: invitation.bytes,
            asks: 0,
            drives: drives.clone(),
        };
        let open = OpenTicket {
            secret: ticket.secret,
            expires: ticket.expires,
            lends: invitation.bytes,
            drives,
            name,
            used: false,
        };
        if !self.tickets(|t| t.open(open, now)).await? {
            return Err(GridError::Ticket("too many tickets are open: wait until some expire".into()));
        }
        Ok(ticket)
    }

    /// A refusal of this node, where it is not about space; `to` is who asked, if known.
    pub fn signed_refusal(&self, reason: Reason, to: Option<PersonId>, detail: &str) -> Signed {
        let me = self.me();
        let refusal = Refusal {
            reason,
            limit: 0,
            used: 0,
            // Characters are at most four bytes long.
            detail: detail.chars().take(DETAIL_MAX / 4).collect(),
            holder: me.node,
            account: to.unwrap_or(me.person),
            day: self.today(),
        };
        Signed::record(&me.signing, &refusal)
    }

    /// The same as an answer.
    pub fn refusal(&self, reason: Reason, to: Option<PersonId>, detail: &str) -> Response {
        Response::Refusal { refusal: self.signed_refusal(reason, to, detail) }
    }

    /// The inviter's side of [`Request::Join`]. The ticket is burned, durably, before anything
    /// is granted.
    pub async fn answer_join(
        &self,
        door: &dyn Door,
        peer: &PeerInfo,
        id: &[u8; 16],
        mac: &[u8; 32],
        body: &[u8],
    ) -> Response {
        let Some(ticket) = self.ticket(id) else {
            return self.refusal(Reason::TicketUnknown, None, "no such ticket was given out here");
        };
        let exporter = peer.exporter(JOIN_EXPORTER);
        let Some(exporter) = exporter.filter(|e| check_join_mac(&ticket.secret, e, body, mac)) else {
            return self.refusal(Reason::TicketUnknown, None, "no such ticket was given out here");
        };
        match self.admit_joiner(door, peer, id, &ticket, body).await {
            Ok(answer) => Response::Joined { body: answer.seal(&ticket.secret, &exporter) },
            Err((reason, detail)) => self.refusal(reason, None, &detail),
        }
    }

    async fn admit_joiner(
        &self,
        door: &dyn Door,
        peer: &PeerInfo,
        id: &[u8; 16],
        ticket: &OpenTicket,
        body: &[u8],
    ) -> Result<JoinAnswer, (Reason, String)> {
        let malformed = |e: String| (Reason::Malformed, e);
        let internal = |e: GridError| (Reason::Internal, e.to_string());
        let request = JoinRequest::from_bytes(body).map_err(|e| malformed(e.to_string()))?;
        let joiner = Certificate::verify_for(&request.certificate, &peer.node, self.today())
            .map_err(|e| malformed(e.to_string()))?;
        let member = open_member(&request.member)
            .filter(|m| {
                let fits = m.node == joiner.node && m.person == joiner.person;
                fits && m.signing_key == joiner.signing_key && !self.is_revoked(&m.node)
            })
            .ok_or_else(|| malformed("the member record does not fit the certificate".into()))?;
        let now = self.world().now_ms() / 1000;
        let burned = self.tickets(|t| t.burn(id, now)).await.map_err(internal)?;
        burned.map_err(|reason| (reason, ticket_words(reason).to_string()))?;

        let grant = self.give(joiner.person, ticket.lends).await.map_err(internal)?;
        if let Some(name) = &ticket.name {
            self.set_name(joiner.person, name).await.map_err(internal)?;
        }
        self.merge(&[request.member]).await.map_err(internal)?;
        let mut grants = vec![grant];
        let mut drives = Vec::new();
        for invited in &ticket.drives {
            let wish = request.enrol.iter().find(|e| e.drive == invited.drive);
            drives.push(
                door.enrol(invited.drive, invited.power, &joiner, wish)
                    .await
                    .map_err(|e| (Reason::Internal, e))?,
            );
        }
        if ticket.drives.iter().any(|d| d.power >= Power::Write) {
            let chains = self.delegate_all(joiner.person, &member.node).map_err(internal)?;
            grants.extend(chains.into_iter().flatten());
        }
        Ok(JoinAnswer {
            certificate: self.me().certificate.clone(),
            roster: self.records(),
            certificates: Vec::new(),
            grants,
            drives,
        })
    }

    /// The joiner's side. `wishes`: a writer key for each drive of the ticket.
    pub async fn join(
        &self,
        endpoint: &Endpoint,
        ticket: &Ticket,
        lends: u64,
        wishes: Vec<Enrol>,
    ) -> Result<Joined, GridError> {
        if ticket.inviter == self.me().node {
            return Err(GridError::Ticket(
                "the ticket is one of this node's own: give it to a friend".into(),
            ));
        }
        if ticket.expires <= self.world().now_ms() / 1000 {
            return Err(GridError::Ticket("the ticket has expired: ask for a new one".into()));
        }
        let own =
            self.own_record().ok_or_else(|| GridError::Other("this node has no record of itself".into()))?;
        let request = JoinRequest {
            certificate: self.me().certificate.clone(),
            member: own,
            grants: Vec::new(),
            enrol: wishes,
        };
        let body = request.to_bytes();
        let (id, secret) = (ticket.id(), ticket.secret);
        let make = move |exporter: &[u8; 32]| Request::Join {
            ticket: id,
            mac: join_mac(&secret, exporter, &body),
            body,
        };
        let label = || ticket.addrs.first().map_or_else(|| ticket.inviter.short(), ToString::to_string);
        let (response, exporter) = endpoint
            .join(ticket.inviter, &ticket.addrs, make, JOIN_MAX_TIME)
            .await
            .map_err(|e| GridError::Unreachable { label: label(), why: e.to_string() })?;
        let sealed = match response {
            Response::Joined { body } => body,
            Response::Refusal { refusal } => return Err(refused(&refusal)),
            _ => return Err(GridError::Ticket("the inviter answered something else".into())),
        };
        let answer =
            JoinAnswer::open(&sealed, &secret, &exporter).map_err(|e| GridError::Ticket(e.to_string()))?;
        self.take_answer(ticket, answer, lends).await
    }

    async fn take_answer(
        &self,
        ticket: &Ticket,
        answer: JoinAnswer,
        lends: u64,
    ) -> Result<Joined, GridError> {
        let bad = |why: String| GridError::Ticket(format!("the inviter's answer is not sound: {why}"));
        let inviter = Certificate::verify_for(&answer.certificate, &ticket.inviter, self.today())
            .map_err(|e| bad(e.to_string()))?;
        self.merge(&answer.roster).await?;
        let member = self.member(&ticket.inviter).filter(|m| m.person == inviter.person);
        let member = member.ok_or_else(|| bad("it has no record of the inviter".into()))?;
        self.introduced_by(member.person).await?;
        self.give(member.person, lends).await?;
        // No chain is taken on the inviter's word: one link made up for another's disk would stand in
        // the way of the grant that its owner gives.
        self.take_chains(&ticket.inviter, &answer.grants).await?;
        Ok(Joined { inviter: member, drives: answer.drives })
    }
}

fn ticket_words(reason: Reason) -> &'static str {
    match reason {
        Reason::TicketUsed => "the ticket was used before: ask for a new one",
        Reason::TicketExpired => "the ticket has expired: ask for a new one",
        _ => "no such ticket was given out here",
    }
}

/// The words of a refusal (its signature is by a key not known before joining).
fn refused(signed: &Signed) -> GridError {
    let words = match signed.peek::<Refusal>() {
        Ok(r) => match r.reason {
            Reason::TicketUsed | Reason::TicketExpired | Reason::TicketUnknown => {
                ticket_words(r.reason).to_string()
            }
            reason => format!("{reason:?}: {}", r.detail),
        },
        Err(e) => e.to_string(),
    };
    GridError::Ticket(words)
}

/// Keep friends' records and grants in step: told to each when it connects, and to all
/// connected when something changes.
pub async fn gossip(roster: Arc<Roster>, endpoint: Endpoint) {
    use tokio::sync::broadcast::error::RecvError;
    let mut events = endpoint.events();
    let mut changes = roster.changes();
    // They end with this.
    let mut telling = JoinSet::new();
    loop {
        tokio::select! { biased;
            Some(_) = telling.join_next() => {}
            event = events.recv() => match event {
                Ok(crate::net::Event::Connected(node)) => {
                    telling.spawn(tell(roster.clone(), endpoint.clone(), node));
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                for member in roster.members() {
                    endpoint.set_addrs(member.node, member.addrs.clone());
                    endpoint.keep(member.node);
                }
                for node in endpoint.connected() {
                    telling.spawn(tell(roster.clone(), endpoint.clone(), node));
                }
            }
        }
    }
}

/// One friend is told what this node knows and gives; its answer is taken in.
async fn tell(roster: Arc<Roster>, endpoint: Endpoint, node: NodeId) {
    const DEADLINE: Duration = Duration::from_secs(10);
    let peer = endpoint.peer(node);
    let priority = crate::net::Priority::Log;
    let known = Request::Roster { records: roster.records(), revocations: roster.revocations() };
    match peer.request(&known, priority, DEADLINE).await {
        Ok(Response::Roster { records, revocations }) => {
            roster.take_roster(&node, &records, &revocations).await;
        }
        Ok(_) => tracing::debug!("{} did not answer with its roster", roster.name_of(&node)),
        Err(e) => tracing::debug!("roster to {}: {e}", roster.name_of(&node)),
    }
    let Some(member) = roster.member(&node) else { return };
    if let Some(grant) = roster.given_signed(&member.person)
        && let Err(e) = peer.request(&Request::GrantGive { grant }, priority, DEADLINE).await
    {
        tracing::debug!("grant to {}: {e}", roster.name_of(&node));
    }
    let passed_on = roster.for_guest(&member.person, &node);
    for grants in passed_on.inspect_err(|e| tracing::warn!("nothing is passed on: {e}")).unwrap_or_default() {
        if let Err(e) = peer.request(&Request::GrantChain { grants }, priority, DEADLINE).await {
            tracing::debug!("grants to {}: {e}", roster.name_of(&node));
        }
    }
}
