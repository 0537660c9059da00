//! `kith mount`, `kith unmount`, and mount(8)'s helper.

use crate::cli::args::Mount;
use crate::cli::mount_kith::{self, exit};
use crate::cli::{Context, say, unexpected};
use crate::daemon::api::{Line, Outcome, Request, Trouble};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `~/Kith`: below the home directory file managers show it in their sidebar.
pub fn default_dir() -> Outcome<PathBuf> {
    std::env::var_os("HOME").filter(|h| !h.is_empty()).map(|h| PathBuf::from(h).join("Kith")).ok_or_else(
        || Trouble::new("no directory to mount at", "HOME is not set", "name one: kith mount DIR"),
    )
}

/// A path as the daemon knows it: whole, and without links on the way. The last part stays as
/// it is, unless it is a link to a directory.
pub fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let is_link = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
    let real = match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) if !(is_link && path.is_dir()) => dir.canonicalize().map(|d| d.join(name)),
        _ => path.canonicalize(),
    };
    // What is not there yet is made by the daemon, and what cannot be looked at is for it to judge.
    real.unwrap_or(path)
}

pub fn mount(cx: &Context, args: &Mount) -> Outcome<()> {
    cx.ensure_daemon()?;
    let dir = args.dir.as_deref().map_or_else(default_dir, |d| Ok(resolved(d)))?;
    let request = Request::Mount {
        drive: args.drive.clone(),
        dir,
        read_only: args.read_only,
        allow_other: args.allow_other,
        nonempty: args.nonempty,
        noatime: args.noatime,
        noexec: args.noexec,
        uid: args.uid,
        gid: args.gid,
    };
    match cx.ask(&request)? {
        answer @ Line::Mounted { .. } => cx.print(&answer, |a| {
            if let Line::Mounted { dir, drive } = a {
                out!("'{}' is mounted at {}", say::escaped(drive), dir.display());
            }
        }),
        other => Err(unexpected(other)),
    }
}

pub fn unmount(cx: &Context, dir: Option<PathBuf>) -> Outcome<()> {
    let dir = dir.map(|d| resolved(&d));
    match cx.ask(&Request::Unmount { dir })? {
        answer @ Line::Unmounted { .. } => cx.print(&answer, |a| {
            let Line::Unmounted { dirs, busy } = a else { return };
            if dirs.is_empty() {
                out!("Nothing was mounted.");
            }
            for dir in dirs {
                let at = say::escaped(&dir.to_string_lossy());
                match busy.contains(dir) {
                    true => out!("{at} is unmounted; programs that still have files open there keep them until they close them."),
                    false => out!("{at} is unmounted."),
                }
            }
        }),
        other => Err(unexpected(other)),
    }
}

/// `mount.kith SOURCE DIR -o OPTIONS`: called by mount(8) and fstab. Does it through
/// `kith mount`, as the user that `user=` names.
pub fn helper(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let request = match mount_kith::parse(words) {
        Ok(request) => request,
        Err(e) => {
            eprintln!("mount.kith: {e}");
            return ExitCode::from(exit::USAGE);
        }
    };
    if request.fake {
        return ExitCode::SUCCESS;
    }
    let asked = std::env::current_exe().map_err(|e| e.to_string()).and_then(|kith| {
        let mut command = mount_kith::command(&request, &kith)?;
        command.status().map_err(|e| format!("{}: {e}", command.get_program().display()))
    });
    match asked {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_said_why) => ExitCode::from(exit::FAILED),
        Err(e) => {
            eprintln!("mount.kith: {e}");
            ExitCode::from(exit::SYSTEM)
        }
    }
}
