//! `kith restore PATH [--at TIME] [--to DIR]`: what was there comes back.
//!
//! Files are copied out of `.kith/at/TIME` in the mount, which copies references and no bytes. Each
//! takes its place by a rename, so that there is the old or the new one at any time, and what is replaced
//! stays in the history. What came since is not touched.

use crate::cli::args::Restore;
use crate::cli::mount::resolved;
use crate::cli::{Context, say, unexpected};
use crate::daemon::api::{Line, Outcome, Request, Trouble, VersionLine};
use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid, XattrFlags};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The attribute by which two files are known to be the same.
const CONTENT: &str = "user.kith.content";
/// Longest list and value of extended attributes.
const XATTR_MAX: usize = 64 << 10;
/// Failures that are told one by one.
const TOLD_MAX: usize = 20;

/// What was done.
#[derive(Default, serde::Serialize)]
struct Report {
    restored: u64,
    unchanged: u64,
    failed: u64,
    failures: Vec<String>,
}

pub fn restore(cx: &Context, args: &Restore) -> Outcome<()> {
    let path = resolved(&args.path);
    let answer = cx.ask(&Request::History { path: path.clone() })?;
    let Line::History { mount, inside, versions } = answer else { return Err(unexpected(answer)) };
    let moment = match &args.at {
        Some(at) => at.clone(),
        None => last_there(&path, &versions)?,
    };
    let then = mount.join(".kith/at").join(&moment);
    let from = then.join(&inside);
    let not = |why: String, fix: &str| Trouble::new(format!("{} is not restored", path.display()), why, fix);
    if let Err(e) = fs::symlink_metadata(&then) {
        let why = format!("there is no moment '{moment}' in the drive's history: {e}");
        return Err(not(why, "give a time such as 2026-11-26T14:05 that is in it; ls .kith/at in the mount"));
    }
    if let Err(e) = fs::symlink_metadata(&from) {
        return Err(not(format!("it was not there at {moment}: {e}"), "kith history says when it was"));
    }
    let to = match (&args.to, inside.file_name()) {
        (None, _) => path.clone(),
        (Some(dir), None) => dir.clone(),
        (Some(dir), Some(name)) => dir.join(name),
    };
    let made = match &args.to {
        Some(dir) => fs::create_dir_all(dir),
        None => make_parents(&from, &to),
    };
    made.map_err(|e| not(format!("{}: {e}", to.display()), "make the directory, or give another with --to"))?;
    kept(cx, &mount, &to)?;
    let mut report = Report::default();
    report.take(&from, &to);
    cx.print(&report, |r| {
        out!("{} restored, {} were as they had been.", r.restored, r.unchanged);
    })?;
    if report.failed == 0 {
        return Ok(());
    }
    report.failures.iter().for_each(|f| eprintln!("{}", say::escaped(f)));
    Err(not(
        format!("{} of its files or directories are not", report.failed),
        "see above; run it again to go on",
    ))
}

/// The time from which on a file was there that is not any more.
fn last_there(path: &Path, versions: &[VersionLine]) -> Outcome<String> {
    let not = |why: &str, fix: &str| Trouble::new(format!("{} is not restored", path.display()), why, fix);
    match versions {
        [] => Err(not("nothing ever had that name", "check the path")),
        [now, ..] if now.kind != "nothing" => {
            Err(not("it is there", "say what to bring back: --at TIME; kith history lists times"))
        }
        [_, last, ..] if last.kind != "directory" => Ok(last.until.as_ref().unwrap_or(&last.at).clone()),
        _ => Err(not(
            "of a directory it is not known at which time you want it",
            "say --at TIME; kith history says when it was removed",
        )),
    }
}

impl Report {
    /// Bring back what is at `from`.
    fn take(&mut self, from: &Path, to: &Path) {
        let done = fs::symlink_metadata(from).and_then(|meta| match meta.file_type() {
            kind if kind.is_dir() => self.take_dir(from, to, &meta),
            kind if kind.is_symlink() => take_symlink(from, to),
            kind if kind.is_file() => take_file(from, to, &meta),
            _ => Err(io::Error::other("pipes, sockets and devices are not restored")),
        });
        match done {
            Ok(true) => self.restored += 1,
            Ok(false) => self.unchanged += 1,
            Err(e) => {
                self.failed += 1;
                if self.failures.len() < TOLD_MAX {
                    self.failures.push(format!("{}: {e}", to.display()));
                }
            }
        }
    }

    fn take_dir(&mut self, from: &Path, to: &Path, meta: &Metadata) -> io::Result<bool> {
        let made = match fs::symlink_metadata(to) {
            Ok(there) if there.is_dir() => false,
            Ok(_) => {
                return Err(io::Error::other("something else has the directory's name now: move it away"));
            }
            Err(_) => {
                DirBuilder::new().mode(0o700).create(to)?;
                true
            }
        };
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            self.take(&from.join(&name), &to.join(&name));
        }
        // At the end, so that nothing is in the way of what goes into it.
        if made {
            give(from, to, meta)?;
        } else {
            // Its rights are those of now, and for what came since.
            times(to, meta)?;
        }
        Ok(made)
    }
}

/// Whether two have one mode, owner and time.
fn alike(a: &Metadata, b: &Metadata) -> bool {
    let of = |m: &Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
    of(a) == of(b)
}

fn take_symlink(from: &Path, to: &Path) -> io::Result<bool> {
    let target = fs::read_link(from)?;
    match fs::symlink_metadata(to) {
        Ok(there) if there.is_symlink() && fs::read_link(to)? == target => return Ok(false),
        Ok(there) if there.is_dir() => return Err(is_a_directory()),
        _ => {}
    }
    let beside = beside(to);
    symlink(target, &beside)?;
    replace(&beside, to)
}

fn take_file(from: &Path, to: &Path, meta: &Metadata) -> io::Result<bool> {
    let there = fs::symlink_metadata(to).ok();
    if there.as_ref().is_some_and(Metadata::is_dir) {
        return Err(is_a_directory());
    }
    let same = there.as_ref().is_some_and(Metadata::is_file)
        && value(from, CONTENT).is_some_and(|content| value(to, CONTENT) == Some(content));
    if same && there.is_some_and(|there| alike(&there, meta)) {
        return Ok(false);
    }
    if same {
        return give(from, to, meta).map(|()| true);
    }
    let beside = beside(to);
    let copied = copy(from, &beside, meta);
    if copied.is_err() {
        let _ = fs::remove_file(&beside);
    }
    copied?;
    replace(&beside, to)
}

fn copy(from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    // copy_file_range(2) where it can be had: references inside a drive.
    let copied = io::copy(&mut source, &mut target)?;
    if copied != meta.len() {
        return Err(io::Error::other(format!("{copied} of {} bytes could be read", meta.len())));
    }
    drop(target);
    give(from, to, meta)
}

/// Owner, attributes, mode and times of `from`: nobody gets more than he is to have meanwhile.
fn give(from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
    let own = |uid, gid| rustix::fs::chownat(CWD, to, uid, gid, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    // Only root may give things away. Who may not keeps what is restored, and it runs as nobody else.
    let given = own(Some(uid), Some(gid));
    if !given {
        own(None, Some(gid));
    }
    // The directory may have given it a list.
    for list in ["system.posix_acl_access", "system.posix_acl_default"] {
        let _ = rustix::fs::lremovexattr(to, list);
    }
    let mut names = vec![0; XATTR_MAX];
    let len = rustix::fs::llistxattr(from, &mut names)?;
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let Some(value) = value(from, OsStr::from_bytes(name)) else { continue };
        match rustix::fs::lsetxattr(to, OsStr::from_bytes(name), &value, XattrFlags::empty()) {
            Ok(()) => {}
            // A disk beside the mount may have none, and an ordinary user may not set all.
            Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(_) if !name.starts_with(b"user.") && !name.starts_with(b"system.") => {}
            Err(e) => return Err(e.into()),
        }
    }
    let bits = if given { 0o7777 } else { 0o1777 };
    fs::set_permissions(to, Permissions::from_mode(meta.mode() & bits))?;
    times(to, meta)
}

fn times(to: &Path, meta: &Metadata) -> io::Result<()> {
    let stamp = |seconds, nanoseconds: i64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    let times = Timestamps {
        last_access: stamp(meta.atime(), meta.atime_nsec()),
        last_modification: stamp(meta.mtime(), meta.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Directories on the way that are there no more, as they were.
fn make_parents(from: &Path, to: &Path) -> io::Result<()> {
    let (Some(from), Some(to)) = (from.parent(), to.parent()) else { return Ok(()) };
    if fs::symlink_metadata(to).is_ok() {
        return Ok(());
    }
    make_parents(from, to)?;
    DirBuilder::new().mode(0o700).create(to)?;
    give(from, to, &fs::symlink_metadata(from)?)
}

/// What is in the way is in the history only once friends know of it: until then it would be lost.
fn kept(cx: &Context, mount: &Path, to: &Path) -> Outcome<()> {
    if !to.starts_with(mount) || fs::symlink_metadata(to).is_err() {
        return Ok(());
    }
    super::conflicts::published(cx, to)
}

fn value(path: &Path, name: impl AsRef<OsStr>) -> Option<Vec<u8>> {
    let mut value = vec![0; XATTR_MAX];
    let len = rustix::fs::lgetxattr(path, name.as_ref(), &mut value).ok()?;
    value.truncate(len);
    Some(value)
}

fn is_a_directory() -> io::Error {
    io::Error::other("a directory has the name now: move it away")
}

/// A name beside another, for what is to take its place.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(format!(".kith-restore-{}-", std::process::id()));
    let of = path.file_name().unwrap_or_default().as_bytes();
    name.push(OsStr::from_bytes(&of[..of.len().min(200)]));
    path.with_file_name(name)
}

fn replace(beside: &Path, to: &Path) -> io::Result<bool> {
    let done = fs::rename(beside, to);
    if done.is_err() {
        let _ = fs::remove_file(beside);
    }
    done.map(|()| true)
}
