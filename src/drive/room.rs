//! Whether friends have room for what waits to be kept by them.

use super::api::{Error, Result};
use super::shared::Shared;
use super::uploads::PackState;
use crate::content::{Coding, Layout};
use crate::grid::{FriendStatus, Level};
use crate::keys::Hash;
use crate::store::StoreError;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often is looked whether there is room again.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// Households that a pack needs at a level. Without a margin safe is as much as full.
fn needed(coding: Coding, level: Level) -> usize {
    let (k, n, margin) = (usize::from(coding.k), usize::from(coding.n), usize::from(coding.margin()));
    match level {
        Level::Local => 0,
        Level::Published => k,
        Level::Safe if margin > 0 => k + margin,
        Level::Safe | Level::Full => n,
    }
}

/// Households besides those that hold a share of a pack, which have room for one more.
fn with_room(pack: &PackState, share_len: u64, friends: &[FriendStatus]) -> usize {
    let held: BTreeSet<Hash> = pack.placed.iter().map(|p| p.household).collect();
    let free = friends.iter().filter(|f| f.limit.saturating_sub(f.used) >= share_len);
    free.map(|f| f.household).filter(|h| !held.contains(h)).collect::<BTreeSet<_>>().len()
}

impl Shared {
    /// An entry of this machine that the log has accepted will be written: nothing else takes its place.
    /// So on a full disk this waits. What a drive that closes meanwhile did write of it the index learns at
    /// the next start.
    pub async fn sync_entries(&self) -> Result<()> {
        let mut closing = self.closing.subscribe();
        let mut waits = false;
        loop {
            match self.entries.sync().await {
                Ok(()) => return Ok(()),
                Err(e @ StoreError::Full(_)) => {
                    if !std::mem::replace(&mut waits, true) {
                        self.note(format!("publishing: {}", self.fail(&e)));
                    }
                    // What friends have of earlier entries makes room.
                    self.tidy_packs();
                }
                Err(e) => {
                    self.index_behind.store(true, Ordering::Release);
                    return Err(self.fail(&e));
                }
            }
            tokio::select! { biased;
                _ = closing.wait_for(|c| *c) => {
                    self.index_behind.store(true, Ordering::Release);
                    return Err(Error::NoSpace);
                }
                () = tokio::time::sleep(ROOM_AGAIN) => {}
            }
        }
    }

    /// Why files that were written cannot be sealed, where that is for want of room on this
    /// machine's own disk.
    pub fn disk_short(&self) -> Option<String> {
        let lives: Vec<_> = self.lives.lock().inodes.values().cloned().collect();
        let waits = lives.iter().filter(|live| {
            let state = live.state.lock();
            state.dirty.is_some() && state.settle_error == Some(Error::NoSpace)
        });
        let files = waits.count();
        (files > 0)
            .then(|| format!("this machine's disk has no room left for {files} files that were written"))
    }

    /// Why what waits cannot come to be kept at `level`, even with every friend online: too few
    /// of them have that much room left. None: there is room.
    pub fn lacks_room(&self, level: Level) -> Option<String> {
        let friends = self.grid.holders(&self.drive);
        let uploads = self.uploads.lock();
        let waits = uploads.waiting() > 0 || !uploads.packs.is_empty();
        if friends.is_empty() {
            return waits.then(|| "no friend has granted any room".into());
        }
        for pack in uploads.packs.values() {
            let more = needed(pack.intent.coding, level).saturating_sub(pack.households());
            let Ok(layout) = Layout::new(pack.intent.coding.k, pack.intent.len) else { continue };
            let room = with_room(pack, layout.share_len(), &friends);
            if more > room {
                return Some(format!(
                    "{more} more homes with room for {} bytes each are needed, and {room} of {} friends \
                     have that much of what they grant left",
                    layout.share_len(),
                    friends.len()
                ));
            }
        }
        None
    }
}
