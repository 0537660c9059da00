//! The files of a set of segments, a bounded number of them open; reading them at start.

use super::record::{ALIGN, Keys, PREFIX, Prefix};
use crate::keys::ChunkId;
use crate::store::StoreError;
use crate::world::{Disk, DiskFile, Open};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files held open at once.
const HANDLES: usize = 128;
const SUFFIX: &str = ".seg";
/// Bytes read at a record while walking, and while looking for the next one.
const PEEK: usize = 8 << 10;
const SCAN: usize = 1 << 20;

/// Open files, by segment.
pub(super) struct Files {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    open: Mutex<Handles>,
}

/// A clock of uses, and per segment its last use and its handle.
#[derive(Default)]
struct Handles {
    tick: u64,
    files: BTreeMap<u64, (u64, Arc<dyn DiskFile>)>,
}

impl Files {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Files {
        Files { disk, dir: dir.to_path_buf(), open: Mutex::default() }
    }
    pub(super) fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(format!("{segment:016x}{SUFFIX}"))
    }
    /// The file of a segment.
    pub(super) fn get(&self, segment: u64, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock();
        open.tick += 1;
        let tick = open.tick;
        if let Some((used, file)) = open.files.get_mut(&segment) {
            *used = tick;
            return Ok(file.clone());
        }
        let file = self.disk.open(&self.path(segment), how)?;
        open.files.insert(segment, (tick, file.clone()));
        if open.files.len() > HANDLES {
            let oldest = open.files.iter().min_by_key(|(_, (used, _))| *used).map(|(n, _)| *n);
            if let Some(n) = oldest {
                open.files.remove(&n);
            }
        }
        Ok(file)
    }
    pub(super) fn remove(&self, segment: u64) -> io::Result<()> {
        self.open.lock().files.remove(&segment);
        self.disk.remove(&self.path(segment))
    }
    /// The numbers and lengths of the segments there are.
    pub(super) fn list(&self) -> Result<Vec<(u64, u64)>, StoreError> {
        let io = |what| move |e| StoreError::io(&self.dir, what, e);
        self.disk.create_dir_all(&self.dir).map_err(io("make"))?;
        let found = self.disk.list(&self.dir).map_err(io("list"))?;
        let number = |name: &str| u64::from_str_radix(name.strip_suffix(SUFFIX)?, 16).ok();
        let mut all: Vec<_> = found.iter().filter_map(|(name, len)| Some((number(name)?, *len))).collect();
        all.sort_unstable();
        Ok(all)
    }
}

/// What reading a segment's heads gave.
pub(super) struct Walked {
    pub(super) records: Vec<(ChunkId, u64, Prefix)>,
    /// Records whose head does not open.
    pub(super) damaged: u64,
    /// Where the last record ends, or would end: of one whose head a power cut left without its
    /// body the room stays taken. What was written into it would be passed over at the next
    /// opening, when the file is longer.
    pub(super) end: u64,
}

/// Walks the records of a file. Between records that were lost or damaged it looks at every
/// place where one may begin. What cannot be read is treated as damaged.
pub(super) fn walk(file: &dyn DiskFile, segment: u64, len: u64, keys: &Keys) -> Walked {
    let mut out = Walked { records: Vec::new(), damaged: 0, end: len };
    let mut window = Vec::new();
    let (mut start, mut at) = (0u64, 0u64);
    let mut lost = false;
    while at + PREFIX as u64 <= len {
        let inside = at >= start && at + PREFIX as u64 <= start + window.len() as u64;
        if !inside {
            fill(file, at, if lost { SCAN } else { PEEK }, &mut window);
            start = at;
            if window.len() < PREFIX {
                at += ALIGN;
                continue;
            }
        }
        let prefix = keys.prefix(segment, at, &window[(at - start) as usize..]);
        let Some(prefix) = prefix else {
            lost = true;
            at += ALIGN;
            continue;
        };
        lost = false;
        let body_end = at + prefix.body_at() + u64::from(prefix.body);
        if !prefix.dead && body_end <= len {
            let head_at = at + PREFIX as u64;
            let end = head_at + u64::from(prefix.head);
            if end > start + window.len() as u64 {
                fill(file, at, PREFIX + prefix.head as usize, &mut window);
                start = at;
            }
            let sealed = window.get((head_at - start) as usize..(end - start) as usize);
            match sealed.and_then(|s| keys.head(segment, at, s, prefix.body)) {
                Some(head) => out.records.push((head.id, at, prefix)),
                None => out.damaged += 1,
            }
        }
        at += prefix.span();
        out.end = out.end.max(at);
    }
    out
}

fn fill(file: &dyn DiskFile, at: u64, len: usize, window: &mut Vec<u8>) {
    window.resize(len, 0);
    let n = file.read_at(window, at).unwrap_or(0);
    window.truncate(n);
}
