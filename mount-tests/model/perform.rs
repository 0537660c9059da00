//! One operation on one side: the system call, and what came of it in words, with the attributes
//! of what it touched.

use super::actor::Side;
use super::differences::{attributes, bytes, said, xattrs};
use super::op::{How, Op};
use super::sys::Map;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags, SeekFrom, Timespec, Timestamps, XattrFlags,
};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

/// Reproducible bytes; zeros for seed 0.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    if seed > 0 {
        let key = blake3::hash(&seed.to_le_bytes());
        blake3::Hasher::new_keyed(key.as_bytes()).finalize_xof().fill(&mut out);
    }
    out
}

/// The name without following a symbolic link at its end, in words.
fn stat(path: &Path) -> String {
    said(fs::symlink_metadata(path).map(|m| attributes(&m)))
}

/// A call of which only success or errno counts.
fn did<T, E: Into<io::Error>>(outcome: Result<T, E>) -> String {
    said(outcome.map(|_| "done").map_err(Into::into))
}

pub fn perform(side: &mut Side, op: &Op) -> String {
    let (named, open) = touched(op);
    let came = match op {
        Op::Open { slot, path, how, mode } => {
            // What was open in the slot is closed first.
            side.slots[*slot] = None;
            match open_as(&side.root.join(path), *how, *mode) {
                Ok(file) => {
                    side.slots[*slot] = Some(file);
                    "opened".into()
                }
                Err(e) => said::<String>(Err(e)),
            }
        }
        Op::Close { slot } => {
            side.slots[*slot] = None;
            "closed".into()
        }
        Op::Copy { from, from_at, to, to_at, len } => match (&side.slots[*from], &side.slots[*to]) {
            (Some(from), Some(to)) => copy(from, *from_at, to, *to_at, *len),
            _ => return "not open".into(),
        },
        op => match open {
            Some(slot) => match &mut side.slots[slot] {
                Some(file) => on_handle(file, op),
                None => return "not open".into(),
            },
            None => on_name(&side.root, op),
        },
    };
    let mut out = came;
    for path in named {
        out += &format!(" | {}", stat(&side.root.join(path)));
    }
    if let Some(Some(file)) = open.map(|slot| &side.slots[slot]) {
        out += &format!(" | {}", said(file.metadata().map(|m| attributes(&m))));
    }
    out
}

/// Names and the handle whose attributes are compared after an operation.
fn touched(op: &Op) -> (Vec<&str>, Option<usize>) {
    match op {
        Op::Open { slot, path, .. } => (vec![path], Some(*slot)),
        Op::Close { slot }
        | Op::Write { slot, .. }
        | Op::Read { slot, .. }
        | Op::WriteAt { slot, .. }
        | Op::ReadAt { slot, .. }
        | Op::WriteMapped { slot, .. }
        | Op::SetLen { slot, .. }
        | Op::Allocate { slot, .. }
        | Op::Sync { slot, .. }
        | Op::Holes { slot }
        | Op::Seek { slot, .. }
        | Op::Forget { slot }
        | Op::StatOpen { slot }
        | Op::ChmodOpen { slot, .. }
        | Op::TimesOpen { slot, .. } => (vec![], Some(*slot)),
        Op::Copy { to, .. } => (vec![], Some(*to)),
        Op::Rename { from, to, .. } | Op::Link { from, to } => (vec![from, to], None),
        Op::Truncate { path, .. }
        | Op::SyncDir { path }
        | Op::Unlink { path }
        | Op::Symlink { path, .. }
        | Op::ReadLink { path }
        | Op::Mkdir { path, .. }
        | Op::Rmdir { path }
        | Op::List { path }
        | Op::Chmod { path, .. }
        | Op::Times { path, .. }
        | Op::Stat { path }
        | Op::SetXattr { path, .. }
        | Op::GetXattr { path, .. }
        | Op::RemoveXattr { path, .. } => (vec![path], None),
        _ => (vec![], None),
    }
}

fn open_as(path: &Path, how: How, mode: u32) -> io::Result<File> {
    let mut flags = OFlags::CLOEXEC;
    flags |= match (how.read, how.write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    flags.set(OFlags::CREATE, how.create);
    flags.set(OFlags::EXCL, how.excl);
    flags.set(OFlags::TRUNC, how.trunc);
    flags.set(OFlags::APPEND, how.append);
    Ok(rustix::fs::open(path, flags, Mode::from_raw_mode(mode))?.into())
}

fn on_handle(file: &mut File, op: &Op) -> String {
    match op {
        Op::Write { len, seed, .. } => did(file.write_all(&noise(*seed, *len))),
        Op::WriteAt { at, len, seed, .. } => did(file.write_all_at(&noise(*seed, *len), *at)),
        Op::Read { len, .. } => said(read_full(*len, |into, _| file.read(into))),
        Op::ReadAt { at, len, .. } => said(read_full(*len, |into, got| file.read_at(into, at + got))),
        Op::WriteMapped { at, len, seed, .. } => did(write_mapped(file, *at as usize, *len, *seed)),
        Op::SetLen { len, .. } => did(file.set_len(*len)),
        Op::Allocate { mode, at, len, .. } => {
            did(rustix::fs::fallocate(&*file, FallocateFlags::from_bits_retain(*mode), *at, *len))
        }
        Op::Sync { data_only: true, .. } => did(file.sync_data()),
        Op::Sync { .. } => did(file.sync_all()),
        Op::Holes { .. } => said(holes(file)),
        Op::Seek { at, .. } => said(rustix::fs::seek(&*file, SeekFrom::Start(*at)).map_err(Into::into)),
        Op::Forget { .. } => did(rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed)),
        Op::ChmodOpen { mode, .. } => did(file.set_permissions(Permissions::from_mode(*mode))),
        Op::TimesOpen { seconds, nanos, .. } => did(rustix::fs::futimens(&*file, &times(*seconds, *nanos))),
        _ => "seen".into(),
    }
}

fn on_name(root: &Path, op: &Op) -> String {
    let at = |path: &str| root.join(path);
    match op {
        Op::Truncate { path, len } => {
            let path = std::ffi::CString::new(at(path).into_os_string().into_encoded_bytes());
            let path = path.expect("no NUL in it");
            // SAFETY: a string with a NUL at its end, that the call does not keep.
            match unsafe { libc::truncate(path.as_ptr(), *len as i64) } {
                0 => "done".into(),
                _ => said::<String>(Err(io::Error::last_os_error())),
            }
        }
        Op::SyncDir { path } => did(File::open(at(path)).and_then(|dir| dir.sync_all())),
        Op::Rename { from, to, flags } => {
            let flags = RenameFlags::from_bits_retain(*flags);
            did(rustix::fs::renameat_with(CWD, at(from), CWD, at(to), flags))
        }
        Op::Link { from, to } => did(fs::hard_link(at(from), at(to))),
        Op::Unlink { path } => did(fs::remove_file(at(path))),
        Op::Symlink { target, path } => did(std::os::unix::fs::symlink(target, at(path))),
        Op::ReadLink { path } => said(fs::read_link(at(path)).map(|target| target.display().to_string())),
        Op::Mkdir { path, mode } => did(rustix::fs::mkdir(at(path), Mode::from_raw_mode(*mode))),
        Op::Rmdir { path } => did(fs::remove_dir(at(path))),
        Op::List { path } => said(list(&at(path))),
        Op::Chmod { path, mode } => did(fs::set_permissions(at(path), Permissions::from_mode(*mode))),
        Op::Times { path, seconds, nanos } => {
            let times = times(*seconds, *nanos);
            did(rustix::fs::utimensat(CWD, at(path), &times, AtFlags::SYMLINK_NOFOLLOW))
        }
        Op::SetXattr { path, name, len, seed, flags } => {
            let flags = XattrFlags::from_bits_retain(*flags);
            did(rustix::fs::lsetxattr(at(path), name, &noise(*seed, *len), flags))
        }
        Op::GetXattr { path, name } => {
            let value = xattr::get(at(path), name).map(|value| value.map(|v| bytes(&v)));
            let all = xattrs(&at(path));
            format!("{} {}", said(value.map(|v| v.unwrap_or("none".into()))), said(all))
        }
        Op::RemoveXattr { path, name } => did(rustix::fs::lremovexattr(at(path), name)),
        _ => "seen".into(),
    }
}

fn times(seconds: i64, nanos: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    Timestamps { last_access: time, last_modification: time }
}

/// As much as there is, up to `len`.
fn read_full(len: usize, mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<String> {
    let (mut data, mut got) = (vec![0; len], 0);
    while got < len {
        match read(&mut data[got..], got as u64)? {
            0 => break,
            n => got += n,
        }
    }
    Ok(bytes(&data[..got]))
}

/// Inside of what the file has: beyond it there is nothing to write to.
fn write_mapped(file: &File, at: usize, len: usize, seed: u64) -> io::Result<()> {
    let size = file.metadata()?.len() as usize;
    if !file.metadata()?.is_file() || at >= size || len == 0 {
        return Ok(());
    }
    let len = len.min(size - at);
    Map::new(file, at + len, true, true)?.put(at, &noise(seed, len));
    Ok(())
}

/// Short copies are gone on with: how much one call takes is the filesystem's choice.
fn copy(from: &File, from_at: u64, to: &File, to_at: u64, len: usize) -> String {
    let (mut a, mut b, mut left) = (from_at, to_at, len);
    while left > 0 {
        match rustix::fs::copy_file_range(from, Some(&mut a), to, Some(&mut b), left) {
            Ok(0) => break,
            Ok(n) => left -= n,
            Err(e) => return format!("{} after {}", said::<String>(Err(e.into())), len - left),
        }
    }
    format!("copied {}", len - left)
}

fn list(dir: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        names.push(format!("{} {:?}", entry.file_name().display(), entry.file_type()?));
    }
    names.sort();
    Ok(format!("{names:?}"))
}

/// Walks from hole to hole: they follow each other to the end, and hold nothing but zeros.
fn holes(file: &File) -> io::Result<String> {
    let meta = file.metadata()?;
    let mut first = [0];
    if !meta.is_file() || file.read_at(&mut first, 0).is_err() {
        return Ok("no file to read".into());
    }
    let (size, mut at) = (meta.len(), 0);
    let before = rustix::fs::seek(file, SeekFrom::Current(0))?;
    while at < size {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Err(rustix::io::Errno::NXIO) => size,
            found => found?,
        };
        let mut hole = vec![1; data.saturating_sub(at) as usize];
        file.read_exact_at(&mut hole, at)?;
        if data < at || data > size || hole.iter().any(|b| *b != 0) {
            return Ok(format!("from {at} on data is said to be at {data}"));
        }
        if data == size {
            break;
        }
        let end = rustix::fs::seek(file, SeekFrom::Hole(data))?;
        if end <= data || end > size {
            return Ok(format!("the data at {data} is said to end at {end} of {size}"));
        }
        at = end;
    }
    let beyond = did(rustix::fs::seek(file, SeekFrom::Data(size)));
    rustix::fs::seek(file, SeekFrom::Start(before))?;
    Ok(format!("holes are holes, {beyond} at the end"))
}
