//! One hash over a state, to compare mounts by.

use super::state::{Inode, encode, tables};
use super::{ObjectId, PackInfo, ROOT, TableError, View};
use crate::keys::{Hash, Purpose, hash};

/// Equal on two mounts if their trees (names, objects, attributes, extended attributes,
/// contents, inode numbers) and catalogues are. Reads everything: for tests and `kith doctor`.
pub fn state_hash(view: View<'_>) -> Result<Hash, TableError> {
    let mut parts: Vec<Vec<u8>> = vec![encode(&(view.totals()?, view.rules()?))];
    let mut dirs = vec![ROOT];
    if let Some(root) = view.inode(ROOT)? {
        parts.push(object_hash(view, &root)?);
    }
    // Directories in the order of discovery, names sorted: the same on every mount.
    while let Some(dir) = dirs.pop() {
        for (name, child) in children(view, dir)? {
            parts.push(encode(&(dir, name)));
            parts.push(object_hash(view, &child)?);
            if child.is_dir() {
                dirs.push(child.object);
            }
        }
    }
    parts.push(b"packs".to_vec());
    let mut packs: Vec<PackInfo> = view.group(tables::PACK, &[], "a pack")?;
    packs.sort_by_key(|p| p.pack);
    for info in packs {
        parts.push(encode(&(view.pack(&info.pack)?, view.dropped(&info.pack)?)));
        parts.push(encode(&view.packed(&info.pack)?));
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(hash(Purpose::TreeState, &parts))
}

fn children(view: View<'_>, dir: ObjectId) -> Result<Vec<(Vec<u8>, Inode)>, TableError> {
    let mut out = Vec::new();
    let mut after = None;
    loop {
        let page = view.children(dir, after, 1024)?;
        let more = page.len() >= 1024;
        after = page.last().map(|c| c.cursor);
        out.extend(page.into_iter().map(|c| (c.name, c.inode)));
        if !more {
            out.sort_by(|a, b| a.0.cmp(&b.0));
            return Ok(out);
        }
    }
}

fn object_hash(view: View<'_>, inode: &Inode) -> Result<Vec<u8>, TableError> {
    let content = if inode.is_file() { Some(view.content(inode.object)?) } else { None };
    let all = (inode, view.names(inode.object)?, view.xattrs(inode.object)?, content);
    Ok(hash(Purpose::TreeState, &[&encode(&all)]).0.to_vec())
}
