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
        let mut after = None;
        loop {
            let page = self.view().packs(after, PAGE).map_err(index_error)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (_, info) in page {
                let record = self.view().pack(&info.pack).map_err(index_error)?;
                if !each(record.ok_or_else(|| Error::Internal("a pack without its record".into()))?) {
                    return Ok(());
                }
            }
        }
    }

    /// Shares that this account leases: on their way into the catalogue, and in it. All of them
    /// or none: what is not on the list is taken for not needed.
    pub fn leased_shares(&self) -> Result<Vec<LeasedShare>> {
        // First, since a pack goes from here to there, and never back unnoticed.
        let under_way: Vec<_> = self.uploads.lock().packs.values().map(|p| p.record()).collect();
        let mut out = BTreeSet::new();
        let mut add = |record: CatalogueRecord| {
            let standing = self.standing(&record);
            let mine = standing.iter().filter(|s| s.minter == self.account);
            out.extend(mine.map(|s| LeasedShare { holder: s.holder, share: s.id, pack: record.pack }));
            true
        };
        for record in under_way {
            add(record);
        }
        self.each_pack(&mut add)?;
        Ok(out.into_iter().collect())
    }
}
