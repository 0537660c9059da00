//! Making friends keep a drive's logs: its admin log, as it is now, and the right to lease there.

use super::logs::SendError;
use super::{DriveAccess, Grid, Told};
use crate::keys::{DriveId, Hash, NodeId, Signed, read_token_hash};
use crate::wire::{Head, Request};
use std::sync::Arc;

/// Bytes a drive's logs may grow to, as announced to holders.
const LOG_BYTES: u64 = 1 << 30;

impl Grid {
    /// A friend is back: what it missed goes to it.
    pub(super) fn bring_up_to_date(self: &Arc<Self>, node: NodeId) {
        let drives: Vec<DriveId> = self.drives.lock().keys().copied().collect();
        for drive in drives {
            self.bring_drive(drive, node);
        }
    }

    /// Friends that have granted room meanwhile get the logs of the drives that are open.
    pub(super) fn bring_in_new_holders(self: &Arc<Self>) {
        let drives: Vec<DriveId> = self.drives.lock().keys().copied().collect();
        for member in self.roster.members().iter().filter(|m| self.friends.online(&m.node)) {
            for drive in &drives {
                let known = self.told.lock().get(&(*drive, member.node)).map(|t| t.grant);
                if known != Some(self.shown_grant(&member.node)) {
                    self.bring_drive(*drive, member.node);
                }
            }
        }
    }

    fn bring_drive(self: &Arc<Self>, drive: DriveId, node: NodeId) {
        if self.roster.allowed_at(&node) == 0 {
            return;
        }
        let grid = self.clone();
        self.spawn(async move {
            if let Err(SendError::Failed(why)) = grid.send_entries(drive, node, &[]).await {
                tracing::debug!("{} was not brought up to date: {why}", grid.roster.name_of(&node));
            }
        });
    }

    /// What names the right to use a holder: the last grant of the chain shown there.
    pub(super) fn shown_grant(&self, node: &NodeId) -> Option<Hash> {
        self.roster.chain_for(node).last().map(Signed::hash)
    }

    /// Entries as they are; before them what is new in the admin log, so that no entry of a
    /// writer enrolled since is refused. Without entries the holder gets the admin log whenever
    /// this node has not given it to it in this state before.
    pub(super) async fn send_first(
        &self,
        access: &Arc<dyn DriveAccess>,
        node: NodeId,
        entries: &[Vec<u8>],
    ) -> Result<Vec<Head>, SendError> {
        let drive = access.drive();
        let told = self.told.lock().get(&(drive, node)).copied();
        if told.is_some() || entries.is_empty() {
            let now = self.told_now(access, &node).await?;
            if told != Some(now) {
                let heads = self.open_log(access, node).await?;
                if entries.is_empty() {
                    return Ok(heads);
                }
            }
        }
        self.send_batches(drive, node, entries).await
    }

    async fn told_now(&self, access: &Arc<dyn DriveAccess>, node: &NodeId) -> Result<Told, String> {
        let (reader, grant) = (access.clone(), self.shown_grant(node));
        let read = self.world.blocking(move || (reader.admin().len(), reader.epoch()));
        let (admin, epoch) = read.await.map_err(|e| e.to_string())?;
        Ok(Told { admin, epoch, grant })
    }

    pub(super) async fn open_log(
        &self,
        access: &Arc<dyn DriveAccess>,
        node: NodeId,
    ) -> Result<Vec<Head>, SendError> {
        let drive = access.drive();
        let (reader, grant) = (access.clone(), self.shown_grant(&node));
        let read = self.world.blocking(move || {
            let epoch = reader.epoch();
            (reader.admin(), epoch, reader.read_token(epoch, &node))
        });
        let (admin, epoch, token) = read.await.map_err(|e| e.to_string())?;
        let told = Told { admin: admin.len(), epoch, grant };
        let request = Request::LogOpen {
            drive,
            account: self.roster.me().person,
            admin,
            grants: self.roster.chain_for(&node),
            bytes: LOG_BYTES,
            read_token_hash: read_token_hash(&token?),
        };
        let heads = self.log_request(drive, node, request).await?;
        self.told.lock().insert((drive, node), told);
        Ok(heads)
    }
}
