//! What seeds' lives said, and the file that remembers which have been lived.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;

/// One seed's life.
pub struct Life {
    pub seed: u64,
    /// Virtual time.
    pub seconds: f64,
    pub counts: BTreeMap<String, u64>,
    /// All it printed.
    pub lines: Vec<String>,
}

impl Life {
    /// From the output of a process: its lines begin with `| `.
    pub fn parse(seed: u64, text: &str) -> Life {
        let lines: Vec<String> =
            text.lines().filter_map(|l| l.strip_prefix("| ")).map(String::from).collect();
        let seconds = lines.iter().find_map(|l| l.strip_prefix("seconds ")?.parse().ok()).unwrap_or(0.0);
        let count = |l: &String| {
            let (n, what) = l.trim_start().split_once(' ')?;
            Some((what.to_string(), n.parse().ok()?))
        };
        let counts = lines.iter().filter_map(count).collect();
        Life { seed, seconds, counts, lines }
    }

    pub fn broken(&self) -> Vec<String> {
        let broken = self.lines.iter().filter(|l| l.starts_with("BROKEN"));
        broken.map(|l| format!("seed={} {l}", self.seed)).collect()
    }

    pub fn verdict(&self) -> String {
        match self.broken().len() {
            0 => "ok".into(),
            n => format!("broken={n}"),
        }
    }
}

/// Seeds that have been lived: `seed=7 hours=10.02 ok`, or `broken=N` and what was broken on
/// lines of their own.
pub struct Ledger {
    path: Option<OsString>,
    /// By seed: virtual hours, and whether an invariant was broken.
    done: BTreeMap<u64, (f64, bool)>,
}

impl Ledger {
    /// As it is in the file, if there is one.
    pub fn open(path: Option<OsString>) -> Ledger {
        let text = path.as_ref().map(|p| std::fs::read_to_string(p).unwrap_or_default()).unwrap_or_default();
        let line = |l: &str| {
            let mut words = l.split(' ');
            let seed = words.next()?.strip_prefix("seed=")?.parse().ok()?;
            let hours = words.next()?.strip_prefix("hours=")?.parse().ok()?;
            Some((seed, (hours, words.next()? != "ok")))
        };
        Ledger { path, done: text.lines().filter_map(line).collect() }
    }

    pub fn has(&self, seed: u64) -> bool {
        self.done.contains_key(&seed)
    }

    /// On disk when this returns.
    pub fn enter(&mut self, life: &Life) {
        let hours = life.seconds / 3600.0;
        self.done.insert(life.seed, (hours, !life.broken().is_empty()));
        let Some(path) = &self.path else { return };
        let mut text = format!("seed={} hours={hours:.2} {}\n", life.seed, life.verdict());
        life.broken().iter().for_each(|b| text += &format!("  {b}\n"));
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).unwrap();
        println!("{}", self.sum());
    }

    pub fn sum(&self) -> String {
        let hours: f64 = self.done.values().map(|(hours, _)| hours).sum();
        let broken = self.done.values().filter(|(_, broken)| *broken).count();
        let seeds = self.done.len();
        format!("{seeds} seeds, {hours:.1} grid-hours in all, {broken} seeds with a broken invariant")
    }
}

#[test]
fn a_ledger_goes_on_where_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = Some(dir.path().join("log").into_os_string());
    let mut ledger = Ledger::open(path.clone());
    ledger.enter(&Life::parse(3, "| seconds 7200\n|        2 packets\n"));
    ledger.enter(&Life::parse(5, "| seconds 3600\n| BROKEN I1 at 1 s: gone\n"));
    let again = Ledger::open(path);
    assert!(again.has(3) && again.has(5) && !again.has(4));
    assert_eq!(again.sum(), "2 seeds, 3.0 grid-hours in all, 1 seeds with a broken invariant");
}
