//! `kith join TICKET`: mutual grants and, where the ticket carries them, drives.

use crate::cli::args::Join;
use crate::cli::{Context, line_from_stdin, say, unexpected};
use crate::daemon::api::{Line, Outcome, Request};

pub fn join(cx: &Context, args: &Join) -> Outcome<()> {
    cx.ensure_daemon()?;
    let ticket = if args.ticket == "-" { line_from_stdin()? } else { args.ticket.clone() };
    // What `kith invite` prints is a whole command: it may be handed on as it is.
    let ticket = ticket.trim();
    let ticket = ticket.strip_prefix("kith join ").unwrap_or(ticket).trim();
    match cx.ask(&Request::Join { ticket: ticket.into(), grant: args.grant })? {
        answer @ Line::Joined { .. } => cx.print(&answer, |a| {
            if let Line::Joined { friend, drives, nameless } = a {
                out!("You and {} are friends now.", say::escaped(friend));
                for drive in drives {
                    out!(
                        "Drive '{}' is yours to mount: kith mount --drive {}",
                        say::escaped(drive),
                        say::escaped(drive)
                    );
                }
                super::say_nameless(nameless);
            }
        }),
        other => Err(unexpected(other)),
    }
}
