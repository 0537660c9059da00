//! kith's mount as a user sees it, beside other encrypting filesystems and the local disk.

use super::compare::{Against, Line, Subjects, USERS};
use super::grid_lines::{self, Mounted};
use super::limits::{self, noise};
use super::{Ground, Row, Target, failed, fs_names, fs_photos, restart_lines};
use crate::daemon::api::Outcome;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Random writes: how many, of how many bytes, into how large a file.
const WRITES: u64 = 300;
const WRITE_BYTES: usize = 4096;
const WRITTEN_FILE: u64 = 64 << 20;
/// A document that is saved: how often, how long.
const SAVES: u64 = 200;
const SAVED_BYTES: usize = 20_000;

/// What the other encrypting filesystems set.
pub const PEERS: (Against, Target) = (Against::Peers, Target::AtLeast(1.0));

/// Seconds that a program takes, and what it printed; its complaints are shown when it fails.
fn run_program(command: &mut Command) -> Outcome<(f64, Vec<u8>)> {
    let name = command.get_program().to_owned();
    let start = Instant::now();
    let out = command.stdin(Stdio::null()).output().map_err(|e| failed(&name, e))?;
    let took = start.elapsed().as_secs_f64();
    let said = || String::from_utf8_lossy(&out.stderr).trim().to_owned();
    if out.status.success() { Ok((took, out.stdout)) } else { Err(failed(&name, said())) }
}

/// Seconds that a program takes.
pub fn program(command: &mut Command) -> Outcome<f64> {
    // Into no pipe that this process would have to empty while the clock runs.
    run_program(command.stdout(Stdio::null())).map(|(took, _)| took)
}

/// Seconds that a program takes, and how many lines it prints.
pub fn program_lines(command: &mut Command) -> Outcome<(f64, u64)> {
    let (took, out) = run_program(command)?;
    Ok((took, out.iter().filter(|b| **b == b'\n').count() as u64))
}

/// An empty directory; what an earlier round left in it is gone.
pub fn fresh(dir: &Path) -> Outcome<()> {
    let made = || -> std::io::Result<()> {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        std::fs::create_dir(dir)
    };
    made().map_err(|e| failed(dir, e))
}

/// As an editor saves: write another file, sync it, put it in the place of the first.
fn save(dir: &Path, times: u64) -> Outcome<f64> {
    let data = noise(5, SAVED_BYTES + times as usize);
    let (document, draft) = (dir.join("document"), dir.join("document.new"));
    let start = Instant::now();
    let once = |i: usize| -> std::io::Result<()> {
        let file = File::create(&draft)?;
        file.write_all_at(&data[i..i + SAVED_BYTES], 0)?;
        file.sync_all()?;
        std::fs::rename(&draft, &document)
    };
    (0..times as usize).try_for_each(once).map_err(|e| failed(&document, e))?;
    Ok(times as f64 / start.elapsed().as_secs_f64())
}

fn saves(ground: &Ground, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let times = ground.amount(SAVES, 40);
    let [figures] = subjects.rounds(&USERS, |dir| Ok([save(dir, times)?]))?;
    let goals = [PEERS, (Against::Disk, Target::AtLeast(0.5))];
    Line { what: "save: write 20 kB, fsync, rename", unit: "/s", goals: &goals }.tell(&figures, row);
    Ok(())
}

/// Writes at random places of a file whose blocks are all there, each synced before the next.
fn random_writes(dir: &Path, times: u64, len: u64) -> Outcome<f64> {
    let path = dir.join("random-writes");
    if !path.exists() {
        limits::write_file(&path, len)?;
    }
    let data = noise(11, WRITE_BYTES + times as usize);
    let run = || -> std::io::Result<f64> {
        let file = File::options().write(true).open(&path)?;
        // What the last round wrote is no part of this one.
        file.sync_all()?;
        let start = Instant::now();
        for (i, at) in super::random_lines::offsets(len, times as usize).enumerate() {
            file.write_all_at(&data[i..i + WRITE_BYTES], at)?;
            // The file's length stays: this is fdatasync on the disk, and all that fsync does.
            file.sync_data()?;
        }
        Ok(times as f64 / start.elapsed().as_secs_f64())
    };
    run().map_err(|e| failed(&path, e))
}

fn synced_writes(ground: &Ground, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let (times, len) = (ground.amount(WRITES, 60), ground.amount(WRITTEN_FILE, 8 << 20));
    let [figures] = subjects.rounds(&USERS, |dir| Ok([random_writes(dir, times, len)?]))?;
    let goals = [(Against::Disk, Target::AtLeast(0.7))];
    Line { what: "random 4 KiB write, each synced", unit: "/s", goals: &goals }.tell(&figures, row);
    Ok(())
}

/// The group.
pub fn run(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let m = Mounted::build(ground, "fs", 5, None)?;
    // The grid's own lines measure it where they are asked for as well.
    if !ground.groups.contains(&"grid") {
        grid_lines::sequential(ground, &m, row)?;
    }
    {
        let subjects = Subjects::mount(ground, &m)?;
        fs_names::run(ground, &subjects, row)?;
        saves(ground, &subjects, row)?;
        synced_writes(ground, &subjects, row)?;
        fs_photos::run(ground, &subjects, row)?;
    }
    m.grid.close();
    restart_lines::run(ground, row)
}

/// Cold figures cannot be had by everybody; the rows that are missing then.
pub fn not_cold(whats: &[&str], row: &mut dyn FnMut(Row)) {
    for what in whats {
        row(Row::not_run(*what, "needs root, to drop the kernel's caches"));
    }
}
