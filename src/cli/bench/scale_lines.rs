//! Many files, and a friend with nothing to do.

use super::fs_lines::program_lines;
use super::grid_lines::{DRIVE, Mounted};
use super::limits::{drop_names, resident};
use super::{Ground, Row, Target, failed, random_lines};
use crate::cli::local_grid::{self, LocalGrid};
use crate::cli::node_process::NodeProcess;
use crate::daemon::api::{Outcome, Until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const IN_DIR: u64 = 1000;
/// Lookups at so many files are the measure of those at many more.
const FEW: u64 = 10_000;
const LOOKUPS: usize = 2000;

/// How many files, and what they may cost.
struct Scale {
    name: &'static str,
    files: u64,
    resident_mb: f64,
    find: Target,
    /// Lookups, of those among [`FEW`].
    lookup: Target,
}

/// 100,000 files.
pub fn usual(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let files = ground.amount(100_000, 5_000);
    many(
        ground,
        &Scale { name: "scale", files, resident_mb: 120.0, find: Target::None, lookup: Target::None },
        row,
    )
}

/// A million of them: minutes, so only where it is asked for by name.
pub fn million(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let (find, lookup) = (Target::AtMost(60.0), Target::AtMost(1.5));
    many(
        ground,
        &Scale {
            name: "million",
            files: ground.amount(1_000_000, 100_000),
            resident_mb: 400.0,
            find,
            lookup,
        },
        row,
    )
}

fn place(dir: &Path, i: u64) -> PathBuf {
    dir.join(format!("d{:03}", i / IN_DIR)).join(format!("file {i:06}"))
}

/// Makes files `from..to`.
fn make(dir: &Path, from: u64, to: u64) -> Outcome<()> {
    for i in from..to {
        let path = place(dir, i);
        if i % IN_DIR == 0
            && let Some(dir) = path.parent()
        {
            std::fs::create_dir(dir).map_err(|e| failed(dir, e))?;
        }
        std::fs::write(&path, format!("file number {i}\n")).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

/// Microseconds of a lookup that the kernel cannot answer; None where it cannot be made to ask.
/// The disk's pages stay: how it reads when nothing is in memory is another question.
fn lookup(dir: &Path, files: u64) -> Outcome<Option<f64>> {
    if !drop_names() {
        return Ok(None);
    }
    // A file's number from an offset among as many blocks.
    let block = 4096;
    let chosen: Vec<PathBuf> =
        random_lines::offsets(files * block, LOOKUPS).map(|o| place(dir, o / block)).collect();
    let start = Instant::now();
    for path in &chosen {
        std::fs::symlink_metadata(path).map_err(|e| failed(path, e))?;
    }
    Ok(Some(start.elapsed().as_secs_f64() * 1e6 / LOOKUPS as f64))
}

fn resident_row(scale: &Scale, when: &str, pid: u32) -> Outcome<Row> {
    let bytes = resident(pid).ok_or_else(|| failed("resident memory", "the process is not there"))?;
    let what = format!("{} files: resident after {when}", scale.files);
    Ok(Row::new(what, bytes as f64 / 1e6, "MB", Target::AtMost(scale.resident_mb)))
}

/// Make them all, and look at what that cost.
fn fill(m: &Mounted, scale: &Scale, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let files = scale.files;
    let few = FEW.min(files);
    let mut took = Duration::ZERO;
    let mut timed = |from, to| -> Outcome<()> {
        let start = Instant::now();
        make(&m.dir, from, to)?;
        took += start.elapsed();
        m.sync(Until::Published)
    };
    timed(0, few)?;
    let among_few = lookup(&m.dir, few)?;
    timed(few, files)?;
    let among_all = lookup(&m.dir, files)?;
    row(Row::new(format!("{files} files made"), files as f64 / took.as_secs_f64(), "/s", Target::None));
    row(resident_row(scale, "making them", m.grid.you.pid())?);
    let what = format!("lookup among {files} files, of names the kernel does not know");
    match among_few.zip(among_all) {
        Some((few_us, all_us)) => {
            row(Row::new(what, all_us, "us", Target::None));
            row(Row::new(format!("  of that among {few}"), all_us / few_us, "x", scale.lookup));
        }
        None => row(Row::not_run(what, "needs root, to drop the kernel's caches")),
    }
    Ok(())
}

/// Takes away the indexes below a directory: how many bytes they had.
fn forget_indexes(state: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(state).map_err(|e| failed(state, e))?.flatten() {
        let path = entry.path();
        match entry.file_type().is_ok_and(|t| t.is_dir()) {
            true if entry.file_name() == "index" => {
                bytes += tree_bytes(&path);
                std::fs::remove_dir_all(&path).map_err(|e| failed(&path, e))?;
            }
            true => bytes += forget_indexes(&path)?,
            false => {}
        }
    }
    Ok(bytes)
}

/// Bytes of the files at and below a directory.
fn tree_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |e: std::fs::DirEntry| match e.metadata() {
        Ok(m) if m.is_dir() => tree_bytes(&e.path()),
        Ok(m) => m.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn many(ground: &Ground, scale: &Scale, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let m = Mounted::build(ground, scale.name, 1, None)?;
    std::thread::sleep(Duration::from_secs(2));
    let idle = m.grid.friends.first().and_then(|f| f.process.as_ref()).and_then(|p| resident(p.pid()));
    row(Row::new("an idle holder, resident", idle.unwrap_or(0) as f64 / 1e6, "MB", Target::AtMost(25.0)));
    fill(&m, scale, row)?;

    let files = scale.files;
    let Mounted { grid: LocalGrid { you, friends }, dir } = m;
    let (you_dir, state) = (you.dir.clone(), you.home.state.clone());
    you.stop();
    let again = |after: &str, target: Target, row: &mut dyn FnMut(Row)| -> Outcome<NodeProcess> {
        let start = Instant::now();
        let you = NodeProcess::start("you", &you_dir)?;
        local_grid::mount(&you, DRIVE, &dir)?;
        let listed = std::fs::read_dir(&dir).map_err(|e| failed(&dir, e))?.count();
        let what = format!("{files} files: start {after}, until the mount lists its root");
        row(Row::new(what, start.elapsed().as_secs_f64(), "s", target));
        match listed {
            0 => Err(failed(&dir, "the mount came up empty")),
            _ => Ok(you),
        }
    };
    let you = again("after a clean end", Target::AtMost(2.0), row)?;
    let (took, seen) = program_lines(Command::new("find").arg(&dir).args(["-type", "f"]))?;
    if seen != files {
        return Err(failed(&dir, format!("find sees {seen} files of {files}")));
    }
    row(Row::new(format!("find over {files} files"), took, "s", scale.find));
    row(resident_row(scale, "start and find", you.pid())?);
    you.kill();
    let you = again("after kill -9", Target::AtMost(5.0), row)?;
    you.kill();
    row(Row::new(
        format!("{files} files: index on disk"),
        forget_indexes(&state)? as f64 / 1e6,
        "MB",
        Target::None,
    ));
    let you = again("without an index, as after a power cut", Target::None, row)?;
    row(resident_row(scale, "making the index again", you.pid())?);
    you.stop();
    friends.into_iter().filter_map(|f| f.process).for_each(NodeProcess::stop);
    Ok(())
}
