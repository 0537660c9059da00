//! `kith pin [PATH] [--free]`: what stays on this machine.

use crate::cli::args::Pin;
use crate::cli::mount::resolved;
use crate::cli::{Context, say, unexpected};
use crate::daemon::api::{Line, Outcome, PinLine, Request};

pub fn pin(cx: &Context, args: &Pin) -> Outcome<()> {
    let request = Request::Pin { path: args.path.as_deref().map(resolved), free: args.free };
    match cx.ask(&request)? {
        answer @ Line::Pins { .. } => cx.print(&answer, |a| {
            let Line::Pins { pins } = a else { return };
            if pins.is_empty() {
                out!("Nothing is pinned. kith pin PATH keeps what is there on this machine.");
            }
            pins.iter().for_each(show);
        }),
        answer @ Line::Freed { .. } => cx.print(&answer, |a| {
            if let Line::Freed { bytes } = a {
                out!("{} freed; what is read there comes from friends again.", say::size(*bytes));
            }
        }),
        other => Err(unexpected(other)),
    }
}

fn show(pin: &PinLine) {
    let path = match pin.path.as_deref() {
        None => "(deleted)",
        Some("") => "all of it",
        Some(path) => path,
    };
    let here = match pin.missing {
        _ if !pin.looked => "not looked through yet".into(),
        0 => "all here".into(),
        n => format!("{n} not here yet: {}", pin.why.as_deref().unwrap_or_default()),
    };
    let (drive, path, here) = (say::escaped(&pin.drive), say::escaped(path), say::escaped(&here));
    out!("{drive}: {path}: {} files, {}, {here}", pin.files, say::size(pin.bytes));
}
