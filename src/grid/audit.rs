//! Audits: a friend proves that it still has a share, by a range that it cannot foresee.

use super::get::GetError;
use super::{Audit, Grid};
use crate::content::{CatalogueRecord, Layout};
use crate::keys::{DriveId, NodeId};
use crate::wire::Audits;
use std::time::Duration;

/// How long a friend may take to answer.
const AUDIT_TIME: Duration = Duration::from_secs(20);
/// Bytes asked for: one leaf of the proof.
const AUDIT_LEN: u64 = 1024;
/// The least rate at which a friend is expected to give a whole share.
const WHOLE_RATE: u64 = 64 << 10;
/// One audit in so many reads the whole share.
const WHOLE_ONE_IN: u64 = 64;

impl Grid {
    /// Ask the holder of one share of a pack for a random range of it, with proof, or for the
    /// `whole` share: after a range of it was found damaged another says nothing. An audit is a
    /// read like any other.
    pub async fn audit(&self, drive: DriveId, record: &CatalogueRecord, place: usize, whole: bool) -> Audit {
        let holder = record.shares[place].holder;
        if self.own(&holder).is_none() {
            if self.roster.is_removed(&holder) {
                return Audit::Lost("its holder is no friend any more".into());
            }
            // One that was never heard of may be a friend's friend: that says nothing.
            if self.member(&holder).is_none() {
                return Audit::NoAnswer;
            }
            if !self.friends.online(&holder) {
                self.count_audit(&holder, |a| &mut a.offline);
                return Audit::NoAnswer;
            }
        }
        let Ok(layout) = Layout::new(record.k, record.len) else { return Audit::NoAnswer };
        let len = layout.share_len();
        let chance = u64::from_le_bytes(self.world.random::<8>());
        let range = match chance % WHOLE_ONE_IN {
            _ if whole => 0..len,
            0 => 0..len,
            _ => {
                let start = (chance / WHOLE_ONE_IN) % len.div_ceil(AUDIT_LEN) * AUDIT_LEN;
                start..(start + AUDIT_LEN).min(len)
            }
        };
        let time = AUDIT_TIME + Duration::from_secs((range.end - range.start) / WHOLE_RATE);
        match self.get_ranges(drive, record, place, len, &vec![range], time).await {
            Ok(_) => {
                let used = self.note(&holder, |h| h.used);
                self.roster.statements().verified(&holder, used, self.world.now_ms());
                Audit::Kept
            }
            Err(GetError::Lost(why)) => {
                self.count_audit(&holder, |a| &mut a.wrong);
                Audit::Lost(why)
            }
            Err(GetError::Later(_) | GetError::Never(_)) => {
                self.count_audit(&holder, |a| &mut a.unknown);
                Audit::NoAnswer
            }
        }
    }

    fn count_audit(&self, holder: &NodeId, of: impl FnOnce(&mut Audits) -> &mut u64) {
        self.roster.statements().count(holder, |c| {
            let n = of(&mut c.audits);
            *n = n.saturating_add(1);
        });
    }
}
