//! `kith demo`: a grid of friends on this machine, mounted, ready for files.
//!
//! Every friend is a process of its own with a directory of its own; they talk QUIC over
//! loopback, exactly as they would from house to house.

use crate::cli::args::Demo;
use crate::cli::local_grid::LocalGrid;
use crate::cli::say;
use crate::daemon::api::{Outcome, Trouble};
use crate::daemon::home::Home;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncBufReadExt;

/// The drive's name.
const DRIVE: &str = "demo";
/// Marks a directory as a demo's, so that --fresh removes nothing else.
const MARKER: &str = "kith-demo";

/// What the demo shows.
struct Stage {
    grid: LocalGrid,
    dir: PathBuf,
}

fn base(home: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(dir) = home {
        return std::path::absolute(dir)
            .map_err(|e| Trouble::new("no place for the demo", e, "give another --home"));
    }
    let home = Home::find(None)
        .ok_or_else(|| Trouble::new("no place for the demo", "HOME is not set", "use --home DIR"))?;
    Ok(home.state.with_file_name("kith-demo"))
}

/// Make the demo's directory ready. What is given back keeps other demos out while it lives.
fn prepare(base: &Path, fresh: bool) -> Outcome<File> {
    let marker = base.join(MARKER);
    let trouble = |e: std::io::Error| {
        Trouble::new(
            format!("cannot prepare {}", base.display()),
            e,
            "check its owner and room, or use --home DIR",
        )
    };
    std::fs::create_dir_all(base).map_err(trouble)?;
    // Only a directory that was made for this is ever marked, and only a marked one removed.
    let empty = base.read_dir().map_err(trouble)?.next().is_none();
    if !empty && !marker.exists() {
        return Err(trouble(std::io::Error::other(
            "it has files in it and is not a demo's directory, so it is left alone",
        )));
    }
    let mut file = File::options().create(true).append(true).open(&marker).map_err(trouble)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Trouble::new(
            "the demo does not start",
            format!("one is running already, in {}", base.display()),
            "end it first (quit, or Ctrl-C where it runs), or give this one another --home DIR",
        ));
    }
    if fresh {
        for entry in base.read_dir().map_err(trouble)? {
            let path = entry.map_err(trouble)?.path();
            match path {
                path if path == marker => {}
                path if path.is_dir() && !path.is_symlink() => {
                    std::fs::remove_dir_all(path).map_err(trouble)?;
                }
                path => std::fs::remove_file(path).map_err(trouble)?,
            }
        }
    }
    if file.metadata().map_err(trouble)?.len() == 0 {
        file.write_all(b"made by kith demo; 'kith demo --fresh' removes what is here\n").map_err(trouble)?;
    }
    Ok(file)
}

/// A closed standard output ends nothing: the grid stays up until it is told to end.
fn tell(words: &str) {
    let _ = writeln!(std::io::stdout(), "{words}");
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if path.chars().all(plain) { path.into_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

impl Stage {
    fn greet(&self, base: &Path) {
        let kith = std::env::current_exe().unwrap_or_else(|_| "kith".into());
        let you = quoted(&base.join("you"));
        tell(&format!("\nYour drive is at {}. Try, from another terminal:", self.dir.display()));
        tell(&format!("  cp -r ~/Pictures {}/", quoted(&self.dir)));
        tell(&format!("  {} --home {you} status", quoted(&kith)));
        tell(&format!("  {} --home {you} sync", quoted(&kith)));
        tell("Then switch friends off and read your files again. Here you can type:");
        tell("  off anna    on anna    status    quit (or Ctrl-C)\n");
    }

    /// The live view: one line per friend, one for the drive.
    fn view(&self) -> Vec<String> {
        let report = match self.grid.report() {
            Ok(report) => report,
            Err(t) => return vec![format!("status: {t}")],
        };
        let mut lines: Vec<String> = self
            .grid
            .friends
            .iter()
            .map(|friend| {
                let held =
                    report.friends.iter().find(|f| f.name == friend.name).map_or(0, |f| f.holds_for_us);
                let state = friend.process.as_ref().map_or("off".into(), |p| format!("on, pid {}", p.pid()));
                format!("  {:8} {state:16} holds {} for you", friend.name, say::size(held))
            })
            .collect();
        for d in report.drives.iter().filter(|d| d.name == DRIVE) {
            lines.push(format!(
                "  {} files, any {} of {} shares restore them; {}{}",
                d.files,
                d.k,
                d.n,
                d.state,
                say::waiting(d.waiting_files, d.waiting_bytes).map_or(String::new(), |w| format!("; {w}"))
            ));
        }
        lines
    }
}

/// Draw over the previous view on a terminal; elsewhere print only what changed.
fn draw(lines: &[String], last: &mut Vec<String>) {
    if lines == last.as_slice() {
        return;
    }
    let mut out = std::io::stdout().lock();
    if out.is_terminal() && !last.is_empty() {
        let _ = write!(out, "\x1b[{}A\x1b[J", last.len());
    }
    let _ = writeln!(out, "{}", lines.join("\n"));
    *last = lines.to_vec();
}

async fn run(mut stage: Stage) -> Outcome<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let trouble = |e| Trouble::new("cannot listen for signals", e, "try again");
    let mut term = signal(SignalKind::terminate()).map_err(trouble)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(trouble)?;
    let mut typed = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    let mut typing = true;
    let mut last = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! { biased;
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => break,
            line = typed.next_line(), if typing => {
                let Ok(Some(line)) = line else { typing = false; continue };
                let words: Vec<&str> = line.split_whitespace().collect();
                let done = match words.as_slice() {
                    ["quit" | "exit" | "q"] => break,
                    ["off", name] => stage.grid.switch(name, false),
                    ["on", name] => stage.grid.switch(name, true),
                    ["status"] | [] => Ok(()),
                    _ => Err(Trouble::new(format!("'{line}' is not understood"), "unknown words", "type: off NAME, on NAME, status or quit")),
                };
                if let Err(t) = done { say::trouble(&t); }
                last.clear();
                draw(&stage.view(), &mut last);
            }
            _ = tick.tick() => draw(&stage.view(), &mut last),
        }
    }
    tell("\nEnding. Your files stay with the demo's friends for the next run.");
    stage.grid.close();
    // A node that was killed has left its mount behind.
    #[cfg(feature = "mount")]
    if let Err(e) = crate::mount::clear_stale(&stage.dir) {
        tell(&format!("{} stays mounted: {e}", stage.dir.display()));
    }
    Ok(())
}

/// The verb.
pub fn demo(home: Option<&Path>, args: &Demo) -> Outcome<()> {
    let base = base(home)?;
    let _alone = prepare(&base, args.fresh)?;
    let dir = match &args.dir {
        Some(dir) => {
            std::path::absolute(dir).map_err(|e| Trouble::new("bad directory", e, "give another"))?
        }
        None => super::mount::default_dir()?,
    };
    tell(&format!("Starting {} friends on this machine ...", args.friends));
    let grid = LocalGrid::build(&base, args.friends as usize, DRIVE)?;
    if let Err(t) = grid.mount(DRIVE, &dir) {
        grid.close();
        return Err(t);
    }
    let stage = Stage { grid, dir };
    stage.greet(&base);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Trouble::new("cannot start", e, "try again"))?;
    let done = runtime.block_on(run(stage));
    // Reading the terminal cannot be cancelled; do not wait for it.
    runtime.shutdown_background();
    done
}
