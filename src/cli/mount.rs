//! `kith mount`, `kith unmount`, and mount(8)'s helper.

use crate::cli::args::Mount;
use crate::cli::mount_kith::{self, exit};
use crate::cli::{Context, say, unexpected};
use crate::daemon::api::{Line, Outcome, Request, Trouble};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// `~/Kith`: below the home directory file managers show it in their sidebar.
pub fn default_dir() -> Outcome<PathBuf> {
    std::env::var_os("HOME").filter(|h| !h.is_empty()).map(|h| PathBuf::from(h).join("Kith")).ok_or_else(
        || Trouble::new("no directory to mount at", "HOME is not set", "name one: kith mount DIR"),
    )
}

fn absolute(dir: PathBuf) -> Outcome<PathBuf> {
    std::path::absolute(&dir)
        .map_err(|e| Trouble::new(format!("{} is not a directory", dir.display()), e, "name another"))
}

pub fn mount(cx: &Context, args: &Mount) -> Outcome<()> {
    cx.ensure_daemon()?;
    let dir = args.dir.clone().map_or_else(default_dir, absolute)?;
    let request = Request::Mount {
        drive: args.drive.clone(),
        dir,
        read_only: args.read_only,
        allow_other: args.allow_other,
        nonempty: args.nonempty,
    };
    match cx.ask(&request)? {
        answer @ Line::Mounted { .. } => cx.print(&answer, |a| {
            if let Line::Mounted { dir, drive } = a {
                println!("'{}' is mounted at {}", say::escaped(drive), dir.display());
            }
        }),
        other => Err(unexpected(other)),
    }
}

pub fn unmount(cx: &Context, dir: Option<PathBuf>) -> Outcome<()> {
    let dir = dir.map(absolute).transpose()?;
    match cx.ask(&Request::Unmount { dir })? {
        Line::Done => Ok(()),
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
