//! Photos: copied in, looked at, read back.

use super::compare::{Against, Line, Subjects, USERS};
use super::fs_lines::{PEERS, fresh, not_cold, program};
use super::limits::{drop_kernel_caches, noise};
use super::{Ground, Row, Target, failed};
use crate::daemon::api::Outcome;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const PHOTOS: u64 = 150;
/// The shortest, and what is added at most.
const SHORTEST: usize = 3_000_000;
const SPREAD: usize = 2_000_000;
/// What a viewer reads of each for its list.
const HEADER: u64 = 64 << 10;
/// Bytes per read(2).
const BLOCK: usize = 128 << 10;

/// The camera's card, on the disk.
struct Card {
    dir: PathBuf,
    names: Vec<String>,
    bytes: u64,
}

fn card(ground: &Ground) -> Outcome<Card> {
    let mut card = Card { dir: ground.sub("photos")?, names: Vec::new(), bytes: 0 };
    for i in 0..ground.amount(PHOTOS, 15) {
        let len = SHORTEST + (i as usize * 7919 * 131) % SPREAD;
        let (name, path) = (format!("IMG_{i:04}.jpg"), card.dir.join(format!("IMG_{i:04}.jpg")));
        std::fs::write(&path, noise(1000 + i, len)).map_err(|e| failed(&path, e))?;
        card.bytes += len as u64;
        card.names.push(name);
    }
    Ok(card)
}

/// Read without a clock, so that the card is not what is measured.
fn warm(card: &Card) -> Outcome<()> {
    read_all(card, &card.dir, u64::MAX).map(|_| ())
}

/// Bytes read of the photos in `dir`, at most `most` of each.
fn read_all(card: &Card, dir: &Path, most: u64) -> Outcome<u64> {
    let mut block = vec![0; BLOCK];
    let mut bytes = 0;
    for name in &card.names {
        let path = dir.join(name);
        let mut read = || -> std::io::Result<u64> {
            let (mut file, mut seen) = (File::open(&path)?, 0);
            while seen < most {
                let want = block.len().min((most - seen).min(BLOCK as u64) as usize);
                match file.read(&mut block[..want])? {
                    0 => break,
                    n => seen += n as u64,
                }
            }
            Ok(seen)
        };
        bytes += read().map_err(|e| failed(&path, e))?;
    }
    Ok(bytes)
}

/// Whether this machine's rsync syncs what it writes when told to.
fn rsync_can_sync() -> bool {
    let help = Command::new("rsync").arg("--help").output();
    help.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("--fsync"))
}

fn by_rsync(card: &Card, to: &Path) -> Outcome<f64> {
    program(Command::new("rsync").args(["-a", "--fsync"]).arg(card.dir.join("")).arg(to))
}

fn by_hand(card: &Card, to: &Path) -> Outcome<f64> {
    let start = Instant::now();
    for name in &card.names {
        let copy = || -> std::io::Result<()> {
            let mut file = File::create(to.join(name))?;
            file.write_all(&std::fs::read(card.dir.join(name))?)?;
            file.sync_all()
        };
        copy().map_err(|e| failed(to.join(name), e))?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn by_cp(card: &Card, to: &Path) -> Outcome<f64> {
    let photos = card.names.iter().map(|n| card.dir.join(n));
    program(Command::new("cp").args(photos).arg(to))
}

fn copy_in(card: &Card, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let rsync = rsync_can_sync();
    let mb = card.bytes as f64 / 1e6;
    let [synced, copied] = subjects.rounds(&USERS, |dir| {
        let (synced, copied) = (dir.join("photos-synced"), dir.join("photos"));
        fresh(&synced)?;
        fresh(&copied)?;
        subjects.quiet()?;
        warm(card)?;
        let first = if rsync { by_rsync(card, &synced)? } else { by_hand(card, &synced)? };
        subjects.quiet()?;
        let second = by_cp(card, &copied)?;
        // Room on the disk, and less for the next ones to compete with.
        std::fs::remove_dir_all(&synced).map_err(|e| failed(&synced, e))?;
        Ok([mb / first, mb / second])
    })?;
    let photos = card.names.len();
    let how = if rsync { "rsync --fsync" } else { "write and fsync each" };
    Line { what: &format!("{photos} photos in, {how}"), unit: "MB/s", goals: &[PEERS] }.tell(&synced, row);
    Line { what: &format!("{photos} photos in, cp"), unit: "MB/s", goals: &[PEERS] }.tell(&copied, row);
    Ok(())
}

/// Seconds of reading, which must bring as many bytes as there are.
fn timed(card: &Card, dir: &Path, most: u64) -> Outcome<f64> {
    let start = Instant::now();
    let bytes = read_all(card, dir, most)?;
    let took = start.elapsed().as_secs_f64();
    let expected = if most == u64::MAX { card.bytes } else { card.names.len() as u64 * most };
    if bytes == expected { Ok(took) } else { Err(failed(dir, format!("{bytes} bytes of {expected}"))) }
}

fn look_at(card: &Card, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let (headers, cold, again) =
        ("first 64 KiB of each photo, cold", "photos read in full, cold", "photos read in full, warm");
    let can = drop_kernel_caches();
    let mb = card.bytes as f64 / 1e6;
    let figures = subjects.rounds(&USERS, |dir| {
        let dir = dir.join("photos");
        if !can {
            timed(card, &dir, u64::MAX)?;
            return Ok([f64::NAN, f64::NAN, mb / timed(card, &dir, u64::MAX)?]);
        }
        subjects.cold()?;
        let looked = card.names.len() as f64 / timed(card, &dir, HEADER)?;
        subjects.cold()?;
        let cold = mb / timed(card, &dir, u64::MAX)?;
        Ok([looked, cold, mb / timed(card, &dir, u64::MAX)?])
    })?;
    let slower = [(Against::Peers, Target::AtLeast(0.8))];
    let page_cache = [PEERS, (Against::Disk, Target::AtLeast(0.8))];
    if can {
        Line { what: headers, unit: "/s", goals: &[PEERS] }.tell(&figures[0], row);
        Line { what: cold, unit: "MB/s", goals: &slower }.tell(&figures[1], row);
    } else {
        not_cold(&[headers, cold], row);
    }
    Line { what: again, unit: "MB/s", goals: &page_cache }.tell(&figures[2], row);
    Ok(())
}

pub fn run(ground: &Ground, subjects: &Subjects, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let card = card(ground)?;
    copy_in(&card, subjects, row)?;
    look_at(&card, subjects, row)
}
