//! Which pending operations may be published before others.

use super::{Change, ObjectId, OpId, Operation};
use crate::keys::LogId;
use std::collections::BTreeSet;

/// The queues an operation stands in: the directories and inodes it touches. Operations in
/// one queue are published in their order.
pub fn queues(log: LogId, op: &Operation) -> Vec<ObjectId> {
    let own = OpId { log, n: op.n };
    let mut out = match &op.change {
        Change::Create { parent, .. } => vec![own, *parent],
        Change::SetContent { object, .. }
        | Change::SetAttrs { object, .. }
        | Change::SetXattr { object, .. } => vec![*object],
        Change::Link { object, parent, .. } => vec![*object, *parent],
        Change::Unlink { parent, seen, .. } => vec![*parent, seen.object],
        Change::Rmdir { parent, object, .. } => vec![*parent, *object],
        Change::Rename { object, from_parent, to_parent, replaced, .. } => {
            let mut all = vec![*object, *from_parent, *to_parent];
            all.extend(replaced.map(|seen| seen.object));
            all
        }
        Change::Exchange { a, a_parent, b, b_parent, .. } => vec![*a, *a_parent, *b, *b_parent],
        Change::PackContents { .. }
        | Change::DropPack { .. }
        | Change::ParkLog { .. }
        | Change::SetRules { .. } => Vec::new(),
    };
    out.sort_unstable();
    out.dedup();
    out
}

/// Of the pending operations of a log (in their order), the numbers that may be published
/// now: those not unready themselves (their content is not placed yet) that stand behind no
/// operation left behind in any of their queues.
pub fn publishable<'a>(
    log: LogId,
    pending: impl IntoIterator<Item = &'a Operation>,
    unready: &BTreeSet<u64>,
) -> Vec<u64> {
    let mut blocked: BTreeSet<ObjectId> = BTreeSet::new();
    let mut out = Vec::new();
    for op in pending {
        let queues = queues(log, op);
        if unready.contains(&op.n) || queues.iter().any(|q| blocked.contains(q)) {
            blocked.extend(queues);
        } else {
            out.push(op.n);
        }
    }
    out
}
