//! Names and small files: making, removing, listing, unpacking.

use super::compare::{ALL, Against, Line, Subjects, USERS};
use super::fs_lines::{PEERS, fresh, not_cold, program};
use super::limits::{drop_kernel_caches, noise};
use super::{Ground, Row, Target, failed};
use crate::daemon::api::Outcome;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Small files that are made and removed.
const MADE: u64 = 2000;
const MADE_BYTES: usize = 4096;
const LISTED: u64 = 10_000;
/// The archive: files, how many in a directory, and the longest.
const PACKED: u64 = 5000;
const PACKED_IN_DIR: u64 = 50;
const PACKED_MOST: usize = 12_000;

fn name(i: u64) -> String {
    format!("file {i:06}")
}

/// Files per second; `bytes` each, all different.
fn make(dir: &Path, files: u64, bytes: usize) -> Outcome<f64> {
    let data = noise(7, bytes + files as usize);
    let start = Instant::now();
    for i in 0..files {
        let path = dir.join(name(i));
        std::fs::write(&path, &data[i as usize..i as usize + bytes]).map_err(|e| failed(&path, e))?;
    }
    Ok(files as f64 / start.elapsed().as_secs_f64())
}

fn remove(dir: &Path, files: u64) -> Outcome<f64> {
    let start = Instant::now();
    for i in 0..files {
        let path = dir.join(name(i));
        std::fs::remove_file(&path).map_err(|e| failed(&path, e))?;
    }
    Ok(files as f64 / start.elapsed().as_secs_f64())
}

fn make_and_remove(ground: &Ground, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let files = ground.amount(MADE, 300);
    let [made, removed] = subjects.rounds(&ALL, |dir| {
        let dir = dir.join("made");
        fresh(&dir)?;
        let made = make(&dir, files, MADE_BYTES)?;
        // Files that have been there for a while, and not what has just been written.
        subjects.quiet()?;
        Ok([made, remove(&dir, files)?])
    })?;
    let goals = [PEERS, (Against::DoNothing, Target::AtLeast(0.4))];
    Line { what: "create, write, close of 4 KiB files", unit: "/s", goals: &goals }.tell(&made, row);
    Line { what: "unlink", unit: "/s", goals: &goals }.tell(&removed, row);
    Ok(())
}

/// A tree as of a source archive, packed by tar.
fn archive(ground: &Ground, files: u64) -> Outcome<PathBuf> {
    let tree = ground.sub("packed-tree")?;
    let data = noise(3, PACKED_MOST + files as usize);
    for i in 0..files {
        let dir = tree.join(format!("dir {:03}", i / PACKED_IN_DIR));
        std::fs::create_dir_all(&dir).map_err(|e| failed(&dir, e))?;
        let (at, path) = (i as usize, dir.join(name(i)));
        // Many small ones and a few longer ones: the square of an even spread.
        let part = (i * 7919 % 1000) as usize;
        let len = PACKED_MOST * part * part / 1_000_000;
        std::fs::write(&path, &data[at..at + len]).map_err(|e| failed(&path, e))?;
    }
    let packed = ground.dir.join("tree.tar");
    program(Command::new("tar").arg("-cf").arg(&packed).arg("-C").arg(&tree).arg("."))?;
    std::fs::remove_dir_all(&tree).map_err(|e| failed(&tree, e))?;
    Ok(packed)
}

fn unpack(ground: &Ground, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let files = ground.amount(PACKED, 500);
    let packed = archive(ground, files)?;
    let [figures] = subjects.rounds(&USERS, |dir| {
        let dir = dir.join("unpacked");
        fresh(&dir)?;
        subjects.quiet()?;
        let took = program(Command::new("tar").arg("-xf").arg(&packed).arg("-C").arg(&dir))?;
        Ok([took])
    })?;
    Line { what: &format!("untar of {files} files"), unit: "s", goals: &[PEERS] }.tell(&figures, row);
    Ok(())
}

/// Names per second, without attributes.
fn list(dir: &Path, files: u64) -> Outcome<f64> {
    let start = Instant::now();
    let seen = std::fs::read_dir(dir).map_err(|e| failed(dir, e))?.count() as u64;
    if seen != files {
        return Err(failed(dir, format!("{seen} names of {files} are listed")));
    }
    Ok(files as f64 / start.elapsed().as_secs_f64())
}

fn stat(dir: &Path, files: u64) -> Outcome<f64> {
    let start = Instant::now();
    for i in 0..files {
        let path = dir.join(name(i));
        std::fs::symlink_metadata(&path).map_err(|e| failed(&path, e))?;
    }
    Ok(files as f64 / start.elapsed().as_secs_f64())
}

fn ls(dir: &Path) -> Outcome<f64> {
    program(Command::new("ls").arg("-l").arg(dir))
}

fn listings(ground: &Ground, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let files = ground.amount(LISTED, 1000);
    let (cold, warm) = (format!("ls -l of {files}, cold"), format!("ls -l of {files}, warm"));
    let can = drop_kernel_caches();
    let empty = ground.sub("empty")?;
    let [listed, stats, first, again] = subjects.rounds(&ALL, |dir| {
        let dir = dir.join("listed");
        if !dir.exists() {
            fresh(&dir)?;
            make(&dir, files, 0)?;
        }
        if !can {
            subjects.quiet()?;
            ls(&dir)?;
            return Ok([f64::NAN, f64::NAN, f64::NAN, ls(&dir)?]);
        }
        subjects.cold()?;
        let listed = list(&dir, files)?;
        subjects.cold()?;
        let stats = stat(&dir, files)?;
        subjects.cold()?;
        // The program itself comes from a cold disk, too, and that is not what is measured.
        ls(&empty)?;
        Ok([listed, stats, ls(&dir)?, ls(&dir)?])
    })?;
    let nothing = [(Against::DoNothing, Target::AtLeast(0.8))];
    let disk = [PEERS, (Against::Disk, Target::AtMost(1.3))];
    if can {
        Line { what: "readdir, cold", unit: "/s", goals: &nothing }.tell(&listed, row);
        Line { what: "stat, cold", unit: "/s", goals: &nothing }.tell(&stats, row);
        Line { what: &cold, unit: "s", goals: &[PEERS] }.tell(&first, row);
    } else {
        not_cold(&["readdir, cold", "stat, cold", &cold], row);
    }
    Line { what: &warm, unit: "s", goals: &disk }.tell(&again, row);
    Ok(())
}

pub fn run(ground: &Ground, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    make_and_remove(ground, subjects, row)?;
    unpack(ground, subjects, row)?;
    listings(ground, subjects, row)
}
