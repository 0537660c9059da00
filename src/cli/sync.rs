//! `kith sync [PATH]`: wait until safe; exit code 4 while not.

use crate::cli::args::Sync;
use crate::cli::mount::resolved;
use crate::cli::{Context, say, unexpected};
use crate::daemon::api::{Line, Outcome, Request};

pub fn sync(cx: &Context, args: &Sync) -> Outcome<()> {
    let path = args.path.as_deref().map(resolved);
    let mut bar = say::Bar::new();
    let request = Request::Sync { path, timeout_s: args.timeout, until: args.until.into() };
    let answer = cx.ask_with(&request, |p| bar.show(p));
    bar.clear();
    match answer? {
        answer @ Line::Synced { .. } => cx.print(&answer, |a| {
            if let Line::Synced { state, files, bytes } = a {
                out!("{files} files, {}: {}", say::size(*bytes), say::escaped(state));
            }
        }),
        other => Err(unexpected(other)),
    }
}
