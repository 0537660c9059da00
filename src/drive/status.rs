//! What people are told of a drive.

use super::Ino;
use crate::content::Coding;
use crate::grid::FriendStatus;
use crate::keys::{DriveId, NodeId};
use std::collections::BTreeMap;
use std::fmt;

/// How well a file is kept. The words are the same everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FileState {
    /// A part of it was damaged on this machine before any friend had it.
    Unreadable,
    /// In this process's memory only.
    Written,
    /// In the journal, synced: survives a crash and a power cut of this machine.
    Local,
    /// On its way to friends.
    Uploading { percent: u8 },
    /// Friends can read it; none of them may vanish.
    Published,
    /// Fewer friends hold it than was promised.
    AtRisk { margin: u8 },
    /// All n hold it, but no household may vanish.
    Thin,
    /// This many households may vanish.
    Safe { margin: u8 },
    /// All n shares stand: this many households may vanish.
    Full { margin: u8 },
}

impl FileState {
    /// Safe or full: survives the loss of this machine and of *margin* households.
    pub fn is_safe(self) -> bool {
        matches!(self, FileState::Safe { .. } | FileState::Full { .. })
    }
    /// One word for it, for programs.
    pub fn word(self) -> &'static str {
        match self {
            FileState::Unreadable => "unreadable",
            FileState::Written => "written",
            FileState::Local => "local",
            FileState::Uploading { .. } => "uploading",
            FileState::Published => "published",
            FileState::AtRisk { .. } => "at-risk",
            FileState::Thin => "thin",
            FileState::Safe { .. } => "safe",
            FileState::Full { .. } => "full",
        }
    }
    /// Nothing more is on its way: full, or thin where nothing better is possible.
    pub fn is_full(self) -> bool {
        matches!(self, FileState::Full { .. } | FileState::Thin)
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let homes = |m: &u8| if *m == 1 { "any 1 home".to_string() } else { format!("any {m} homes") };
        match self {
            FileState::Unreadable => f.write_str("unreadable, a part of it was damaged"),
            FileState::Written => f.write_str("written"),
            FileState::Local => f.write_str("local"),
            FileState::Uploading { percent } => write!(f, "uploading {percent}%"),
            FileState::Published => f.write_str("published"),
            FileState::AtRisk { .. } => f.write_str("at risk"),
            FileState::Thin => f.write_str("thin, no home may vanish"),
            FileState::Safe { margin } => write!(f, "safe, {} may vanish", homes(margin)),
            FileState::Full { margin } => write!(f, "full, {} may vanish", homes(margin)),
        }
    }
}

/// A file that is not safe yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnsafeFile {
    pub ino: Ino,
    /// From the root, lossy; None when it has no name.
    pub path: Option<String>,
    pub size: u64,
    pub state: FileState,
}

/// A drive at a glance.
#[derive(Clone, Debug)]
pub struct DriveStatus {
    pub drive: DriveId,
    pub read_only: bool,
    /// Files and bytes in the tree.
    pub files: u64,
    pub bytes: u64,
    /// Files that are not safe, and the worst of them (at most [`UNSAFE_LISTED`]).
    pub unsafe_files: u64,
    pub unsafe_list: Vec<UnsafeFile>,
    /// Why what was written cannot be sealed: this machine's disk is short.
    pub disk_short: Option<String>,
    /// Operations no friend has.
    pub pending_operations: u64,
    /// Packs on their way, below safe, and safe or full.
    pub packs_uploading: u64,
    pub packs_below_safe: u64,
    /// Bytes that still have to be uploaded once.
    pub bytes_to_upload: u64,
    /// The coding for new packs now.
    pub coding: Option<Coding>,
    /// Entries of this device below their replication.
    pub entries_below: u64,
    pub friends: Vec<FriendStatus>,
    /// Bytes of journal, own segments and cache on this machine.
    pub journal_bytes: u64,
    pub own_bytes: u64,
    pub cache_bytes: u64,
    /// Things with a conflict name.
    pub conflicts: u64,
    /// Why writes are refused, if they are.
    pub failed: Option<String>,
    /// Things a person should know, newest last (at most 20).
    pub notes: Vec<String>,
    /// Friends that no longer have shares they promised to keep, and how many; those are being
    /// made again.
    pub losses: BTreeMap<NodeId, u64>,
}

/// Files named in [`DriveStatus::unsafe_list`].
pub const UNSAFE_LISTED: usize = 100;
