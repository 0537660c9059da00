//! How kith speaks to people: sizes, three-line errors, escaped names, progress.

use crate::daemon::api::{Exit, Progress, Trouble};
use crate::daemon::home::Home;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Print an error in three lines on stderr and give its exit code.
pub fn trouble(t: &Trouble) -> ExitCode {
    let mut err = std::io::stderr().lock();
    // A closed stderr leaves the exit code as the answer.
    let _ =
        writeln!(err, "kith: {}\n  why: {}\n  do:  {}", escaped(&t.what), escaped(&t.why), escaped(&t.fix));
    ExitCode::from(t.exit as u8)
}

/// Text from elsewhere, safe on a terminal: control characters are shown, not obeyed.
pub fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { format!("\\x{:02x}", c as u32) } else { c.to_string() })
        .collect()
}

/// Bytes for people: 1.5 MB. Decimal units, as disks are sold.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.5 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// What is not safe yet; None when everything is.
pub fn waiting(files: u64, bytes: u64) -> Option<String> {
    let who = match files {
        0 => return None,
        1 => "1 file not yet safe".to_string(),
        n => format!("{n} files not yet safe"),
    };
    // What is small travels with the entries: no content of its own is to go up.
    Some(if bytes == 0 { who } else { format!("{who}, {} to go up", size(bytes)) })
}

/// A size as people type it: `50G`, `1.5TB`, `200 MB`, `4096`, `2GiB`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 =
        text[..split].parse().map_err(|_| format!("'{text}' is not a size; try 50G or 200MB"))?;
    let unit = text[split..].trim().to_ascii_lowercase();
    let factor = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1048576.0,
        "gib" => 1073741824.0,
        "tib" => 1099511627776.0,
        _ => return Err(format!("'{unit}' is not a unit of size; try k, M, G, T")),
    };
    let bytes = number * factor;
    if bytes.is_finite() && (0.0..1e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err(format!("'{text}' is out of range"))
    }
}

/// A time as people type it: `90`, `30s`, `10m`, `2h`.
pub fn parse_seconds(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..split].parse().map_err(|_| format!("'{text}' is not a time; try 30s, 10m or 2h"))?;
    let factor = match &text[split..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86400,
        other => return Err(format!("'{other}' is not a unit of time; try s, m, h or d")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("'{text}' is too long"))
}

/// A moment: a date and time as they are (the drive reads them), or how long ago.
pub fn parse_moment(text: &str) -> Result<String, String> {
    let text = text.trim();
    let ago = text.strip_suffix("ago").map_or(text, str::trim_end);
    if ago.ends_with(|c: char| c.is_ascii_alphabetic()) && !ago.ends_with('Z') {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_err(|_| "this machine's clock stands before 1970".to_string())?;
        let then = now.checked_sub(std::time::Duration::from_secs(parse_seconds(ago)?));
        let then = then.ok_or_else(|| format!("'{text}' is before 1970"))?;
        return Ok(format!("@{}.{:09}", then.as_secs(), then.subsec_nanos()));
    }
    match text {
        "" | "." | ".." => Err(format!("'{text}' is not a time; try 2026-11-26T14:05 or 2h")),
        _ if text.contains('/') => Err(format!("'{text}' is not a time; try 2026-11-26T14:05 or 2h")),
        _ => Ok(text.into()),
    }
}

/// How long a ticket is good: thirty days at most.
pub fn parse_validity(text: &str) -> Result<u64, String> {
    let seconds = parse_seconds(text)?;
    match seconds {
        1..=2_592_000 => Ok(seconds),
        _ => Err(format!("'{text}' is not between 1s and 30d")),
    }
}

/// Seconds ago, for people.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..=1 => "now".into(),
        2..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86400),
    }
}

/// A progress bar on a terminal, nothing elsewhere.
#[derive(Default)]
pub struct Bar {
    shown: bool,
}

impl Bar {
    pub fn new() -> Bar {
        Bar { shown: false }
    }
    pub fn show(&mut self, p: &Progress) {
        let mut err = std::io::stderr();
        if !err.is_terminal() {
            return;
        }
        const WIDTH: u64 = 30;
        let filled = (p.done_bytes.min(p.total_bytes) * WIDTH).checked_div(p.total_bytes).unwrap_or(0);
        let bar: String = (0..WIDTH).map(|i| if i < filled { '#' } else { '.' }).collect();
        let _ = write!(
            err,
            "\r\x1b[K[{bar}] {} of {}, {} files waiting  {}",
            size(p.done_bytes),
            size(p.total_bytes),
            p.files_waiting,
            escaped(&p.text)
        );
        let _ = err.flush();
        self.shown = true;
    }
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}

/// A line from the terminal that is not shown while it is typed.
pub fn ask_hidden(question: &str) -> std::io::Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    eprint!("{question}");
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_modes &= !LocalModes::ECHO;
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    eprintln!();
    read.map(|_| line.trim_end_matches(['\n', '\r']).to_string())
}

/// No daemon answers.
pub fn no_daemon(home: &Home, why: &std::io::Error) -> Trouble {
    if !home.config().exists() {
        return not_a_node(home).exit(Exit::NoDaemon);
    }
    Trouble::new(
        "kith is not running here",
        format!("{}: {why}", home.socket().display()),
        "start it with 'kith daemon' (or 'systemctl --user start kith'); 'kith mount' starts it as well",
    )
    .exit(Exit::NoDaemon)
}

/// There are no keys and no settings.
pub fn not_a_node(home: &Home) -> Trouble {
    Trouble::new(
        "this machine is not a node yet",
        format!("{} does not exist", home.config().display()),
        "make it one with 'kith init', or look around with 'kith demo'",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip_for_people() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1_500_000), "1.5 MB");
        assert_eq!(size(999_999), "1.0 MB");
        assert_eq!(size(123_456_789), "123 MB");
        assert_eq!(parse_size("50G"), Ok(50_000_000_000));
        assert_eq!(parse_size("1.5 MiB"), Ok(1_572_864));
        for bad in ["", "G", "12 parsecs", "-3", "1e400G", "9999999T"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_waits_is_said_without_empty_numbers() {
        assert_eq!(waiting(0, 7), None);
        assert_eq!(waiting(1, 0).unwrap(), "1 file not yet safe");
        assert_eq!(waiting(3, 1_500_000).unwrap(), "3 files not yet safe, 1.5 MB to go up");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_seconds("90"), Ok(90));
        assert_eq!(parse_seconds("2h"), Ok(7200));
        assert_eq!(parse_validity("30d"), Ok(2_592_000));
        assert!(parse_validity("31d").is_err() && parse_validity("0").is_err());
        assert!(parse_seconds("soon").is_err());
        assert!(parse_seconds("99999999999999999999d").is_err());
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(escaped("a\x1b[31mb"), "a\\x1b[31mb");
    }
}
