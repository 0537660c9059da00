//! `kith history` and `kith conflicts`.

use super::api::{ConflictLine, Line, Outcome, Trouble, VersionLine};
use super::node::NodeDrive;
use super::runner::Runner;
use crate::drive::Conflict;
use crate::tree::{FileKind, TimeNs, Version};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Conflicts listed.
const CONFLICTS_LISTED: usize = 1000;

impl Runner {
    pub(super) fn history(&self, path: &Path) -> Outcome<Line> {
        let what = || format!("no history of {}", path.display());
        let (id, inside) = self.mounts.find(path).ok_or_else(|| {
            Trouble::new(
                what(),
                "it lies in no mount of this node",
                "give a path inside a mount; kith status lists the mounts",
            )
        })?;
        let gone = || Trouble::new(what(), "its drive is closed", "mount it again");
        let d = self.node().drive(&id).ok_or_else(gone)?;
        let mount = self.mounts.of(&id).ok_or_else(gone)?;
        let inner = inside.as_os_str().as_bytes();
        let versions = if inner.is_empty() { Ok(Vec::new()) } else { d.drive.versions(inner) };
        let versions = versions.map_err(|e| {
            Trouble::new(what(), e, "look at the directory's past: .kith/at in the mount's root")
        })?;
        let line = |v| version_line(&d, v);
        Ok(Line::History { mount, inside, versions: versions.into_iter().map(line).collect() })
    }

    pub(super) fn conflicts(&self) -> Outcome<Line> {
        let (mut conflicts, mut count) = (Vec::new(), 0);
        for d in self.node().drives() {
            let (some, all) = d.drive.conflicts(CONFLICTS_LISTED).map_err(|e| {
                Trouble::new(format!("no conflicts of '{}'", d.name), e, "see the log and kith status")
            })?;
            let mount = self.mounts.of(&d.drive.id());
            count += all as u64;
            conflicts.extend(some.into_iter().map(|c| conflict_line(&d, mount.as_deref(), c)));
        }
        Ok(Line::Conflicts { conflicts, count })
    }
}

fn version_line(d: &NodeDrive, version: Version) -> VersionLine {
    let kind = version.inode.as_ref().map(|inode| FileKind::from(&inode.kind));
    VersionLine {
        since: d.drive.time_name(version.since),
        at: exact(version.since),
        until: version.until.map(exact),
        kind: match kind {
            None => "nothing",
            Some(FileKind::File) => "file",
            Some(FileKind::Dir) => "directory",
            Some(FileKind::Symlink) => "symlink",
            Some(_) => "special",
        }
        .into(),
        bytes: version.inode.as_ref().map_or(0, |inode| inode.size),
        modified: version.inode.map_or(String::new(), |inode| d.drive.time_name(inode.attrs.mtime)),
        by: version.author.map(|(_, label)| label),
    }
}

/// Seconds since 1970, to the nanosecond.
fn exact(time: TimeNs) -> String {
    const SECOND: TimeNs = 1_000_000_000;
    format!("@{}.{:09}", time.div_euclid(SECOND), time.rem_euclid(SECOND))
}

fn conflict_line(d: &NodeDrive, mount: Option<&Path>, conflict: Conflict) -> ConflictLine {
    let place = |inside: Vec<u8>| {
        let inside = PathBuf::from(OsString::from_vec(inside));
        mount.map_or(inside.clone(), |mount| mount.join(&inside))
    };
    ConflictLine {
        drive: d.name.clone(),
        path: place(conflict.path),
        wanted: place(conflict.wanted),
        taken: conflict.taken,
        ours: conflict.ours.0,
        theirs_is_ours: conflict.ours.1,
        modified: d.drive.time_name(conflict.modified),
        bytes: conflict.bytes,
    }
}
