//! The mark of a clean end, without which an index is not trusted.
//!
//! sled's own files are read only if a marker says that they were closed, and holds of each
//! of them the length, the inode number and the time of its last change (ctime, which no
//! program can set back) as they are now. They were synced before the marker was left, which
//! sled itself does not do; so a start after a clean end costs the same whatever the size, in
//! this boot or another. A file that anybody wrote to, shortened, or put back from a backup is
//! noticed. What only the medium did is not: sled's checksums and the seals of the values
//! notice that when they come to it.
//!
//! ```text
//! magic "kithidx3", file count u32,
//! per file: name length u32, name, length u64, inode u64, ctime seconds i64, nanoseconds i64;
//! check [32] = derive("disk checksum", index key, [all that goes before])
//! ```
//!
//! While an index is open another mark says so: in which boot, and over which file. Who finds it
//! there in the same boot knows that the process was killed and that the kernel has all that it
//! wrote.
//!
//! ```text
//! magic "kithopn2", of sled's file inode u64, device u64, mount u64; boot id; check [32] as above
//! ```

use crate::keys::{Purpose, derive_array};
use rustix::fs::{AtFlags, CWD, StatxFlags};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"kithidx3";

const OPEN_MAGIC: &[u8; 8] = b"kithopn2";
/// Linux: 36 characters that are others after every start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The bytes that say that the database in `db` is open; None where boots cannot be told apart.
fn opened(db: &Path, key: &[u8; 32]) -> Option<Vec<u8>> {
    let boot = fs::read(BOOT_ID).ok()?;
    let file = db.join("db");
    let is = fs::symlink_metadata(&file).ok()?;
    // A disk that was taken away and mounted again may have lost what the kernel had for it.
    let mount = rustix::fs::statx(CWD, &file, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID).ok()?.stx_mnt_id;
    let mut out = OPEN_MAGIC.to_vec();
    for number in [is.ino(), is.dev(), mount] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&boot);
    let check = derive_array::<32>(Purpose::DiskChecksum, key, &[&out]);
    out.extend_from_slice(&check[..]);
    Some(out)
}

/// Says that the database in `db` is open.
pub(super) fn say_open(mark: &Path, db: &Path, key: &[u8; 32]) -> io::Result<()> {
    match opened(db, key) {
        Some(bytes) => fs::write(mark, bytes),
        None => Ok(()),
    }
}

/// Whether a process that had the database in `db` open was killed, in this boot.
pub(super) fn was_open(mark: &Path, db: &Path, key: &[u8; 32]) -> bool {
    fs::read(mark).is_ok_and(|said| opened(db, key).is_some_and(|is| is == said))
}

/// Takes that back, for good.
pub(super) fn say_closed(mark: &Path) -> io::Result<()> {
    match fs::remove_file(mark) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The bytes of a marker for the files in `db` as they are now.
pub(super) fn describe(db: &Path, key: &[u8; 32]) -> io::Result<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    let (files, _) = walk(db)?;
    out.extend_from_slice(&(files.len() as u32).to_le_bytes());
    for path in files {
        let name = path.strip_prefix(db).unwrap_or(&path).as_os_str().as_encoded_bytes();
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name);
        let is = fs::symlink_metadata(&path)?;
        for number in [is.size(), is.ino()] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [is.ctime(), is.ctime_nsec()] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
    let check = derive_array::<32>(Purpose::DiskChecksum, key, &[&out]);
    out.extend_from_slice(&check[..]);
    Ok(out)
}

/// Files and directories at and below `dir`, sorted.
fn walk(dir: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut dirs, mut next) = (Vec::new(), vec![dir.to_path_buf()], 0);
    while let Some(dir) = dirs.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { dirs.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    Ok((files, dirs))
}

/// Brings the closed files of a database to the disk, their names too.
pub(super) fn settle(db: &Path) -> io::Result<()> {
    let (files, dirs) = walk(db)?;
    for path in files.iter().chain(&dirs) {
        File::open(path)?.sync_all()?;
    }
    sync_dir(db)
}

/// Takes the marker away, for good; whether it vouches for the files in `db`. None: there was none.
pub(super) fn take(marker: &Path, db: &Path, key: &[u8; 32]) -> io::Result<Option<bool>> {
    let said = match fs::read(marker) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    fs::remove_file(marker)?;
    sync_dir(marker)?;
    Ok(Some(describe(db, key).is_ok_and(|is| is == said)))
}

/// Puts a marker there.
pub(super) fn leave(marker: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = marker.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, marker)?;
    sync_dir(marker)
}

fn sync_dir(marker: &Path) -> io::Result<()> {
    match marker.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
