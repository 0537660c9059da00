//! The calls of a disk and its files, on the simulated one.

use super::image::{FileState, Pending};
use super::{EIO, Gate, Inner, NameOp, SimDisk, SimFile, errno, parent};
use crate::world::{Disk, DiskFile, Open, Space};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        if let Some(code) = inner.fail_opens {
            return Err(errno(code));
        }
        let id = match (inner.live.files.get(path).copied(), how) {
            (Some(_), Open::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, Open::Read | Open::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (Some(id), _) => id,
            (None, _) => {
                let dir = parent(path);
                if !inner.live.dirs.contains(&dir) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let gate = inner.gate()?;
                let id = inner.next_id;
                inner.next_id += 1;
                inner.files.insert(id, FileState::default());
                let files = vec![(path.to_path_buf(), Some(id))];
                inner.name_op(NameOp { dir, files, dirs: Vec::new() });
                Inner::after(gate)?;
                id
            }
        };
        inner.file(id)?.handles += 1;
        Ok(Arc::new(SimFile { inner: self.inner.clone(), id }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        if inner.live.dirs.contains(path) {
            return Ok(());
        }
        let gate = inner.gate()?;
        for dir in path.ancestors() {
            inner.live.dirs.insert(dir.to_path_buf());
            inner.durable.dirs.insert(dir.to_path_buf());
        }
        Inner::after(gate)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        let mut op = NameOp { dir: parent(to), files: Vec::new(), dirs: Vec::new() };
        if let Some(id) = inner.live.files.get(from).copied() {
            op.files = vec![(from.to_path_buf(), None), (to.to_path_buf(), Some(id))];
        } else if inner.live.dirs.contains(from) {
            if inner.live.files.keys().any(|p| p.starts_with(to)) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let moved = |p: &Path| to.join(p.strip_prefix(from).unwrap_or(Path::new("")));
            for (path, id) in inner.live.files.iter().filter(|(p, _)| p.starts_with(from)) {
                op.files.push((path.clone(), None));
                op.files.push((moved(path), Some(*id)));
            }
            for dir in inner.live.dirs.iter().filter(|p| p.starts_with(from)) {
                op.dirs.push((dir.clone(), false));
                let new = moved(dir);
                // `join("")` adds a slash that would not compare equal in a set of paths' bytes.
                op.dirs.push((new.components().collect(), true));
            }
        } else {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !inner.live.dirs.contains(&op.dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let gate = inner.gate()?;
        inner.counts.renames += 1;
        inner.name_op(op);
        Inner::after(gate)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        if !inner.live.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let gate = inner.gate()?;
        inner.counts.removes += 1;
        let files = vec![(path.to_path_buf(), None)];
        inner.name_op(NameOp { dir: parent(path), files, dirs: Vec::new() });
        Inner::after(gate)
    }

    /// Each file goes by itself, so that a crash may leave any part; then the directories.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.alive()?;
        if !inner.live.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let gate = inner.gate()?;
        inner.counts.removes += 1;
        let dir = parent(path);
        let under = |p: &&PathBuf| p.starts_with(path);
        let files: Vec<PathBuf> = inner.live.files.keys().filter(under).cloned().collect();
        for file in files {
            let files = vec![(file, None)];
            inner.name_op(NameOp { dir: dir.clone(), files, dirs: Vec::new() });
        }
        let dirs = inner.live.dirs.iter().filter(under).map(|d| (d.clone(), false)).collect();
        inner.name_op(NameOp { dir, files: Vec::new(), dirs });
        Inner::after(gate)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let inner = self.inner.lock();
        inner.alive()?;
        if !inner.live.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut found = Vec::new();
        // Paths are sorted by their components, so all below `dir` stand together.
        let below = inner.live.files.range(dir.to_path_buf()..).take_while(|(p, _)| p.starts_with(dir));
        for (path, id) in below.filter(|(p, _)| p.parent() == Some(dir)) {
            if let (Some(name), Some(file)) = (path.file_name(), inner.files.get(id)) {
                found.push((name.to_string_lossy().into_owned(), file.len()));
            }
        }
        found.sort();
        Ok(found)
    }

    fn list_dirs(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.inner.lock();
        inner.alive()?;
        if !inner.live.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = inner.live.dirs.iter().filter(|p| p.parent() == Some(dir));
        let mut found: Vec<String> =
            names.filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).collect();
        found.sort();
        Ok(found)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        Inner::after(inner.gate()?)?;
        inner.counts.dir_syncs += 1;
        let (done, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inner.pending_names).into_iter().partition(|op| op.dir == dir);
        for op in &done {
            inner.durable.apply(op);
        }
        inner.pending_names = rest;
        inner.account();
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let inner = self.inner.lock();
        inner.alive()?;
        Ok(Space { free: inner.capacity.saturating_sub(inner.used), total: inner.capacity })
    }
}

impl SimFile {
    fn change(&self, end: Option<u64>, op: Pending) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let gate = inner.gate()?;
        if let Some(end) = end {
            // A power cut is no excuse for running out of room: a lost write needs none.
            match (inner.unplugged, &gate) {
                (true, Gate::Cut) => {}
                _ => inner.charge(self.id, end)?,
            }
        }
        let file = inner.files.get_mut(&self.id).ok_or_else(|| errno(EIO))?;
        file.change(op);
        Inner::after(gate)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.inner.lock();
        if let Some(code) = inner.fail_reads {
            return Err(errno(code));
        }
        let n = inner.file(self.id)?.read(buf, offset);
        inner.counts.reads += 1;
        inner.counts.bytes_read += n as u64;
        Ok(n)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        {
            let mut inner = self.inner.lock();
            inner.counts.writes += 1;
            inner.counts.bytes_written += buf.len() as u64;
        }
        self.change(Some(offset + buf.len() as u64), Pending::Write { offset, data: buf.into() })
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(None, Pending::SetLen(len))
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner.lock().file(self.id)?.len())
    }
    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        match inner.gate() {
            Ok(gate) => Inner::after(gate)?,
            Err(e) => {
                if let Some(file) = inner.files.get_mut(&self.id) {
                    file.forget();
                }
                return Err(e);
            }
        }
        inner.counts.syncs += 1;
        inner.file(self.id)?.sync();
        Ok(())
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.change(Some(len), Pending::Extend(len))
    }
    /// Reads as zeros; the room is still counted as used.
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<bool> {
        let data = vec![0; len as usize].into();
        self.change(None, Pending::Write { offset, data })?;
        Ok(true)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut inner = self.inner.lock();
        if let Some(file) = inner.files.get_mut(&self.id) {
            file.handles = file.handles.saturating_sub(1);
        }
        if inner.unlinked.contains(&self.id) {
            inner.account();
        }
    }
}
