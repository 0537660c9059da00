//! The recovery record: made of what this node has, kept at every friend, and kept up to date.

use super::api::{Line, Outcome, RecoveryKeeper, RecoveryReport, SCHEMA, Trouble};
use super::node::Node;
use crate::keys::{
    AdminHead, DriveId, DriveSecrets, Hash, Kit, KitFriend, NodeId, PersonKey, Power, RecoveryContent,
    RecoveryDrive, RecoveryRecord, Sensitive, Signed, decode_canonical, encode, phrase_of,
};
use crate::net::{NetError, Priority};
use crate::wire::{Day, Reason, Refusal, Request, Response};
use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;
use tokio::task::JoinSet;

/// Whether something has changed is looked at this often, and when friends come, go or give;
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// what changes at once is waited for so long.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a friend may take to answer.
const ASK_TIME: Duration = Duration::from_secs(20);
/// Addresses of one friend in a kit.
const KIT_ADDRESSES: usize = 2;
/// By how much generations differ, at most, that two machines make of the same one.
const APART: u64 = 8;
/// Name of [`Kept`] in the keystore.
pub(super) const KEPT: &str = "recovery";

/// The last record made here: its generation, and what it held.
type Kept = (u64, Hash);

/// What this run of the node knows of the record.
#[derive(Default)]
pub(super) struct RecoveryNote {
    /// The generation a friend has, and the day on which it said so. Each is asked again every
    /// day: it may have lost it.
    kept: BTreeMap<NodeId, (u64, Day)>,
    refused: BTreeMap<NodeId, String>,
    /// Of the record whose drives' admin logs were sent last.
    named: Option<u64>,
    /// Why no record is made, or a newer one is not taken in.
    problem: Option<String>,
}

/// Keeps the record up to date for as long as the node lives.
pub(super) async fn keep(node: Weak<Node>) {
    let Some(mut changes) = node.upgrade().map(|node| node.grid.changes()) else { return };
    loop {
        match node.upgrade() {
            Some(node) => node.renew_recovery().await,
            None => return,
        }
        // Either something has changed, or it is time to look.
        let _ = tokio::time::timeout(LOOK_EVERY, changes.changed()).await;
        tokio::time::sleep(SETTLE).await;
        changes.mark_unchanged();
    }
}

/// The entry of [`KEPT`].
pub(super) fn kept_entry(generation: u64, content: Hash) -> Sensitive {
    let kept: Kept = (generation, content);
    Sensitive(encode(&kept))
}

impl Node {
    /// What this node has that its person needs to come back.
    fn recovery_content(&self) -> RecoveryContent {
        let friends = self.roster.friend_records();
        let drives = self.keyring.read(|k| k.drives.clone());
        let (sharing, drives) = (
            self.keyring.read(|k| k.person.generation),
            drives.into_iter().map(|(drive, secrets)| self.recovery_drive(drive, secrets)).collect(),
        );
        RecoveryContent {
            label: self.config.label.clone(),
            household: self.config.household.clone(),
            lends: self.config.lends,
            grant: self.config.grant,
            sharing,
            drives,
            members: friends.members,
            held: friends.held,
            given: friends.given,
            names: friends.names,
        }
    }

    fn recovery_drive(&self, drive: DriveId, secrets: DriveSecrets) -> RecoveryDrive {
        // The open drive knows more of its admin log than the keystore.
        let records = self.drive(&drive).map(|open| open.drive.admin_records()).unwrap_or_default();
        let head = records.last().map(|last| AdminHead { len: records.len() as u32, hash: last.hash() });
        let head = head.filter(|head| head.len > secrets.head.len).unwrap_or(secrets.head);
        let DriveSecrets { label, power, epoch, key, admin, .. } = secrets;
        RecoveryDrive { drive, label, power, epoch, key, head, admin }
    }

    fn kept_recovery(&self) -> Option<Kept> {
        self.keyring.read(|k| decode_canonical(&k.other.get(KEPT)?.0, 64).ok())
    }

    /// The generation of the record of this content: the next one, on disk, where it is new.
    async fn recovery_generation(&self, content: Hash) -> Outcome<u64> {
        let last = self.kept_recovery();
        if let Some((generation, hash)) = last
            && hash == content
        {
            return Ok(generation);
        }
        let next = last.map_or(1, |(generation, _)| generation.saturating_add(1));
        self.keyring.change(|k| k.other.insert(KEPT.into(), kept_entry(next, content))).await?;
        Ok(next)
    }

    /// Bring friends the record where they have not the newest.
    pub(super) async fn renew_recovery(&self) {
        let Some(root) = self.roster.me().root.clone() else { return };
        let content = self.recovery_content();
        let made = match self.recovery_generation(content.hash()).await {
            Ok(generation) => {
                content.seal(&root, generation).map(|record| (generation, record)).map_err(|e| e.to_string())
            }
            Err(t) => Err(t.to_string()),
        };
        let (generation, record) = match made {
            Ok(made) => made,
            Err(why) => return self.recovery.lock().problem = Some(format!("it cannot be made: {why}")),
        };
        self.recovery.lock().problem = None;
        self.bring_admin_logs(generation);
        if let Some(newer) = self.bring_recovery(generation, &record).await
            && let Err(why) = self.take_newer(newer, &root).await
        {
            let name = self.name_of(&newer);
            self.recovery.lock().problem = Some(format!(
                "{name} keeps a newer one, of another machine of yours, which is not taken in here: {why}"
            ));
        }
    }

    /// What the record names must be at friends as well: a drive without a file has sent nothing yet.
    fn bring_admin_logs(&self, generation: u64) {
        if self.recovery.lock().named.replace(generation) == Some(generation) {
            return;
        }
        for d in self.drives().into_iter().filter(|d| d.power == Power::Admin) {
            // Sent whether or not anybody listens; who is off now is brought up to date later.
            drop(self.grid.append(d.drive.id(), Vec::new()));
        }
    }

    /// Friends that have not this record are sent it; one that has a newer one.
    async fn bring_recovery(&self, generation: u64, record: &Signed) -> Option<NodeId> {
        let state = (generation, self.today());
        let mut asked = JoinSet::new();
        for node in self.roster.members().into_iter().map(|m| m.node) {
            let (peer, grants) = (self.peer(node), self.grants_at(&node));
            let has = self.recovery.lock().kept.get(&node) == Some(&state);
            if has || grants.is_empty() || !peer.online() {
                continue;
            }
            let request = Request::RecoveryPut { record: record.clone(), grants };
            asked.spawn(async move { (node, peer.request(&request, Priority::Log, ASK_TIME).await) });
        }
        let mut newer = None;
        while let Some(done) = asked.join_next().await {
            let Ok((node, answer)) = done else { continue };
            match self.recovery_answer(&node, answer) {
                Ok(()) => {
                    let mut note = self.recovery.lock();
                    note.refused.remove(&node);
                    note.kept.insert(node, state);
                }
                Err((reason, why)) => {
                    newer = newer.or((reason == Some(Reason::StaleEpoch)).then_some(node));
                    self.recovery.lock().refused.insert(node, why);
                }
            }
        }
        newer
    }

    fn recovery_answer(
        &self,
        node: &NodeId,
        answer: Result<Response, NetError>,
    ) -> Result<(), (Option<Reason>, String)> {
        match answer {
            Ok(Response::Done) => Ok(()),
            Ok(Response::Refusal { refusal }) => {
                let member = self.roster.member(node).ok_or((None, "it is no friend any more".into()))?;
                let said: Refusal = refusal.open(&member.signing_key).map_err(|e| (None, e.to_string()))?;
                Err((Some(said.reason), said.detail))
            }
            Ok(_) => Err((None, "it answered something else".into())),
            Err(e) => Err((None, e.to_string())),
        }
    }

    /// A friend has a newer record: another machine of this person made it. What it knows of is
    /// taken in, so that the next record has both.
    async fn take_newer(&self, friend: NodeId, root: &PersonKey) -> Result<(), String> {
        let own = self.roster.own_record().ok_or("this node has no record of itself")?;
        let request = Request::Recover { certificate: self.roster.me().certificate.clone(), member: own };
        let answer = self.peer(friend).request(&request, Priority::Log, ASK_TIME).await;
        let Response::Recovery { record } = answer.map_err(|e| e.to_string())? else {
            return Err("it does not hand it out".into());
        };
        let record = RecoveryRecord::verify(&record).map_err(|e| e.to_string())?;
        let content = record.open(root).map_err(|e| e.to_string())?;
        // Of the same generation it is another's all the same.
        if self.kept_recovery().is_some_and(|(generation, _)| generation > record.generation) {
            return Err("it is not newer".into());
        }
        self.adopt(&content).await.map_err(|t| t.to_string())?;
        // Two machines that do this at once are not to meet at the same number again and again.
        let apart = u64::from(self.id().0[0]) % APART;
        let entry = kept_entry(record.generation.saturating_add(apart), Hash([0; 32]));
        self.keyring.change(|k| k.other.insert(KEPT.into(), entry)).await.map_err(|t| t.to_string())?;
        tracing::info!("took in what another machine of this person knows");
        Ok(())
    }

    /// What a person should know of the record.
    pub fn recovery_report(&self) -> RecoveryReport {
        let note = self.recovery.lock();
        let generation = self.kept_recovery().map_or(0, |(generation, _)| generation);
        let granting = self.roster.members().into_iter().filter(|m| self.roster.allowed_at(&m.node) > 0);
        let keeper = |node: NodeId| RecoveryKeeper {
            name: self.name_of(&node),
            newest: note.kept.get(&node).is_some_and(|(kept, _)| *kept == generation),
            trouble: note.refused.get(&node).cloned(),
        };
        RecoveryReport {
            schema: SCHEMA,
            person: self.person().to_string(),
            generation,
            keepers: granting.map(|m| keeper(m.node)).collect(),
            problem: note.problem.clone(),
        }
    }

    /// The kit, for paper: its text, and what its QR code holds. `passphrase`: of a keystore that
    /// has one.
    pub fn recovery_kit(&self, passphrase: Option<&str>) -> Outcome<Line> {
        let failed = |why: &str, fix: &str| Trouble::new("no recovery kit was made", why, fix);
        if !self.keyring.confirm(passphrase) {
            return Err(failed("the passphrase is wrong", "try again"));
        }
        let root = self.keyring.read(|k| k.person.root.clone());
        let root = root.ok_or_else(|| {
            failed("the person's root key is not on this machine", "use the kit you have, or another machine")
        })?;
        let kit = Kit { friends: self.kit_friends(), root };
        let drives: Vec<String> = self.keyring.read(|k| k.drives.values().map(|d| d.label.clone()).collect());
        let text = kit.text(&self.person(), &drives, &crate::ledger::date_of(self.today()));
        Ok(Line::RecoveryKit {
            text: text.to_string().into(),
            short: kit.short().to_string().into(),
            words: phrase_of(&kit.root).to_string().into(),
            friends: kit.nodes(),
        })
    }

    /// Where friends that grant room may be found: the first address of each, then the second.
    fn kit_friends(&self) -> Vec<KitFriend> {
        let members = self.roster.members().into_iter();
        let granting: Vec<_> = members.filter(|m| self.roster.allowed_at(&m.node) > 0).collect();
        let nth = |n: usize| {
            granting.iter().filter_map(move |m| {
                Some(KitFriend { addr: *m.addrs.get(n)?, node: m.node, name: self.name_of(&m.node) })
            })
        };
        (0..KIT_ADDRESSES).flat_map(nth).collect()
    }

    fn today(&self) -> Day {
        super::setup::today(&self.world)
    }

    /// The power that comes back: who writes does so with a key of the machine that is gone.
    pub(super) fn power_back(drive: &RecoveryDrive) -> Power {
        match (drive.power, &drive.admin) {
            (Power::Admin, Some(_)) => Power::Admin,
            (power, _) => power.min(Power::Read),
        }
    }
}
