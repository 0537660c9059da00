//! What the roster gives to a person's recovery record and takes from it, and how a friend's new
//! device is taken for hers.

use super::GridError;
use super::roster::{Roster, known_grant, open_member};
use crate::keys::{Certificate, NodeId, PersonId, RecoveryContent, Signed};
use crate::wire::Member;

/// The part of a recovery record that is the roster's.
#[derive(Default)]
pub struct FriendRecords {
    pub members: Vec<Signed>,
    pub held: Vec<(NodeId, Vec<Signed>)>,
    pub given: Vec<(PersonId, u64)>,
    pub names: Vec<(PersonId, String)>,
}

impl Roster {
    /// Friends' records and grants, to come back to them. Who grants nothing and was granted
    /// nothing is left out: the others know where it is. This person's own devices are among the
    /// members, so that they can be given up.
    pub fn friend_records(&self) -> FriendRecords {
        let own = self.me().person;
        let state = self.state.lock();
        let live = state.members.iter().filter_map(|(node, signed)| Some((node, signed, state.live(node)?)));
        let (mine, others): (Vec<_>, Vec<_>) = live.partition(|(.., m)| m.person == own);
        let related = |(node, _, m): &(&NodeId, &Signed, Member)| {
            state.held.contains_key(*node) || state.given.contains_key(&m.person)
        };
        let friends: Vec<_> = others.into_iter().filter(related).collect();
        let known = |person: &PersonId| friends.iter().any(|(.., m)| m.person == *person);
        let held = state.held.iter().filter(|(node, _)| friends.iter().any(|(n, ..)| n == node));
        let given = state.given.iter().filter(|(person, _)| known(person));
        FriendRecords {
            members: friends.iter().chain(&mine).map(|(_, signed, _)| (*signed).clone()).collect(),
            held: held.map(|(node, chain)| (*node, chain.clone())).collect(),
            given: given.filter_map(|(p, signed)| Some((*p, known_grant(signed)?.bytes))).collect(),
            names: state.names.iter().filter(|(p, _)| known(p)).map(|(p, n)| (*p, n.clone())).collect(),
        }
    }

    /// Take in what a recovery record says of friends. What is known here already stays; on this
    /// node's disk friends may use what they might on the former one's.
    pub async fn recall(&self, content: &RecoveryContent) -> Result<(), GridError> {
        self.merge(&content.members).await?;
        for (holder, chain) in &content.held {
            if let Err(e) = self.keep_chain(*holder, chain.clone()).await {
                tracing::warn!("a grant in the recovery record: {e}");
            }
        }
        for (person, bytes) in &content.given {
            if self.given_to(person).is_none() {
                self.give(*person, *bytes).await?;
            }
        }
        for (person, name) in &content.names {
            let known = self.state.lock().names.contains_key(person);
            if !known {
                self.set_name(*person, name).await?;
            }
        }
        Ok(())
    }

    /// The person and the node of a device that asks to be taken for hers: its certificate is
    /// valid now, its member record fits, and she has not given it up.
    pub fn check_device(&self, certificate: &Signed, member: &Signed) -> Result<(PersonId, NodeId), String> {
        let certificate = Certificate::verify(certificate, self.today()).map_err(|e| e.to_string())?;
        let member = open_member(member).ok_or("its member record is not signed by its person")?;
        let (person, node) = (certificate.person, certificate.node);
        let fits =
            (member.person, member.node, member.signing_key) == (person, node, certificate.signing_key);
        if !fits || member.removed {
            return Err("its member record does not fit its certificate".into());
        }
        if self.is_revoked(&node) {
            return Err(format!("its person has given up node {} for ever", node.short()));
        }
        Ok((person, node))
    }

    /// Take a device that [`Roster::check_device`] found sound for a friend's.
    pub async fn take_device(&self, person: PersonId, node: NodeId, member: &Signed) -> Result<(), String> {
        self.merge(std::slice::from_ref(member)).await.map_err(|e| e.to_string())?;
        match self.member(&node).is_some_and(|m| m.person == person) {
            true => Ok(()),
            false => Err("there is no room for it, or it is known as somebody else's".into()),
        }
    }
}
