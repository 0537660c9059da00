//! The directory a mount goes to: making it, judging it, and clearing what a crash left there.

use super::session::MountError;
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The type of every kith mount.
pub const FS_TYPE: &str = "fuse.kith";
/// Dead mounts may lie on top of each other, one for each crash.
const MOST_LAYERS: usize = 16;
/// How long a mount may take to show that it lives.
const LIFE_SIGN: Duration = Duration::from_secs(2);

/// One line of /proc/self/mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    pub dir: PathBuf,
    pub kind: String,
    pub source: String,
}

/// What is mounted, in the order of mounting.
pub(super) fn mounted() -> io::Result<Vec<Mounted>> {
    Ok(std::fs::read("/proc/self/mountinfo")?.split(|b| *b == b'\n').filter_map(parse_line).collect())
}

/// `36 35 98:0 /root /mount/point options [tags] - type source options`
fn parse_line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|b| *b == b' ');
    let dir = fields.nth(4)?;
    let mut rest = fields.skip_while(|f| *f != b"-").skip(1);
    let kind = String::from_utf8_lossy(rest.next()?).into_owned();
    let source = String::from_utf8_lossy(&unescape(rest.next()?)).into_owned();
    Some(Mounted { dir: OsString::from_vec(unescape(dir)).into(), kind, source })
}

/// Blank, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// The topmost mount exactly at `dir`.
pub(super) fn mounted_at(dir: &Path) -> io::Result<Option<Mounted>> {
    Ok(mounted()?.into_iter().rev().find(|m| m.dir == dir))
}

/// `dir` without links, though the last part may be a dead mount that cannot be looked at.
fn resolve(dir: &Path) -> io::Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    let is_link = std::fs::symlink_metadata(&dir).is_ok_and(|m| m.is_symlink());
    match (dir.parent(), dir.file_name()) {
        (Some(parent), Some(name)) if !is_link => Ok(parent.canonicalize()?.join(name)),
        _ => dir.canonicalize(),
    }
}

/// Whether `dir` is a FUSE mount whose process is gone. A mount that does not answer for
/// [`LIFE_SIGN`] counts as living: its process may only be slow or stopped.
pub fn is_dead(dir: &Path) -> bool {
    let (answer, answered) = mpsc::channel();
    let dir = dir.to_owned();
    // stat(2) would be answered from the kernel's cache for an hour after a crash; statfs(2)
    // always asks. On a thread, since it may never return.
    let asked = thread::Builder::new().name("kith-life-sign".into()).spawn(move || {
        let _ = answer.send(rustix::fs::statvfs(&dir).err());
    });
    asked.is_ok() && matches!(answered.recv_timeout(LIFE_SIGN), Ok(Some(Errno::NOTCONN | Errno::CONNABORTED)))
}

/// Makes the directory if need be, clears kith's own dead mounts from it, and says where it
/// really is. Refuses what a mount would hide.
pub(super) fn prepare(dir: &Path, over_non_empty: bool) -> Result<PathBuf, MountError> {
    let failed = |source| MountError::Directory { dir: dir.into(), source };
    clear_stale(dir)?;
    std::fs::create_dir_all(dir).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => MountError::NotADirectory(dir.into()),
        _ => failed(e),
    })?;
    let real = resolve(dir).map_err(failed)?;
    if let Some(there) = mounted_at(&real).map_err(failed)?
        && there.kind == FS_TYPE
    {
        return Err(MountError::AlreadyMounted { dir: real, source_name: there.source });
    }
    if !over_non_empty && std::fs::read_dir(&real).map_err(failed)?.next().is_some() {
        return Err(MountError::NotEmpty(real));
    }
    Ok(real)
}

/// Clears dead kith mounts at `dir`, which a crash of the daemon leaves ("Transport endpoint
/// is not connected"); says whether there were any. A living mount, or a dead one of another
/// filesystem, is left alone.
pub fn clear_stale(dir: &Path) -> Result<bool, MountError> {
    let failed = |source| MountError::Directory { dir: dir.into(), source };
    let mut cleared = false;
    for _ in 0..MOST_LAYERS {
        if !is_dead(dir) {
            return Ok(cleared);
        }
        let real = resolve(dir).map_err(failed)?;
        match mounted_at(&real).map_err(failed)? {
            Some(dead) if dead.kind == FS_TYPE => {
                tracing::info!(dir = %real.display(), source = dead.source, "clearing the mount left by a crash");
                unmount(&real, true).map_err(failed)?;
                cleared = true;
            }
            there => {
                let what = there.map_or_else(|| "something".into(), |m| m.kind);
                return Err(MountError::DeadForeign { dir: real, what });
            }
        }
    }
    Err(MountError::DeadForeign { dir: dir.into(), what: "too many dead mounts".into() })
}

/// Unmounts what is mounted at `dir` and below it, the newest first, dead or living, and also
/// what is in use: for whoever made `dir` and all that is mounted there. How many there were.
pub fn clear_below(dir: &Path) -> io::Result<usize> {
    let dir = resolve(dir)?;
    let below: Vec<_> = mounted()?.into_iter().rev().filter(|m| m.dir.starts_with(&dir)).collect();
    for there in &below {
        unmount(&there.dir, true)?;
    }
    Ok(below.len())
}

/// Unmounts once; `lazy` also if it is in use.
pub(super) fn unmount(dir: &Path, lazy: bool) -> io::Result<()> {
    use rustix::mount::UnmountFlags;
    let flags = if lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() } | UnmountFlags::NOFOLLOW;
    match rustix::mount::unmount(dir, flags) {
        // An ordinary user must ask the set-uid helper.
        Err(Errno::PERM) => ask_helper(dir, lazy),
        outcome => Ok(outcome?),
    }
}

fn ask_helper(dir: &Path, lazy: bool) -> io::Result<()> {
    let output = Command::new(helper()).arg(if lazy { "-uz" } else { "-u" }).arg("--").arg(dir).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// The set-uid program that mounts for ordinary users. Debian: package fuse3.
pub(super) fn helper() -> OsString {
    std::env::var_os("FUSERMOUNT_PATH").unwrap_or_else(|| "fusermount3".into())
}

/// A drive's name as a mount source. Commas would end the option, other bytes would confuse
/// readers of /proc/mounts.
pub(super) fn source_name(name: &str) -> String {
    let safe: String =
        name.chars().map(|c| if c.is_control() || matches!(c, ',' | '\\' | ' ') { '_' } else { c }).collect();
    format!("kith:{safe}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_blanks_and_tags_is_understood() {
        let line = br"59 28 0:45 / /home/a\040b/K\134x rw,nosuid shared:30 master:1 - fuse.kith kith:family rw,user_id=0";
        let expected =
            Mounted { dir: "/home/a b/K\\x".into(), kind: "fuse.kith".into(), source: "kith:family".into() };
        assert_eq!(parse_line(line), Some(expected));
        assert_eq!(parse_line(b""), None);
        assert_eq!(parse_line(b"1 2 3 4"), None);
        assert_eq!(unescape(br"a\04"), br"a\04");
        assert_eq!(unescape(br"\999"), br"\999");
    }

    #[test]
    fn this_machine_has_proc_mounted() {
        let proc = mounted_at(Path::new("/proc")).expect("mountinfo").expect("proc");
        assert_eq!(proc.kind, "proc");
    }

    #[test]
    fn names_cannot_smuggle_options() {
        assert_eq!(source_name("fotos,allow_other\n"), "kith:fotos_allow_other_");
        assert_eq!(source_name("Oma & Opa"), "kith:Oma_&_Opa");
    }

    #[test]
    fn a_directory_with_entries_is_refused_unless_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("a"), "").expect("a file");
        assert!(matches!(prepare(dir.path(), false), Err(MountError::NotEmpty(_))));
        assert!(prepare(dir.path(), true).is_ok());
        let file = dir.path().join("a");
        assert!(matches!(prepare(&file, false), Err(MountError::NotADirectory(_))));
        assert!(prepare(&dir.path().join("x/Kith"), false).is_ok(), "made on the way");
    }

    #[test]
    fn a_living_directory_is_not_stale() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(!clear_stale(dir.path()).expect("nothing to clear"));
        assert!(!clear_stale(&dir.path().join("absent")).expect("nothing there"));
    }
}
