//! Who the friends are, where they are, and who granted whom what.
//!
//! Everything here is signed by the person it is about: member records by the person whose
//! node it is, grants by their issuer. The roster only keeps what it could check.

use super::GridError;
use super::statements::{STATEMENTS, Statements};
use super::tickets::{OpenTicket, Tickets};
use crate::keys::{Certificate, Hash, LocalKey, NodeId, PersonId, PersonKey, Signed, SigningKey};
use crate::ledger::{CHAIN_MAX, day_of};
use crate::net::{Admission, Policy};
use crate::store::SealedFile;
use crate::wire::{Grant, Member, Regime};
use crate::world::World;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Name of the state file.
const ROSTER: &str = "roster";

/// This node, as it presents itself.
pub struct Me {
    pub node: NodeId,
    pub person: PersonId,
    /// Signs receipts and requests.
    pub signing: SigningKey,
    /// The person's root, while it is on this device: signs grants and the member record.
    pub root: Option<PersonKey>,
    pub certificate: Signed,
    pub label: String,
    pub household: Hash,
    pub lends: u64,
    pub addrs: Vec<SocketAddr>,
}

/// What is kept on disk.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Member records by node, this node's own among them.
    pub(super) members: BTreeMap<NodeId, Signed>,
    /// Chains of grants for this person's account, by holder: the holder's own first.
    pub(super) held: BTreeMap<NodeId, Vec<Signed>>,
    /// Grants this person gave, by subject.
    pub(super) given: BTreeMap<PersonId, Signed>,
    pub(super) tickets: Tickets,
    /// What this node calls a person, where it chose a name itself.
    pub(super) names: BTreeMap<PersonId, String>,
    /// Devices that their persons have given up, for ever.
    pub(super) revoked: BTreeMap<NodeId, Signed>,
}

impl State {
    /// What a node's record says, unless the node is removed or revoked.
    pub(super) fn live(&self, node: &NodeId) -> Option<Member> {
        let member = self.members.get(node).and_then(known_member).filter(|m| !m.removed)?;
        (!self.revoked.contains_key(node)).then_some(member)
    }
}

/// This node's view of its friends. One writer of the file at a time.
pub struct Roster {
    world: World,
    me: Me,
    file: SealedFile,
    pub(super) state: Mutex<State>,
    saving: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
    /// Who writes in drives of this person; known from the drives' admin logs.
    pub(super) guests: Mutex<BTreeSet<PersonId>>,
    statements: Statements,
}

impl Roster {
    /// Load the roster below `dir`, and bring this node's own record up to date.
    pub async fn open(world: &World, dir: &Path, local: &LocalKey, me: Me) -> Result<Arc<Roster>, GridError> {
        let file = SealedFile::new(world, dir, ROSTER, Some(local));
        let bad = |why: String| GridError::State { path: dir.join(ROSTER).display().to_string(), why };
        let state = match file.load().await.map_err(|e| bad(e.to_string()))? {
            Some(stored) => crate::wire::decode(&stored.bytes).map_err(|e| bad(e.to_string()))?,
            None => State::default(),
        };
        let roster = Roster {
            world: world.clone(),
            me,
            file,
            state: Mutex::new(state),
            saving: tokio::sync::Mutex::new(()),
            changed: watch::channel(0).0,
            guests: Mutex::default(),
            statements: Statements::open(world, dir, local).await,
        };
        if roster.renew_own_record()
            && let Err(e) = roster.save().await
        {
            // On a full disk a node still has to start: what is renewed here is so each time.
            tracing::warn!("{e}");
        }
        Ok(Arc::new(roster))
    }

    pub fn me(&self) -> &Me {
        &self.me
    }

    pub(super) fn today(&self) -> u32 {
        day_of(self.world.now_ms())
    }
    pub(super) fn statements(&self) -> &Statements {
        &self.statements
    }
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// State files that were damaged, and are not written anew yet.
    pub fn problems(&self) -> Vec<String> {
        let files = [(ROSTER, self.file.damage()), (STATEMENTS, self.statements.damage())];
        let told = files.into_iter().filter_map(|(name, damage)| Some((name, damage?)));
        told.map(|(name, d)| format!("this machine's disk: an older copy of '{name}' is used: {d}")).collect()
    }

    /// Say where this node is now, when that changed since its last record. Whether it did.
    fn renew_own_record(&self) -> bool {
        self.change_own_record(|_| {})
    }

    /// The same, with a change to what only the record knows.
    pub(super) fn change_own_record(&self, change: impl FnOnce(&mut Member)) -> bool {
        let Some(root) = &self.me.root else { return false };
        let mut state = self.state.lock();
        let old = state.members.get(&self.me.node).and_then(known_member);
        let mut new = Member {
            person: self.me.person,
            node: self.me.node,
            signing_key: self.me.signing.public(),
            label: self.me.label.clone(),
            household: self.me.household,
            site: self.me.household,
            operator: None,
            addrs: self.me.addrs.clone(),
            lends: self.me.lends,
            introducer: old.as_ref().and_then(|m| m.introducer),
            serial: old.as_ref().map_or(1, |m| m.serial),
            removed: false,
        };
        change(&mut new);
        let changed = old.as_ref() != Some(&new);
        if changed {
            new.serial = self.next_serial(old.map(|m| m.serial));
            state.members.insert(self.me.node, Signed::record(root.signing(), &new));
        }
        changed
    }

    /// This node's own record.
    pub fn own_record(&self) -> Option<Signed> {
        self.state.lock().members.get(&self.me.node).cloned()
    }

    /// Other nodes, neither removed nor revoked, by node id.
    pub fn members(&self) -> Vec<Member> {
        let state = self.state.lock();
        let others = state.members.keys().filter(|node| **node != self.me.node);
        others.filter_map(|node| state.live(node)).collect()
    }

    /// The record of one node (this one included), if it is neither removed nor revoked.
    pub fn member(&self, node: &NodeId) -> Option<Member> {
        self.state.lock().live(node)
    }

    /// Grants to show at a holder for this person's account: the holder's own first.
    pub fn chain_for(&self, holder: &NodeId) -> Vec<Signed> {
        self.state.lock().held.get(holder).cloned().unwrap_or_default()
    }

    /// Bytes the last grant of that chain allows; 0 without one.
    pub fn allowed_at(&self, holder: &NodeId) -> u64 {
        let state = self.state.lock();
        state.held.get(holder).and_then(|chain| chain.last()).and_then(known_grant).map_or(0, |g| g.bytes)
    }

    /// What this person gave another.
    pub fn given_to(&self, person: &PersonId) -> Option<Grant> {
        self.state.lock().given.get(person).and_then(known_grant)
    }

    /// The same as signed, to be shown.
    pub(super) fn given_signed(&self, person: &PersonId) -> Option<Signed> {
        self.state.lock().given.get(person).cloned()
    }

    /// A grant somebody sends: kept if it is sound, for this person, and by the sender.
    pub async fn take_grant(&self, from: &NodeId, signed: &Signed) -> Result<(), GridError> {
        let sender = self.member(from).map(|m| m.person);
        match open_grant(signed) {
            Some(g) if Some(g.issuer) == sender && g.parent.is_none() && g.holder == Some(*from) => {
                self.keep_chain(*from, vec![signed.clone()]).await
            }
            _ => Err(GridError::Other(format!("{} sent a grant that is not its own", from.short()))),
        }
    }

    /// A number that rises with every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Keep a chain that allows this person to use a holder. A chain straight from the
    /// holder's owner replaces a delegated one, a later serial an earlier.
    pub async fn keep_chain(&self, holder: NodeId, chain: Vec<Signed>) -> Result<(), GridError> {
        let refused =
            |why: &str| GridError::Other(format!("a grant at {} is worth nothing: {why}", holder.short()));
        let grants: Vec<Grant> = chain.iter().filter_map(open_grant).collect();
        let last = grants.last().ok_or_else(|| refused("it cannot be read"))?;
        if grants.len() != chain.len() || grants.len() > CHAIN_MAX {
            return Err(refused("its chain is broken"));
        }
        if last.subject != self.me.person {
            return Err(refused("it is for somebody else"));
        }
        {
            let mut state = self.state.lock();
            let known: Vec<Grant> =
                state.held.get(&holder).into_iter().flatten().filter_map(known_grant).collect();
            let better = match known.last() {
                None => true,
                // Another's grant of the same right counts when it is worth more.
                Some(k) if grants.len() == known.len() && k.issuer != last.issuer => last.bytes > k.bytes,
                Some(k) if grants.len() == known.len() => last.serial > k.serial,
                Some(_) => grants.len() < known.len(),
            };
            if !better {
                return Ok(());
            }
            state.held.insert(holder, chain);
        }
        self.save().await?;
        self.tell();
        Ok(())
    }

    /// The number of a record that is to take the place of the `last` one known here. No less
    /// than the seconds since 1970: friends pass over a number below the one they have, and that
    /// may be more than this node knows of, if its state was lost or is an old copy.
    fn next_serial(&self, last: Option<u64>) -> u64 {
        let after = last.map_or(1, |serial| serial.saturating_add(1));
        after.max(self.world.now_ms() / 1000)
    }

    /// Grant a person space on this node's disk (replacing what it had).
    pub async fn give(&self, subject: PersonId, bytes: u64) -> Result<Signed, GridError> {
        self.give_after(subject, bytes, None).await
    }

    /// The same, where the friend has shown a grant of this person with the serial `shown`.
    pub async fn give_after(
        &self,
        subject: PersonId,
        bytes: u64,
        shown: Option<u64>,
    ) -> Result<Signed, GridError> {
        let serial = self.next_serial(self.given_to(&subject).map(|g| g.serial).max(shown));
        let grant = Grant {
            issuer: self.me.person,
            subject,
            holder: Some(self.me.node),
            regime: Regime::Friends,
            bytes,
            egress_bytes_per_day: u64::MAX,
            not_before: 0,
            expires: None,
            retention_days: 0,
            rank: 0,
            obligation_bytes: 0,
            delegable: true,
            parent: None,
            serial,
        };
        let signed = self.sign_grant(&grant)?;
        self.state.lock().given.insert(subject, signed.clone());
        self.save().await?;
        self.tell();
        Ok(signed)
    }

    /// Every chain held, by holder.
    pub(super) fn held(&self) -> Vec<(NodeId, Vec<Signed>)> {
        self.state.lock().held.iter().map(|(n, c)| (*n, c.clone())).collect()
    }

    pub(super) fn sign_grant(&self, grant: &Grant) -> Result<Signed, GridError> {
        let root = self.me.root.as_ref();
        let root =
            root.ok_or_else(|| GridError::Other("the person's root key is not on this device".into()))?;
        Ok(Signed::record(root.signing(), grant))
    }

    /// What this node calls a person's node: the name it chose, else the one it says.
    pub fn name_of(&self, node: &NodeId) -> String {
        let state = self.state.lock();
        match state.members.get(node).and_then(known_member) {
            Some(m) => state.names.get(&m.person).cloned().unwrap_or(m.label),
            None => node.short(),
        }
    }

    pub(super) async fn set_name(&self, person: PersonId, name: &str) -> Result<(), GridError> {
        self.state.lock().names.insert(person, name.to_string());
        self.save().await
    }

    /// Look at or change the tickets; on disk when this returns.
    pub(super) async fn tickets<T>(&self, change: impl FnOnce(&mut Tickets) -> T) -> Result<T, GridError> {
        let done = change(&mut self.state.lock().tickets);
        self.save().await?;
        Ok(done)
    }
    pub(super) fn ticket(&self, id: &[u8; 16]) -> Option<OpenTicket> {
        self.state.lock().tickets.get(id).cloned()
    }

    pub(super) async fn save(&self) -> Result<(), GridError> {
        let _one_at_a_time = self.saving.lock().await;
        let bytes = crate::wire::encode(&*self.state.lock());
        self.file
            .store(&bytes)
            .await
            .map(|_| ())
            .map_err(|e| GridError::State { path: ROSTER.into(), why: e.to_string() })
    }
}

/// A record of this roster: its signature was checked when it came in.
pub(super) fn known_member(signed: &Signed) -> Option<Member> {
    signed.peek().ok()
}

/// A grant of this roster: the same. It is looked at whenever room at a friend is asked for,
/// and a signature takes longer than all the rest of that.
pub(super) fn known_grant(signed: &Signed) -> Option<Grant> {
    signed.peek().ok()
}

/// A member record whose signature fits the person in it.
pub(super) fn open_member(signed: &Signed) -> Option<Member> {
    let claimed: Member = signed.peek().ok()?;
    signed.open::<Member>(&claimed.person.0).ok()
}

/// A grant whose signature fits its issuer.
pub(super) fn open_grant(signed: &Signed) -> Option<Grant> {
    let claimed: Grant = signed.peek().ok()?;
    signed.open::<Grant>(&claimed.issuer.0).ok()
}

impl Policy for Roster {
    fn admit(&self, node: &NodeId) -> Admission {
        if self.member(node).is_some() {
            Admission::Friend
        } else if self.is_revoked(node) {
            Admission::Refuse
        } else if self.state.lock().tickets.any_open(self.world.now_ms() / 1000) {
            Admission::JoinOnly
        } else {
            Admission::Refuse
        }
    }

    fn person(&self, node: &NodeId, certificate: &Signed) -> Option<PersonId> {
        let certificate = Certificate::verify_for(certificate, node, self.today()).ok()?;
        let member = self.member(node)?;
        (member.person == certificate.person).then_some(member.person)
    }
}
