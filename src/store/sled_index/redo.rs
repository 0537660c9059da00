//! What is being moved into sled, in files beside it, until sled has synced it.
//!
//! A process that is killed leaves of the writes given to sled only a beginning; with these
//! files, which the kernel keeps, they are given once more. After a power cut they are not
//! looked at: nothing here is synced.
//!
//! ```text
//! file <number, 16 hex digits>: the number u64, the length of what follows u64, then, sealed under derive(index key,
//! IndexValue, "redo") at Position { index: number, total: 0, codec: 0 }, per record:
//!   key [33], 0 or 1 and value length u32 and value
//! ```

use super::overlay::Writes;
use crate::keys::{Kind, Position, Seal, SealKey};
use crate::world::{BLINDED_LEN, Blinded};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// No file is longer: writers wait long before, and what one entry changes at once is less.
const FILE_MAX: u64 = 256 << 20;

/// The files, and what is open of them.
pub(super) struct Redo {
    dir: PathBuf,
    seal: SealKey,
    /// Numbers of files there are: from, and up to but not including.
    kept: std::ops::Range<u64>,
    bytes: u64,
}

fn at(number: u64) -> Position {
    Position { index: number, total: 0, codec: 0 }
}

impl Redo {
    /// Begins with no file.
    pub(super) fn begin(dir: PathBuf, key: &[u8; 32]) -> io::Result<Redo> {
        clear(&dir)?;
        fs::create_dir_all(&dir)?;
        Ok(Redo { dir, seal: sealing(key), kept: 0..0, bytes: 0 })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}"))
    }

    /// Keep what is about to be moved.
    pub(super) fn keep(&mut self, writes: &Writes) -> io::Result<()> {
        let number = self.kept.end;
        let sealed = self.seal.seal(at(number), &encode(writes));
        let head = [number.to_le_bytes(), (sealed.len() as u64).to_le_bytes()].concat();
        let bytes = [head, sealed].concat();
        if bytes.len() as u64 > FILE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.path(number))?;
        self.kept.end += 1;
        self.bytes += bytes.len() as u64;
        file.write_all(&bytes)
    }

    /// Files and bytes kept.
    pub(super) fn kept(&self) -> (u64, u64) {
        (self.kept.end - self.kept.start, self.bytes)
    }

    /// All that was kept is in sled, synced. The oldest goes first: what a kill leaves is whole.
    pub(super) fn done(&mut self) -> io::Result<()> {
        while self.kept.start < self.kept.end {
            fs::remove_file(self.path(self.kept.start))?;
            self.kept.start += 1;
        }
        self.bytes = 0;
        Ok(())
    }
}

fn sealing(key: &[u8; 32]) -> SealKey {
    SealKey::derive(key, b"", Kind::IndexValue, b"redo")
}

/// Bytes of the files.
pub(super) fn bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum()
}

/// Removes the files.
pub(super) fn clear(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn encode(writes: &Writes) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in writes {
        out.extend_from_slice(key);
        out.push(u8::from(value.is_some()));
        if let Some(value) = value {
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
    }
    out
}

fn decode(mut rest: &[u8]) -> Option<Writes> {
    let mut writes = Writes::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_first_chunk::<BLINDED_LEN>()?;
        let (&some, mut after) = after.split_first()?;
        let mut value = None;
        if some == 1 {
            let (len, tail) = after.split_first_chunk::<4>()?;
            let (bytes, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            (value, after) = (Some(bytes.to_vec()), tail);
        }
        writes.insert(Blinded::from(*key), value);
        rest = after;
    }
    Some(writes)
}

/// Gives what a killed process left, in order. False: something is missing or damaged. (The last
/// file may be cut short: what it was to keep was not begun to be moved.)
pub(super) fn replay<E>(
    dir: &Path,
    key: &[u8; 32],
    mut again: impl FnMut(&Writes) -> Result<(), E>,
) -> Result<bool, E> {
    let Ok(files) = fs::read_dir(dir) else { return Ok(false) };
    let numbers = files.map(|file| u64::from_str_radix(&file.ok()?.file_name().to_string_lossy(), 16).ok());
    let Some(mut numbers) = numbers.collect::<Option<Vec<u64>>>() else { return Ok(false) };
    numbers.sort_unstable();
    if numbers.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
        return Ok(false);
    }
    let seal = sealing(key);
    for number in &numbers {
        match read(&dir.join(format!("{number:016x}")), *number, &seal) {
            Some(Kept::Whole(writes)) => again(&writes)?,
            Some(Kept::Begun) => return Ok(numbers.last() == Some(number)),
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// What is in a file.
enum Kept {
    Whole(Writes),
    /// Its end was not written: nothing of it was moved.
    Begun,
}

/// None: it is not what was written.
fn read(path: &Path, number: u64, seal: &SealKey) -> Option<Kept> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() > FILE_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    let Some((name, rest)) = bytes.split_first_chunk::<8>() else { return Some(Kept::Begun) };
    let Some((len, sealed)) = rest.split_first_chunk::<8>() else { return Some(Kept::Begun) };
    if u64::from_le_bytes(*name) != number {
        return None;
    }
    if (sealed.len() as u64) < u64::from_le_bytes(*len) {
        return Some(Kept::Begun);
    }
    decode(&seal.open(at(number), sealed).ok()?).map(Kept::Whole)
}
