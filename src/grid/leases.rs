//! Leases at friends after the put: renewed long before they end, let go, taken over.

use super::Grid;
use crate::content::SharePlace;
use crate::keys::{DriveId, NodeId, PackId, ShareId, read_token_hash};
use crate::net::Priority;
use crate::wire::{Day, LEASES_MAX, Lease, Request, Response};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Lease terms asked for, and when they are asked for again, in days.
pub(super) const TERM_DAYS: u16 = 90;
const RENEW_AFTER_DAYS: Day = 30;
/// What is due is looked for this often, and at most as much later again, by chance: so that
/// nodes started together do not all ask together.
const LOOK_EVERY: Duration = Duration::from_secs(3 * 3600);
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// How long a friend may take to answer one batch.
const ASK_TIME: Duration = Duration::from_secs(30);
/// A share that was overtaken by another is let go after this: the slow one is let finish.
const LET_GO_AFTER: Duration = Duration::from_secs(30);
/// How often what an answer did not name is asked for again, as long as each brings something.
const RENEW_ROUNDS: usize = 8;
/// Packs that are suspected to have lost a share and were not looked at yet.
const SUSPECTS_MAX: usize = 4096;

/// A share that this person's account leases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LeasedShare {
    pub holder: NodeId,
    pub share: ShareId,
    pub pack: PackId,
}

impl Grid {
    /// The lease asked for a share of a drive.
    pub(super) fn lease_for(&self, drive: DriveId, share: ShareId, len: u64, token: &[u8; 32]) -> Lease {
        Lease {
            account: self.roster.me().person,
            share,
            drive,
            len,
            term_days: TERM_DAYS,
            priority: 0,
            lock_until: None,
            sponsor: false,
            read_token_hash: read_token_hash(token),
        }
    }

    /// Take over a share that another account keeps at a friend: from then on this account
    /// leases it as well. The place as it is to be recorded.
    pub async fn adopt(
        &self,
        drive: DriveId,
        share_len: u64,
        place: &SharePlace,
    ) -> Result<SharePlace, String> {
        let member = self.member(&place.holder).ok_or("it is no friend any more")?;
        let access = self.access(&drive).ok_or("the drive is not open")?;
        let token = access.read_token(place.seal_epoch, &place.holder)?;
        let leases = vec![self.lease_for(drive, place.id, share_len, &token)];
        let request = Request::LeaseAdopt { leases, grants: self.roster.chain_for(&place.holder) };
        let answer = self.ask(place.holder, request, Vec::new(), Priority::Repair, ASK_TIME).await;
        match answer.map_err(|e| e.to_string())? {
            Response::Leases { done } if done.iter().any(|(share, _)| *share == place.id) => {
                Ok(SharePlace { minter: self.roster.me().person, ..place.clone() })
            }
            Response::Leases { .. } => Err("it did not take it over".into()),
            other => Err(self.refusal_of(&member, other)?.detail),
        }
    }

    /// Prolong leases at one friend; those it has are answered, with their generations.
    async fn renew(&self, node: NodeId, shares: Vec<ShareId>) -> Result<Vec<(ShareId, u64)>, String> {
        let member = self.member(&node).ok_or("it is no friend any more")?;
        let account = self.roster.me().person;
        let request = Request::LeaseRenew { account, shares, term_days: TERM_DAYS };
        let answer = self.ask(node, request, Vec::new(), Priority::Repair, ASK_TIME).await;
        match answer.map_err(|e| e.to_string())? {
            Response::Leases { done } => Ok(done),
            other => Err(self.refusal_of(&member, other)?.detail),
        }
    }

    /// Give up a lease that nothing refers to, if there is one.
    async fn release(&self, drive: DriveId, node: NodeId, share: ShareId) -> Result<(), String> {
        // The generation is not known when the receipt never came: asking for a renewal tells it.
        let shares = self.renew(node, vec![share]).await?;
        // A later upload may have placed this very share there after all; one that does so from
        // now on gets another generation than the one released.
        if shares.is_empty() || self.is_leased(&drive, node, share).await? {
            return Ok(());
        }
        let request = Request::LeaseRelease { account: self.roster.me().person, shares };
        let answer = self.ask(node, request, Vec::new(), Priority::Repair, ASK_TIME).await;
        answer.map(|_| ()).map_err(|e| e.to_string())
    }

    /// Shares that were put, or may have been, and that nothing refers to since another friend
    /// was faster. One that cannot be asked keeps its lease until that runs out.
    pub(super) fn let_go(self: &Arc<Self>, drive: DriveId, overtaken: Vec<(NodeId, ShareId)>) {
        // While the program ends there is no runtime: those leases run out by themselves.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if overtaken.is_empty() {
            return;
        }
        let grid = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(LET_GO_AFTER).await;
            for (node, share) in overtaken {
                if let Err(why) = grid.release(drive, node, share).await {
                    tracing::debug!("{} keeps a share too many: {why}", grid.roster.name_of(&node));
                }
            }
        });
    }

    /// Whether a drive counts on a share at a friend. Not to know is no reason to let go.
    async fn is_leased(&self, drive: &DriveId, node: NodeId, share: ShareId) -> Result<bool, String> {
        let all = self.leased(drive).await?;
        Ok(all.iter().any(|l| l.holder == node && l.share == share))
    }

    /// All shares that a drive leases, or why that is not known.
    async fn leased(&self, drive: &DriveId) -> Result<Vec<LeasedShare>, String> {
        let access = self.access(drive).ok_or("the drive is not open")?;
        self.world.blocking(move || access.leased()).await.map_err(|e| e.to_string())?
    }

    async fn leased_known(&self, drive: &DriveId) -> Vec<LeasedShare> {
        let Some(access) = self.access(drive) else { return Vec::new() };
        self.world.blocking(move || access.leased_known()).await.unwrap_or_default()
    }

    /// Renew what is due of every drive that is open, one request for as many as fit.
    pub(super) async fn renew_due(self: &Arc<Self>) {
        let today = self.roster.today();
        let drives: Vec<DriveId> = self.drives.lock().keys().copied().collect();
        for drive in drives {
            let (shares, whole) = match self.leased(&drive).await {
                Ok(shares) => (shares, true),
                // One record that cannot be read must not let all others run out.
                Err(e) => {
                    tracing::warn!("of drive {} only leases that are known are renewed: {e}", drive.short());
                    (self.leased_known(&drive).await, false)
                }
            };
            let mut by_holder: BTreeMap<NodeId, BTreeMap<ShareId, PackId>> = BTreeMap::new();
            for LeasedShare { holder, share, pack } in shares {
                by_holder.entry(holder).or_default().insert(share, pack);
            }
            for (node, shares) in by_holder {
                let last = self.renewed.lock().get(&(drive, node)).copied();
                if last.is_some_and(|day| today < day.saturating_add(RENEW_AFTER_DAYS)) {
                    continue;
                }
                match self.renew_all(drive, node, &shares).await {
                    // After a part the rest is not to wait until the next time.
                    Ok(()) if !whole => {}
                    Ok(()) => drop(self.renewed.lock().insert((drive, node), today)),
                    Err(why) => {
                        tracing::debug!("leases at {} not renewed yet: {why}", self.roster.name_of(&node));
                    }
                }
            }
        }
    }

    async fn renew_all(
        &self,
        drive: DriveId,
        node: NodeId,
        shares: &BTreeMap<ShareId, PackId>,
    ) -> Result<(), String> {
        let all: Vec<ShareId> = shares.keys().copied().collect();
        for batch in all.chunks(LEASES_MAX) {
            let mut rest = batch.to_vec();
            for _ in 0..RENEW_ROUNDS {
                let asked = rest.len();
                let done: BTreeMap<ShareId, u64> =
                    self.renew(node, rest.clone()).await?.into_iter().collect();
                rest.retain(|share| !done.contains_key(share));
                // An answer may be cut short: only where one brings nothing more is the rest not there.
                if rest.is_empty() || rest.len() == asked {
                    break;
                }
            }
            rest.iter().filter_map(|share| shares.get(share)).for_each(|pack| self.suspect(drive, *pack));
        }
        Ok(())
    }

    /// A share of this pack may be lost: the drive is to look.
    pub(super) fn suspect(&self, drive: DriveId, pack: PackId) {
        let mut suspects = self.suspects.lock();
        if suspects.len() < SUSPECTS_MAX {
            suspects.insert((drive, pack));
        }
    }

    /// Packs of a drive that may have lost a share, told once.
    pub fn suspects(&self, drive: &DriveId) -> Vec<PackId> {
        let mut suspects = self.suspects.lock();
        let (mine, others) = std::mem::take(&mut *suspects).into_iter().partition(|(d, _)| d == drive);
        *suspects = others;
        let mine: std::collections::BTreeSet<_> = mine;
        mine.into_iter().map(|(_, pack)| pack).collect()
    }

    /// News of a friend about itself; requests of other kinds come back.
    pub async fn heard(&self, from: &NodeId, request: Request) -> Result<Response, Box<Request>> {
        match request {
            Request::Notice { reason, bytes, evict_after } => {
                let said = format!("will let go of {bytes} bytes after day {evict_after}: {reason}");
                tracing::warn!("{} says that it {said}", self.roster.name_of(from));
                self.note(from, |h| h.notice = Some(said));
            }
            Request::Away { until } => self.note(from, |h| h.away_until = Some(until)),
            Request::LossDeclaration { shares } => {
                let name = self.roster.name_of(from);
                tracing::warn!("{name} says that it has lost {} shares", shares.len());
                self.declared_lost(from, &shares).await;
            }
            other => return Err(Box::new(other)),
        }
        Ok(Response::Done)
    }

    /// What a friend says it has lost is looked at; its word alone changes nothing.
    async fn declared_lost(&self, from: &NodeId, shares: &[ShareId]) {
        let lost: std::collections::BTreeSet<ShareId> = shares.iter().copied().collect();
        let drives: Vec<DriveId> = self.drives.lock().keys().copied().collect();
        for drive in drives {
            let leased = match self.leased(&drive).await {
                Ok(leased) => leased,
                // The round of audits comes to them later.
                Err(e) => {
                    tracing::warn!("what was declared lost is not looked at now: {e}");
                    continue;
                }
            };
            let found = leased.iter().filter(|l| l.holder == *from && lost.contains(&l.share));
            found.for_each(|l| self.suspect(drive, l.pack));
        }
    }
}

/// Renews leases, for as long as there is a grid.
pub(super) async fn renew_for_ever(grid: Weak<Grid>) {
    let mut wait = FIRST_LOOK;
    loop {
        let Some(now) = grid.upgrade() else { return };
        let chance = u64::from_le_bytes(now.world.random::<8>()) % wait.as_millis().max(1) as u64;
        drop(now);
        tokio::time::sleep(wait + Duration::from_millis(chance)).await;
        wait = LOOK_EVERY;
        let Some(grid) = grid.upgrade() else { return };
        grid.renew_due().await;
        grid.ask_statements(true);
    }
}
