//! The files of a simulated disk as one small file: what stored samples of formats are kept in.
//!
//! `path`, `length` and the 4 KiB blocks that are not zeros (without the zeros at their ends): a
//! journal is mostly room that nothing was written to.

use super::SimDisk;
use crate::world::{Disk, Open};
use serde::{Deserialize, Serialize};
use std::path::Path;

const BLOCK: usize = 4096;

#[derive(Serialize, Deserialize)]
struct Stored {
    path: String,
    len: u64,
    blocks: Vec<(u64, Vec<u8>)>,
}

/// All files of a disk.
pub(crate) fn pack(disk: &SimDisk) -> Vec<u8> {
    let mut all = Vec::new();
    for path in disk.paths() {
        let Ok(file) = disk.open(&path, Open::Existing) else { continue };
        let len = file.len().unwrap();
        let mut bytes = vec![0; len as usize];
        let mut have = 0;
        while have < bytes.len() {
            have += file.read_at(&mut bytes[have..], have as u64).unwrap();
        }
        let block = |(i, b): (usize, &[u8])| {
            let used = b.iter().rposition(|byte| *byte != 0)? + 1;
            Some((i as u64, b[..used].to_vec()))
        };
        let blocks = bytes.chunks(BLOCK).enumerate().filter_map(block).collect();
        all.push(Stored { path: path.to_string_lossy().into_owned(), len, blocks });
    }
    crate::keys::encode(&all)
}

/// A disk with these files, synced.
pub(crate) fn unpack(image: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    let all: Vec<Stored> = crate::keys::decode_canonical(image, 1 << 20).expect("a stored disk");
    for stored in all {
        let path = Path::new(&stored.path);
        let dir = path.parent().expect("a file in a directory");
        disk.create_dir_all(dir).unwrap();
        let file = disk.open(path, Open::New).unwrap();
        file.set_len(stored.len).unwrap();
        for (at, bytes) in stored.blocks {
            file.write_at(&bytes, at * BLOCK as u64).unwrap();
        }
        file.sync().unwrap();
        disk.sync_dir(dir).unwrap();
    }
    disk
}

/// Where the samples are.
pub(crate) fn sample(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}
