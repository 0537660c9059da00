//! The catalogue of packs, read through from end to end.

use super::api::{Error, Result};
use super::shared::{Shared, index_error};
use crate::content::CatalogueRecord;
use crate::grid::LeasedShare;
use std::collections::BTreeSet;

/// Packs read from the index at a time.
const PAGE: usize = 256;

impl Shared {
    /// Every pack of the catalogue, one after the other, until `each` says no.
    pub fn each_pack(&self, mut each: impl FnMut(CatalogueRecord) -> bool) -> Result<()> {
        self.try_each_pack(|record| record.map(&mut each))
    }

    /// [`Shared::each_pack`] for those who go on after a record that cannot be read.
    fn try_each_pack(&self, mut each: impl FnMut(Result<CatalogueRecord>) -> Result<bool>) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.view().packs(after, PAGE).map_err(index_error)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (_, info) in page {
                let record = self.view().pack(&info.pack).map_err(index_error);
                let missing = || Error::Internal("a pack without its record".into());
                if !each(record.and_then(|found| found.ok_or_else(missing)))? {
                    return Ok(());
                }
            }
        }
    }

    /// Shares that this account leases: on their way into the catalogue, and in it; and whether
    /// that is all of them. What is not on a whole list is not needed; of a part only what is on
    /// it is known.
    pub fn leased_shares(&self) -> (Vec<LeasedShare>, Result<()>) {
        // First, since a pack goes from here to there, and never back unnoticed.
        let under_way: Vec<_> = self.uploads.lock().packs.values().map(|p| p.record()).collect();
        let mut out = BTreeSet::new();
        let mut add = |record: CatalogueRecord| {
            let standing = self.standing(&record);
            let mine = standing.iter().filter(|s| s.minter == self.account);
            out.extend(mine.map(|s| LeasedShare { holder: s.holder, share: s.id, pack: record.pack }));
        };
        for record in under_way {
            add(record);
        }
        let mut whole = Ok(());
        let read = self.try_each_pack(|record| {
            match record {
                Ok(record) => add(record),
                Err(e) => whole = Err(e),
            }
            Ok(true)
        });
        let whole = read.and(whole);
        if let Err(e) = &whole {
            self.note(format!("not all leases are known, and those that are not run out in time: {e}"));
        }
        (out.into_iter().collect(), whole)
    }
}
