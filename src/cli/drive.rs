//! `kith drive`: create, list, show a capability, open one.

use crate::cli::args::{Drive, ShownRole};
use crate::cli::{Context, line_from_stdin, say, unexpected};
use crate::daemon::api::{Line, Outcome, Request};

fn shown_role(role: ShownRole) -> &'static str {
    match role {
        ShownRole::Reader => "reader",
        ShownRole::Helper => "helper",
        ShownRole::Auditor => "auditor",
    }
}

pub fn drive(cx: &Context, args: &Drive) -> Outcome<()> {
    cx.ensure_daemon()?;
    match args {
        Drive::Create { name } => {
            cx.ask(&Request::DriveCreate { name: name.clone() })?;
            if !cx.json {
                out!(
                    "Drive '{}' is there. Mount it: kith mount --drive {}",
                    say::escaped(name),
                    say::escaped(name)
                );
            }
            Ok(())
        }
        Drive::List => match cx.ask(&Request::DriveList)? {
            answer @ Line::Drives { .. } => cx.print(&answer, |a| {
                let Line::Drives { drives } = a else { return };
                if drives.is_empty() {
                    out!("No drive yet. Make one: kith drive create NAME");
                }
                for d in drives {
                    let at =
                        d.mounted.as_ref().map_or("not mounted".into(), |p| format!("at {}", p.display()));
                    out!(
                        "  {:16} {:8} {at}  ({})",
                        say::escaped(&d.name),
                        d.power,
                        &d.id[..8.min(d.id.len())]
                    );
                }
            }),
            other => Err(unexpected(other)),
        },
        Drive::Show { name, role } => {
            match cx.ask(&Request::DriveShow { name: name.clone(), power: shown_role(*role).into() })? {
                answer @ Line::Capability { .. } => cx.print(&answer, |a| {
                    if let Line::Capability { capability } = a {
                        eprintln!(
                            "Whoever has this has that power over '{}'. It cannot be taken back from a copy.",
                            say::escaped(name)
                        );
                        out!("{capability}");
                    }
                }),
                other => Err(unexpected(other)),
            }
        }
        Drive::Open { capability, name } => {
            let capability = if capability == "-" { line_from_stdin()? } else { capability.clone() };
            match cx.ask(&Request::DriveOpen { capability: capability.trim().into(), name: name.clone() })? {
                answer @ Line::Joined { .. } => cx.print(&answer, |a| {
                    let Line::Joined { drives, nameless, .. } = a else { return };
                    drives.iter().for_each(|d| {
                        out!(
                            "Drive '{}' is there. Mount it: kith mount --drive {}",
                            say::escaped(d),
                            say::escaped(d)
                        )
                    });
                    super::say_nameless(nameless);
                }),
                other => Err(unexpected(other)),
            }
        }
    }
}
