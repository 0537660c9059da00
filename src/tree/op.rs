//! Operations: every change to a tree, with every value it needs, so that applying one
//! reads nothing outside the state and the operation.

use crate::content::Content;
use crate::keys::{ChunkId, LogId, PackId};
use serde::{Deserialize, Serialize};

/// Names an operation, the object a Create made, or the version a SetContent made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OpId {
    pub log: LogId,
    pub n: u64,
}

/// An object is named by the operation that created it.
pub type ObjectId = OpId;

/// The root directory of every drive.
pub const ROOT: ObjectId = OpId { log: LogId([0; 32]), n: 1 };

/// A name: 1..=255 bytes, any but `/` and NUL, not `.` or `..`. (Fields that hold bytes are marked as
/// such: the encoding is the same, and serde would go byte by byte.)
pub type Name = Vec<u8>;

/// Nanoseconds since 1970, for people only; order never depends on it.
pub type TimeNs = i64;

/// One change as its author made it. `n` is unique in its log (not necessarily rising in entries).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Operation {
    pub n: u64,
    /// The author's clock and UTC offset (minutes), for conflict names and history.
    pub time: TimeNs,
    pub utc_offset_min: i16,
    pub change: Change,
}

/// The file version an author saw when it replaced or removed something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    pub object: ObjectId,
    /// The SetContent in force for a file (None: its Create; always None for other kinds).
    pub version: Option<OpId>,
}

/// Kinds of objects.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    File,
    Dir,
    Symlink {
        #[serde(with = "serde_bytes")]
        target: Vec<u8>,
    },
    Fifo,
    Socket,
    Device {
        block: bool,
        rdev: u64,
    },
}

/// Attributes of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attrs {
    /// Permission bits, suid, sgid and sticky (07777).
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub atime: TimeNs,
    pub mtime: TimeNs,
    pub ctime: TimeNs,
    pub btime: TimeNs,
}

/// Fields to set; absent ones stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AttrChange {
    pub mode: Option<u16>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub atime: Option<TimeNs>,
    pub mtime: Option<TimeNs>,
    pub ctime: Option<TimeNs>,
}

/// The changes there are. New ones are added at the end; an unknown one makes a mount read-only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Make an object; its id is this operation's.
    Create {
        parent: ObjectId,
        #[serde(with = "serde_bytes")]
        name: Name,
        kind: Kind,
        attrs: Attrs,
    },
    /// Give a file its whole content. `base`: the version the author had seen.
    SetContent {
        object: ObjectId,
        base: Option<OpId>,
        content: Content,
        mtime: TimeNs,
    },
    SetAttrs {
        object: ObjectId,
        change: AttrChange,
    },
    /// None removes the attribute.
    SetXattr {
        object: ObjectId,
        #[serde(with = "serde_bytes")]
        name: Vec<u8>,
        #[serde(with = "serde_bytes")]
        value: Option<Vec<u8>>,
    },
    Link {
        object: ObjectId,
        parent: ObjectId,
        #[serde(with = "serde_bytes")]
        name: Name,
    },
    Unlink {
        parent: ObjectId,
        #[serde(with = "serde_bytes")]
        name: Name,
        seen: Seen,
    },
    Rmdir {
        parent: ObjectId,
        #[serde(with = "serde_bytes")]
        name: Name,
        object: ObjectId,
    },
    Rename {
        object: ObjectId,
        from_parent: ObjectId,
        #[serde(with = "serde_bytes")]
        from_name: Name,
        to_parent: ObjectId,
        #[serde(with = "serde_bytes")]
        to_name: Name,
        replaced: Option<Seen>,
    },
    Exchange {
        a: ObjectId,
        a_parent: ObjectId,
        #[serde(with = "serde_bytes")]
        a_name: Name,
        b: ObjectId,
        b_parent: ObjectId,
        #[serde(with = "serde_bytes")]
        b_name: Name,
    },
    /// Where chunks lie: `offset` bytes into the pack's byte stream.
    PackContents {
        pack: PackId,
        chunks: Vec<(ChunkId, u64)>,
    },
    /// A pack will be dropped, effective after retention and delay.
    DropPack {
        pack: PackId,
    },
    /// A log silent for long no longer holds checkpoints back.
    ParkLog {
        log: LogId,
    },
    /// From here on conflict rules of this version apply.
    SetRules {
        version: u32,
    },
}
