//! Requests of friends, each to the room that answers it.

use super::node::Node;
use crate::grid::{Door, Roster};
use crate::holder::{Caller, Holder};
use crate::keys::{Certificate, DriveId, Power};
use crate::net::{BodyReader, BoxFuture, NetError, PeerInfo, Responder, Service};
use crate::wire::{Enrol, JoinedDrive, Reason, Request, Response};
use std::sync::{Arc, OnceLock, Weak};

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
            Request::Roster { records } => {
                if let Err(e) = self.roster.merge(&records).await {
                    tracing::warn!("roster from {}: {e}", self.roster.name_of(&peer.node));
                }
                responder.send(&Response::Roster { records: self.roster.records() }).await
            }
            Request::GrantGive { grant } => match self.roster.take_grant(&peer.node, &grant).await {
                Ok(()) => responder.send(&Response::Done).await,
                Err(e) => responder.send(&self.roster.refusal(Reason::NoGrant, &e.to_string())).await,
            },
            request if Holder::answers(&request) => {
                let reply = self.holder.serve(&Caller::from(&peer), request, &mut body).await;
                match reply.body {
                    None => responder.send(&reply.response).await,
                    Some(bytes) => {
                        let mut writer = responder.send_with_body(&reply.response).await?;
                        writer.write(bytes).await?;
                        writer.finish()
                    }
                }
            }
            _ => responder.send(&self.roster.refusal(Reason::Unknown, "this node does not do that")).await,
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
