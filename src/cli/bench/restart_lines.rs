//! How soon a mount is back when the daemon was killed with much in its journal.

use super::grid_lines::{DRIVE, Mounted};
use super::limits::noise;
use super::{Ground, Row, Target, failed};
use crate::cli::local_grid::{self, LocalGrid};
use crate::cli::node_process::NodeProcess;
use crate::daemon::api::Outcome;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the journal is to hold.
const JOURNAL: u64 = 1 << 30;
/// So little is not sealed by itself when a file is closed: it lies in the journal, and stays
/// there after the file has settled until the journal is shortened.
const FILE_BYTES: usize = 120_000;
/// The journal is shortened every quarter of a minute; what it held is written again then.
const FILL_MAX: Duration = Duration::from_secs(180);
/// How often its length is looked at.
const LOOK_EVERY: u64 = 256;

/// Bytes of the files in the journals below `dir`.
fn journals(dir: &Path, inside: bool) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let measure = |e: std::fs::DirEntry| {
        let inside = inside || e.file_name() == "journal";
        match e.metadata() {
            Ok(m) if m.is_dir() => journals(&e.path(), inside),
            Ok(m) if inside => m.len(),
            _ => 0,
        }
    };
    entries.map(measure).sum()
}

/// Write until the journal is as long as it should be: how long it is.
fn fill(m: &Mounted, wanted: u64) -> Outcome<u64> {
    let state = &m.grid.you.home.state;
    // What it keeps aside, and its files before anything is in them.
    let empty = journals(state, false);
    let begun = Instant::now();
    let data = noise(21, FILE_BYTES + (1 << 16));
    let mut longest = 0;
    for i in 0.. {
        let path = m.dir.join(format!("note {i:06}"));
        let at = (i % (1 << 16)) as usize;
        std::fs::write(&path, &data[at..at + FILE_BYTES]).map_err(|e| failed(&path, e))?;
        if i % LOOK_EVERY == LOOK_EVERY - 1 {
            let length = journals(state, false).saturating_sub(empty);
            longest = longest.max(length);
            if length >= wanted {
                return Ok(length);
            }
            if begun.elapsed() > FILL_MAX {
                break;
            }
        }
    }
    Err(failed("the journal", format!("never longer than {} MB", longest / 1_000_000)))
}

/// Something that was synced before the end, to be found again.
fn promise(m: &Mounted) -> Outcome<(PathBuf, Vec<u8>)> {
    let (path, data) = (m.dir.join("synced"), noise(22, 50_000));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&path)?;
        file.write_all(&data)?;
        file.sync_all()
    };
    write().map_err(|e| failed(&path, e))?;
    Ok((path, data))
}

pub fn run(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let m = Mounted::build(ground, "restart", 1, None)?;
    let length = fill(&m, ground.amount(JOURNAL, JOURNAL / 10))?;
    let (path, data) = promise(&m)?;
    let Mounted { grid: LocalGrid { you, friends }, dir } = m;
    let you_dir = you.dir.clone();
    you.kill();
    let start = Instant::now();
    let you = NodeProcess::start("you", &you_dir)?;
    local_grid::mount(&you, DRIVE, &dir)?;
    let listed = std::fs::read_dir(&dir).map_err(|e| failed(&dir, e))?.count();
    let took = start.elapsed().as_secs_f64();
    row(Row::new(
        format!("kill -9, {:.0} MB of journal: start until the mount lists its root", length as f64 / 1e6),
        took,
        "s",
        Target::AtMost(5.0),
    ));
    if listed == 0 || std::fs::read(&path).map_err(|e| failed(&path, e))? != data {
        return Err(failed(&path, "what had been synced before the kill is not what is there after it"));
    }
    you.stop();
    friends.into_iter().filter_map(|f| f.process).for_each(NodeProcess::stop);
    Ok(())
}
