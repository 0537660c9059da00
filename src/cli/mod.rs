//! The command line: one file per verb, each a thin client of the control socket.

#[macro_use]
mod out;

mod args;
#[cfg(feature = "mount")]
mod bench;
mod client;
mod conflicts;
mod daemon;
mod demo;
mod drive;
mod friend;
mod history;
mod init;
mod invite;
mod join;
mod local_grid;
mod mount;
pub mod mount_kith;
mod node_process;
mod pin;
mod recover;
mod restore;
pub mod say;
mod status;
mod sync;

use crate::daemon::api::{Exit, Line, Outcome, Progress, Request, SCHEMA, Trouble};
use crate::daemon::home::Home;
use args::{Cli, Verb};
use clap::Parser;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// What every verb is given.
struct Context {
    /// `--home`, as typed.
    option: Option<PathBuf>,
    home: Home,
    json: bool,
}

impl Context {
    fn ask(&self, request: &Request) -> Outcome<Line> {
        self.ask_with(request, |_| ())
    }
    fn ask_with(&self, request: &Request, progress: impl FnMut(&Progress)) -> Outcome<Line> {
        client::ask(&self.home, request, progress)
    }
    /// Make sure a daemon runs, asking for the passphrase of a sealed keystore.
    fn ensure_daemon(&self) -> Outcome<()> {
        if client::ask(&self.home, &Request::DriveList, |_| ()).is_ok() {
            return Ok(());
        }
        if !self.home.config().exists() {
            return Err(say::not_a_node(&self.home));
        }
        let words =
            if crate::daemon::setup::needs_passphrase(&self.home)? { Some(passphrase(false)?) } else { None };
        node_process::ensure(self.option.as_deref(), &self.home, words.as_deref())
    }
    /// Print one JSON object with the schema's number in it, or what `people` prints.
    fn print<T: serde::Serialize>(&self, value: &T, people: impl FnOnce(&T)) -> Outcome<()> {
        if self.json {
            let mut value = serde_json::to_value(value).map_err(|e| {
                Trouble::new("the answer cannot be printed as JSON", e, "report this as a bug")
            })?;
            if let Some(fields) = value.as_object_mut() {
                fields.entry("schema").or_insert(SCHEMA.into());
            }
            out!("{value}");
        } else {
            people(value);
        }
        Ok(())
    }
}

/// Drives that came with a power that shows no names.
fn say_nameless(names: &[String]) {
    for name in names {
        out!(
            "Drive '{}' is known here, without the power to read it: it cannot be mounted.",
            say::escaped(name)
        );
    }
}

/// The daemon answered something that does not fit the question.
fn unexpected(line: Line) -> Trouble {
    Trouble::new(
        "the daemon answered something else",
        format!("{line:?}"),
        "the daemon and this command may be of different versions: restart the daemon",
    )
}

/// A passphrase from the terminal (asked without showing it), else the first line of standard input.
fn passphrase(new: bool) -> Outcome<String> {
    let trouble = |e: std::io::Error| {
        Trouble::new("no passphrase", e, "type it, or give it as the first line of standard input")
    };
    let words = if std::io::stdin().is_terminal() {
        let first = say::ask_hidden("Passphrase: ").map_err(trouble)?;
        if new && say::ask_hidden("Again: ").map_err(trouble)? != first {
            return Err(trouble(std::io::Error::other("the two do not match")));
        }
        first
    } else {
        line_from_stdin()?
    };
    if words.is_empty() { Err(trouble(std::io::Error::other("it is empty"))) } else { Ok(words) }
}

/// The first line of standard input, for secrets that must not stand in an argument list.
fn line_from_stdin() -> Outcome<String> {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|e| Trouble::new("standard input cannot be read", e, "give the value as an argument"))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_string())
}

fn run(cli: Cli) -> Outcome<()> {
    if let Verb::Demo(demo) = &cli.verb {
        return demo::demo(cli.home.as_deref(), demo);
    }
    let home = Home::find(cli.home.as_deref()).ok_or_else(|| {
        Trouble::new("no place for kith's files", "neither HOME nor XDG_DATA_HOME is set", "use --home DIR")
            .exit(Exit::Usage)
    })?;
    let cx = Context { option: cli.home, home, json: cli.json };
    match cli.verb {
        Verb::Init(a) => init::init(&cx, &a),
        Verb::Invite(a) => invite::invite(&cx, &a),
        Verb::Join(a) => join::join(&cx, &a),
        Verb::Friend(a) => friend::friend(&cx, &a),
        Verb::Drive(a) => drive::drive(&cx, &a),
        Verb::Mount(a) => mount::mount(&cx, &a),
        Verb::Unmount { dir } => mount::unmount(&cx, dir),
        Verb::Status { path, watch } => status::status(&cx, path, watch),
        Verb::Sync(a) => sync::sync(&cx, &a),
        Verb::Pin(a) => pin::pin(&cx, &a),
        Verb::History { path } => history::history(&cx, &path),
        Verb::Restore(a) => restore::restore(&cx, &a),
        Verb::Conflicts(a) => conflicts::conflicts(&cx, &a),
        Verb::Recover(a) => recover::recover(&cx, &a),
        Verb::Daemon(a) => daemon::daemon(&cx, &a),
        #[cfg(feature = "mount")]
        Verb::Bench(a) => bench::bench(&cx, &a),
        #[cfg(not(feature = "mount"))]
        Verb::Bench(_) => Err(Trouble::new(
            "nothing was measured",
            "this kith was built without FUSE",
            "build it with --features mount",
        )),
        Verb::Stop => cx.ask(&Request::Stop).and_then(|_| node_process::wait_end(&cx.home)),
        Verb::DropCaches => cx.ask(&Request::DropCaches).map(|_| ()),
        Verb::Demo(_) => Ok(()), // done above
    }
}

/// The program. Called as `mount.kith` it is mount(8)'s helper.
pub fn main() -> ExitCode {
    let mut argv = std::env::args_os();
    let called = argv.next().map(PathBuf::from).unwrap_or_default();
    if called.file_name().is_some_and(|n| n.to_string_lossy().starts_with("mount.")) {
        return mount::helper(argv);
    }
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(t) => say::trouble(&t),
    }
}
