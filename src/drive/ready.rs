//! What may be published now.

use super::pending::{Pending, PendingOps};
use super::shared::Shared;
use super::uploads::Uploads;
use crate::tree::{Change, Kind, ObjectId, OpId, Operation};
use std::collections::BTreeSet;
use std::time::Duration;

/// While something is pending it is looked at again after this.
const LOOK: Duration = Duration::from_secs(1);

impl Shared {
    /// Whether an operation may not be published yet: its content is not at friends, or the file is
    /// still being `written`, or was just made and is `open`.
    pub fn unready(
        &self,
        op: &Operation,
        pending: &PendingOps,
        uploads: &Uploads,
        (written, open): (&BTreeSet<ObjectId>, &BTreeSet<ObjectId>),
    ) -> bool {
        match &op.change {
            // What will never be there holds up neither a file's name, and all behind it in
            // the directory, nor its removal.
            Change::SetContent { object, .. } => {
                uploads.waits(op.n) && !(uploads.needs_lost(op.n) && self.is_gone(*object))
            }
            // A new file is told of together with its first content.
            Change::Create { kind: Kind::File, .. } => {
                let object = OpId { log: self.log, n: op.n };
                let is_content = |p: &&Pending| matches!(p.op.change, Change::SetContent { .. });
                if let Some(first) = pending.on(&object).find(is_content) {
                    return uploads.waits(first.op.n) && !uploads.needs_lost(first.op.n);
                }
                let age = self.now().saturating_sub(op.time);
                let within = |time: Duration| (0..time.as_nanos() as i64).contains(&age);
                // Closed without having been written to: it is to be empty.
                let new = within(self.options.settle_quiet) && open.contains(&object);
                new || within(self.options.settle_soon) || written.contains(&object)
            }
            _ => false,
        }
    }

    /// Resolves when pending operations are to be looked at again, though nothing told of them: a new
    /// file that was closed becomes ready by itself.
    pub async fn next_look(&self) {
        let last = self.core.lock().pending.all().next_back().map(|pending| pending.op.time);
        let Some(last) = last else { return std::future::pending().await };
        let age = self.now().saturating_sub(last);
        let fresh = age < self.options.settle_quiet.as_nanos() as i64;
        tokio::time::sleep(if fresh { self.options.settle_soon.min(LOOK) } else { LOOK }).await;
    }
}
