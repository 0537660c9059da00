//! What must be true of the files, whatever happens.

use crate::drive::{Drive, Error, FileKind, Files, Ino, OpenMode, ROOT_INO, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Hash of a whole content.
pub type Version = [u8; 32];

pub fn version(bytes: &[u8]) -> Version {
    blake3::hash(bytes).into()
}

/// One file of a writer's own directory, as its writer knows it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Where it is; None: removed.
    pub path: Option<String>,
    /// Where a power cut may find it.
    pub places: BTreeSet<Option<String>>,
    /// All contents it has had, and the first of them that a power cut may bring back.
    pub history: Vec<Version>,
    pub synced: usize,
    pub content: Vec<u8>,
}

/// The files of one writer's own directory.
#[derive(Default)]
pub struct Own {
    pub files: BTreeMap<u64, Known>,
    pub dirs: Vec<String>,
}

impl Own {
    /// Numbers of the files that are there.
    pub fn present(&self) -> Vec<u64> {
        self.files.iter().filter(|(_, f)| f.path.is_some()).map(|(n, _)| *n).collect()
    }
    /// Everything done so far to file `n` is on the disk.
    pub fn synced(&mut self, n: u64) {
        if let Some(f) = self.files.get_mut(&n) {
            f.synced = f.history.len() - 1;
            f.places = [f.path.clone()].into();
            if f.path.is_none() {
                self.files.remove(&n);
            }
        }
    }
}

/// A file or directory as a drive shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub ino: Ino,
    pub dir: bool,
    pub size: u64,
}

/// Everything in a drive, by path.
pub fn walk(drive: &Drive) -> Result<BTreeMap<String, Seen>> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(String::new(), ROOT_INO)];
    while let Some((path, ino)) = todo.pop() {
        let mut after = None;
        loop {
            let part = drive.readdir(ino, after, 256)?;
            let Some(last) = part.last() else { break };
            after = Some(last.cursor);
            for e in &part {
                let path = format!("{path}/{}", String::from_utf8_lossy(&e.name));
                let dir = e.attr.kind == FileKind::Dir;
                if dir {
                    todo.push((path.clone(), e.attr.ino));
                }
                out.insert(path, Seen { ino: e.attr.ino, dir, size: e.attr.size });
            }
        }
    }
    Ok(out)
}

const READ: OpenMode = OpenMode { read: true, write: false, append: false, truncate: false };
/// What the kernel asks for at once.
const PART: u32 = 128 << 10;

async fn read_once(drive: &Drive, ino: Ino) -> Result<Vec<u8>> {
    let handle = drive.open(ino, READ).await?;
    let mut out = Vec::new();
    let read = loop {
        match drive.read(handle, out.len() as u64, PART).await {
            Ok(part) if part.is_empty() => break Ok(out),
            Ok(part) => out.extend_from_slice(&part),
            Err(e) => break Err(e),
        }
    };
    drive.release(handle).await?;
    read
}

/// A whole file. Several reads are no snapshot: when the content changed meanwhile, again.
pub async fn read(drive: &Drive, ino: Ino, limit: Duration) -> Result<Vec<u8>> {
    let reading = async {
        loop {
            let before = drive.content_epoch(ino);
            let bytes = read_once(drive, ino).await?;
            if drive.content_epoch(ino) == before {
                return Ok(bytes);
            }
        }
    };
    tokio::time::timeout(limit, reading).await.unwrap_or(Err(Error::TimedOut))
}
