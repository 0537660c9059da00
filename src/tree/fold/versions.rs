//! What a name has meant: every version of a file, those before a save by rename included.

use super::super::state::{Before, before_group, decode, id_bytes, tables};
use super::super::{Inode, ObjectId, Table, TableError, TimeNs, View};
use super::applied::stood;
use super::record::Body;
use super::{Fold, FoldError};
use crate::keys::LogId;
use std::collections::BTreeSet;

/// Changes that are looked at for one name, the latest ones.
const CHANGES_MAX: usize = 4096;

/// What was under a name for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// When it came there, as [`super::super::Stood::since`] says.
    pub since: TimeNs,
    /// The last moment at which it was there as it was; None: it still is.
    pub until: Option<TimeNs>,
    /// None: nothing was.
    pub inode: Option<Inode>,
    /// Who did that: the device's log, and its label. None where it is older than what is looked at.
    pub author: Option<(LogId, String)>,
}

/// What makes two states of a name different versions.
fn same(a: &Option<Inode>, b: &Option<Inode>) -> bool {
    let of = |inode: &Option<Inode>| inode.as_ref().map(|i| (i.object, i.version));
    of(a) == of(b)
}

/// Another version from here on, if it is another.
fn push(out: &mut Vec<Version>, since: TimeNs, inode: Option<Inode>, author: (LogId, String)) {
    if same(out.last().map_or(&None, |v| &v.inode), &inode) {
        return;
    }
    if let Some(last) = out.last_mut() {
        last.until = Some(since - 1);
    }
    out.push(Version { since, until: None, inode, author: Some(author) });
}

impl Fold {
    /// What was under a name, latest first.
    pub fn versions(&self, table: &dyn Table, dir: ObjectId, name: &[u8]) -> Result<Vec<Version>, FoldError> {
        let changes = self.changes_of(table, dir, name)?;
        let first = changes.first().copied().unwrap_or(self.counters.applied);
        let mut moment = self.made_by(table, first)?;
        let mut out: Vec<Version> = Vec::new();
        let before = moment.lookup(table, dir, name)?;
        if let Some(inode) = &before {
            out.push(Version { since: inode.attrs.btime, until: None, inode: before, author: None });
        }
        for entry in changes {
            moment.set_entries(entry + 1);
            let inode = moment.lookup(table, dir, name)?;
            let stood = stood(table, entry)?;
            let label = Body::read(table, &stood.order.hash)?.label;
            push(&mut out, stood.since, inode, (stood.order.log, label));
        }
        // What no entry has yet.
        let now = View(table).lookup(dir, name)?;
        // What lost its name did so at its last change.
        let was = out.last().and_then(|v| v.inode.as_ref()).map(|inode| inode.object);
        let lost = was.map(|object| View(table).inode(object)).transpose()?.flatten();
        let changed = now.as_ref().or(lost.as_ref()).map(|inode| inode.attrs.ctime);
        let since = changed.unwrap_or(self.counters.since).max(self.counters.since.saturating_add(1));
        push(&mut out, since, now, (self.log, self.label.clone()));
        out.reverse();
        Ok(out)
    }

    /// Entries that changed what is under a name, or its content, rising.
    fn changes_of(&self, table: &dyn Table, dir: ObjectId, name: &[u8]) -> Result<Vec<u64>, FoldError> {
        let mut entries = BTreeSet::new();
        let mut objects = BTreeSet::new();
        let mut add = |value: Option<&[u8]>| -> Result<(), TableError> {
            if let Some(bytes) = value {
                objects.insert(decode::<super::super::Dirent>("a directory entry", bytes)?.object);
            }
            Ok(())
        };
        for before in former(table, tables::DIRENT, dir, name)? {
            entries.insert(before.entry);
            add(before.value.as_ref().map(|v| &v[..]))?;
        }
        objects.extend(View(table).dirent(dir, name)?);
        // Pending operations may have taken it away.
        let before = self.made_by(table, self.counters.applied)?.lookup(table, dir, name)?;
        objects.extend(before.map(|inode| inode.object));
        for object in objects {
            let mut last = None;
            let now = View(table).inode(object)?;
            if now.as_ref().is_some_and(|inode| !inode.is_file()) {
                continue;
            }
            for before in former(table, tables::INODE, object, b"")? {
                let inode = before.value.as_ref().map(|v| decode::<Inode>("an inode", v)).transpose()?;
                let version = inode.and_then(|inode| inode.version);
                // The change between two inodes is made by the entry that the first stood before.
                if let Some((entry, was)) = last.replace((before.entry, version))
                    && was != version
                {
                    entries.insert(entry);
                }
            }
            if let Some((entry, was)) = last
                && now.and_then(|inode| inode.version) != was
            {
                entries.insert(entry);
            }
        }
        let all: Vec<u64> = entries.into_iter().collect();
        Ok(all[all.len().saturating_sub(CHANGES_MAX)..].to_vec())
    }
}

/// Former values of one item of a group, in order.
fn former(table: &dyn Table, of: u8, object: ObjectId, item: &[u8]) -> Result<Vec<Before>, TableError> {
    let (mut out, mut damaged) = (Vec::new(), None);
    table.each(tables::BEFORE, &before_group(of, &id_bytes(&object)), None, &mut |_, bytes| {
        match decode::<Before>("a former value", bytes) {
            Ok(before) if before.item == item => out.push(before),
            Ok(_) => {}
            Err(e) => damaged = Some(e),
        }
        damaged.is_none()
    })?;
    damaged.map_or(Ok(out), Err)
}
