//! The mark of a clean end, without which an index is not trusted.
//!
//! sled's own files are read only if a marker says that they were closed in this boot, and
//! holds the length and BLAKE3 hash of each of them as they are. That is a full read at
//! opening and closing (a second or so per GB), and the only thing that catches what sled
//! itself does not: a shortened file, which it opens without a word.
//!
//! ```text
//! magic "kithidx1", boot id length u32, boot id, file count u32,
//! per file: name length u32, name, length u64, hash [32];
//! check [32] = derive("disk checksum", index key, [all that goes before])
//! ```

use crate::keys::{Purpose, derive_array};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"kithidx1";
const READ: usize = 1 << 20;

/// What tells this boot from any other; empty if the kernel does not say (then no index is
/// ever trusted).
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_string()).unwrap_or_default()
}

/// The bytes of a marker for the files in `db` as they are now.
pub(super) fn describe(db: &Path, boot: &str, key: &[u8; 32]) -> io::Result<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    put(&mut out, boot.as_bytes());
    let mut files = Vec::new();
    walk(db, &mut files)?;
    files.sort();
    out.extend_from_slice(&(files.len() as u32).to_le_bytes());
    let mut buffer = vec![0; READ];
    for path in files {
        let name = path.strip_prefix(db).unwrap_or(&path);
        put(&mut out, name.as_os_str().as_encoded_bytes());
        let mut file = File::open(&path)?;
        let mut hasher = blake3::Hasher::new();
        let mut len = 0u64;
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            len += n as u64;
        }
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(hasher.finalize().as_bytes());
    }
    let check = derive_array::<32>(Purpose::DiskChecksum, key, &[&out]);
    out.extend_from_slice(&check[..]);
    Ok(out)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { walk(&entry.path(), files)? } else { files.push(entry.path()) }
    }
    Ok(())
}

/// Takes the marker away, for good; whether it vouches for the files in `db`.
pub(super) fn take(marker: &Path, db: &Path, boot: &str, key: &[u8; 32]) -> io::Result<bool> {
    let said = match fs::read(marker) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    fs::remove_file(marker)?;
    sync_dir(marker)?;
    if boot.is_empty() {
        return Ok(false);
    }
    Ok(describe(db, boot, key).is_ok_and(|is| is == said))
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
