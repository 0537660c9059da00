//! Reading a journal back.
//!
//! Every frame names the check of the one before it, so the records to replay are one chain,
//! and bytes of an earlier use of a file can never be taken for part of it. A frame also says
//! which frames were synced when it was written. So where the chain ends, one of two things
//! is true: no frame that says it was written after a sync of what is missing can be found
//! (then the rest was never acknowledged: the torn tail, which is cut), or one can (then
//! acknowledged records are damaged: everything readable is replayed, copied into a new
//! journal, and the old files are kept aside).

use super::frame::{BLOCK, Check, HEADER, Header, Keys};
use super::{JournalOptions, Lsn, Record};
use crate::store::{Damage, StoreError};
use crate::world::{Disk, DiskFile, Open};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes read at once while looking for frames.
const SCAN: usize = 1 << 20;
pub(super) const SUFFIX: &str = ".jnl";

/// A file of the journal.
#[derive(Clone)]
pub(super) struct JournalFile {
    pub(super) slot: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
}

/// A frame that was found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) file: usize,
    pub(super) offset: u64,
    pub(super) header: Header,
}

/// What is in the files.
pub(super) struct Recovery {
    pub(super) files: Vec<JournalFile>,
    /// The frames to go on from, in order, all readable.
    pub(super) chain: Vec<Found>,
    pub(super) trimmed: Lsn,
    pub(super) max_seq: u64,
    /// Frames after the end of the chain, never acknowledged, to be wiped.
    pub(super) torn: Vec<Found>,
    pub(super) damage: Vec<Damage>,
    pub(super) records: u64,
}

/// The path of a file by its slot.
pub(super) fn slot_path(dir: &Path, slot: u64) -> PathBuf {
    dir.join(format!("{slot:08}{SUFFIX}"))
}

/// Opens all files of a journal.
pub(super) fn open_files(disk: &dyn Disk, dir: &Path) -> Result<Vec<JournalFile>, StoreError> {
    let mut files = Vec::new();
    for (name, _) in disk.list(dir).map_err(|e| StoreError::io(dir, "list", e))? {
        let slot = name.strip_suffix(SUFFIX).and_then(|n| n.parse().ok());
        let Some(slot) = slot else { continue };
        let path = dir.join(&name);
        let file = disk.open(&path, Open::Existing).map_err(|e| StoreError::io(&path, "open", e))?;
        files.push(JournalFile { slot, path, file });
    }
    Ok(files)
}

/// Reads the journal in `dir`, replaying what it holds.
pub(super) fn recover<S>(
    disk: &dyn Disk,
    dir: &Path,
    keys: &Keys,
    options: &JournalOptions,
    state: &mut S,
    replay: &mut impl FnMut(&mut S, Record<'_>),
) -> Result<Recovery, StoreError> {
    let files = open_files(disk, dir)?;
    let mut found = Vec::new();
    for (n, file) in files.iter().enumerate() {
        scan(n, file, keys, options, &mut found)?;
    }
    found.sort_by_key(|f: &Found| f.header.seq);
    let trimmed = found.iter().map(|f| f.header.trimmed).max().unwrap_or(0);
    let max_seq = found.iter().map(|f| f.header.seq).max().unwrap_or(0);
    let mut recovery = Recovery {
        files,
        chain: Vec::new(),
        trimmed,
        max_seq,
        torn: Vec::new(),
        damage: Vec::new(),
        records: 0,
    };
    if found.is_empty() {
        // A journal is made with a first frame before it gets its name.
        let what = "no readable frame in any file (damaged, or sealed under another key)".to_string();
        recovery.damage.push(Damage { file: dir.to_path_buf(), offset: 0, what });
        return Ok(recovery);
    }
    follow(&mut recovery, &found, keys, options.skim, state, replay)?;
    Ok(recovery)
}

/// Collects the valid headers of a file, in order. Frames of an earlier use of the file have
/// lower numbers than those before them, and are left out.
fn scan(
    number: usize,
    file: &JournalFile,
    keys: &Keys,
    options: &JournalOptions,
    found: &mut Vec<Found>,
) -> Result<(), StoreError> {
    let io = |e| StoreError::io(&file.path, "read", e);
    let len = file.file.len().map_err(io)?.max(options.file_len.min(BLOCK));
    // Where bodies are not wanted they are passed over.
    let scan = if options.skim { BLOCK as usize } else { SCAN };
    let mut window = vec![0; scan.min(len as usize).max(BLOCK as usize)];
    let (mut start, mut filled) = (0u64, 0usize);
    let (mut at, mut last) = (0u64, 0u64);
    while at + HEADER as u64 <= len {
        if at < start || at + HEADER as u64 > start + filled as u64 {
            start = at;
            filled = file.file.read_at(&mut window, at).map_err(io)?;
            if filled < HEADER {
                break;
            }
        }
        let bytes = &window[(at - start) as usize..filled];
        match Header::read(keys, bytes) {
            Some(header) if header.seq > last && at + header.span() <= len => {
                last = header.seq;
                found.push(Found { file: number, offset: at, header });
                at += header.span();
            }
            _ => at += BLOCK,
        }
    }
    Ok(())
}

/// Follows the chain from the first record still needed.
fn follow<S>(
    recovery: &mut Recovery,
    found: &[Found],
    keys: &Keys,
    skim: bool,
    state: &mut S,
    replay: &mut impl FnMut(&mut S, Record<'_>),
) -> Result<(), StoreError> {
    let by_prev: BTreeMap<(Check, u64), usize> =
        found.iter().enumerate().map(|(n, f)| ((f.header.prev, f.header.seq), n)).collect();
    // The highest `durable` of this frame and all after it.
    let mut synced = vec![0; found.len() + 1];
    for n in (0..found.len()).rev() {
        synced[n] = synced[n + 1].max(found[n].header.durable);
    }
    let mut body = Vec::new();
    let mut next = start(recovery, found);
    while let Some(n) = next {
        let f = &found[n];
        if skim && n + 1 < found.len() {
            recovery.chain.push(*f);
            next = after(recovery, found, &by_prev, &synced, n);
            continue;
        }
        let good = read_body(&recovery.files[f.file], f, &mut body)? && f.header.open(keys, &mut body);
        let trimmed = recovery.trimmed;
        let mut seen = 0;
        let whole = good
            && f.header.records(&body, |_| ())
            && f.header.records(&body, |record| {
                if record.lsn > trimmed {
                    seen += 1;
                    replay(state, record);
                }
            });
        recovery.records += seen;
        if whole {
            recovery.chain.push(*f);
        } else if synced[n + 1] >= f.header.seq {
            let what = format!("records {} to {} do not open", f.header.first, f.header.last());
            recovery.damage.push(place(recovery, f, f.offset, what));
        } else {
            recovery.torn = found[n..].to_vec();
            resume_before(recovery, found, n);
            return Ok(());
        }
        next = after(recovery, found, &by_prev, &synced, n);
    }
    Ok(())
}

/// Frame `n` is torn. When it was the first with a record that is needed, the journal goes on from
/// the one before it, of which the header is enough.
fn resume_before(recovery: &mut Recovery, found: &[Found], n: usize) {
    if !recovery.chain.is_empty() {
        return;
    }
    match n.checked_sub(1) {
        Some(before) => recovery.chain.push(found[before]),
        None => {
            // There is always a synced frame: without it this is damage, not a torn end.
            let what = "the first frame does not open".to_string();
            recovery.damage.push(place(recovery, &found[n], found[n].offset, what));
        }
    }
}

/// The first frame with a record that is needed, and a complaint if it is not the one it
/// should be.
fn start(recovery: &mut Recovery, found: &[Found]) -> Option<usize> {
    // With everything trimmed, the last frame is still what the chain goes on from.
    let needed = |f: &Found| f.header.last() > recovery.trimmed;
    let n = found.iter().position(needed).unwrap_or(found.len() - 1);
    let first = &found[n];
    if first.header.first <= recovery.trimmed + 1 || first.header.prev == [0; 16] {
        return Some(n);
    }
    if n > 0 {
        // Something is missing before it. Whether that was ever acknowledged shows when the
        // chain is followed from the last frame that is not needed.
        return Some(n - 1);
    }
    let what = format!("records {} to {} are missing", recovery.trimmed + 1, first.header.first - 1);
    recovery.damage.push(place(recovery, first, first.offset, what));
    Some(n)
}

/// The frame after number `n`: the one that names it; else, if something after it had been
/// synced, the next there is.
fn after(
    recovery: &mut Recovery,
    found: &[Found],
    by_prev: &BTreeMap<(Check, u64), usize>,
    synced: &[u64],
    n: usize,
) -> Option<usize> {
    let here = &found[n].header;
    let range = (here.check, here.seq + 1)..=(here.check, u64::MAX);
    if let Some((_, next)) = by_prev.range(range).next_back() {
        return Some(*next);
    }
    if n + 1 == found.len() {
        return None;
    }
    if synced[n + 1] > here.seq {
        let what = format!("records from {} on are missing", here.last() + 1);
        let offset = found[n].offset + here.span();
        recovery.damage.push(place(recovery, &found[n], offset, what));
        return Some(n + 1);
    }
    recovery.torn = found[n + 1..].to_vec();
    None
}

/// Makes sure that frames which were cut off can never be read again.
pub(super) fn wipe(files: &[JournalFile], torn: &[Found]) -> Result<(), StoreError> {
    let mut touched = std::collections::BTreeSet::new();
    for f in torn {
        let file = &files[f.file];
        let zeros = [0; HEADER];
        file.file.write_at(&zeros, f.offset).map_err(|e| StoreError::io(&file.path, "write", e))?;
        touched.insert(f.file);
    }
    for n in touched {
        files[n].file.sync().map_err(|e| StoreError::io(&files[n].path, "sync", e))?;
    }
    Ok(())
}

fn place(recovery: &Recovery, f: &Found, offset: u64, what: String) -> Damage {
    Damage { file: recovery.files[f.file].path.clone(), offset, what }
}

/// Reads the sealed body of a frame; false when the file ends inside it.
pub(super) fn read_body(file: &JournalFile, f: &Found, body: &mut Vec<u8>) -> Result<bool, StoreError> {
    body.resize(f.header.len as usize, 0);
    let n = file
        .file
        .read_at(body, f.offset + HEADER as u64)
        .map_err(|e| StoreError::io(&file.path, "read", e))?;
    Ok(n == body.len())
}
