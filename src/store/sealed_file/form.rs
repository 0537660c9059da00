//! The bytes of a state file, and how its two files are read and written.

use super::{Known, MAX_LEN};
use crate::keys::{LocalKey, Position, Purpose, Seal, SealKey, derive_array};
use crate::store::{Damage, StoreError};
use crate::world::{Disk, Open};
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"kithfil1";
const HEADER: usize = 64;
const CHECKED: usize = 32;
const SEALED: u64 = 1;
const TWICE: u64 = 2;
/// Damaged files kept of each of the two; what comes later replaces the last.
pub(super) const DAMAGED_KEPT: usize = 8;
/// What the kernel answers for a sector that cannot be read.
const EIO: i32 = 5;

/// Where a state file is and how it is encoded.
pub(super) struct Form {
    pub dir: PathBuf,
    pub name: String,
    pub key: Option<(LocalKey, SealKey)>,
    /// Both files hold the newest generation.
    pub twice: bool,
}

/// One of the two files.
enum Slot {
    Missing,
    Whole(Whole),
    Damaged { damage: Damage, raw: Vec<u8> },
}

struct Whole {
    generation: u64,
    plain: Vec<u8>,
    raw: Vec<u8>,
    twice: bool,
}

/// Both files.
pub(super) struct Found {
    slots: [Slot; 2],
}

impl Found {
    fn best(&self) -> Option<&Whole> {
        let whole = self.slots.iter().filter_map(|slot| match slot {
            Slot::Whole(whole) => Some(whole),
            _ => None,
        });
        whole.max_by_key(|w| w.generation)
    }

    pub fn newest(&self) -> Option<(u64, Vec<u8>)> {
        self.best().map(|w| (w.generation, w.plain.clone()))
    }

    pub fn damage(&self) -> Option<Damage> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Damaged { damage, .. } => Some(damage.clone()),
            _ => None,
        })
    }

    pub fn known(&self) -> Known {
        let generation = self.best().map_or(0, |w| w.generation);
        let current = |slot: &Slot| matches!(slot, Slot::Whole(w) if w.generation == generation && w.twice);
        Known {
            generation,
            damaged: [0, 1].map(|n| matches!(self.slots[n], Slot::Damaged { .. })),
            // Of two that are whole and written once, the older goes first.
            behind: (0..2).filter(|n| !current(&self.slots[*n])).min_by_key(|n| match &self.slots[*n] {
                Slot::Whole(w) => w.generation,
                _ => 0,
            }),
        }
    }

    /// Why the newest whole generation must not be taken for the newest there was.
    pub fn doubt(&self, form: &Form) -> Option<Damage> {
        let mut damaged = self.slots.iter().filter_map(|slot| match slot {
            Slot::Damaged { damage, raw } => Some((damage, raw)),
            _ => None,
        });
        let (damage, raw) = damaged.next()?;
        let Some(best) = self.best() else {
            let other = damaged
                .next()
                .map_or(String::new(), |(d, _)| format!("; and {}: {}", d.file.display(), d.what));
            return Some(Damage { what: format!("{}{other}", damage.what), ..damage.clone() });
        };
        if !form.twice {
            return None;
        }
        let newer = if best.twice {
            // The same body under another number is a flipped bit in the number.
            generation_in(raw).is_some_and(|g| g > best.generation) && raw[HEADER..] != best.raw[HEADER..]
        } else {
            // Written before there were two copies: the other file may have been the newer one.
            true
        };
        let kept = form.path(usize::from(damage.file == form.path(0)));
        newer.then(|| Damage {
            what: format!(
                "{}; {} is whole but may be older (generation {})",
                damage.what,
                kept.display(),
                best.generation
            ),
            ..damage.clone()
        })
    }
}

/// The generation that a file claims, sound or not.
fn generation_in(raw: &[u8]) -> Option<u64> {
    let header = raw.get(..HEADER).filter(|h| &h[..8] == MAGIC)?;
    Some(word(header, 8))
}

fn word(header: &[u8], at: usize) -> u64 {
    let mut b = [0; 8];
    b.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(b)
}

impl Form {
    pub fn path(&self, slot: usize) -> PathBuf {
        self.dir.join(format!("{}.{slot}", self.name))
    }

    /// Its name without a number, for messages.
    pub fn base(&self) -> PathBuf {
        self.dir.join(&self.name)
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
        let form = if self.key.is_some() { SEALED } else { 0 } + if self.twice { TWICE } else { 0 };
        let mut out = vec![0; HEADER];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&generation.to_le_bytes());
        out[16..24].copy_from_slice(&form.to_le_bytes());
        out[24..32].copy_from_slice(&(body.len() as u64).to_le_bytes());
        let check = self.check(&out, &body);
        out[CHECKED..HEADER].copy_from_slice(&check);
        out.extend_from_slice(&body);
        out
    }

    /// Generation, content, and whether it was written twice; or what is wrong.
    fn decode(&self, bytes: &[u8]) -> Result<(u64, Vec<u8>, bool), &'static str> {
        let (header, body) = bytes.split_at_checked(HEADER).ok_or("it is too short")?;
        if &header[..8] != MAGIC {
            return Err("it does not begin like a state file");
        }
        if word(header, 24) != body.len() as u64 {
            return Err("its length is not the one it was written with");
        }
        if self.check(header, body) != header[CHECKED..HEADER] {
            return Err("its checksum does not match (damaged, or written under another key)");
        }
        let (generation, form) = (word(header, 8), word(header, 16));
        let twice = form & TWICE != 0;
        if twice && !self.twice {
            return Err("its form is another one");
        }
        match (&self.key, form & !TWICE) {
            (None, 0) => Ok((generation, body.to_vec(), twice)),
            (Some((_, seal)), SEALED) => {
                let opened = seal.open(Position::part(generation, 1), body);
                opened.map(|plain| (generation, plain, twice)).map_err(|_| "it does not open")
            }
            _ => Err("its form is another one"),
        }
    }

    pub fn read(&self, disk: &dyn Disk) -> Result<Found, StoreError> {
        let (first, second) = (self.read_slot(disk, 0), self.read_slot(disk, 1));
        match (first, second) {
            (Err(e), Err(_)) => Err(e),
            (first, second) => Ok(Found { slots: [unreadable(first)?, unreadable(second)?] }),
        }
    }

    fn read_slot(&self, disk: &dyn Disk, slot: usize) -> Result<Slot, StoreError> {
        let path = self.path(slot);
        let raw = match read_all(disk, &path) {
            Ok(raw) => raw,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Slot::Missing),
            Err(e) => return Err(StoreError::io(path, "read", e)),
        };
        Ok(match self.decode(&raw) {
            Ok((generation, plain, twice)) => Slot::Whole(Whole { generation, plain, raw, twice }),
            Err(what) => Slot::Damaged { damage: Damage { file: path, offset: 0, what: what.into() }, raw },
        })
    }

    /// Write the generation after the last known one.
    pub fn write(&self, disk: &dyn Disk, last: &Known, bytes: &[u8]) -> Result<(), StoreError> {
        let generation = last.generation + 1;
        let encoded = self.encode(generation, bytes);
        let io = |what| move |e| StoreError::io(self.base(), what, e);
        disk.create_dir_all(&self.dir).map_err(io("make the directory"))?;
        let first = match self.twice {
            true => last.behind.unwrap_or(0),
            false => (generation % 2) as usize,
        };
        for slot in [first, 1 - first] {
            if last.damaged[slot] {
                self.set_aside(disk, slot).map_err(io("move the damaged file aside"))?;
            }
            if slot == first || self.twice {
                self.write_slot(disk, slot, &encoded)?;
            }
        }
        Ok(())
    }

    /// What is damaged may still be of use to somebody; it is not overwritten.
    fn set_aside(&self, disk: &dyn Disk, slot: usize) -> io::Result<()> {
        let name = |n: usize| format!("{}.{slot}.damaged-{n}", self.name);
        let there = disk.list(&self.dir)?;
        let free = (1..DAMAGED_KEPT).find(|n| !there.iter().any(|(there, _)| *there == name(*n)));
        disk.rename(&self.path(slot), &self.dir.join(name(free.unwrap_or(DAMAGED_KEPT))))
    }

    fn write_slot(&self, disk: &dyn Disk, slot: usize, encoded: &[u8]) -> Result<(), StoreError> {
        let temporary = self.dir.join(format!("{}.tmp", self.name));
        let io = |what| move |e| StoreError::io(self.base(), what, e);
        match disk.remove(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io("remove an old draft")(e)),
            _ => {}
        }
        // New: whatever somebody put there meanwhile, a link above all, is not written through.
        let file = disk.open(&temporary, Open::New).map_err(io("create"))?;
        file.write_at(encoded, 0).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        drop(file);
        disk.rename(&temporary, &self.path(slot)).map_err(io("rename"))?;
        disk.sync_dir(&self.dir).map_err(io("sync the directory"))
    }
}

/// A file on bad sectors is a damaged one, as long as the other can be read.
fn unreadable(slot: Result<Slot, StoreError>) -> Result<Slot, StoreError> {
    match slot {
        Err(StoreError::Io { file, error, .. }) if error.raw_os_error() == Some(EIO) => {
            let damage = Damage { file, offset: 0, what: format!("it cannot be read: {error}") };
            Ok(Slot::Damaged { damage, raw: Vec::new() })
        }
        slot => slot,
    }
}

fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Open::Read)?;
    let len = file.len()?;
    if len > (MAX_LEN + HEADER * 2) as u64 {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; len as usize];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes)
}
