//! Drives that did not open: tried again, ever more rarely, and at once when somebody asks.

use super::node::Node;
use crate::keys::{DriveId, NodeId};
use std::sync::Weak;
use std::time::Duration;

/// The first try comes after this, each later one after twice the time, up to the longest.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

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
            match self.open_from(id, secrets.clone(), Vec::new(), &sources).await {
                Ok(d) => tracing::info!("drive '{}' is open now", d.name),
                Err(t) => self.keep_shut(id, &secrets, t),
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
