//! Calls of C programs that no safe wrapper here has: locks of ranges, mappings, file handles, offsets of
//! directory streams, the user of one thread.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn result(code: i64) -> io::Result<i64> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code) }
}

/// Whose lock: the process's (POSIX), or the open file description's.
#[derive(Clone, Copy, Debug)]
pub enum Lock {
    Posix,
    Ofd,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    Read,
    Write,
    Free,
}

impl Want {
    fn number(self) -> i16 {
        match self {
            Want::Read => libc::F_RDLCK as i16,
            Want::Write => libc::F_WRLCK as i16,
            Want::Free => libc::F_UNLCK as i16,
        }
    }
}

fn range(want: Want, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: want.number(),
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

/// fcntl(2) with F_SETLK or F_OFD_SETLK: takes or frees a range, without waiting.
pub fn set_lock(file: &File, lock: Lock, want: Want, start: i64, len: i64) -> io::Result<()> {
    let command = match lock {
        Lock::Posix => libc::F_SETLK,
        Lock::Ofd => libc::F_OFD_SETLK,
    };
    let range = range(want, start, len);
    // SAFETY: the descriptor is open while `file` is borrowed, and the kernel only reads `range`.
    result(unsafe { libc::fcntl(file.as_raw_fd(), command, &range) }.into()).map(|_| ())
}

/// fcntl(2) with F_GETLK: start and length of a lock that is in the way of a write lock.
pub fn lock_in_the_way(file: &File, start: i64, len: i64) -> io::Result<Option<(i64, i64)>> {
    let mut range = range(Want::Write, start, len);
    // SAFETY: the descriptor is open, and `range` lives until the kernel has written it.
    result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut range) }.into())?;
    Ok((range.l_type != libc::F_UNLCK as i16).then_some((range.l_start, range.l_len)))
}

/// A mapping of a file's first bytes.
pub struct Map {
    at: *mut u8,
    len: usize,
}

impl Map {
    pub fn new(file: &File, len: usize, writable: bool, shared: bool) -> io::Result<Map> {
        let protection = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        let flags = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        // SAFETY: the kernel chooses where; nothing that is there is replaced.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Map { at: at.cast(), len }) }
    }

    pub fn get(&self, at: usize) -> u8 {
        assert!(at < self.len);
        // SAFETY: inside the mapping, which the tests never let reach beyond the file.
        unsafe { self.at.add(at).read_volatile() }
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len);
        // SAFETY: inside the mapping, of which only tests that asked for writing write.
        bytes.iter().enumerate().for_each(|(i, b)| unsafe { self.at.add(at + i).write_volatile(*b) });
    }

    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: exactly the mapping.
        result(unsafe { libc::msync(self.at.cast(), self.len, libc::MS_SYNC) }.into()).map(|_| ())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping, which nothing uses any more.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}

/// A directory stream.
pub struct Dir(*mut libc::DIR);

impl Dir {
    pub fn open(path: &Path) -> io::Result<Dir> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: a string with a NUL at its end, that the call does not keep.
        let dir = unsafe { libc::opendir(path.as_ptr()) };
        if dir.is_null() { Err(io::Error::last_os_error()) } else { Ok(Dir(dir)) }
    }

    pub fn next(&mut self) -> Option<Vec<u8>> {
        // SAFETY: the stream is open; the entry is copied before the next call on it.
        unsafe {
            let entry = libc::readdir(self.0);
            (!entry.is_null()).then(|| CStr::from_ptr((*entry).d_name.as_ptr()).to_bytes().to_vec())
        }
    }

    pub fn tell(&self) -> i64 {
        // SAFETY: the stream is open.
        unsafe { libc::telldir(self.0) }
    }

    pub fn seek(&mut self, to: i64) {
        // SAFETY: the stream is open.
        unsafe { libc::seekdir(self.0, to) }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and closed once.
        unsafe { libc::closedir(self.0) };
    }
}

/// A file handle, as servers of files keep it instead of a path.
#[repr(C)]
pub struct Handle {
    bytes: u32,
    kind: i32,
    handle: [u8; Handle::MAX as usize],
}

impl Handle {
    const MAX: u32 = 128;

    /// name_to_handle_at(2).
    pub fn of(path: &Path) -> io::Result<Handle> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut handle = Handle { bytes: Self::MAX, kind: 0, handle: [0; Self::MAX as usize] };
        let mut mount: libc::c_int = 0;
        // SAFETY: `handle` has room for the bytes that it says, and all three outlive the call.
        let code = unsafe {
            let (at, handle) = (libc::AT_FDCWD, &raw mut handle);
            libc::syscall(libc::SYS_name_to_handle_at, at, path.as_ptr(), handle, &raw mut mount, 0)
        };
        result(code).map(|_| handle)
    }

    /// open_by_handle_at(2), for reading, on the filesystem that a directory is on.
    pub fn open(&self, on: &File) -> io::Result<File> {
        let (handle, flags) = (std::ptr::from_ref(self), libc::O_RDONLY);
        // SAFETY: the kernel only reads `self`.
        let code = unsafe { libc::syscall(libc::SYS_open_by_handle_at, on.as_raw_fd(), handle, flags) };
        let fd = i32::try_from(result(code)?).map_err(io::Error::other)?;
        // SAFETY: it was opened just now, for nobody else.
        Ok(unsafe { File::from_raw_fd(fd) })
    }
}
