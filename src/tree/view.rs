//! Reading a state.

use super::state::*;
use super::{Cursor, Name, ObjectId, OpId, ROOT, Table, TableError};
use crate::content::{CatalogueRecord, Content, SharePlace};
use crate::keys::{ChunkId, LogId, PackId};
use serde::de::DeserializeOwned;

/// Values read by one scan where a whole group is wanted.
const PAGE: usize = 1024;

/// A state, read through a table.
#[derive(Clone, Copy)]
pub struct View<'a>(pub &'a dyn Table);

/// One directory entry with its inode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Child {
    pub cursor: Cursor,
    pub name: Name,
    pub inode: Inode,
}

impl View<'_> {
    /// The inode of an object that was ever created, deleted ones included
    /// ([`Inode::is_live`]); a directory united with another is that one.
    pub fn inode(&self, object: ObjectId) -> Result<Option<Inode>, TableError> {
        if let Some(inode) = self.record(&of_object(tables::INODE, &object), "an inode")? {
            return Ok(Some(inode));
        }
        if object == ROOT {
            return Ok(Some(Inode::first_root()));
        }
        match self.record::<ObjectId>(&of_object(tables::ALIAS, &object), "an alias")? {
            Some(other) => self.record(&of_object(tables::INODE, &other), "an inode"),
            None => Ok(None),
        }
    }

    /// The id under which an object is stored: itself, or what it was united with.
    pub fn resolve(&self, object: ObjectId) -> Result<Option<ObjectId>, TableError> {
        Ok(self.inode(object)?.map(|i| i.object))
    }

    /// The object under a name.
    pub fn dirent(&self, parent: ObjectId, name: &[u8]) -> Result<Option<ObjectId>, TableError> {
        let found: Option<Dirent> = self.record(&dirent_key(&parent, name), "a directory entry")?;
        Ok(found.map(|d| d.object))
    }

    /// The inode under a name.
    pub fn lookup(&self, parent: ObjectId, name: &[u8]) -> Result<Option<Inode>, TableError> {
        match self.dirent(parent, name)? {
            Some(object) => self.inode(object),
            None => Ok(None),
        }
    }

    /// Names in a directory in cursor order, strictly after `after`, until `each` wants no more (false).
    /// It must not use the state, which may be locked meanwhile.
    pub fn each_name(
        &self,
        dir: ObjectId,
        after: Option<Cursor>,
        each: &mut dyn FnMut(Cursor, DirentRef<'_>) -> bool,
    ) -> Result<(), TableError> {
        let mut damaged = None;
        self.0.each(tables::DIRENT, &id_bytes(&dir), after, &mut |cursor, bytes| match decode_borrowed(
            "a directory entry",
            bytes,
        ) {
            Ok(dirent) => each(cursor, dirent),
            Err(e) => {
                damaged = Some(e);
                false
            }
        })?;
        damaged.map_or(Ok(()), Err)
    }

    fn dirents(
        &self,
        dir: ObjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Dirent)>, TableError> {
        let found = self.0.scan(tables::DIRENT, &id_bytes(&dir), after, limit)?;
        found.into_iter().map(|(cursor, bytes)| Ok((cursor, decode("a directory entry", &bytes)?))).collect()
    }

    /// Children of a directory in cursor order, strictly after `after`, about `limit` of
    /// them; fewer than `limit` means the end.
    pub fn children(
        &self,
        dir: ObjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Child>, TableError> {
        let mut out = Vec::new();
        for (cursor, dirent) in self.dirents(dir, after, limit)? {
            let Some(inode) = self.inode(dirent.object)? else {
                return Err(TableError("a directory entry names no inode".into()));
            };
            out.push(Child { cursor, name: dirent.name, inode });
        }
        Ok(out)
    }

    /// The parent of a directory; the root's is the root.
    pub fn parent(&self, dir: ObjectId) -> Result<Option<ObjectId>, TableError> {
        Ok(self.inode(dir)?.map(|i| i.home.parent))
    }

    /// All names of an object, sorted.
    pub fn names(&self, object: ObjectId) -> Result<Vec<Place>, TableError> {
        let mut out: Vec<Place> = self.group(tables::NAME, &id_bytes(&object), "a name")?;
        out.sort();
        Ok(out)
    }

    /// The path of an object from the root, by its latest name; None when it is deleted.
    pub fn path(&self, object: ObjectId) -> Result<Option<Vec<Name>>, TableError> {
        let mut at = object;
        let mut out = Vec::new();
        while at != ROOT {
            match self.inode(at)? {
                Some(inode) if inode.is_live() && out.len() < DEPTH_MAX => {
                    out.push(inode.home.name);
                    at = inode.home.parent;
                }
                _ => return Ok(None),
            }
        }
        out.reverse();
        Ok(Some(out))
    }

    /// An extended attribute.
    pub fn xattr(&self, object: ObjectId, name: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let x: Option<Xattr> = self.record(&xattr_key(&object, name), "an extended attribute")?;
        Ok(x.map(|x| x.value))
    }

    /// All extended attributes, sorted by name.
    pub fn xattrs(&self, object: ObjectId) -> Result<Vec<Xattr>, TableError> {
        let mut out: Vec<Xattr> = self.group(tables::XATTR, &id_bytes(&object), "an extended attribute")?;
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    /// The content in force (an empty one while a file is as created).
    pub fn content(&self, object: ObjectId) -> Result<Content, TableError> {
        let found = self.record(&of_object(tables::CONTENT, &object), "a content")?;
        Ok(found.unwrap_or(Content::Inline(Vec::new())))
    }

    /// Where a version went that became a conflict copy (or is based on one): open handles
    /// on that version follow it to the object given here.
    pub fn diverted(&self, version: OpId) -> Result<Option<ObjectId>, TableError> {
        self.record(&of_object(tables::DIVERTED, &version), "a diverted version")
    }

    /// The object with an inode number, deleted ones included.
    pub fn by_ino(&self, ino: u64) -> Result<Option<ObjectId>, TableError> {
        if ino == ROOT_NUMBER {
            return Ok(Some(ROOT));
        }
        self.record(&ino_key(ino), "an inode number")
    }

    /// Where a chunk lies, sorted; packs that are to be dropped included.
    pub fn chunk_places(&self, chunk: &ChunkId) -> Result<Vec<ChunkPlace>, TableError> {
        let mut out: Vec<ChunkPlace> = self.group(tables::CHUNK, chunk.as_bytes(), "a chunk's place")?;
        out.sort();
        Ok(out)
    }

    /// What lies in a pack, by offset.
    pub fn packed(&self, pack: &PackId) -> Result<Vec<PackedChunk>, TableError> {
        let mut out: Vec<PackedChunk> = self.group(tables::PACKED, pack.as_bytes(), "a packed chunk")?;
        out.sort_by_key(|p| (p.offset, p.chunk));
        Ok(out)
    }

    /// The catalogue's record of a pack, merged share by share; shares sorted by number.
    pub fn pack(&self, pack: &PackId) -> Result<Option<CatalogueRecord>, TableError> {
        let Some(info) = self.record::<PackInfo>(&pack_key(tables::PACK, pack), "a pack")? else {
            return Ok(None);
        };
        let mut shares: Vec<SharePlace> = self.group(tables::SHARE, pack.as_bytes(), "a share's place")?;
        shares.sort_by_key(|s| s.number);
        Ok(Some(CatalogueRecord {
            pack: info.pack,
            epoch: info.epoch,
            k: info.k,
            len: info.len,
            data_roots: info.data_roots,
            shares,
        }))
    }

    /// Packs of the catalogue, page by page (cursor order).
    pub fn packs(&self, after: Option<Cursor>, limit: usize) -> Result<Vec<(Cursor, PackInfo)>, TableError> {
        let page = self.0.scan(tables::PACK, &[], after, limit)?;
        page.into_iter().map(|(c, bytes)| Ok((c, decode("a pack", &bytes)?))).collect()
    }

    /// Is a pack to be dropped, by which operation?
    pub fn dropped(&self, pack: &PackId) -> Result<Option<Dropped>, TableError> {
        self.record(&pack_key(tables::DROPPED, pack), "a dropped pack")
    }

    /// Is a log parked, by which operation?
    pub fn parked(&self, log: &LogId) -> Result<Option<OpId>, TableError> {
        self.record(&log_key(tables::PARKED, log), "a parked log")
    }

    /// Counts over the tree.
    pub fn totals(&self) -> Result<Totals, TableError> {
        Ok(self.record(&single(tables::TOTALS), "the totals")?.unwrap_or_default())
    }

    /// Things that have a conflict name, about `limit` of them (in cursor order, after `after`).
    pub fn conflicts(&self, after: Option<Cursor>, limit: usize) -> Result<Vec<(Cursor, Inode)>, TableError> {
        let mut out = Vec::new();
        for (cursor, bytes) in self.0.scan(tables::CONFLICT, &[], after, limit)? {
            let object: ObjectId = decode("a conflict", &bytes)?;
            out.extend(self.inode(object)?.map(|inode| (cursor, inode)));
        }
        Ok(out)
    }

    /// Conflict rules in force.
    pub fn rules(&self) -> Result<u32, TableError> {
        Ok(self.record(&single(tables::RULES), "the rules")?.unwrap_or(super::RULES))
    }

    pub(super) fn record<T: DeserializeOwned>(
        &self,
        key: &super::Key,
        what: &str,
    ) -> Result<Option<T>, TableError> {
        self.0.get(key)?.map(|bytes| decode(what, &bytes)).transpose()
    }

    pub(super) fn group<T: DeserializeOwned>(
        &self,
        table: u8,
        group: &[u8],
        what: &str,
    ) -> Result<Vec<T>, TableError> {
        let mut out = Vec::new();
        let mut after = None;
        loop {
            let page = self.0.scan(table, group, after, PAGE)?;
            let last = page.len() < PAGE;
            after = page.last().map(|(c, _)| *c).or(after);
            for (_, bytes) in page {
                out.push(decode(what, &bytes)?);
            }
            if last {
                return Ok(out);
            }
        }
    }
}

/// Directories in one another that are followed before a tree is called damaged.
pub const DEPTH_MAX: usize = 1 << 20;
