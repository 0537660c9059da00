//! Reaching the control socket, wherever it is and however long its path.

use super::home::Home;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// sockaddr_un has room for 108 bytes, the last of them zero.
const PATH_MAX: usize = 107;

/// Does `with` the socket's path, by way of its open directory if it is too long for the kernel.
fn short<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return with(path) };
    if path.as_os_str().as_bytes().len() <= PATH_MAX {
        return with(path);
    }
    let dir: OwnedFd = rustix::fs::open(dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    with(&PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name))
}

pub fn bind(path: &Path) -> io::Result<UnixListener> {
    short(path, |p| UnixListener::bind(p))
}

/// The daemon of `home`. Its socket may be elsewhere than here expected, when it was started
/// without XDG_RUNTIME_DIR (at boot, by `su`, by cron) and this program with it, or the other
/// way round: the lock file says where.
pub fn connect(home: &Home) -> io::Result<UnixStream> {
    let to = |path: &Path| short(path, |p| UnixStream::connect(p));
    to(&home.socket()).or_else(|e| match std::fs::read(home.lock()) {
        Ok(noted) if !noted.is_empty() => to(Path::new(std::ffi::OsStr::from_bytes(&noted))).map_err(|_| e),
        _ => Err(e),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_no_hindrance() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::below(&dir.path().join("long".repeat(50)));
        std::fs::create_dir_all(&home.runtime).expect("made");
        assert!(home.socket().as_os_str().len() > PATH_MAX);
        assert!(connect(&home).is_err());
        let _listener = bind(&home.socket()).expect("bound");
        connect(&home).expect("connected");
    }

    #[test]
    fn the_lock_file_says_where_the_socket_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::below(dir.path());
        let other = dir.path().join("elsewhere.sock");
        let _listener = bind(&other).expect("bound");
        std::fs::create_dir_all(&home.state).expect("made");
        std::fs::write(home.lock(), "").expect("written");
        assert!(connect(&home).is_err());
        std::fs::write(home.lock(), other.as_os_str().as_bytes()).expect("written");
        connect(&home).expect("connected");
    }
}
