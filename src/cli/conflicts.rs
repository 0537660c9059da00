//! `kith conflicts [PATH --keep WHICH]`: files that two changed at once.
//!
//! Settling one is a rename or a removal in the mount; what is replaced stays in the history.

use crate::cli::args::{Conflicts, Keep};
use crate::cli::mount::resolved;
use crate::cli::{Context, say, unexpected};
use crate::daemon::api::{ConflictLine, Line, Outcome, Request, Trouble, Until};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Plain names that are tried.
const NAMES_MAX: usize = 1000;

pub fn conflicts(cx: &Context, args: &Conflicts) -> Outcome<()> {
    let answer = cx.ask(&Request::Conflicts)?;
    let Line::Conflicts { conflicts, .. } = &answer else { return Err(unexpected(answer)) };
    let Some(path) = &args.path else {
        return cx.print(&answer, |a| {
            let Line::Conflicts { conflicts, count } = a else { return };
            conflicts.iter().for_each(show);
            match *count {
                0 => out!("No conflicts."),
                n if n > conflicts.len() as u64 => out!("... and {} more", n - conflicts.len() as u64),
                _ => out!("Settle one: kith conflicts PATH --keep mine|theirs|both"),
            }
        });
    };
    let path = resolved(path);
    let exact = conflicts.iter().find(|c| c.path == path);
    let mut wanting = conflicts.iter().filter(|c| c.wanted == path);
    let Some(conflict) = exact.or_else(|| wanting.next().filter(|_| wanting.next().is_none())) else {
        return Err(Trouble::new(
            format!("{} is in no conflict", path.display()),
            "it has no conflict name (or several want it), or its drive is not mounted",
            "name the one with the conflict name; kith conflicts lists them",
        ));
    };
    match args.keep {
        None => cx.print(conflict, show),
        Some(keep) => settle(cx, conflict, keep),
    }
}

fn show(c: &ConflictLine) {
    let whose = if c.ours { "made here" } else { "made elsewhere" };
    let path = |p: &Path| say::escaped(&p.display().to_string());
    out!("{}: {}, modified {}, {whose}", path(&c.path), say::size(c.bytes), c.modified);
    let state = if c.taken { "" } else { " (free now)" };
    out!("  wanted {}{state}", path(&c.wanted));
}

/// Waits until friends know of what is at a path: from then on it is in the history.
pub fn published(cx: &Context, path: &Path) -> Outcome<()> {
    const PATIENCE_S: u64 = 30;
    let request =
        Request::Sync { path: Some(path.into()), timeout_s: Some(PATIENCE_S), until: Until::Published };
    match cx.ask(&request) {
        Ok(Line::Synced { .. }) => Ok(()),
        Ok(other) => Err(unexpected(other)),
        Err(e) => Err(Trouble::new(
            format!("{} is not replaced", path.display()),
            format!("no friend has what is there now, and it would be in no history ({})", e.why),
            "wait until friends are there (kith sync), or move it out of the way first",
        )
        .exit(e.exit)),
    }
}

fn settle(cx: &Context, c: &ConflictLine, keep: Keep) -> Outcome<()> {
    if !c.taken && !matches!(keep, Keep::Copy | Keep::Both) {
        return Err(Trouble::new(
            format!("{} is not settled", c.path.display()),
            format!("nothing is named {} any more", c.wanted.display()),
            "say --keep copy to give it that name, or --keep both for a plain name",
        ));
    }
    let copy_stays = match keep {
        Keep::Copy => true,
        Keep::Original => false,
        Keep::Both => return apart(c),
        Keep::Mine | Keep::Theirs if c.ours == c.theirs_is_ours => {
            return Err(Trouble::new(
                format!("{} is not settled", c.path.display()),
                "neither of the two, or both, were made on this machine",
                "say --keep copy for the one with the conflict name, --keep original for the other",
            ));
        }
        Keep::Mine => c.ours,
        Keep::Theirs => !c.ours,
    };
    let goes = if copy_stays { &c.wanted } else { &c.path };
    if c.taken || !copy_stays {
        published(cx, goes)?;
    }
    let done = match copy_stays {
        true => std::fs::rename(&c.path, &c.wanted),
        false => std::fs::remove_file(&c.path),
    };
    done.map_err(|e| failed(c, e))?;
    let stays = if copy_stays { &c.path } else { &c.wanted };
    out!("{} stays as {}; kith history finds the other.", stays.display(), c.wanted.display());
    Ok(())
}

fn failed(c: &ConflictLine, e: std::io::Error) -> Trouble {
    let fix = "if it is a directory, move what is in it by hand; else see the error, and try again";
    Trouble::new(format!("{} is not settled", c.path.display()), e, fix)
}

/// Both stay: the copy gets a name that says nothing of a conflict.
fn apart(c: &ConflictLine) -> Outcome<()> {
    for number in 0..NAMES_MAX {
        let to = plain(&c.path, number);
        match rustix::fs::renameat_with(
            rustix::fs::CWD,
            &c.path,
            rustix::fs::CWD,
            &to,
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            Ok(()) => {
                out!("{} is {} now.", c.path.display(), to.display());
                return Ok(());
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(failed(c, e.into())),
        }
    }
    Err(failed(c, std::io::Error::other("a thousand names are taken")))
}

/// `Plan (conflict, laptop, 2026-11-23 14.05).odt` without "conflict, ".
fn plain(path: &Path, number: usize) -> PathBuf {
    const MARK: &[u8] = b" (conflict, ";
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut out = Vec::new();
    let (head, tail) = match name.windows(MARK.len()).rposition(|w| w == MARK) {
        Some(at) => (&name[..at], &name[at + MARK.len()..]),
        None => (name, &b"kept)"[..]),
    };
    out.extend_from_slice(head);
    out.extend_from_slice(b" (");
    if number > 0 {
        out.extend_from_slice(format!("{}, ", number + 1).as_bytes());
    }
    out.extend_from_slice(tail);
    path.with_file_name(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_says_who_and_when() {
        let path = Path::new("/k/Plan (conflict, laptop, 2026-11-23 14.05).odt");
        assert_eq!(plain(path, 0), Path::new("/k/Plan (laptop, 2026-11-23 14.05).odt"));
        assert_eq!(plain(path, 1), Path::new("/k/Plan (2, laptop, 2026-11-23 14.05).odt"));
    }
}
