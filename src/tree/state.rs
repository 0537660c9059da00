//! What a state consists of: tables, keys and records.

use super::{Attrs, CURSOR_MIN, Cursor, Key, Kind, Name, ObjectId, OpId, ROOT, TableError};
use crate::content::Content;
use crate::keys::{ChunkId, EntryHash, LogId, PackId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Table numbers. Those below [`tables::LOCAL`] are the state, equal on every mount; the
/// others are how this mount got there.
pub mod tables {
    /// object -> [`super::Inode`].
    pub const INODE: u8 = 1;
    /// directory / name -> [`super::Dirent`].
    pub const DIRENT: u8 = 2;
    /// object / (parent, name) -> [`super::Place`].
    pub const NAME: u8 = 3;
    /// object / attribute name -> [`super::Xattr`].
    pub const XATTR: u8 = 4;
    /// object -> Content, when it has any.
    pub const CONTENT: u8 = 5;
    /// inode number -> object.
    pub const INO: u8 = 6;
    /// directory id that was united with another -> that one.
    pub const ALIAS: u8 = 7;
    /// version that became a conflict copy, or a later one of it -> the copy's object.
    pub const DIVERTED: u8 = 8;
    /// chunk / pack -> [`super::ChunkPlace`].
    pub const CHUNK: u8 = 9;
    /// pack / chunk -> [`super::PackedChunk`].
    pub const PACKED: u8 = 10;
    /// () / pack -> [`super::PackInfo`].
    pub const PACK: u8 = 11;
    /// pack / share number -> `SharePlace`.
    pub const SHARE: u8 = 12;
    /// () / pack -> [`super::Dropped`].
    pub const DROPPED: u8 = 13;
    /// () / log -> the operation that parked it.
    pub const PARKED: u8 = 14;
    /// () / () -> the conflict rules in force, a u32.
    pub const RULES: u8 = 15;
    /// First number that is not state.
    pub const LOCAL: u8 = 64;
    /// () / index in the order -> applied entry and its undo.
    pub const APPLIED: u8 = 64;
    /// entry hash -> what is known of it.
    pub const ENTRY: u8 = 65;
    /// entry hash -> label, operations and catalogue, for replay.
    pub const BODY: u8 = 66;
    /// () / entry hash -> an entry whose dependencies are missing.
    pub const WAITING: u8 = 67;
    /// () / place in the tail -> pending operation and its undo.
    pub const PENDING: u8 = 68;
    /// () / log, hash -> head of a branch.
    pub const HEAD: u8 = 69;
    /// () / () -> the fold's counters.
    pub const FOLD: u8 = 70;
    /// () / () -> [`super::Totals`]. It follows from the inodes, and every operation would
    /// touch it: so it is no part of what operations read and write.
    pub const TOTALS: u8 = 71;
    /// log / sequence number -> a signed entry, kept beside the tree by whoever has one.
    pub const SIGNED: u8 = 72;
    /// table, group / index in the order, item -> [`super::Before`]: what a value was.
    pub const BEFORE: u8 = 73;
    /// () / index in the order -> [`super::Stood`]: which entry stands there, since when.
    pub const STOOD: u8 = 74;
    /// () / object -> (): it has a conflict name. It follows from the inodes, as the totals do.
    pub const CONFLICT: u8 = 75;

    /// The number a group begins with, where groups made one after another had better lie
    /// together in an index: those named by objects, whose ids begin with a counter.
    pub fn group_number(table: u8, group: &[u8]) -> Option<u64> {
        match table {
            INODE | DIRENT | NAME | XATTR | CONTENT | DIVERTED => group.first_chunk(),
            // Its low bits are the object's counter.
            INO => return Some(u64::from_be_bytes(*group.first_chunk()?) & super::INO_COUNTER),
            // Behind the number of the table.
            BEFORE => group.get(1..)?.first_chunk(),
            _ => None,
        }
        .map(|n| u64::from_be_bytes(*n))
    }

    /// The same of an item in its group.
    pub fn item_number(table: u8, item: &[u8]) -> Option<u64> {
        match table {
            APPLIED | PENDING | SIGNED | BEFORE | STOOD => item.first_chunk().map(|n| u64::from_be_bytes(*n)),
            _ => None,
        }
    }
}

/// Where an item with a number ([`tables::item_number`]) lies in its group.
pub fn cursor_of_number(number: u64) -> Cursor {
    number.saturating_add(CURSOR_MIN + 1).min(u64::MAX >> 1)
}

/// Bits of an inode number that its object's counter takes, as long as no two objects meet.
pub const INO_COUNTER: u64 = (1 << 31) - 1;

/// Where a name is: a directory and a name in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Place {
    pub parent: ObjectId,
    #[serde(with = "serde_bytes")]
    pub name: Name,
}

/// A name that is not the wished one, because that was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Displaced {
    /// The name its author gave it.
    pub wanted: Place,
    /// The conflict name it has.
    pub at: Place,
}

/// One object: everything `stat` needs, small, content apart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Inode {
    pub object: ObjectId,
    pub kind: Kind,
    pub attrs: Attrs,
    /// Names it has (a directory: 0 or 1). With none it is deleted, but may be revived.
    pub names: u32,
    /// Children of a directory, and those of them that are directories.
    pub children: u64,
    pub subdirs: u32,
    /// The SetContent in force; None while a file is as created.
    pub version: Option<OpId>,
    /// Bytes of content; of a symlink, of its target.
    pub size: u64,
    /// Bytes of content that are not holes.
    pub allocated: u64,
    /// st_ino, the same on every mount.
    pub ino: u64,
    /// Its name given last; of a deleted object, the name it had.
    pub home: Place,
    pub displaced: Option<Displaced>,
}

impl Inode {
    /// False when deleted.
    pub fn is_live(&self) -> bool {
        self.names > 0 || self.object == ROOT
    }
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Dir
    }
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }
    /// st_nlink.
    pub fn nlink(&self) -> u32 {
        match (self.is_dir(), self.is_live()) {
            (true, true) => self.subdirs.saturating_add(2),
            (true, false) => 0,
            (false, _) => self.names,
        }
    }
    /// The root as a drive begins: no entry is needed to have one.
    pub fn first_root() -> Inode {
        Inode {
            object: ROOT,
            kind: Kind::Dir,
            attrs: Attrs { mode: 0o755, uid: 0, gid: 0, atime: 0, mtime: 0, ctime: 0, btime: 0 },
            names: 1,
            children: 0,
            subdirs: 0,
            version: None,
            size: 0,
            allocated: 0,
            ino: ROOT_NUMBER,
            home: Place { parent: ROOT, name: Vec::new() },
            displaced: None,
        }
    }
}

/// The root's inode number.
pub const ROOT_NUMBER: u64 = 1;

/// A directory's entry: with what never changes of the object, so that a plain listing asks for
/// nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dirent {
    #[serde(with = "serde_bytes")]
    pub name: Name,
    pub object: ObjectId,
    pub ino: u64,
    pub kind: FileKind,
}

/// A [`Dirent`] where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct DirentRef<'a> {
    #[serde(borrow, with = "serde_bytes")]
    pub name: &'a [u8],
    pub object: ObjectId,
    pub ino: u64,
    pub kind: FileKind,
}

/// A [`Kind`] without what belongs to the object alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FileKind {
    File,
    Dir,
    Symlink,
    Fifo,
    Socket,
    BlockDevice,
    CharDevice,
}

impl From<&Kind> for FileKind {
    fn from(kind: &Kind) -> FileKind {
        match kind {
            Kind::File => FileKind::File,
            Kind::Dir => FileKind::Dir,
            Kind::Symlink { .. } => FileKind::Symlink,
            Kind::Fifo => FileKind::Fifo,
            Kind::Socket => FileKind::Socket,
            Kind::Device { block: true, .. } => FileKind::BlockDevice,
            Kind::Device { block: false, .. } => FileKind::CharDevice,
        }
    }
}

/// An extended attribute.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Xattr {
    #[serde(with = "serde_bytes")]
    pub name: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// Where a chunk lies: bytes into a pack's byte stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ChunkPlace {
    pub pack: PackId,
    pub offset: u64,
}

/// A chunk in a pack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PackedChunk {
    pub chunk: ChunkId,
    pub offset: u64,
}

/// What the catalogue says of a pack besides its shares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PackInfo {
    pub pack: PackId,
    pub epoch: crate::keys::Epoch,
    pub k: u8,
    pub len: u64,
    pub data_roots: Vec<crate::keys::Hash>,
}

/// A DropPack in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dropped {
    pub pack: PackId,
    pub by: OpId,
    pub time: super::TimeNs,
}

/// A value as it was before an entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Before {
    /// Index of the entry in the order.
    pub entry: u64,
    #[serde(with = "serde_bytes")]
    pub item: Vec<u8>,
    /// None: there was none.
    pub value: Option<serde_bytes::ByteBuf>,
}

/// An entry's place in the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stood {
    pub order: super::OrderKey,
    /// Its author's time, if that is not more than a day after the time at which this machine took it in;
    /// but always after that of the entry in front of it. What a moment of the past is found by.
    pub since: super::TimeNs,
}

/// Tables whose past can be read: what names, attributes and contents are made of.
pub(super) fn is_kept(table: u8) -> bool {
    matches!(table, tables::INODE | tables::DIRENT | tables::XATTR | tables::CONTENT)
}

/// Where the former values of a group are.
pub(super) fn before_group(table: u8, group: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + group.len());
    out.push(table);
    out.extend_from_slice(group);
    out
}

/// Where the value is that a key had before an entry.
pub(super) fn before_key(of: &Key, entry: u64) -> Key {
    let mut item = entry.to_be_bytes().to_vec();
    item.extend_from_slice(&of.item);
    key(tables::BEFORE, before_group(of.table, &of.group), item)
}

/// Sums over the tree, kept by every step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Totals {
    /// Live objects, the root included.
    pub objects: u64,
    /// Live directories, the root included.
    pub dirs: u64,
    /// Sum of the sizes of live files.
    pub bytes: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Totals { objects: 1, dirs: 1, bytes: 0 }
    }
}

/// The conflict rules this version knows.
pub const RULES: u32 = 1;

/// 40 bytes: counter big-endian, then log. (What differs comes first: keys are compared.)
pub fn id_bytes(id: &OpId) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    out.extend_from_slice(&id.n.to_be_bytes());
    out.extend_from_slice(id.log.as_bytes());
    out
}

pub(super) fn key(table: u8, group: Vec<u8>, item: Vec<u8>) -> Key {
    Key { table, group, item }
}
pub(super) fn of_object(table: u8, object: &ObjectId) -> Key {
    key(table, id_bytes(object), Vec::new())
}
pub(super) fn dirent_key(parent: &ObjectId, name: &[u8]) -> Key {
    key(tables::DIRENT, id_bytes(parent), name.to_vec())
}
pub(super) fn name_key(object: &ObjectId, place: &Place) -> Key {
    let mut item = id_bytes(&place.parent);
    item.extend_from_slice(&place.name);
    key(tables::NAME, id_bytes(object), item)
}
pub(super) fn xattr_key(object: &ObjectId, name: &[u8]) -> Key {
    key(tables::XATTR, id_bytes(object), name.to_vec())
}
pub(super) fn ino_key(ino: u64) -> Key {
    key(tables::INO, ino.to_be_bytes().to_vec(), Vec::new())
}
pub(super) fn chunk_key(chunk: &ChunkId, pack: &PackId) -> Key {
    key(tables::CHUNK, chunk.as_bytes().to_vec(), pack.as_bytes().to_vec())
}
pub(super) fn packed_key(pack: &PackId, chunk: &ChunkId) -> Key {
    key(tables::PACKED, pack.as_bytes().to_vec(), chunk.as_bytes().to_vec())
}
pub(super) fn pack_key(table: u8, pack: &PackId) -> Key {
    key(table, Vec::new(), pack.as_bytes().to_vec())
}
pub(super) fn share_key(pack: &PackId, number: u16) -> Key {
    key(tables::SHARE, pack.as_bytes().to_vec(), number.to_be_bytes().to_vec())
}
pub(super) fn log_key(table: u8, log: &LogId) -> Key {
    key(table, Vec::new(), log.as_bytes().to_vec())
}
pub(super) fn entry_key(table: u8, hash: &EntryHash) -> Key {
    key(table, hash.as_bytes().to_vec(), Vec::new())
}
pub(super) fn single(table: u8) -> Key {
    key(table, Vec::new(), Vec::new())
}
pub(super) fn conflict_key(object: &ObjectId) -> Key {
    key(tables::CONFLICT, Vec::new(), id_bytes(object))
}
pub(super) fn ordinal_key(table: u8, ordinal: u64) -> Key {
    key(table, Vec::new(), ordinal.to_be_bytes().to_vec())
}

pub(super) use crate::keys::encode;

pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, TableError> {
    decode_borrowed(what, bytes)
}
/// [`decode`] of what goes on lying in the bytes.
pub(super) fn decode_borrowed<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, TableError> {
    postcard::from_bytes(bytes).map_err(|_| TableError(format!("a record of {what} is damaged")))
}

/// What stat(2) counts room in: a disk's blocks, whole.
const BLOCK: u64 = 4096;

/// Bytes a content has, and those of the blocks that are not holes.
pub fn content_sizes(content: &Content) -> (u64, u64) {
    use crate::content::{CHUNK_LEN, FANOUT, Ref};
    match content {
        Content::Inline(bytes) => (bytes.len() as u64, (bytes.len() as u64).next_multiple_of(BLOCK)),
        Content::Tree { size, depth, refs } => {
            let mut span = CHUNK_LEN as u64;
            for _ in 0..*depth {
                span = span.saturating_mul(FANOUT as u64);
            }
            let mut allocated = 0u64;
            for (i, r) in refs.iter().enumerate() {
                let start = span.saturating_mul(i as u64);
                if let Ref::Chunk(c) = r {
                    // Below a node holes are not counted: an upper bound, got without fetching.
                    let len = if *depth == 0 { u64::from(c.len) } else { span };
                    let len = len.min(size.saturating_sub(start)).next_multiple_of(BLOCK);
                    allocated = allocated.saturating_add(len);
                }
            }
            (*size, allocated)
        }
    }
}
