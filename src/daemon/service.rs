//! Requests of friends, each to the room that answers it.

use super::node::Node;
use crate::grid::{Door, Roster};
use crate::holder::{Caller, Holder};
use crate::keys::{Certificate, DriveId, NodeId, PersonId, Power, Signed};
use crate::net::{Admission, BodyReader, BoxFuture, NetError, PeerInfo, Policy, Responder, Service};
use crate::wire::{Enrol, JoinedDrive, Reason, Request, Response};
use std::sync::{Arc, OnceLock, Weak};

/// What is said to a request that the protocol knows and this version does not serve.
const NOT_DONE: &str = "this version of kith does not do that";

/// Answers what friends ask of this node.
pub struct NodeService {
    roster: Arc<Roster>,
    holder: Arc<Holder>,
    /// The node itself, once it is there: it lets joiners into drives.
    node: OnceLock<Weak<Node>>,
}

impl NodeService {
    pub fn new(roster: Arc<Roster>, holder: Arc<Holder>) -> NodeService {
        NodeService { roster, holder, node: OnceLock::new() }
    }

    pub fn attach(&self, node: &Arc<Node>) {
        // A service has one node; attaching it twice changes nothing.
        let _ = self.node.set(Arc::downgrade(node));
    }

    async fn answer(
        &self,
        peer: PeerInfo,
        request: Request,
        mut body: BodyReader,
        responder: Responder,
    ) -> Result<(), NetError> {
        match request {
            Request::Join { ticket, mac, body } => {
                let response = self.roster.answer_join(self, &peer, &ticket, &mac, &body).await;
                responder.send(&response).await
            }
            Request::Recover { certificate, member } => {
                let response = self.recover(&peer, &certificate, &member).await;
                responder.send(&response).await
            }
            request if Holder::answers(&request) => {
                let reply = self.holder.serve(&Caller::from(&peer), request, &mut body).await;
                match reply.body {
                    None => responder.send(&reply.response).await,
                    Some(bytes) => {
                        let mut writer = responder.send_with_body(&reply.response).await?;
                        writer.write_all(bytes).await?;
                        writer.finish()
                    }
                }
            }
            request => {
                let response = self.say(&peer, request).await;
                responder.send(&response).await
            }
        }
    }
}

impl NodeService {
    /// A machine that has nothing but its person's root asks for that person's recovery record,
    /// or a friend's device for its own person's.
    async fn recover(&self, peer: &PeerInfo, certificate: &Signed, member: &Signed) -> Response {
        let refuse = |reason, to, why: &str| self.roster.refusal(reason, to, why);
        let (person, node) = match self.roster.check_device(certificate, member) {
            Ok(device) => device,
            Err(why) => return refuse(Reason::NotAFriend, peer.person, &why),
        };
        // The TLS key says who asks: the door that the person's record names, or a friend.
        let may = match peer.person {
            None => self.holder.is_door_of(&peer.node, &person),
            Some(asking) => asking == person && peer.node == node,
        };
        if !may {
            return refuse(Reason::NotYours, peer.person, "the recovery record is another person's");
        }
        if let Err(why) = self.roster.take_device(person, node, member).await {
            return refuse(Reason::Busy, Some(person), &why);
        }
        self.holder.recovery_of(&person).await
    }

    /// What is answered by the roster, or by the grid, or not at all in this version.
    async fn say(&self, peer: &PeerInfo, request: Request) -> Response {
        let request = match self.roster.answer(&peer.node, request).await {
            Ok(response) => return response,
            Err(request) => *request,
        };
        let node = self.node.get().and_then(Weak::upgrade);
        match node {
            Some(node) => match node.grid.heard(&peer.node, request).await {
                Ok(response) => response,
                Err(_) => self.roster.refusal(Reason::Unknown, peer.person, NOT_DONE),
            },
            None => self.roster.refusal(Reason::Busy, peer.person, "this node is starting or stopping"),
        }
    }
}

impl Service for NodeService {
    fn handle<'a>(
        &'a self,
        peer: PeerInfo,
        request: Request,
        body: BodyReader,
        responder: Responder,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let node = peer.node;
            if let Err(e) = self.answer(peer, request, body, responder).await {
                tracing::debug!("answer to {}: {e}", node.short());
            }
        })
    }

    fn refusal(&self, peer: &PeerInfo, reason: Reason, detail: &str) -> Signed {
        self.roster.signed_refusal(reason, peer.person, detail)
    }
}

/// Who may call: whom the roster lets in, and the doors of recovery records that are kept here.
pub struct Gate {
    roster: Arc<Roster>,
    holder: Arc<Holder>,
}

impl Gate {
    pub fn new(roster: Arc<Roster>, holder: Arc<Holder>) -> Gate {
        Gate { roster, holder }
    }
}

impl Policy for Gate {
    fn admit(&self, node: &NodeId) -> Admission {
        match self.roster.admit(node) {
            Admission::Friend => Admission::Friend,
            _ if self.holder.is_door(node) => Admission::RecoverOnly,
            other => other,
        }
    }

    fn person(&self, node: &NodeId, certificate: &Signed) -> Option<PersonId> {
        self.roster.person(node, certificate)
    }
}

impl Door for NodeService {
    fn enrol<'a>(
        &'a self,
        drive: DriveId,
        power: Power,
        joiner: &'a Certificate,
        wish: Option<&'a Enrol>,
    ) -> BoxFuture<'a, Result<JoinedDrive, String>> {
        Box::pin(async move {
            let node = self.node.get().and_then(Weak::upgrade).ok_or("the node is stopping")?;
            node.enrol(drive, power, joiner, wish).await
        })
    }
}
