//! `kith friend`: who they are and what each may use here.

use crate::cli::args::Friend;
use crate::cli::{Context, say, unexpected};
use crate::daemon::api::{FriendStatus, Line, Outcome, Request};

/// One friend, one line.
pub fn line(f: &FriendStatus) -> String {
    let seen = match (f.online, f.last_seen_s, f.rtt_ms) {
        (true, _, Some(ms)) => format!("online {ms} ms"),
        (true, ..) => "online".into(),
        (false, Some(s), _) => format!("last seen {}", say::ago(s)),
        (false, None, _) => "never seen".into(),
    };
    let signed = f.statement.as_ref().map(|s| format!(" (signed {})", s.day)).unwrap_or_default();
    let verified = f.verified_s.map(|s| format!(", verified {}", say::ago(s))).unwrap_or_default();
    let said = [&f.notice, &f.trouble].into_iter().flatten();
    let trouble: String = said.map(|t| format!("  ! {}", say::escaped(t))).collect();
    format!(
        "  {:12} {seen:20} holds {} of {} for you{signed}{verified} | you hold {} of {}{trouble}",
        say::escaped(&f.name),
        say::size(f.holds_for_us),
        say::size(f.allows),
        say::size(f.we_hold),
        say::size(f.we_allow)
    )
}

pub fn friend(cx: &Context, args: &Friend) -> Outcome<()> {
    match args {
        Friend::List => match cx.ask(&Request::Friends)? {
            answer @ Line::Friends { .. } => cx.print(&answer, |a| {
                let Line::Friends { friends } = a else { return };
                if friends.is_empty() {
                    out!("No friends yet. Invite one: kith invite NAME");
                }
                friends.iter().for_each(|f| out!("{}", line(f)));
            }),
            other => Err(unexpected(other)),
        },
        Friend::Limit { friend, size } => {
            cx.ask(&Request::FriendLimit { friend: friend.clone(), bytes: *size }).map(|_| ())
        }
    }
}
