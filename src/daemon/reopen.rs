//! Drives that did not open: tried again, ever more rarely, and at once when somebody asks.

use super::node::Node;
use crate::keys::{DriveId, NodeId};
use std::sync::Weak;
use std::time::Duration;

/// The first try comes after this, each later one after twice the time, up to the longest.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// How long friends are waited for, for what they know of a drive that has come back.
const CATCH_UP: Duration = Duration::from_secs(20);

impl Node {
    /// Try drives that did not open again: the one of this name, or all.
    pub async fn reopen(&self, name: Option<&str>) {
        if !self.has_shut(name) {
            return;
        }
        let _one_at_a_time = self.changing.lock().await;
        let members = self.roster.members();
        let sources: Vec<NodeId> = [self.id()].into_iter().chain(members.iter().map(|m| m.node)).collect();
        let unopened = self.unopened.lock().clone();
        let shut = unopened.iter().filter(|(_, u)| !u.nameless() && name.is_none_or(|n| n == u.name));
        let ids: Vec<DriveId> = shut.map(|(id, _)| *id).collect();
        for id in ids {
            let Some(secrets) = self.keyring.read(|k| k.drives.get(&id).cloned()) else { continue };
            let opened = match self.coming_back(&id).is_some() {
                true => self.bring_back(id, secrets.clone(), &sources).await,
                false => self.open_from(id, secrets.clone(), Vec::new(), &sources).await,
            };
            match opened {
                Ok(d) => tracing::info!("drive '{}' is open now", d.name),
                Err(t) => self.keep_shut(id, &secrets, t),
            }
        }
    }

    /// The same for all, and what friends know of every drive that is open.
    pub async fn bring_all_back(&self) {
        self.reopen(None).await;
        for d in self.drives() {
            if let Err(e) = d.drive.catch_up(CATCH_UP).await {
                tracing::warn!("drive '{}' is not up to date: {e}", d.name);
            }
        }
    }

    fn has_shut(&self, name: Option<&str>) -> bool {
        self.unopened.lock().values().any(|u| !u.nameless() && name.is_none_or(|n| n == u.name))
    }
}

/// Tries for as long as the node lives.
pub(super) async fn retry(node: Weak<Node>) {
    let mut wait = FIRST;
    loop {
        tokio::time::sleep(wait).await;
        let Some(node) = node.upgrade() else { return };
        wait = if node.has_shut(None) { (wait * 2).min(LONGEST) } else { FIRST };
        node.reopen(None).await;
    }
}
