//! What people do with their files.

use super::oracle::{self, Known, version};
use super::{Family, READER, WRITERS};
use crate::drive::{Caller, Drive, Error, Files, OpenMode, ROOT_INO, Result};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

pub const ME: Caller = Caller { uid: 1000, gid: 1000, pid: 1, umask: 0 };
const EDIT: OpenMode = OpenMode { read: true, write: true, append: false, truncate: false };
/// No call that needs no friend takes this long.
const LOCAL: Duration = Duration::from_secs(10);
/// Reading may wait for friends this long.
pub const FAR: Duration = Duration::from_secs(60);
/// Files in a writer's own directory.
const MANY: usize = 60;
const PART: usize = 128 << 10;

/// A change of one file's content.
enum Change {
    /// Everything anew.
    Replace(Vec<u8>),
    /// Bytes from an offset on.
    Patch(usize, Vec<u8>),
}

fn at(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Family {
    pub(super) async fn act(&mut self) {
        let w = WRITERS[self.below(2)];
        let Some(drive) = self.drive(w) else { return self.count("writer is down") };
        let done = match self.below(100) {
            0..=24 => self.make(w, &drive).await,
            25..=39 => self.change(w, &drive).await,
            40..=49 => self.rename(w, &drive).await,
            50..=57 => self.unlink(w, &drive).await,
            58..=61 => self.mkdir(w, &drive),
            62..=71 => self.read_own(w, &drive).await,
            72..=84 => return self.read_other(w).await,
            85..=92 => self.both(&drive).await,
            _ => return self.reader().await,
        };
        if let Err(e) = done {
            self.violation("I8", format!("writer {w}: {e}"));
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let len = match self.below(100) {
            0..=69 => self.below(20 << 10),
            70..=94 => self.below(100 << 10),
            95..=98 => (100 << 10) + self.below(400 << 10),
            _ => (500 << 10) + self.below(1500 << 10),
        };
        self.noise(len.max(16))
    }

    /// Bytes that nothing else has.
    fn noise(&self, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        crate::world::Rng::fill(&*self.rng, &mut out);
        out
    }

    fn place(&self, w: usize, n: u64) -> String {
        let dirs = &self.own[w].dirs;
        match self.below(dirs.len() + 1) {
            0 => format!("/w{w}/f{n}"),
            d => format!("{}/f{n}", dirs[d - 1]),
        }
    }

    async fn make(&mut self, w: usize, drive: &Arc<Drive>) -> Result<()> {
        if self.own[w].present().len() >= MANY {
            return self.unlink(w, drive).await;
        }
        let n = self.next_file;
        self.next_file += 1;
        let path = self.place(w, n);
        let known = Known {
            path: Some(path.clone()),
            places: [None, Some(path)].into(),
            history: vec![version(b"")],
            synced: 0,
            content: Vec::new(),
        };
        self.own[w].files.insert(n, known);
        self.count("files made");
        let bytes = self.bytes();
        self.edit(w, drive, n, Change::Replace(bytes)).await
    }

    async fn change(&mut self, w: usize, drive: &Arc<Drive>) -> Result<()> {
        let Some(n) = self.any_file(w) else { return Ok(()) };
        let len = self.own[w].files.get(&n).map_or(0, |f| f.content.len());
        let some = 1 + self.below(20 << 10);
        let change = match self.below(3) {
            0 => Change::Replace(self.bytes()),
            1 => Change::Patch(len, self.noise(some)),
            _ => Change::Patch(self.below(len + 1), self.noise(some)),
        };
        self.count("files changed");
        self.edit(w, drive, n, change).await
    }

    fn any_file(&self, w: usize) -> Option<u64> {
        let all = self.own[w].present();
        (!all.is_empty()).then(|| all[self.below(all.len())])
    }

    /// Writes; perhaps syncs; perhaps the power goes in the middle of it.
    async fn edit(&mut self, w: usize, drive: &Arc<Drive>, n: u64, change: Change) -> Result<()> {
        let sync = self.below(2) == 0;
        let cut = self.plan.faults && self.below(100) == 0;
        let limit = if cut { Duration::from_micros(self.rng.below(30_000)) } else { LOCAL };
        let done = tokio::time::timeout(limit, self.write(w, drive, n, change, sync)).await;
        match done {
            Ok(done) => done?,
            Err(_) if cut => {}
            Err(_) => return Err(Error::TimedOut),
        }
        if cut {
            self.count("fault: power cut while writing");
            self.power_cut(w);
        }
        Ok(())
    }

    async fn write(&mut self, w: usize, drive: &Drive, n: u64, change: Change, sync: bool) -> Result<()> {
        let path = self.own[w].files.get(&n).and_then(|f| f.path.clone()).unwrap_or_default();
        let (dir, name) = at(&path);
        let parent = drive.resolve(dir.trim_start_matches('/').as_bytes())?;
        let truncate = matches!(change, Change::Replace(_));
        if truncate {
            self.became(w, n, Vec::new());
        }
        let handle = match drive.lookup(parent, name.as_bytes()) {
            Ok(attr) => drive.open(attr.ino, OpenMode { truncate, ..EDIT }).await?,
            Err(Error::NotFound) => drive.create(parent, name.as_bytes(), 0o644, EDIT, ME)?.1,
            Err(e) => return Err(e),
        };
        let (mut offset, bytes) = match change {
            Change::Replace(bytes) => (0, bytes),
            Change::Patch(offset, bytes) => (offset, bytes),
        };
        for part in bytes.chunks(PART) {
            let mut content = self.own[w].files.get(&n).map(|f| f.content.clone()).unwrap_or_default();
            content.resize(content.len().max(offset + part.len()), 0);
            content[offset..offset + part.len()].copy_from_slice(part);
            self.became(w, n, content);
            drive.write(handle, offset as u64, Bytes::copy_from_slice(part), false).await?;
            offset += part.len();
        }
        if sync {
            drive.fsync(handle).await?;
            self.own[w].synced(n);
            self.count("fsync");
        }
        drive.flush(handle).await?;
        drive.release(handle).await
    }

    /// File `n` is about to have this content.
    fn became(&mut self, w: usize, n: u64, content: Vec<u8>) {
        let hash = version(&content);
        self.versions.insert(hash);
        if let Some(f) = self.own[w].files.get_mut(&n) {
            f.history.push(hash);
            f.content = content;
        }
    }

    async fn rename(&mut self, w: usize, drive: &Arc<Drive>) -> Result<()> {
        let Some(n) = self.any_file(w) else { return Ok(()) };
        let from = self.own[w].files.get(&n).and_then(|f| f.path.clone()).unwrap_or_default();
        // Over another file, or to a new place.
        let over = self.any_file(w).filter(|other| *other != n && self.below(3) == 0);
        let to = match over {
            Some(other) => self.own[w].files.get(&other).and_then(|f| f.path.clone()).unwrap_or_default(),
            None => {
                self.next_file += 1;
                self.place(w, self.next_file - 1)
            }
        };
        let parent = |p: &str| drive.resolve(at(p).0.trim_start_matches('/').as_bytes());
        let (from_dir, to_dir) = (parent(&from)?, parent(&to)?);
        let (a, b) = (at(&from).1.as_bytes(), at(&to).1.as_bytes());
        drive.rename((from_dir, a), (to_dir, b), false, false, ME)?;
        self.count("renames");
        if let Some(f) = over.and_then(|other| self.own[w].files.get_mut(&other)) {
            f.path = None;
            f.places.insert(None);
        }
        if let Some(f) = self.own[w].files.get_mut(&n) {
            f.path = Some(to.clone());
            f.places.insert(Some(to));
        }
        if self.below(2) == 0 {
            self.sync_dir(w, drive, to_dir, [Some(n), over]).await?;
        }
        Ok(())
    }

    /// A synced directory: what became of these files' names is on the disk.
    async fn sync_dir(
        &mut self,
        w: usize,
        drive: &Drive,
        dir: crate::drive::Ino,
        files: [Option<u64>; 2],
    ) -> Result<()> {
        tokio::time::timeout(LOCAL, drive.sync_inode(dir)).await.unwrap_or(Err(Error::TimedOut))?;
        self.count("fsync of a directory");
        for n in files.into_iter().flatten() {
            let Some(f) = self.own[w].files.get_mut(&n) else { continue };
            f.places = [f.path.clone()].into();
            if f.path.is_none() {
                self.own[w].files.remove(&n);
            }
        }
        Ok(())
    }

    async fn unlink(&mut self, w: usize, drive: &Arc<Drive>) -> Result<()> {
        let Some(n) = self.any_file(w) else { return Ok(()) };
        let Some(path) = self.own[w].files.get(&n).and_then(|f| f.path.clone()) else { return Ok(()) };
        let dir = drive.resolve(at(&path).0.trim_start_matches('/').as_bytes())?;
        drive.unlink(dir, at(&path).1.as_bytes(), ME)?;
        self.count("unlinks");
        if let Some(f) = self.own[w].files.get_mut(&n) {
            f.path = None;
            f.places.insert(None);
        }
        if self.below(2) == 0 {
            self.sync_dir(w, drive, dir, [Some(n), None]).await?;
        }
        Ok(())
    }

    fn mkdir(&mut self, w: usize, drive: &Drive) -> Result<()> {
        if self.own[w].dirs.len() >= 8 {
            return Ok(());
        }
        let n = self.next_file;
        self.next_file += 1;
        let parent = drive.resolve(format!("w{w}").as_bytes())?;
        drive.mkdir(parent, format!("d{n}").as_bytes(), 0o755, ME)?;
        self.own[w].dirs.push(format!("/w{w}/d{n}"));
        self.count("mkdirs");
        Ok(())
    }

    async fn read_own(&mut self, w: usize, drive: &Arc<Drive>) -> Result<()> {
        let Some(n) = self.any_file(w) else { return Ok(()) };
        let Some(known) = self.own[w].files.get(&n).cloned() else { return Ok(()) };
        let path = known.path.unwrap_or_default();
        let ino = drive.resolve(path.trim_start_matches('/').as_bytes())?;
        match oracle::read(drive, ino, FAR).await {
            Ok(bytes) if bytes == known.content => self.count("reads of own files"),
            Ok(bytes) => self.violation(
                "I9",
                format!("{path} read at its writer: {} bytes, not what was written", bytes.len()),
            ),
            Err(e) => self.refused(e),
        }
        Ok(())
    }

    /// A read that friends could not serve: allowed while they are away.
    fn refused(&mut self, e: Error) {
        match e {
            Error::TimedOut => self.count("reads timed out"),
            Error::Unreadable(_) => self.count("reads refused for lack of friends"),
            e => self.violation("I9", format!("a read ended with: {e}")),
        }
    }

    /// Any file of the drive, at node `i`.
    async fn read_other(&mut self, i: usize) {
        let i = if self.below(3) == 0 { READER } else { i };
        let Some(drive) = self.drive(i) else { return };
        let Ok(all) = oracle::walk(&drive) else { return self.violation("I9", "the tree is not readable") };
        let files: Vec<_> = all.into_iter().filter(|(_, s)| !s.dir).collect();
        if files.is_empty() {
            return;
        }
        let (path, seen) = &files[self.below(files.len())];
        match oracle::read(&drive, seen.ino, FAR).await {
            Ok(bytes) if self.versions.contains(&version(&bytes)) => self.count("reads of any file"),
            Ok(bytes) => {
                let what = format!("{path} at {i}: {} bytes that were never written", bytes.len());
                self.violation("I9", what);
            }
            // It was removed meanwhile.
            Err(Error::Stale | Error::NotFound) => {}
            Err(e) => self.refused(e),
        }
    }

    /// A whole small file under one of a few names that both writers use.
    async fn both(&mut self, drive: &Arc<Drive>) -> Result<()> {
        let (name, len) = (format!("f{}", self.below(8)), 16 + self.below(20_000));
        let bytes = self.noise(len);
        self.versions.insert(version(&bytes));
        self.count("writes into what both write");
        let writing = async {
            let parent = drive.resolve(b"both")?;
            let handle = match drive.lookup(parent, name.as_bytes()) {
                Ok(attr) => drive.open(attr.ino, OpenMode { truncate: true, ..EDIT }).await?,
                Err(Error::NotFound) => drive.create(parent, name.as_bytes(), 0o644, EDIT, ME)?.1,
                Err(e) => return Err(e),
            };
            drive.write(handle, 0, Bytes::from(bytes), false).await?;
            drive.flush(handle).await?;
            drive.release(handle).await
        };
        tokio::time::timeout(LOCAL, writing).await.unwrap_or(Err(Error::TimedOut))
    }

    /// The reader reads, and tries what it must not.
    async fn reader(&mut self) {
        let Some(drive) = self.drive(READER) else { return };
        let tried = [
            ("create", drive.create(ROOT_INO, b"forbidden", 0o644, EDIT, ME).err()),
            ("mkdir", drive.mkdir(ROOT_INO, b"forbidden", 0o755, ME).err()),
            ("rmdir", drive.rmdir(ROOT_INO, b"both", ME).err()),
            ("rename", drive.rename((ROOT_INO, b"both"), (ROOT_INO, b"x"), false, false, ME).err()),
        ];
        for (what, error) in tried {
            match error {
                Some(Error::ReadOnly | Error::Denied | Error::NotPermitted) => {
                    self.count("writes refused to the reader")
                }
                other => self.violation("I5", format!("the reader's {what} answered {other:?}")),
            }
        }
    }
}
