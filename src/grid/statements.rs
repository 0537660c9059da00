//! What each friend has said, signed, of what it keeps for this person.

use super::Grid;
use crate::keys::{Hash, LocalKey, NodeId, Signed};
use crate::ledger::{Counters, day_of, rises};
use crate::net::Priority;
use crate::store::{Damage, SealedFile};
use crate::wire::{Request, Response, Statement};
use crate::world::World;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Name of the state file.
pub(super) const STATEMENTS: &str = "statements";
/// How long a friend may take to answer.
const ASK_TIME: Duration = Duration::from_secs(10);

/// This person's account at one friend, as this machine has seen it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Account {
    /// The friend's last statement.
    pub said: Option<Signed>,
    /// What was counted here; on disk before it is said.
    pub counters: Counters,
    /// Milliseconds since 1970 of the last audit that it passed.
    pub verified_ms: Option<u64>,
}

/// The accounts at all friends, kept on this machine.
pub(super) struct Statements {
    file: SealedFile,
    accounts: Mutex<BTreeMap<NodeId, Account>>,
    saving: tokio::sync::Mutex<()>,
}

impl Statements {
    /// One that cannot be read is begun anew: friends say it all again.
    pub async fn open(world: &World, dir: &Path, local: &LocalKey) -> Statements {
        let file = SealedFile::new(world, dir, STATEMENTS, Some(local));
        let accounts = match file.load().await {
            Ok(Some(stored)) => crate::wire::decode(&stored.bytes).unwrap_or_default(),
            Ok(None) => BTreeMap::new(),
            Err(e) => {
                tracing::warn!("statements of friends: {e}");
                BTreeMap::new()
            }
        };
        Statements { file, accounts: Mutex::new(accounts), saving: tokio::sync::Mutex::new(()) }
    }

    /// The last statement of a friend; its signature was checked when it came.
    pub fn last(&self, node: &NodeId) -> Option<(Statement, Signed)> {
        let signed = self.accounts.lock().get(node)?.said.clone()?;
        Some((signed.peek().ok()?, signed))
    }

    pub fn damage(&self) -> Option<Damage> {
        self.file.damage()
    }

    /// What is counted of a friend.
    pub fn account(&self, node: &NodeId) -> Account {
        self.accounts.lock().get(node).cloned().unwrap_or_default()
    }

    /// Count something; on disk with the next statement.
    pub fn count(&self, node: &NodeId, change: impl FnOnce(&mut Counters)) {
        change(&mut self.accounts.lock().entry(*node).or_default().counters);
    }

    /// A friend passed an audit while it kept `bytes`: they count once for every UTC day.
    pub fn verified(&self, node: &NodeId, bytes: u64, now_ms: u64) {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry(*node).or_default();
        let counters = &mut account.counters;
        counters.audits.ok = counters.audits.ok.saturating_add(1);
        if account.verified_ms.is_none_or(|before| day_of(before) < day_of(now_ms)) {
            counters.byte_days_verified = counters.byte_days_verified.saturating_add(bytes.into());
        }
        account.verified_ms = Some(account.verified_ms.map_or(now_ms, |before| before.max(now_ms)));
    }

    pub(super) async fn keep(&self, node: NodeId, signed: Signed) -> Result<(), String> {
        self.accounts.lock().entry(node).or_default().said = Some(signed);
        self.save().await
    }

    async fn save(&self) -> Result<(), String> {
        let _one_at_a_time = self.saving.lock().await;
        let bytes = crate::wire::encode(&*self.accounts.lock());
        self.file.store(&bytes).await.map(|_| ()).map_err(|e| e.to_string())
    }
}

impl Grid {
    /// What friends said before this start.
    pub(super) fn recall_statements(&self) {
        for member in self.roster.members() {
            if let Some((said, _)) = self.roster.statements().last(&member.node) {
                self.note(&member.node, |h| (h.used, h.said) = (said.used, Some(said)));
            }
        }
    }

    /// Ask friends that are online and grant something under terms not asked about yet.
    pub(super) fn ask_statements(self: &Arc<Self>, again: bool) {
        for member in self.roster.members() {
            let grant = self.shown_grant(&member.node);
            let known = self.note(&member.node, |h| h.asked_under) == grant;
            if grant.is_some() && self.friends.online(&member.node) && (again || !known) {
                self.ask_for_statement(member.node);
            }
        }
    }

    pub(super) fn ask_for_statement(self: &Arc<Self>, node: NodeId) {
        let Some(grant) = self.shown_grant(&node) else { return };
        self.note(&node, |h| h.asked_under = Some(grant));
        let grid = self.clone();
        self.spawn(async move {
            if let Err(why) = grid.statement_of(node).await {
                grid.note(&node, |h| h.asked_under = None);
                tracing::debug!("statement of {}: {why}", grid.roster.name_of(&node));
            }
        });
    }

    /// Tell a friend this side of the tally and take in its own: verified, compared with the one
    /// before, kept.
    pub async fn statement_of(&self, node: NodeId) -> Result<Statement, String> {
        let member = self.member(&node).ok_or("it is no friend any more")?;
        let last = self.roster.statements().last(&node);
        // What was said once may not be counted again after a crash.
        self.roster.statements().save().await?;
        let request = Request::Statement { statement: self.own_statement(&node, last.as_ref()) };
        let answer = self.ask(node, request, Vec::new(), Priority::Log, ASK_TIME).await;
        let signed = match answer.map_err(|e| e.to_string())? {
            Response::Statement { statement } => statement,
            other => return Err(self.refusal_of(&member, other)?.detail),
        };
        let said: Statement = signed.open(&member.signing_key).map_err(|e| e.to_string())?;
        if (said.account, said.holder) != (self.roster.me().person, node) {
            return Err("its statement is about somebody else".into());
        }
        if let Some((before, _)) = last.filter(|(before, _)| !rises(before, &said)) {
            let why =
                format!("its tally went back from {} to {}: it may have lost things", before.seq, said.seq);
            tracing::warn!("{}: {why}", self.roster.name_of(&node));
            self.note(&node, |h| h.last_error = Some(why));
        }
        self.note(&node, |h| (h.used, h.said) = (said.used, Some(said.clone())));
        self.roster.statements().keep(node, signed).await?;
        Ok(said)
    }

    /// This side of the tally: the friend's last statement acknowledged, and what is counted here.
    fn own_statement(&self, node: &NodeId, last: Option<&(Statement, Signed)>) -> Signed {
        let me = self.roster.me();
        let counters = self.roster.statements().account(node).counters;
        let own = Statement {
            account: me.person,
            holder: *node,
            seq: last.map_or(0, |(s, _)| s.seq),
            previous: last.map_or(Hash([0; 32]), |(_, signed)| signed.hash()),
            day: self.roster.today(),
            byte_days_verified: counters.byte_days_verified,
            bytes_read: counters.bytes_read,
            bytes_written: counters.bytes_written,
            audits: counters.audits,
            // Another device of this person may have leases of which this one does not know.
            lease_set: Hash([0; 32]),
            routed_in: 0,
            routed_out: 0,
            limit: self.roster.allowed_at(node),
            used: self.note(node, |h| h.used),
            leases: 0,
        };
        Signed::record(&me.signing, &own)
    }
}
