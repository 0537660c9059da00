//! `kith demo`: a grid of friends on this machine, mounted, ready for files.
//!
//! Every friend is a process of its own with a directory of its own; they talk QUIC over
//! loopback, exactly as they would from house to house.

use crate::cli::args::Demo;
use crate::cli::node_process::{self, NodeProcess};
use crate::cli::say;
use crate::daemon::api::{FriendStatus, Line, Outcome, Report, Request, Trouble};
use crate::daemon::home::Home;
use std::io::{IsTerminal, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncBufReadExt;

const NAMES: [&str; 20] = [
    "anna", "ben", "carla", "dmitri", "esra", "femi", "greta", "hiro", "ines", "jonas", "kemal", "lucia", "mei",
    "noah", "olga", "pavel", "quinn", "rosa", "sami", "tara",
];
/// What each friend lends the others here.
const LEND: &str = "20G";
/// The drive's name.
const DRIVE: &str = "demo";
/// Marks a directory as a demo's, so that --fresh removes nothing else.
const MARKER: &str = "kith-demo";

/// The running grid.
struct Stage {
    you: NodeProcess,
    /// Friends by name; None while switched off.
    friends: Vec<(String, PathBuf, Option<NodeProcess>)>,
    dir: PathBuf,
}

fn base(home: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(dir) = home {
        return std::path::absolute(dir).map_err(|e| Trouble::new("no place for the demo", e, "give another --home"));
    }
    let home = Home::find(None)
        .ok_or_else(|| Trouble::new("no place for the demo", "HOME is not set", "use --home DIR"))?;
    Ok(home.state.with_file_name("kith-demo"))
}

fn prepare(base: &Path, fresh: bool) -> Outcome<()> {
    let marker = base.join(MARKER);
    let trouble = |e: std::io::Error| {
        Trouble::new(format!("cannot prepare {}", base.display()), e, "check its owner and room, or use --home DIR")
    };
    if fresh && base.exists() {
        if !marker.exists() {
            return Err(trouble(std::io::Error::other("it is not a demo's directory, so it is left alone")));
        }
        std::fs::remove_dir_all(base).map_err(trouble)?;
    }
    std::fs::create_dir_all(base).map_err(trouble)?;
    std::fs::write(marker, "made by kith demo; 'kith demo --fresh' removes it\n").map_err(trouble)
}

/// A UDP port that is free now and that the node keeps from then on.
fn free_port() -> Outcome<u16> {
    UdpSocket::bind("127.0.0.1:0")
        .and_then(|s| s.local_addr())
        .map(|a| a.port())
        .map_err(|e| Trouble::new("no free UDP port on loopback", e, "close some programs"))
}

/// Make the node's keys if it has none, then start it.
fn node(base: &Path, name: &str) -> Outcome<NodeProcess> {
    let dir = base.join(name);
    if !Home::below(&dir).config().exists() {
        let listen = format!("127.0.0.1:{}", free_port()?);
        node_process::run(&dir, &["init", "--name", name, "--lend", LEND, "--listen", &listen, "--household", name])?;
    }
    NodeProcess::start(name, &dir)
}

fn unexpected(line: Line) -> Trouble {
    Trouble::new("the node answered something else", format!("{line:?}"), "report this as a bug")
}

fn report(you: &NodeProcess) -> Outcome<Report> {
    match you.ask(&Request::Status { path: None })? {
        Line::Status(report) => Ok(*report),
        other => Err(unexpected(other)),
    }
}

/// Invite and join every friend that is not one yet.
fn befriend(you: &NodeProcess, friend: &NodeProcess, known: &[FriendStatus]) -> Outcome<()> {
    if known.iter().any(|f| f.name == friend.name) {
        return Ok(());
    }
    let invite = Request::Invite {
        label: Some(friend.name.clone()),
        grant: None,
        valid_minutes: 10,
        drives: vec![],
        role: None,
    };
    match you.ask(&invite)? {
        Line::Ticket { ticket, .. } => friend.ask(&Request::Join { ticket, grant: None }).map(|_| ()),
        other => Err(unexpected(other)),
    }
}

impl Stage {
    fn build(base: &Path, dir: PathBuf, count: usize) -> Outcome<Stage> {
        println!("Starting {count} friends on this machine ...");
        let you = node(base, "you")?;
        let known = report(&you)?.friends;
        let mut friends = Vec::new();
        for name in &NAMES[..count] {
            let friend = node(base, name)?;
            befriend(&you, &friend, &known)?;
            friends.push((name.to_string(), base.join(name), Some(friend)));
        }
        if let Line::Drives { drives } = you.ask(&Request::DriveList)?
            && !drives.iter().any(|d| d.name == DRIVE)
        {
            you.ask(&Request::DriveCreate { name: DRIVE.into() })?;
        }
        let mount = Request::Mount {
            drive: Some(DRIVE.into()),
            dir: dir.clone(),
            read_only: false,
            allow_other: false,
            nonempty: false,
        };
        you.ask(&mount)?;
        Ok(Stage { you, friends, dir })
    }

    fn greet(&self, base: &Path) {
        let kith = std::env::current_exe().map(|p| p.display().to_string()).unwrap_or_else(|_| "kith".into());
        println!("\nYour drive is at {}. Try, from another terminal:", self.dir.display());
        println!("  cp -r ~/Pictures {}/", self.dir.display());
        println!("  {kith} --home {} status", base.join("you").display());
        println!("  {kith} --home {} sync", base.join("you").display());
        println!("Then switch friends off and read your files again. Here you can type:");
        println!("  off {0}    on {0}    status    quit (or Ctrl-C)\n", NAMES[0]);
    }

    fn switch(&mut self, name: &str, on: bool) -> Outcome<()> {
        let Some((_, dir, process)) = self.friends.iter_mut().find(|(n, ..)| n == name) else {
            return Err(Trouble::new(format!("no friend called {name}"), "the name is not in the list", "type: status"));
        };
        match (on, process.take()) {
            (true, None) => *process = Some(NodeProcess::start(name, dir)?),
            (false, Some(running)) => running.stop(),
            (_, same) => *process = same,
        }
        Ok(())
    }

    /// The live view: one line per friend, one for the drive.
    fn view(&self) -> Vec<String> {
        let report = match report(&self.you) {
            Ok(report) => report,
            Err(t) => return vec![format!("status: {t}")],
        };
        let mut lines: Vec<String> = self
            .friends
            .iter()
            .map(|(name, _, process)| {
                let held = report.friends.iter().find(|f| &f.name == name).map_or(0, |f| f.holds_for_us);
                let state = process.as_ref().map_or("off".into(), |p| format!("on, pid {}", p.pid()));
                format!("  {name:8} {state:16} holds {} for you", say::size(held))
            })
            .collect();
        for d in report.drives.iter().filter(|d| d.name == DRIVE) {
            lines.push(format!(
                "  {} files, any {} of {} shares restore them; {}; {} files ({}) not yet safe",
                d.files,
                d.k,
                d.n,
                d.state,
                d.waiting_files,
                say::size(d.waiting_bytes)
            ));
        }
        lines
    }

    /// Nothing stays running, nothing stays mounted.
    fn close(self) {
        println!("\nEnding. Your files stay with the demo's friends for the next run.");
        self.you.stop();
        for (.., process) in self.friends {
            if let Some(p) = process {
                p.stop();
            }
        }
    }
}

/// Draw over the previous view on a terminal; elsewhere print only what changed.
fn draw(lines: &[String], last: &mut Vec<String>) {
    if lines == last.as_slice() {
        return;
    }
    let mut out = std::io::stdout().lock();
    // A closed standard output ends nothing: the grid stays up until it is told to end.
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
                    ["off", name] => stage.switch(name, false),
                    ["on", name] => stage.switch(name, true),
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
    stage.close();
    Ok(())
}

/// The verb.
pub fn demo(home: Option<&Path>, args: &Demo) -> Outcome<()> {
    let base = base(home)?;
    prepare(&base, args.fresh)?;
    let dir = match &args.dir {
        Some(dir) => std::path::absolute(dir).map_err(|e| Trouble::new("bad directory", e, "give another"))?,
        None => super::mount::default_dir()?,
    };
    let stage = Stage::build(&base, dir, args.friends as usize)?;
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
