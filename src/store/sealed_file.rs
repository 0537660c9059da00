//! Small state files: replaced whole, two generations.
//!
//! `NAME.0` and `NAME.1` hold the last two generations, the even one and the odd one. A new
//! generation is written to `NAME.tmp`, synced, renamed over the older of the two, and the
//! directory synced: at every moment one whole generation has its name.
//!
//! ```text
//! 0    magic "kithfil1"
//! 8    generation  u64
//! 16   form        u64   0 as given, 1 sealed
//! 24   len         u64   bytes of the body
//! 32   check       [32]  derive("disk checksum", local key or nothing, [name, bytes 0..32, body])
//! 64   body              the bytes, or sealed at Position { index: generation, total: 1, codec: 0 }
//! ```

use super::{Damage, StoreError};
use crate::keys::{Kind, LocalKey, Position, Purpose, Seal, SealKey, derive_array};
use crate::world::{Disk, Open, World};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"kithfil1";
const HEADER: usize = 64;
const CHECKED: usize = 32;
/// The most a state file may hold.
const MAX_LEN: usize = 64 << 20;

/// What a state file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Vec<u8>,
    /// Counts replacements, from 1.
    pub generation: u64,
    /// The other generation was damaged; it may have been the newer one.
    pub damage: Option<Damage>,
}

/// A small file that is replaced whole.
pub struct SealedFile {
    world: World,
    form: Arc<Form>,
    /// The newest generation on the disk, once known. Also lets one replacement in at a time.
    newest: tokio::sync::Mutex<Option<u64>>,
}

/// Where it is and how it is encoded.
struct Form {
    dir: PathBuf,
    name: String,
    key: Option<(LocalKey, SealKey)>,
}

impl SealedFile {
    /// The file `name` in `dir`. Without a key it is checksummed only (for bytes that are
    /// sealed by themselves, such as the keystore).
    pub fn new(world: &World, dir: &Path, name: &str, key: Option<&LocalKey>) -> SealedFile {
        let seal = |key: &LocalKey| SealKey::derive(key.expose(), b"", Kind::StateFile, name.as_bytes());
        let form = Form {
            dir: dir.to_path_buf(),
            name: name.to_string(),
            key: key.map(|key| (key.clone(), seal(key))),
        };
        SealedFile { world: world.clone(), form: Arc::new(form), newest: tokio::sync::Mutex::new(None) }
    }

    /// The newest generation that is whole; `None` if there never was one; an error if all
    /// there are, are damaged.
    pub async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let mut newest = self.newest.lock().await;
        let stored = self.read().await?;
        *newest = Some(stored.as_ref().map_or(0, |s| s.generation));
        Ok(stored)
    }

    async fn read(&self) -> Result<Option<Stored>, StoreError> {
        let (form, disk) = (self.form.clone(), self.world.disk.clone());
        let read = self.world.blocking(move || form.read_newest(&*disk)).await;
        read.map_err(|e| StoreError::io(&self.form.dir, "read", e))?
    }

    /// Replace the content; durable when it returns, and then the generation before it is
    /// still there. On an error either the old content or the new one is found later.
    pub async fn store(&self, bytes: &[u8]) -> Result<u64, StoreError> {
        if bytes.len() > MAX_LEN {
            return Err(StoreError::TooLarge { len: bytes.len(), max: MAX_LEN });
        }
        let mut newest = self.newest.lock().await;
        let last = match *newest {
            Some(known) => known,
            None => self.read().await?.map_or(0, |s| s.generation),
        };
        let (form, disk) = (self.form.clone(), self.world.disk.clone());
        let bytes = bytes.to_vec();
        let written = self.world.blocking(move || form.write(&*disk, last + 1, &bytes)).await;
        written.map_err(|e| StoreError::io(&self.form.dir, "write", e))??;
        *newest = Some(last + 1);
        Ok(last + 1)
    }
}

impl Form {
    fn path(&self, generation: u64) -> PathBuf {
        self.dir.join(format!("{}.{}", self.name, generation % 2))
    }

    fn check(&self, header: &[u8], body: &[u8]) -> [u8; 32] {
        let key: &[u8] = self.key.as_ref().map_or(&[], |(key, _)| &key.expose()[..]);
        let parts: [&[u8]; 3] = [self.name.as_bytes(), &header[..CHECKED], body];
        *derive_array::<32>(Purpose::DiskChecksum, key, &parts)
    }

    fn encode(&self, generation: u64, bytes: &[u8]) -> Vec<u8> {
        let body = match &self.key {
            Some((_, seal)) => seal.seal(Position::part(generation, 1), bytes),
            None => bytes.to_vec(),
        };
        let mut out = vec![0; HEADER];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&generation.to_le_bytes());
        out[16..24].copy_from_slice(&u64::from(self.key.is_some()).to_le_bytes());
        out[24..32].copy_from_slice(&(body.len() as u64).to_le_bytes());
        let check = self.check(&out, &body);
        out[CHECKED..HEADER].copy_from_slice(&check);
        out.extend_from_slice(&body);
        out
    }

    /// Generation and content, or what is wrong.
    fn decode(&self, bytes: &[u8]) -> Result<(u64, Vec<u8>), &'static str> {
        let (header, body) = bytes.split_at_checked(HEADER).ok_or("it is too short")?;
        if &header[..8] != MAGIC {
            return Err("it does not begin like a state file");
        }
        let word = |at: usize| {
            let mut b = [0; 8];
            b.copy_from_slice(&header[at..at + 8]);
            u64::from_le_bytes(b)
        };
        if word(24) != body.len() as u64 {
            return Err("its length is not the one it was written with");
        }
        if self.check(header, body) != header[CHECKED..HEADER] {
            return Err("its checksum does not match (damaged, or written under another key)");
        }
        match (&self.key, word(16)) {
            (None, 0) => Ok((word(8), body.to_vec())),
            (Some((_, seal)), 1) => {
                let opened = seal.open(Position::part(word(8), 1), body);
                opened.map(|plain| (word(8), plain)).map_err(|_| "it does not open")
            }
            _ => Err("its form is another one"),
        }
    }

    fn read_newest(&self, disk: &dyn Disk) -> Result<Option<Stored>, StoreError> {
        let mut best: Option<(u64, Vec<u8>)> = None;
        let mut damage = None;
        for slot in [0, 1] {
            let path = self.path(slot);
            let bytes = match read_all(disk, &path) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(StoreError::io(path, "read", e)),
            };
            match self.decode(&bytes) {
                Ok((generation, plain)) => {
                    if best.as_ref().is_none_or(|(g, _)| *g < generation) {
                        best = Some((generation, plain));
                    }
                }
                Err(what) => damage = Some(Damage { file: path, offset: 0, what: what.to_string() }),
            }
        }
        match (best, damage) {
            (Some((generation, bytes)), damage) => Ok(Some(Stored { bytes, generation, damage })),
            (None, Some(damage)) => Err(StoreError::Damaged(damage)),
            (None, None) => Ok(None),
        }
    }

    fn write(&self, disk: &dyn Disk, generation: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let encoded = self.encode(generation, bytes);
        let temporary = self.dir.join(format!("{}.tmp", self.name));
        let path = self.path(generation);
        let io = |what| move |e| StoreError::io(self.dir.join(&self.name), what, e);
        disk.create_dir_all(&self.dir).map_err(io("make the directory"))?;
        let file = disk.open(&temporary, Open::OrCreate).map_err(io("create"))?;
        file.set_len(0).map_err(io("truncate"))?;
        file.write_at(&encoded, 0).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        drop(file);
        disk.rename(&temporary, &path).map_err(io("rename"))?;
        disk.sync_dir(&self.dir).map_err(io("sync the directory"))
    }
}

fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Open::Existing)?;
    let len = file.len()?;
    if len > (MAX_LEN + HEADER * 2) as u64 {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; len as usize];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
