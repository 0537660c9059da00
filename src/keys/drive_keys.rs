//! The keys of one drive as one reader, mender or auditor has them.

use super::derive::{Purpose, derive, derive_array};
use super::seal::{Kind, SealKey};
use super::secret::{ChunkIdKey, ContentKey, EntryKey, ReadKey, RepairKey, VerifyKey};
use super::{ChunkId, DriveId, Epoch, Hash, LogId, NodeId, PackId, Power};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Something was asked of a drive's keys that they cannot do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoKey {
    /// No key of that epoch is here.
    #[error("this node has no key of epoch {} of drive {}", .1.0, .0.short())]
    Epoch(DriveId, Epoch),
    /// The key is of a lesser power.
    #[error("this takes the power to {needed} in drive {}, and here is only the power to {have}", .drive.short())]
    Power { drive: DriveId, needed: Power, have: Power },
}

/// The key of one epoch at one level. Write and admin power read with the read key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LevelKey {
    Verify(VerifyKey),
    Repair(RepairKey),
    Read(ReadKey),
}

impl LevelKey {
    /// Verify, repair or read.
    pub const fn power(&self) -> Power {
        match self {
            LevelKey::Verify(_) => Power::Verify,
            LevelKey::Repair(_) => Power::Repair,
            LevelKey::Read(_) => Power::Read,
        }
    }
    /// The bytes of the key.
    pub const fn expose(&self) -> &[u8; 32] {
        match self {
            LevelKey::Verify(key) => key.expose(),
            LevelKey::Repair(key) => key.expose(),
            LevelKey::Read(key) => key.expose(),
        }
    }
    /// The key of `power` from its bytes (write and admin: the read key).
    pub fn new(power: Power, bytes: [u8; 32]) -> LevelKey {
        match power {
            Power::Verify => LevelKey::Verify(VerifyKey::from_bytes(bytes)),
            Power::Repair => LevelKey::Repair(RepairKey::from_bytes(bytes)),
            Power::Read | Power::Write | Power::Admin => LevelKey::Read(ReadKey::from_bytes(bytes)),
        }
    }
    /// The key of an equal or lesser power; None upwards.
    pub fn diminish(&self, to: Power) -> Option<LevelKey> {
        let to = to.min(Power::Read);
        match (self, to) {
            _ if to == self.power() => Some(self.clone()),
            (LevelKey::Read(key), Power::Repair) => Some(LevelKey::Repair(key.repair_key())),
            (LevelKey::Read(key), Power::Verify) => Some(LevelKey::Verify(key.repair_key().verify_key())),
            (LevelKey::Repair(key), Power::Verify) => Some(LevelKey::Verify(key.verify_key())),
            _ => None,
        }
    }
}

/// What an epoch's key gives, derived once.
#[derive(Debug)]
struct EpochKeys {
    level: LevelKey,
    verify: VerifyKey,
    repair: Option<RepairKey>,
    read: Option<ReadSide>,
}

#[derive(Debug)]
struct ReadSide {
    content: ContentKey,
    chunk_id: ChunkIdKey,
    entry: EntryKey,
}

impl EpochKeys {
    fn new(level: LevelKey) -> EpochKeys {
        let (read, repair) = match &level {
            LevelKey::Read(key) => (
                Some(ReadSide {
                    content: key.content_key(),
                    chunk_id: key.chunk_id_key(),
                    entry: key.entry_key(),
                }),
                Some(key.repair_key()),
            ),
            LevelKey::Repair(key) => (None, Some(key.clone())),
            LevelKey::Verify(_) => (None, None),
        };
        let verify = match (&repair, &level) {
            (Some(key), _) => key.verify_key(),
            (None, level) => VerifyKey::from_bytes(*level.expose()),
        };
        EpochKeys { level, verify, repair, read }
    }
}

/// A drive's keys, epoch by epoch, each at the power given. Cheap to clone.
///
/// Content pages, chunk ids, operations, vectors and checkpoints take read power; holder
/// seals take repair power; the catalogue and read tokens take verify power. Less is refused
/// with [`NoKey`].
#[derive(Clone, Debug)]
pub struct DriveKeys {
    drive: DriveId,
    epochs: BTreeMap<Epoch, Arc<EpochKeys>>,
    current: Epoch,
}

impl DriveKeys {
    /// The keys of one epoch.
    pub fn new(drive: DriveId, epoch: Epoch, key: LevelKey) -> DriveKeys {
        let epochs = BTreeMap::from([(epoch, Arc::new(EpochKeys::new(key)))]);
        DriveKeys { drive, epochs, current: epoch }
    }
    /// Take in the key of another epoch; the highest is the current one.
    pub fn insert(&mut self, epoch: Epoch, key: LevelKey) {
        self.epochs.insert(epoch, Arc::new(EpochKeys::new(key)));
        self.current = self.current.max(epoch);
    }
    /// Which drive.
    pub const fn drive(&self) -> DriveId {
        self.drive
    }
    /// The newest epoch whose key is here: what is sealed now is sealed in it.
    pub const fn epoch(&self) -> Epoch {
        self.current
    }
    /// Epochs whose keys are here, ascending.
    pub fn epochs(&self) -> impl Iterator<Item = Epoch> + '_ {
        self.epochs.keys().copied()
    }
    /// Verify, repair or read: what the current epoch's key gives. (Whether one may write is
    /// the admin log's to say.)
    pub fn power(&self) -> Power {
        self.epochs.get(&self.current).map_or(Power::Verify, |keys| keys.level.power())
    }
    /// The key of an epoch, for the keystore.
    pub fn level(&self, epoch: Epoch) -> Result<&LevelKey, NoKey> {
        Ok(&self.epoch_keys(epoch)?.level)
    }
    /// The key of an epoch at an equal or lesser power (write and admin: the read key).
    pub fn level_at(&self, epoch: Epoch, power: Power) -> Result<LevelKey, NoKey> {
        let keys = self.epoch_keys(epoch)?;
        keys.level.diminish(power).ok_or_else(|| self.lacking(keys, power.min(Power::Read)))
    }
    /// The same keys with less power.
    pub fn diminish(&self, to: Power) -> Result<DriveKeys, NoKey> {
        let mut out = DriveKeys { drive: self.drive, epochs: BTreeMap::new(), current: self.current };
        for (&epoch, keys) in &self.epochs {
            let key = keys.level.diminish(to).ok_or_else(|| self.lacking(keys, to))?;
            out.insert(epoch, key);
        }
        Ok(out)
    }

    /// The name of a chunk: keyed BLAKE3 of its plaintext. Read power.
    pub fn chunk_id(&self, epoch: Epoch, plaintext: &[u8]) -> Result<ChunkId, NoKey> {
        let key = &self.read_side(epoch)?.chunk_id;
        Ok(ChunkId(*blake3::keyed_hash(key.expose(), plaintext).as_bytes()))
    }
    /// The seal of a chunk's pages. Read power.
    pub fn page_seal(&self, epoch: Epoch, chunk: &ChunkId) -> Result<SealKey, NoKey> {
        let key = &self.read_side(epoch)?.content;
        Ok(SealKey::derive(key.expose(), &self.drive.0, Kind::Page, &chunk.0))
    }
    /// The seal of an entry's operations. Read power.
    pub fn ops_seal(&self, epoch: Epoch, log: &LogId, seq: u64) -> Result<SealKey, NoKey> {
        self.entry_seal(epoch, Kind::EntryOperations, log, seq)
    }
    /// The seal of an entry's vector. Read power.
    pub fn vector_seal(&self, epoch: Epoch, log: &LogId, seq: u64) -> Result<SealKey, NoKey> {
        self.entry_seal(epoch, Kind::EntryVector, log, seq)
    }
    /// The seal of an entry's catalogue. Verify power.
    pub fn catalogue_seal(&self, epoch: Epoch, log: &LogId, seq: u64) -> Result<SealKey, NoKey> {
        let key = &self.epoch_keys(epoch)?.verify;
        let object = entry_object(log, seq);
        Ok(SealKey::derive(key.expose(), &self.drive.0, Kind::EntryCatalogue, &object))
    }
    /// The seal of a run of a checkpoint, named by the tree. Read power.
    pub fn checkpoint_seal(&self, epoch: Epoch, run: &Hash) -> Result<SealKey, NoKey> {
        let key = &self.read_side(epoch)?.entry;
        Ok(SealKey::derive(key.expose(), &self.drive.0, Kind::Checkpoint, &run.0))
    }
    /// The key of drive names and other small things under the entry key. Read power.
    pub fn entry_key(&self, epoch: Epoch) -> Result<&EntryKey, NoKey> {
        Ok(&self.read_side(epoch)?.entry)
    }
    /// What a reader shows a holder: the holder knows its hash from the lease
    /// ([`read_token_hash`]) and learns nothing of the tokens of others. Verify power.
    pub fn read_token(&self, epoch: Epoch, holder: &NodeId) -> Result<[u8; 32], NoKey> {
        let key = &self.epoch_keys(epoch)?.verify;
        Ok(*derive(Purpose::ReadToken, key.expose(), &[&self.drive.0, &holder.0]))
    }
    /// Key and nonce of the XChaCha20 stream that seals a share for its holder. Repair power.
    pub fn holder_stream(
        &self,
        epoch: Epoch,
        pack: &PackId,
        number: u16,
        holder: &NodeId,
    ) -> Result<(Zeroizing<[u8; 32]>, [u8; 24]), NoKey> {
        let keys = self.epoch_keys(epoch)?;
        let repair = keys.repair.as_ref().ok_or_else(|| self.lacking(keys, Power::Repair))?;
        let key = derive(Purpose::HolderSealKey, repair.expose(), &[&self.drive.0]);
        let place: [&[u8]; 3] = [&pack.0, &number.to_le_bytes(), &holder.0];
        let nonce = derive_array::<24>(Purpose::HolderSealNonce, &[], &place);
        Ok((key, *nonce))
    }

    fn entry_seal(&self, epoch: Epoch, kind: Kind, log: &LogId, seq: u64) -> Result<SealKey, NoKey> {
        let key = &self.read_side(epoch)?.entry;
        Ok(SealKey::derive(key.expose(), &self.drive.0, kind, &entry_object(log, seq)))
    }
    fn epoch_keys(&self, epoch: Epoch) -> Result<&EpochKeys, NoKey> {
        Ok(self.epochs.get(&epoch).ok_or(NoKey::Epoch(self.drive, epoch))?)
    }
    fn read_side(&self, epoch: Epoch) -> Result<&ReadSide, NoKey> {
        let keys = self.epoch_keys(epoch)?;
        keys.read.as_ref().ok_or_else(|| self.lacking(keys, Power::Read))
    }
    fn lacking(&self, keys: &EpochKeys, needed: Power) -> NoKey {
        NoKey::Power { drive: self.drive, needed, have: keys.level.power() }
    }
}

/// What a lease says of a read token: its BLAKE3.
pub fn read_token_hash(token: &[u8; 32]) -> Hash {
    Hash(*blake3::hash(token).as_bytes())
}

/// log id || sequence, little-endian.
fn entry_object(log: &LogId, seq: u64) -> [u8; 40] {
    let mut object = [0; 40];
    object[..32].copy_from_slice(&log.0);
    object[32..].copy_from_slice(&seq.to_le_bytes());
    object
}
