//! Small files and names.

use super::grid_lines::{Mounted, with_do_nothing};
use super::limits::{self, drop_kernel_caches, noise};
use super::{Ground, Row, Target, failed};
use crate::daemon::api::{Outcome, Until};
use std::path::Path;
use std::time::Instant;

/// Files of the small-file line and their size.
const SMALL_FILES: u64 = 1000;
const SMALL_BYTES: usize = 10_000;
const LISTED: u64 = 10_000;

fn fill(dir: &Path, files: u64, bytes: usize) -> Outcome<f64> {
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let data = noise(7, bytes + files as usize);
    let start = Instant::now();
    for i in 0..files {
        // Each file's content is its own.
        let path = dir.join(format!("file {i:06}"));
        std::fs::write(&path, &data[i as usize..i as usize + bytes]).map_err(|e| failed(&path, e))?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn make_dirs(dir: &Path, count: u64) -> Outcome<f64> {
    let start = Instant::now();
    for i in 0..count {
        let path = dir.join(format!("dir {i:06}"));
        std::fs::create_dir(&path).map_err(|e| failed(&path, e))?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds of a long listing of what the kernel does not know.
fn list_cold(dir: &Path) -> Outcome<f64> {
    if !drop_kernel_caches() {
        return Err(failed(dir, "the kernel's caches could not be dropped"));
    }
    limits::list_long(dir)
}

pub fn run(ground: &Ground, m: &Mounted, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    m.sync(Until::Full)?;
    let start = Instant::now();
    fill(&m.dir.join("small"), SMALL_FILES, SMALL_BYTES)?;
    m.sync(Until::Local)?;
    let local = start.elapsed().as_secs_f64();
    m.sync(Until::Safe)?;
    let safe = start.elapsed().as_secs_f64();
    row(Row::new("1,000 files of 10 kB until local", local, "s", Target::AtMost(1.0)));
    row(Row::new("1,000 files of 10 kB until safe", safe, "s", Target::AtMost(5.0)));

    // What was copied before is out of the way: these lines are about calls, not about uploads.
    m.sync(Until::Full)?;
    let create = fill(&m.dir.join("tiny"), 1000, 1000)?;
    row(Row::new("create, write and close of a 1 kB file", create, "ms", Target::AtMost(0.25)));
    let mkdir = make_dirs(&m.dir.join("tiny"), 1000)?;
    row(Row::new("mkdir", mkdir, "ms", Target::AtMost(0.25)));

    if !drop_kernel_caches() {
        row(Row::not_run("ls -l of many entries, kernel caches cold", "needs root, to drop the caches"));
        return Ok(());
    }
    let files = ground.amount(LISTED, 1000);
    let listed = m.dir.join("listed");
    fill(&listed, files, 0)?;
    // Telling friends of all these names is work of its own.
    m.sync(Until::Full)?;
    let kith = list_cold(&listed)?;
    let nothing = with_do_nothing(ground, |dir| {
        let listed = dir.join("listed");
        fill(&listed, files, 0)?;
        list_cold(&listed)
    })?;
    row(Row::new(format!("ls -l of {files} entries, kernel caches cold"), kith, "s", Target::None));
    row(Row::new("  of the do-nothing filesystem's", kith / nothing, "x", Target::AtMost(3.0)));
    Ok(())
}
