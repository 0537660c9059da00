//! `kith status`: one line per friend, one per drive; of a path, where it stands.

use crate::cli::mount::resolved;
use crate::cli::{Context, friend, say, unexpected};
use crate::daemon::api::{DriveReport, Line, NAMELESS, NOT_OPEN, Outcome, PathReport, Report, Request};
use std::path::PathBuf;
use std::time::Duration;

fn coding(d: &DriveReport) {
    match (d.k, d.n) {
        (_, 0) => out!("  files are on this machine only: no friend has room for them yet"),
        (k, n) if d.margin == 0 => {
            out!("  any {k} of {n} shares restore a file; with so few friends no home may vanish")
        }
        (k, n) => {
            let homes = if d.margin == 1 { "any home".into() } else { format!("any {} homes", d.margin) };
            out!("  any {k} of {n} shares restore a file; once safe, {homes} may vanish")
        }
    }
}

fn people(r: &Report) {
    out!(
        "{} lends {} ({} used), {}",
        say::escaped(&r.name),
        say::size(r.lends),
        say::size(r.lent_used),
        match r.friends.len() {
            1 => "1 friend".into(),
            n => format!("{n} friends"),
        }
    );
    r.problems.iter().for_each(|p| out!("! {}", say::escaped(p)));
    r.friends.iter().for_each(|f| out!("{}", friend::line(f)));
    for d in &r.drives {
        let at = d.mounted.as_ref().map_or("not mounted".into(), |p| format!("at {}", p.display()));
        if d.state == NOT_OPEN {
            out!("{}: {NOT_OPEN}", say::escaped(&d.name));
        } else if d.state == NAMELESS {
            out!("{}: {NAMELESS} (power to {})", say::escaped(&d.name), say::escaped(&d.power));
        } else {
            out!("{} {at}: {} files, {}", say::escaped(&d.name), d.files, say::escaped(&d.state));
            coding(d);
        }
        if let Some(line) = say::waiting(d.waiting_files, d.waiting_bytes) {
            out!("  {line}");
        }
        match d.conflicts {
            0 => {}
            1 => out!("  1 file was changed by two at once: kith conflicts"),
            n => out!("  {n} files were changed by two at once: kith conflicts"),
        }
        d.problems.iter().for_each(|p| out!("  ! {}", say::escaped(p)));
    }
    if r.drives.is_empty() {
        out!("No drive yet. Make one: kith drive create NAME");
    }
    if r.friends.is_empty() {
        out!("Alone: nothing is safe yet. Invite friends: kith invite NAME");
    }
}

fn path_people(p: &PathReport) {
    out!("{}: {}, {}", say::escaped(&p.path.to_string_lossy()), say::size(p.size), say::escaped(&p.state));
    if !p.holders.is_empty() {
        out!("  held by {}", say::escaped(&p.holders.join(", ")));
    }
}

pub fn status(cx: &Context, path: Option<PathBuf>, watch: bool) -> Outcome<()> {
    let path = path.map(|p| resolved(&p));
    loop {
        match cx.ask(&Request::Status { path: path.clone() })? {
            Line::Status(report) => cx.print(&*report, people)?,
            Line::Path(report) => cx.print(&report, path_people)?,
            other => return Err(unexpected(other)),
        }
        if !watch {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
