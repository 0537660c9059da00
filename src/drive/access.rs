//! What the grid asks of an open drive.

use super::shared::Shared;
use crate::content::{HolderStream, SharePlace};
use crate::grid::{DriveAccess, LeasedShare};
use crate::keys::{DriveId, Epoch, LogId, NodeId, PackId, Signed};
use crate::tree::{Key, tables};
use crate::wire::Head;
use std::sync::{Arc, Weak};

/// Index table of this drive's own few values. (Those of the tree are lower.)
const OWN: u8 = 201;

/// Where an entry's bytes are.
pub fn entry_key(log: &LogId, seq: u64) -> Key {
    Key { table: tables::SIGNED, group: log.0.to_vec(), item: seq.to_be_bytes().to_vec() }
}

/// Where the next operation's number is.
pub fn next_key() -> Key {
    Key { table: OWN, group: Vec::new(), item: b"next".to_vec() }
}

/// Gives the grid access while the drive lives.
pub struct Access {
    pub drive: DriveId,
    pub shared: Weak<Shared>,
}

impl Access {
    fn shared(&self) -> Result<Arc<Shared>, String> {
        self.shared.upgrade().ok_or_else(|| "the drive is closed".into())
    }
}

impl DriveAccess for Access {
    fn drive(&self) -> DriveId {
        self.drive
    }
    fn epoch(&self) -> Epoch {
        self.shared().map_or(Epoch::FIRST, |s| s.keys().epoch())
    }
    fn read_token(&self, epoch: Epoch, holder: &NodeId) -> Result<[u8; 32], String> {
        self.shared()?.keys().read_token(epoch, holder).map_err(|e| e.to_string())
    }
    fn unseal(&self, pack: &PackId, place: &SharePlace, offset: u64, bytes: &mut [u8]) -> Result<(), String> {
        let keys = self.shared()?.keys();
        let stream = HolderStream::derive(&keys, place.seal_epoch, pack, place.number, &place.holder);
        stream.map_err(|e| e.to_string())?.apply(offset, bytes);
        Ok(())
    }
    fn share_lost(&self, pack: &PackId, place: &SharePlace) {
        if let Ok(shared) = self.shared() {
            shared.read_lost(pack, place);
        }
    }
    fn admin(&self) -> Vec<Signed> {
        self.shared().map_or(Vec::new(), |s| s.admin.lock().records(0).to_vec())
    }
    fn leased(&self) -> Result<Vec<LeasedShare>, String> {
        let (all, whole) = self.shared()?.leased_shares();
        whole.map(|()| all).map_err(|e| e.to_string())
    }
    fn leased_known(&self) -> Vec<LeasedShare> {
        self.shared().map_or(Vec::new(), |s| s.leased_shares().0)
    }
    fn vector(&self) -> Vec<Head> {
        self.shared().map_or(Vec::new(), |s| s.core.lock().fold.heads())
    }
    fn entries(&self, log: &LogId, after: u64, max_bytes: usize) -> Vec<Vec<u8>> {
        let Ok(shared) = self.shared() else { return Vec::new() };
        let (mut out, mut total) = (Vec::new(), 0);
        for seq in after.saturating_add(1).. {
            let Ok(Some(bytes)) = shared.index.get(&entry_key(log, seq)) else { break };
            total += bytes.len();
            if total > max_bytes && !out.is_empty() {
                break;
            }
            out.push(bytes);
        }
        out
    }
}
