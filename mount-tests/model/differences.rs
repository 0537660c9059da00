//! What is looked at, and all that may differ between a drive and a local disk.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything that is not compared, or not exactly, with its reason. The first seven are in
/// docs/semantics.md. Nothing else may differ.
pub const DIFFERENCES: [(&str, &str); 10] = [
    ("the size of a directory", "4,096 always: it is not made of blocks"),
    ("the time of last reading", "the one that was set: a reading would be a change for all friends"),
    ("blocks after an allocation", "fallocate that only allocates reserves nothing"),
    ("free inodes", "there is no table of them"),
    ("O_DIRECT", "needs no alignment, so that it is not among the operations"),
    (
        "a directory's time after the daemon ended",
        "what came and went before friends heard of it is forgotten",
    ),
    ("the time of truncate(2) to nothing", "FUSE does not tell it from O_TRUNC; not among the operations"),
    ("where exactly holes are", "ext4 has blocks and reservations; what a hole reads as is compared"),
    ("a time that is now", "two clocks: both must be of this run, or both exactly what was set"),
    ("inode numbers", "each filesystem has its own; which names share one is compared"),
];

/// Times that operations set lie before this, those that come by themselves after: January 2020.
const NOW_IS_AFTER: i64 = 1_577_836_800;

/// Whether the modification time came by itself.
pub fn is_now(m: &Metadata) -> bool {
    m.mtime() > NOW_IS_AFTER
}

/// What must be equal of an inode.
pub fn attributes(m: &Metadata) -> String {
    let kind = match m.mode() & 0o170_000 {
        0o040_000 => "dir",
        0o100_000 => "file",
        0o120_000 => "symlink",
        _ => "other",
    };
    let size = if m.is_dir() { 0 } else { m.size() };
    let set = || format!("{}.{:09}", m.mtime(), m.mtime_nsec());
    let time = if is_now(m) { "now".into() } else { set() };
    let owner = (m.uid(), m.gid());
    format!("{kind} {:o} links {} size {size} mtime {time} owner {owner:?}", m.mode() & 0o7777, m.nlink())
}

/// A result in words: the errno, or the value.
pub fn said<T: std::fmt::Display>(outcome: io::Result<T>) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(e) => match e.raw_os_error() {
            Some(number) => format!("{:?}", rustix::io::Errno::from_raw_os_error(number)),
            None => format!("{e}"),
        },
    }
}

/// Bytes in words: how many, and which.
pub fn bytes(data: &[u8]) -> String {
    format!("{} bytes {}", data.len(), &blake3::hash(data).to_hex()[..16])
}

/// All extended attributes of a path, in order.
pub fn xattrs(path: &Path) -> io::Result<String> {
    let mut names: Vec<_> = xattr::list(path)?.collect();
    names.sort();
    let mut out = String::new();
    for name in names {
        let value = xattr::get(path, &name)?.unwrap_or_default();
        out += &format!(" {}={}", name.display(), bytes(&value));
    }
    Ok(out)
}

/// Everything below a directory, in words, by its name.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut out = BTreeMap::new();
    let mut first_names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        let mut entries: Vec<PathBuf> = match std::fs::read_dir(&dir) {
            Ok(entries) => entries.map_while(|e| e.ok().map(|e| e.path())).collect(),
            Err(e) => {
                out.insert(dir, said::<String>(Err(e)));
                continue;
            }
        };
        entries.sort();
        for path in entries {
            let below = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            let line = match std::fs::symlink_metadata(&path) {
                Ok(meta) => {
                    if meta.is_dir() {
                        todo.push(path.clone());
                    }
                    let first = first_names.entry(meta.ino()).or_insert_with(|| below.clone());
                    format!("{} is {} {}", attributes(&meta), first.display(), said(inside(&path, &meta)))
                }
                Err(e) => said::<String>(Err(e)),
            };
            out.insert(below, line);
        }
    }
    out
}

fn inside(path: &Path, meta: &Metadata) -> io::Result<String> {
    Ok(match () {
        () if meta.is_symlink() => format!("-> {}", std::fs::read_link(path)?.display()),
        () if meta.is_dir() => xattrs(path)?,
        () => bytes(&std::fs::read(path)?) + &xattrs(path)?,
    })
}
