//! Small state files: replaced whole, two files each.
//!
//! `NAME.0` and `NAME.1` hold the last two generations, the even one and the odd one. A new
//! generation is written to `NAME.tmp`, synced, renamed over the older of the two, and the
//! directory synced: at every moment one whole generation has its name.
//!
//! What must never fall back to an older generation (the keystore) is written twice: both
//! files hold the newest, one written and synced after the other. Then one damaged file costs
//! nothing; and where the newest known generation can be read from neither, that is an error.
//!
//! A damaged file is never overwritten: it is moved aside as `NAME.0.damaged-1`, and so on.
//!
//! ```text
//! 0    magic "kithfil1"
//! 8    generation  u64
//! 16   form        u64   0 as given, 1 sealed; and 2 more: written twice
//! 24   len         u64   bytes of the body
//! 32   check       [32]  derive("disk checksum", local key or nothing, [name, bytes 0..32, body])
//! 64   body              the bytes, or sealed at Position { index: generation, total: 1, codec: 0 }
//! ```

use super::{Damage, StoreError};
use crate::keys::{Kind, LocalKey, SealKey};
use crate::world::World;
use form::{Form, Found};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

mod form;

/// The most a state file may hold.
const MAX_LEN: usize = 64 << 20;

/// What a state file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Vec<u8>,
    /// Counts replacements, from 1.
    pub generation: u64,
    /// The other file was damaged; without a second copy it may have been the newer one.
    pub damage: Option<Damage>,
}

/// What is known of the two files.
#[derive(Clone, Default)]
struct Known {
    generation: u64,
    /// To be moved aside before anything is written.
    damaged: [bool; 2],
    /// The file that does not hold the newest generation, and is therefore written first.
    behind: Option<usize>,
}

/// A small file that is replaced whole.
pub struct SealedFile {
    world: World,
    form: Arc<Form>,
    /// Also lets one replacement in at a time.
    known: tokio::sync::Mutex<Option<Known>>,
    /// What the last load found damaged, until the next good write.
    damage: Mutex<Option<Damage>>,
}

impl SealedFile {
    /// The file `name` in `dir`. Without a key it is checksummed only (for bytes that are
    /// sealed by themselves, such as the keystore).
    pub fn new(world: &World, dir: &Path, name: &str, key: Option<&LocalKey>) -> SealedFile {
        SealedFile::with(world, dir, name, key, false)
    }

    /// The same, written twice: for what must not fall back to an older generation.
    pub fn twice(world: &World, dir: &Path, name: &str, key: Option<&LocalKey>) -> SealedFile {
        SealedFile::with(world, dir, name, key, true)
    }

    fn with(world: &World, dir: &Path, name: &str, key: Option<&LocalKey>, twice: bool) -> SealedFile {
        let seal = |key: &LocalKey| SealKey::derive(key.expose(), b"", Kind::StateFile, name.as_bytes());
        let form = Form {
            dir: dir.to_path_buf(),
            name: name.to_string(),
            key: key.map(|key| (key.clone(), seal(key))),
            twice,
        };
        SealedFile {
            world: world.clone(),
            form: Arc::new(form),
            known: tokio::sync::Mutex::new(None),
            damage: Mutex::default(),
        }
    }

    /// The newest generation that is whole; `None` if there never was one; an error if all
    /// there are, are damaged. One written twice is also refused if the damaged file was newer.
    /// Writes nothing.
    ///
    /// After an error for damage, what is not written twice may be begun anew by `store`.
    pub async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let mut known = self.known.lock().await;
        let found = self.read().await?;
        let damage = found.damage();
        if let Some(damage) = &damage {
            tracing::warn!("this machine's disk: {damage}");
        }
        self.damage.lock().clone_from(&damage);
        if let Some(doubt) = found.doubt(&self.form) {
            if !self.form.twice {
                *known = Some(found.known());
            }
            return Err(StoreError::Damaged(doubt));
        }
        *known = Some(found.known());
        Ok(found.newest().map(|(generation, bytes)| Stored { bytes, generation, damage }))
    }

    /// Load, and where one of the two files of what is written twice does not hold the newest
    /// generation, write both again. Only for who may write.
    pub async fn load_and_mend(&self) -> Result<Option<Stored>, StoreError> {
        let Some(stored) = self.load().await? else { return Ok(None) };
        let behind = self.known.lock().await.as_ref().is_some_and(|k| k.behind.is_some());
        if self.form.twice && behind {
            // Not a reason to refuse what was read: the disk may be full, or read-only.
            match self.store(&stored.bytes).await {
                Ok(_) => tracing::info!("{}: both copies are whole again", self.form.base().display()),
                Err(e) => tracing::warn!("only one copy is whole: {e}"),
            }
        }
        Ok(Some(stored))
    }

    /// What was found damaged and has not been written anew since.
    pub fn damage(&self) -> Option<Damage> {
        self.damage.lock().clone()
    }

    async fn read(&self) -> Result<Found, StoreError> {
        let (form, disk) = (self.form.clone(), self.world.disk.clone());
        let read = self.world.blocking(move || form.read(&*disk)).await;
        read.map_err(|e| StoreError::io(&self.form.dir, "read", e))?
    }

    /// Replace the content; durable when it returns. On an error either the old content or the
    /// new one is found later.
    pub async fn store(&self, bytes: &[u8]) -> Result<u64, StoreError> {
        if bytes.len() > MAX_LEN {
            return Err(StoreError::TooLarge { len: bytes.len(), max: MAX_LEN });
        }
        let mut known = self.known.lock().await;
        // After a failure the files tell what became of it: no generation is written twice over.
        let last = match known.take() {
            Some(known) => known,
            None => {
                let found = self.read().await?;
                match found.doubt(&self.form) {
                    Some(doubt) => return Err(StoreError::Damaged(doubt)),
                    None => found.known(),
                }
            }
        };
        let next = last.generation + 1;
        let (form, disk) = (self.form.clone(), self.world.disk.clone());
        let bytes = bytes.to_vec();
        let written = self.world.blocking(move || form.write(&*disk, &last, &bytes)).await;
        // Nothing is broken by the want of room: whoever stores it tries again.
        written.map_err(|e| StoreError::io(&self.form.dir, "write", e))?.map_err(StoreError::or_full)?;
        *known = Some(Known { generation: next, ..Known::default() });
        *self.damage.lock() = None;
        Ok(next)
    }
}

#[cfg(test)]
mod tests;
