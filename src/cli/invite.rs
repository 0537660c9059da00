//! `kith invite`: a ticket for one person, once, for a short time.

use crate::cli::args::{Invite, Role};
use crate::cli::{Context, unexpected};
use crate::daemon::api::{Line, Outcome, Request};

pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Writer => "writer",
        Role::Reader => "reader",
        Role::Helper => "helper",
        Role::Auditor => "auditor",
    }
}

pub fn invite(cx: &Context, args: &Invite) -> Outcome<()> {
    cx.ensure_daemon()?;
    let request = Request::Invite {
        label: args.guest.clone(),
        grant: args.grant,
        valid_minutes: args.valid.div_ceil(60),
        drives: args.drive.clone(),
        role: Some(role_name(args.role).into()),
    };
    match cx.ask(&request)? {
        answer @ Line::Ticket { .. } => cx.print(&answer, |a| {
            if let Line::Ticket { ticket, .. } = a {
                let hours = args.valid / 3600;
                let time =
                    if hours > 0 { format!("{hours} h") } else { format!("{} min", args.valid.div_ceil(60)) };
                eprintln!("Good once, for {time}. Give it to your guest over a channel you trust; there:");
                out!("kith join {ticket}");
            }
        }),
        other => Err(unexpected(other)),
    }
}
