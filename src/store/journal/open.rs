//! Opening: make, adopt, recover, or salvage.

use super::frame::{Draft, Keys};
use super::recover::{Recovery, read_body, recover, wipe};
use super::writer::Writer;
use super::{JournalOptions, Lsn, Record};
use crate::store::{Damage, StoreError};
use crate::world::Disk;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An opened journal before its task is started.
pub(super) struct Opened<S> {
    pub(super) writer: Writer,
    pub(super) state: S,
    pub(super) records: u64,
    pub(super) torn: usize,
    pub(super) damage: Vec<Damage>,
    pub(super) aside: Option<PathBuf>,
    pub(super) trimmed: Lsn,
    pub(super) new: bool,
}

/// Opens the journal in `dir`, whatever state it is in.
pub(super) fn open<S>(
    disk: Arc<dyn Disk>,
    dir: &Path,
    keys: &Arc<Keys>,
    mut options: JournalOptions,
    run: u64,
    mut state: S,
    mut replay: impl FnMut(&mut S, Record<'_>),
) -> Result<Opened<S>, StoreError> {
    let io = |what| move |e| StoreError::io(dir, what, e);
    let parent = dir.parent().unwrap_or(Path::new(".")).to_path_buf();
    disk.create_dir_all(&parent).map_err(io("make the directory above"))?;
    let building = beside(dir, ".new");
    let mut adopted = None;
    let new = !exists(&*disk, &parent, dir)?;
    if new {
        adopted = adopt(&*disk, &parent, dir, &building, keys, &options)?;
        if adopted.is_none() {
            let made = build(&disk, &building, keys, &options, run, 1)?;
            drop(made);
            install(&*disk, &parent, &building, dir)?;
        }
    } else if exists(&*disk, &parent, &building)? {
        disk.remove_dir_all(&building).map_err(io("remove what a crash left of"))?;
    }
    let mut found = recover(&*disk, dir, keys, &options, &mut state, &mut replay)?;
    if options.skim && !found.damage.is_empty() {
        options.skim = false;
        found = recover(&*disk, dir, keys, &options, &mut state, &mut replay)?;
    }
    let records = found.records;
    let mut damage: Vec<Damage> = adopted.clone().flatten().into_iter().collect();
    let mut aside = None;
    if !found.damage.is_empty() {
        damage.append(&mut found.damage);
        aside = Some(salvage(&disk, &parent, dir, &building, keys, &options, run, &found)?);
        let nothing = &mut |_: &mut (), _: Record<'_>| {};
        found = recover(&*disk, dir, keys, &options, &mut (), nothing)?;
    } else {
        wipe(&found.files, &found.torn)?;
    }
    let torn = found.torn.len();
    let trimmed = found.trimmed;
    let mut writer = Writer::resume(disk, dir, options, keys.clone(), run, &found)?;
    writer.ensure_spare(false)?;
    Ok(Opened { writer, state, records, torn, damage, aside, trimmed, new: new && adopted.is_none() })
}

/// `dir` with something added to its name.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    dir.with_file_name(name)
}

fn exists(disk: &dyn Disk, parent: &Path, dir: &Path) -> Result<bool, StoreError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dirs = disk.list_dirs(parent).map_err(|e| StoreError::io(parent, "list", e))?;
    Ok(dirs.contains(&name))
}

/// Makes a journal in a directory that is not yet its own.
fn build(
    disk: &Arc<dyn Disk>,
    building: &Path,
    keys: &Arc<Keys>,
    options: &JournalOptions,
    run: u64,
    first: Lsn,
) -> Result<Writer, StoreError> {
    disk.create_dir_all(building).map_err(|e| StoreError::io(building, "make", e))?;
    Writer::create(disk.clone(), building, options.clone(), keys.clone(), run, first)
}

/// Gives a complete journal its name.
fn install(disk: &dyn Disk, parent: &Path, building: &Path, dir: &Path) -> Result<(), StoreError> {
    disk.rename(building, dir).map_err(|e| StoreError::io(building, "rename", e))?;
    disk.sync_dir(parent).map_err(|e| StoreError::io(parent, "sync", e))
}

/// There is no journal. A crash while one was made, or salvaged, may have left a whole one
/// under the building name: then that is it.
///
/// The answer: nothing to adopt; or adopted, with what is to be said about it.
fn adopt(
    disk: &dyn Disk,
    parent: &Path,
    dir: &Path,
    building: &Path,
    keys: &Keys,
    options: &JournalOptions,
) -> Result<Option<Option<Damage>>, StoreError> {
    if !exists(disk, parent, building)? {
        return Ok(None);
    }
    let found = recover(disk, building, keys, options, &mut (), &mut |_, _| {})?;
    if !found.damage.is_empty() {
        disk.remove_dir_all(building).map_err(|e| StoreError::io(building, "remove", e))?;
        return Ok(None);
    }
    install(disk, parent, building, dir)?;
    let aside = last_aside(disk, parent, dir)?;
    Ok(Some(aside.map(|(_, file)| Damage {
        file,
        offset: 0,
        what: "an earlier opening that was interrupted found damage and set this aside".to_string(),
    })))
}

/// Copies what can be read into a new journal and sets the old files aside.
#[allow(clippy::too_many_arguments)]
fn salvage(
    disk: &Arc<dyn Disk>,
    parent: &Path,
    dir: &Path,
    building: &Path,
    keys: &Arc<Keys>,
    options: &JournalOptions,
    run: u64,
    found: &Recovery,
) -> Result<PathBuf, StoreError> {
    let first = found.chain.iter().find(|f| f.header.last() > found.trimmed);
    let first = first.map_or(found.trimmed + 1, |f| f.header.first);
    let mut writer = build(disk, building, keys, options, run, first)?;
    let mut body = Vec::new();
    for f in found.chain.iter().filter(|f| f.header.last() > found.trimmed && f.header.count > 0) {
        let file = &found.files[f.file];
        let whole = read_body(file, f, &mut body)? && f.header.open(keys, &mut body);
        if !whole {
            let error = io::Error::other("reads differently the second time");
            return Err(StoreError::io(&file.path, "salvage", error));
        }
        let mut draft = Draft::new(f.header.first, body.len());
        draft.fill(&body, f.header.count);
        if !writer.put(draft, first - 1)? {
            return Err(StoreError::Full(dir.to_path_buf()));
        }
    }
    writer.sync()?;
    drop(writer);
    let number = last_aside(&**disk, parent, dir)?.map_or(1, |(n, _)| n + 1);
    let aside = beside(dir, &format!("{ASIDE}{number}"));
    disk.rename(dir, &aside).map_err(|e| StoreError::io(dir, "set aside", e))?;
    disk.sync_dir(parent).map_err(|e| StoreError::io(parent, "sync", e))?;
    install(&**disk, parent, building, dir)?;
    Ok(aside)
}

const ASIDE: &str = ".damaged-";

/// The latest directory set aside.
fn last_aside(disk: &dyn Disk, parent: &Path, dir: &Path) -> Result<Option<(u64, PathBuf)>, StoreError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dirs = disk.list_dirs(parent).map_err(|e| StoreError::io(parent, "list", e))?;
    let numbers = dirs.iter().filter_map(|d| d.strip_prefix(&name)?.strip_prefix(ASIDE)?.parse().ok());
    Ok(numbers.max().map(|n| (n, beside(dir, &format!("{ASIDE}{n}")))))
}
