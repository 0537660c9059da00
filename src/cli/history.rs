//! `kith history PATH`: what was there, and when.

use crate::cli::mount::resolved;
use crate::cli::{Context, say, unexpected};
use crate::daemon::api::{Line, Outcome, Request, Trouble, VersionLine};
use std::path::Path;

pub fn history(cx: &Context, path: &Path) -> Outcome<()> {
    let answer = cx.ask(&Request::History { path: resolved(path) })?;
    let Line::History { inside, versions, .. } = &answer else { return Err(unexpected(answer)) };
    if versions.is_empty() {
        let (why, fix) = match inside.as_os_str().is_empty() {
            true => ("it is the whole drive", "look into .kith/at there: a directory for each moment"),
            false => ("nothing ever had that name", "check the path: kith history is told a file's own"),
        };
        return Err(Trouble::new(format!("no history of {}", path.display()), why, fix));
    }
    cx.print(&answer, |a| {
        let Line::History { versions, .. } = a else { return };
        versions.iter().for_each(show);
        out!("kith restore {} --at TIME brings one back.", say::escaped(&path.display().to_string()));
    })
}

fn show(v: &VersionLine) {
    let by = v.by.as_deref().map_or(String::new(), |by| format!(", {}", say::escaped(by)));
    match v.kind.as_str() {
        "nothing" => out!("{}  removed{by}", v.since),
        "file" => out!("{}  {}, modified {}{by}", v.since, say::size(v.bytes), v.modified),
        other => out!("{}  {other}{by}", v.since),
    }
}
