//! `kith recover`: a kit for paper, a check of it, and the way back with it.

use crate::cli::args::Recover;
use crate::cli::{Context, node_process, passphrase, say, unexpected};
use crate::daemon::api::{DriveLine, Exit, Hidden, Line, Outcome, RecoveryReport, Request, Trouble};
use crate::daemon::recover::{self, CameBack, ComingBack};
use crate::daemon::setup;
use crate::keys::{KIT_FRIENDS_MAX, Kit, KitFriend, PHRASE_TEXT_MAX, PHRASE_WORDS, PersonKey, phrase_words};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Words that are typed again, to see that they are on paper.
const CHECKED_WORDS: usize = 3;

pub fn recover(cx: &Context, args: &Recover) -> Outcome<()> {
    match (args.new, args.verify, args.from_phrase) {
        (true, ..) => new_kit(cx, args),
        (_, true, _) => verify(cx),
        (.., true) => from_phrase(cx, args),
        _ => show(cx),
    }
}

fn not_made(why: impl ToString, fix: &str) -> Trouble {
    Trouble::new("no recovery kit was made", why, fix)
}

/// `--new`.
fn new_kit(cx: &Context, args: &Recover) -> Outcome<()> {
    let tty = std::io::stdin().is_terminal();
    if !tty && !args.yes {
        let fix = "run it at a terminal; or give --yes, and check it later with kith recover --verify";
        return Err(not_made("there is no terminal to type three of its words at", fix).exit(Exit::Usage));
    }
    if !cx.home.config().exists() {
        return Err(say::not_a_node(&cx.home));
    }
    // Asked for once, for the daemon to start with and for the kit.
    let words = if setup::needs_passphrase(&cx.home)? { Some(passphrase(false)?) } else { None };
    node_process::ensure(cx.option.as_deref(), &cx.home, words.as_deref())?;
    let asked = Request::RecoveryKit { passphrase: words.map(Hidden::from) };
    let (text, short, words, friends) = match cx.ask(&asked)? {
        Line::RecoveryKit { text, short, words, friends } => (text, short, words, friends),
        other => return Err(unexpected(other)),
    };
    match &args.out {
        Some(path) => {
            let whole = Zeroizing::new(format!("{}\n{}\n", text.expose(), *qr(&short, false)?));
            write_new(path, &whole)?;
            out!("The recovery kit is in {}. Print it, then delete the file.", path.display());
        }
        None => {
            out!("{}", say::escaped(text.expose()));
            out!("{}", *qr(&short, std::io::stdout().is_terminal())?);
        }
    }
    match friends {
        0 => eprintln!(
            "There are no friends yet: these words can bring nothing back. Make a new kit when there are."
        ),
        1 => eprintln!("There is one friend only: where that machine is off, the words bring nothing back."),
        _ => {}
    }
    match tty {
        true => check_words(&words),
        false => Ok(()),
    }
}

/// The code in half blocks. `inverted`: for light letters on a dark screen.
fn qr(short: &Hidden, inverted: bool) -> Outcome<Zeroizing<String>> {
    use qrcode::render::unicode::Dense1x2;
    let code = qrcode::QrCode::with_error_correction_level(short.expose(), qrcode::EcLevel::L)
        .map_err(|e| not_made(e, "report this as a bug"))?;
    let (dark, light) = match inverted {
        true => (Dense1x2::Light, Dense1x2::Dark),
        false => (Dense1x2::Dark, Dense1x2::Light),
    };
    Ok(Zeroizing::new(code.render::<Dense1x2>().dark_color(dark).light_color(light).build()))
}

/// A new file that nobody else can read.
fn write_new(path: &Path, text: &str) -> Outcome<()> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| {
        not_made(format!("{}: {e}", path.display()), "name a file that does not exist, where there is room")
    })
}

/// Three words are typed from the paper.
fn check_words(words: &Hidden) -> Outcome<()> {
    let words: Vec<&str> = words.expose().split(' ').collect();
    eprintln!("\nWrite it down or print it. Then type these words from the paper:");
    for place in chosen(words.len()) {
        eprint!("  word {}: ", place + 1);
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().read_line(&mut line).map_err(|e| not_checked(&e.to_string()))?;
        if words.get(place).is_none_or(|word| !line.trim().eq_ignore_ascii_case(word)) {
            return Err(not_checked(&format!("word {} is another one", place + 1)));
        }
    }
    out!(
        "Checked. It is good as long as these words are yours: the same kit brings back what you add later."
    );
    Ok(())
}

fn not_checked(why: &str) -> Trouble {
    Trouble::new(
        "the recovery kit was not checked",
        why,
        "compare the paper with what was printed, word for word, and run kith recover --new again",
    )
}

/// Three places, ascending.
fn chosen(words: usize) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    while places.len() < CHECKED_WORDS.min(words) {
        let random = u32::from_le_bytes(setup::real_world().random());
        places.insert(random as usize % words);
    }
    places
}

/// `--verify`.
fn verify(cx: &Context) -> Outcome<()> {
    cx.ensure_daemon()?;
    let report = report(cx)?;
    let text = typed()?;
    let kit = Kit::parse(&text).map_err(|e| bad_words(&e))?;
    let person = PersonKey::from_seed(&kit.root).id().to_string();
    if person != report.person {
        return Err(Trouble::new(
            "these words are not yours",
            "they are sound, and of another person than the one of this machine",
            "look for the kit that was made here, or make a new one: kith recover --new",
        ));
    }
    cx.print(&report, |report| {
        out!("These are your words.");
        say_report(report);
    })
}

fn bad_words(why: &impl ToString) -> Trouble {
    Trouble::new(
        "the words are not a recovery kit's",
        why.to_string(),
        "compare them with the paper, in their order; every word is in the kit as it must be typed",
    )
}

fn report(cx: &Context) -> Outcome<RecoveryReport> {
    match cx.ask(&Request::Recovery)? {
        Line::Recovery(report) => Ok(report),
        other => Err(unexpected(other)),
    }
}

/// Without an option: who keeps the record.
fn show(cx: &Context) -> Outcome<()> {
    let report = report(cx)?;
    cx.print(&report, |report| {
        say_report(report);
        out!("A kit for paper: kith recover --new. To check one: kith recover --verify");
    })
}

fn say_report(report: &RecoveryReport) {
    if report.keepers.is_empty() {
        out!("No friend keeps what the words need to bring anything back: there are no friends yet.");
    }
    for keeper in &report.keepers {
        let state = match (&keeper.trouble, keeper.newest) {
            (Some(trouble), _) => format!("does not keep the newest: {}", say::escaped(trouble)),
            (None, true) => "keeps what the words bring back, up to date".into(),
            (None, false) => "has not said yet that it keeps the newest".into(),
        };
        out!("  {:12} {state}", say::escaped(&keeper.name));
    }
    if let Some(problem) = &report.problem {
        out!("  ! {}", say::escaped(problem));
    }
}

/// Words, from the terminal or from standard input; never from an argument.
fn typed() -> Outcome<Zeroizing<String>> {
    let stdin = std::io::stdin();
    let mut text = Zeroizing::new(String::with_capacity(4096));
    let trouble =
        |e: std::io::Error| Trouble::new("the words cannot be read", e, "give them on standard input");
    if !stdin.is_terminal() {
        stdin.lock().take(PHRASE_TEXT_MAX as u64 + 1).read_to_string(&mut text).map_err(trouble)?;
        return Ok(text);
    }
    eprintln!("Type the {PHRASE_WORDS} words, in their order, on one line or several:");
    let mut lines = stdin.lock();
    while phrase_words(&text) < PHRASE_WORDS && text.len() <= PHRASE_TEXT_MAX {
        if lines.read_line(&mut text).map_err(trouble)? == 0 {
            break;
        }
    }
    Ok(text)
}

/// Friends' addresses, from the terminal, until a line is empty.
fn typed_friends() -> Outcome<Vec<KitFriend>> {
    let mut friends = Vec::new();
    loop {
        eprint!("A friend's address from the kit, ADDRESS:PORT#NODE (empty: no more): ");
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        read.map_err(|e| Trouble::new("the addresses cannot be read", e, "give them with --friend"))?;
        match line.trim() {
            "" => return Ok(friends),
            place if friends.len() < KIT_FRIENDS_MAX => friends.push(place.parse().map_err(|e| {
                Trouble::new("that is no friend's address", e, "copy it from the kit as it stands there")
            })?),
            _ => return Ok(friends),
        }
    }
}

fn read_kit(path: &Path) -> Outcome<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(4096));
    std::fs::File::open(path)
        .and_then(|file| file.take(PHRASE_TEXT_MAX as u64 + 1).read_to_string(&mut text))
        .map_err(|e| {
            let why = format!("{}: {e}", path.display());
            Trouble::new("the kit cannot be read", why, "give a file that kith recover --new --out made")
        })?;
    Ok(text)
}

/// `--from-phrase`.
fn from_phrase(cx: &Context, args: &Recover) -> Outcome<()> {
    let words = if args.passphrase { Some(passphrase(true)?) } else { None };
    let text = match &args.kit {
        Some(path) => read_kit(path)?,
        None => typed()?,
    };
    let mut kit = Kit::parse(&text).map_err(|e| bad_words(&e))?;
    kit.friends.extend(args.friend.iter().cloned());
    if kit.friends.is_empty() && std::io::stdin().is_terminal() {
        kit.friends = typed_friends()?;
    }
    let coming = ComingBack {
        kit,
        label: args.name.clone(),
        lends: args.lend,
        household: args.household.clone(),
        listen: args.listen,
        passphrase: words,
        gone: args.gone,
    };
    eprintln!("Asking friends ...");
    let came = recover::recover(&cx.home, &coming)?;
    node_process::ensure(cx.option.as_deref(), &cx.home, coming.passphrase.as_deref())?;
    match cx.ask(&Request::BringBack)? {
        Line::Drives { drives } => cx.print(&as_json(&came, &drives), |_| say_back(&came, &drives)),
        other => Err(unexpected(other)),
    }
}

fn as_json(came: &CameBack, drives: &[DriveLine]) -> serde_json::Value {
    serde_json::json!({
        "name": came.label,
        "person": came.person.to_string(),
        "drives": drives,
        "friends": came.friends,
        "answered": came.answered,
        "older": came.older,
        "silent": came.silent,
    })
}

fn say_back(came: &CameBack, drives: &[DriveLine]) {
    out!(
        "You are back, as '{}': {} friends, {} drives.",
        say::escaped(&came.label),
        came.friends,
        drives.len()
    );
    for silent in &came.silent {
        out!("  gave nothing: {}", say::escaped(silent));
    }
    if came.older > 0 {
        out!("  {} friends kept an older record; they are brought the newest.", came.older);
    }
    for drive in drives {
        out!("  {:16} {}", say::escaped(&drive.name), drive.power);
    }
    if drives.iter().any(|d| d.power == "read") {
        out!("Where you may read only, who rules the drive lets this machine write: ask for an invitation.");
    }
    out!("Next: kith mount");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_places_of_the_phrase_are_asked_for() {
        for _ in 0..50 {
            let places = chosen(PHRASE_WORDS);
            assert!(places.len() == CHECKED_WORDS && places.iter().all(|p| *p < PHRASE_WORDS));
        }
    }

    #[test]
    fn the_code_fits_a_screen_of_eighty_columns() {
        let node = "a".repeat(52);
        let words = "abandon ".repeat(PHRASE_WORDS);
        let short = format!("{words}\n[2001:db8::7:1:2:3]:65535#{node}\n192.168.100.200:65535#{node}");
        let code = qr(&Hidden::from(short), true).unwrap();
        let lines: Vec<&str> = code.lines().collect();
        assert!(lines.len() <= 40 && lines.iter().all(|l| l.chars().count() <= 80), "{}", lines.len());
    }
}
