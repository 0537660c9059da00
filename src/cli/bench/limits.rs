//! What this machine can do without kith.

use super::failed;
use crate::daemon::api::Outcome;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

/// Bytes per write(2) of the measurements.
pub const BLOCK: usize = 1 << 20;

/// Bytes that do not compress, different for every seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let key = blake3::hash(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(key.as_bytes()).finalize_xof().fill(&mut out);
    out
}

pub fn mb_per_s(bytes: u64, since: Instant) -> f64 {
    bytes as f64 / 1e6 / since.elapsed().as_secs_f64().max(1e-9)
}

/// Write `bytes` to a new file in blocks, then fsync: MB/s.
pub fn write_file(path: &Path, bytes: u64) -> Outcome<f64> {
    // Sixteen different blocks in turn: nothing below can deduplicate within a chunk or keep
    // one block in cache, and making noise costs nothing while the clock runs.
    let mut blocks: Vec<Vec<u8>> = (0..16).map(|i| noise(i, BLOCK)).collect();
    let start = Instant::now();
    let mut run = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        let mut left = bytes;
        for i in 0.. {
            if left == 0 {
                break;
            }
            let take = left.min(BLOCK as u64) as usize;
            let block = &mut blocks[i % 16][..take];
            // A stamp at the front makes every chunk's content its own.
            let stamp = (i as u64).to_le_bytes();
            let len = stamp.len().min(take);
            block[..len].copy_from_slice(&stamp[..len]);
            file.write_all(block)?;
            left -= take as u64;
        }
        file.sync_all()
    };
    run().map_err(|e| failed(path, e))?;
    Ok(mb_per_s(bytes, start))
}

/// Read a whole file in blocks: MB/s.
pub fn read_file(path: &Path) -> Outcome<f64> {
    let start = Instant::now();
    let run = || -> std::io::Result<u64> {
        let mut file = File::open(path)?;
        let mut block = vec![0; BLOCK];
        let mut bytes = 0;
        loop {
            match file.read(&mut block)? {
                0 => return Ok(bytes),
                n => bytes += n as u64,
            }
        }
    };
    let bytes = run().map_err(|e| failed(path, e))?;
    Ok(mb_per_s(bytes, start))
}

/// List a directory and stat every entry, as `ls -l` does: seconds.
pub fn list_long(dir: &Path) -> Outcome<f64> {
    let start = Instant::now();
    let run = || -> std::io::Result<usize> {
        let mut entries = 0;
        for entry in std::fs::read_dir(dir)? {
            std::fs::symlink_metadata(entry?.path())?;
            entries += 1;
        }
        Ok(entries)
    };
    run().map_err(|e| failed(dir, e))?;
    Ok(start.elapsed().as_secs_f64())
}

/// Make the kernel forget names and attributes (root only); false where it may not.
pub fn drop_kernel_caches() -> bool {
    std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Make the kernel forget names and attributes, and not what it keeps of the disk (root only);
/// false where it may not.
pub fn drop_names() -> bool {
    std::fs::write("/proc/sys/vm/drop_caches", "2").is_ok()
}

/// Bytes of a process that are in memory.
pub fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
}
