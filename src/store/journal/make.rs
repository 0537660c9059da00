//! Making a file of the journal.

use super::recover::{JournalFile, slot_path};
use super::writer::RESERVE;
use super::{Journal, JournalOptions};
use crate::store::StoreError;
use crate::world::{Disk, Open, World};
use std::io;
use std::path::Path;

/// Bytes of zeros written at once.
const ZEROS: usize = 1 << 20;

/// A new file of full length, durable, and filled with zeros if asked.
pub(super) fn make_file(
    disk: &dyn Disk,
    dir: &Path,
    slot: u64,
    options: &JournalOptions,
    prewrite: bool,
) -> Result<JournalFile, StoreError> {
    let path = slot_path(dir, slot);
    let make = || -> io::Result<JournalFile> {
        let file = disk.open(&path, Open::OrCreate)?;
        file.preallocate(options.file_len)?;
        if prewrite {
            let zeros = vec![0; ZEROS.min(options.file_len as usize)];
            for at in (0..options.file_len).step_by(zeros.len()) {
                let part = zeros.len().min((options.file_len - at) as usize);
                file.write_at(&zeros[..part], at)?;
            }
        }
        file.sync()?;
        disk.sync_dir(dir)?;
        Ok(JournalFile { slot, path: path.clone(), file })
    };
    make().map_err(|e| StoreError::io(&path, "make", e))
}

impl Journal {
    /// Delete the reserve of a journal that is not open, for whoever needs the room to start.
    pub async fn give_reserve(world: &World, dir: &Path) -> Result<(), StoreError> {
        let (disk, path) = (world.disk.clone(), dir.join(RESERVE));
        let parent = dir.to_path_buf();
        // Only when its name is gone for good is its room there again everywhere.
        let give = move || disk.remove(&path).and_then(|()| disk.sync_dir(&parent));
        match world.blocking(give).await.and_then(|done| done) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io(dir.join(RESERVE), "remove", e))
            }
            _ => Ok(()),
        }
    }
}

/// Whether something could not be made, written or removed (of a sync that says more) because the disk is
/// full.
pub(super) fn no_room(e: &StoreError) -> bool {
    matches!(e, StoreError::Io { error, .. }
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}
