//! What friends tell of the grid, taken in: member records and revocations. Each speaks by its
//! own signature, so it does not matter who brought it.

use super::GridError;
use super::roster::{Roster, known_member, open_member};
use crate::keys::{NodeId, PersonId, Revocation, Signed};
use crate::wire::ROSTER_MAX;

impl Roster {
    /// All records, to be passed on.
    pub fn records(&self) -> Vec<Signed> {
        self.state.lock().members.values().cloned().collect()
    }

    /// All revocations, to be passed on.
    pub fn revocations(&self) -> Vec<Signed> {
        self.state.lock().revoked.values().cloned().collect()
    }

    /// Whether a node was a member and is none any more, by its person's own word.
    pub fn is_removed(&self, node: &NodeId) -> bool {
        let state = self.state.lock();
        let removed = state.members.get(node).and_then(known_member).is_some_and(|m| m.removed);
        removed || state.revoked.contains_key(node)
    }

    /// Whether its person has given up a device for ever.
    pub fn is_revoked(&self, node: &NodeId) -> bool {
        self.state.lock().revoked.contains_key(node)
    }

    /// Take in records of others. Answers whether anything was new. Records that do not
    /// verify are skipped: gossip is not trusted, only signatures are.
    pub async fn merge(&self, records: &[Signed]) -> Result<bool, GridError> {
        let mut new = false;
        for signed in records.iter().take(ROSTER_MAX) {
            new |= self.take_record(signed);
        }
        self.tell_if(new).await
    }

    fn take_record(&self, signed: &Signed) -> bool {
        let mut state = self.state.lock();
        // Friends say the same at every meeting: what is known needs no second look.
        let claimed = known_member(signed).and_then(|m| state.members.get(&m.node));
        if claimed == Some(signed) {
            return false;
        }
        let Some(member) = open_member(signed) else { return false };
        let known = state.members.get(&member.node).and_then(known_member);
        let newer = known.as_ref().is_none_or(|k| k.person == member.person && member.serial > k.serial);
        let room = known.is_some() || state.members.len() < ROSTER_MAX;
        let taken = member.node != self.me().node && newer && room;
        if taken {
            state.members.insert(member.node, signed.clone());
        }
        taken
    }

    /// Take in revocations, in the same way; they are kept for ever. One of a device nobody has
    /// heard of, or by somebody else than the person whose device it is, is skipped: so there are
    /// never more than members.
    pub async fn merge_revocations(&self, revocations: &[Signed]) -> Result<bool, GridError> {
        let mut new = false;
        for signed in revocations.iter().take(ROSTER_MAX) {
            new |= self.take_revocation(signed);
        }
        self.tell_if(new).await
    }

    fn take_revocation(&self, signed: &Signed) -> bool {
        let Ok(claimed) = signed.peek::<Revocation>() else { return false };
        let mut state = self.state.lock();
        let member = state.members.get(&claimed.node).and_then(known_member);
        let fits = member.is_some_and(|m| m.person == claimed.person);
        let taken = fits
            && !state.revoked.contains_key(&claimed.node)
            && signed.open::<Revocation>(&claimed.person.0).is_ok();
        if taken {
            tracing::warn!("{} is no longer a device of its person", claimed.node.short());
            state.revoked.insert(claimed.node, signed.clone());
        }
        taken
    }

    /// Both, from a friend.
    pub(super) async fn take_roster(&self, from: &NodeId, records: &[Signed], revocations: &[Signed]) {
        let taken = match self.merge(records).await {
            Ok(_) => self.merge_revocations(revocations).await,
            failed => failed,
        };
        if let Err(e) = taken {
            tracing::warn!("roster of {}: {e}", self.name_of(from));
        }
    }

    async fn tell_if(&self, new: bool) -> Result<bool, GridError> {
        if new {
            self.save().await?;
            self.tell();
        }
        Ok(new)
    }

    /// Give up a device of this person, for ever: friends are told, and tell theirs.
    pub async fn revoke(&self, node: NodeId) -> Result<(), GridError> {
        let root = self.me().root.as_ref();
        let root =
            root.ok_or_else(|| GridError::Other("the person's root key is not on this device".into()))?;
        match self.merge_revocations(&[root.revoke(node, self.today())]).await? {
            true => Ok(()),
            false => Err(GridError::Other(format!("{} is no device of this person", node.short()))),
        }
    }

    /// Whose invitation brought this person here; the first one stays.
    pub(super) async fn introduced_by(&self, person: PersonId) -> Result<(), GridError> {
        self.change_own_record(|own| {
            own.introducer.get_or_insert(person);
        });
        self.tell_if(true).await.map(|_| ())
    }
}
