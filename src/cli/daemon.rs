//! `kith daemon`: the node, in the foreground.

use crate::cli::args::Daemon;
use crate::cli::{Context, line_from_stdin};
use crate::daemon::api::{Exit, Outcome, Trouble};
use crate::daemon::run::{self, RunOptions};
use std::path::{Path, PathBuf};

/// `NAME=DIR`.
fn parse_mount(text: &str) -> Outcome<(String, PathBuf)> {
    text.split_once('=')
        .map(|(name, dir)| (name.to_string(), super::mount::resolved(Path::new(dir))))
        .ok_or_else(|| {
            Trouble::new(
                format!("'{text}' says no mount"),
                "NAME=DIR is expected",
                "for example --mount family=/srv/kith",
            )
            .exit(Exit::Usage)
        })
}

pub fn daemon(cx: &Context, args: &Daemon) -> Outcome<()> {
    let mounts = args.mount.iter().map(|m| parse_mount(m)).collect::<Outcome<Vec<_>>>()?;
    let passphrase = if args.passphrase_stdin { Some(line_from_stdin()?) } else { None };
    run::run(
        &cx.home,
        RunOptions { mounts, until_eof: args.until_eof, passphrase, background: args.background },
    )
}
