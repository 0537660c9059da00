//! Through the mount of a grid on this machine: write, upload, read back, small files.

use super::limits::{self, drop_kernel_caches};
use super::{Ground, Row, Target, failed, guard, metadata_lines, random_lines};
use crate::cli::local_grid::{self, LocalGrid};
use crate::daemon::api::{Line, Outcome, Request, Trouble, Until};
use crate::daemon::config::Config;
use crate::daemon::home::Home;
use crate::daemon::setup;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const DRIVE: &str = "bench";
/// Longest wait for anything to become full.
const FULL_MAX_S: u64 = 600;

/// A mounted grid, and what the lines ask of it.
pub struct Mounted {
    pub grid: LocalGrid,
    pub dir: PathBuf,
}

impl Mounted {
    /// `coding`: k and n, where they are not to be those that so many friends usually get.
    pub fn build(ground: &Ground, name: &str, friends: usize, coding: Option<(u8, u8)>) -> Outcome<Mounted> {
        let base = ground.sub(name)?;
        if coding.is_some() {
            let home = Home::below(&local_grid::prepare(&base, "you")?);
            Config { coding, ..Config::load(&home)? }.store(&home)?;
        }
        let grid = LocalGrid::build(&base, friends, DRIVE)?;
        let dir = ground.dir.join(guard::mount_name(name));
        grid.mount(DRIVE, &dir)?;
        Ok(Mounted { grid, dir })
    }
    pub fn sync(&self, until: Until) -> Outcome<()> {
        let request = Request::Sync { path: None, timeout_s: Some(FULL_MAX_S), until };
        match self.grid.you.ask(&request)? {
            Line::Synced { .. } => Ok(()),
            other => Err(Trouble::new("bench: sync", format!("{other:?}"), "look into the node's log")),
        }
    }
    pub fn sent(&self) -> Outcome<u64> {
        Ok(self.grid.report()?.sent_bytes)
    }
    /// Everything that can be fetched again is forgotten, here and in the kernel.
    pub fn forget(&self) -> Outcome<()> {
        self.grid.you.ask(&Request::DropCaches)?;
        if !drop_kernel_caches() {
            // Whoever may not do that gets a new mount, of which the kernel knows nothing.
            self.grid.you.ask(&Request::Unmount { dir: Some(self.dir.clone()) })?;
            self.grid.mount(DRIVE, &self.dir)?;
        }
        Ok(())
    }
}

/// Bytes per second from the first byte on the wire until everything is full.
fn upload_speed(m: &Mounted, bytes: u64, sent_before: u64) -> Outcome<(f64, u64)> {
    // Content settles before it is sent; the clock starts with the sending.
    let waited = Instant::now();
    while m.sent()? < sent_before + (1 << 20) {
        if waited.elapsed() > Duration::from_secs(FULL_MAX_S) {
            return Err(failed("upload", "nothing was sent"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let start = Instant::now();
    m.sync(Until::Full)?;
    Ok((limits::mb_per_s(bytes, start), m.sent()? - sent_before))
}

/// What a bare quinn transfer of the same wire bytes to as many receivers does.
fn bare_quinn(receivers: usize, wire_bytes: u64) -> Outcome<f64> {
    let world = setup::real_world();
    setup::block_on(async {
        let transfer = crate::net::bench::bare_transfer(&world, receivers, wire_bytes);
        transfer.await.map(|t| t.rate()).map_err(|e| failed("bare quinn", e))
    })
}

/// One large file, against everything that could limit it: how long it is.
pub fn sequential(ground: &Ground, m: &Mounted, row: &mut dyn FnMut(Row)) -> Outcome<u64> {
    let bytes = ground.amount(1 << 30, 64 << 20);
    let disk_file = ground.dir.join("disk");
    let disk = limits::write_file(&disk_file, bytes)?;
    std::fs::remove_file(&disk_file).map_err(|e| failed(&disk_file, e))?;
    let nothing = do_nothing_write(ground, bytes)?;
    let seal = super::stage_lines::seal_all_cores();
    let kith = limits::write_file(&m.dir.join("sequential"), bytes)?;
    let limit = disk.min(nothing).min(seal);
    row(Row::new("limit: disk, written and synced", disk, "MB/s", Target::None));
    row(Row::new("limit: do-nothing filesystem, written", nothing, "MB/s", Target::None));
    row(Row::new("limit: sealing on all cores", seal, "MB/s", Target::None));
    row(Row::new("sequential write through the mount until local", kith, "MB/s", Target::None));
    row(Row::new("  of the least of these limits", kith / limit, "x", Target::AtLeast(0.6)));
    Ok(bytes)
}

fn do_nothing_write(ground: &Ground, bytes: u64) -> Outcome<f64> {
    with_do_nothing(ground, |dir| limits::write_file(&dir.join("file"), bytes))
}

/// Run something on a mounted do-nothing filesystem.
pub fn with_do_nothing<T>(ground: &Ground, work: impl FnOnce(&Path) -> Outcome<T>) -> Outcome<T> {
    let dir = ground.sub(&guard::mount_name("nothing"))?;
    let mounted = crate::mount::donothing::mount(&dir, false).map_err(|e| failed(&dir, e))?;
    let result = work(&dir);
    drop(mounted);
    result
}

fn upload_lines(m: &Mounted, bytes: u64, least: f64, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let report = m.grid.report()?;
    let (k, n) = report.drives.first().map_or((0, 0), |d| (d.k, d.n));
    // The file was written by the caller just now and has not settled yet.
    let (speed, wire) = upload_speed(m, bytes, report.sent_bytes)?;
    let quinn = bare_quinn(n as usize, bytes * n as u64 / k.max(1) as u64)?;
    let user_limit = quinn * k as f64 / n.max(1) as f64;
    row(Row::new(
        format!("upload to {n} loopback holders ({k} of {n}), from the first MiB on"),
        speed,
        "MB/s",
        Target::AtLeast(least),
    ));
    row(Row::new("limit: bare quinn, the same wire bytes, as user data", user_limit, "MB/s", Target::None));
    if n == 5 {
        row(Row::new("  upload, of bare quinn", speed / user_limit, "x", Target::AtLeast(0.45)));
    }
    row(Row::new(
        "  bytes on the wire, of n/k times the data",
        wire as f64 / (bytes as f64 * n as f64 / k.max(1) as f64),
        "x",
        Target::None,
    ));
    Ok(())
}

fn cold_read(m: &Mounted, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    m.forget()?;
    let speed = limits::read_file(&m.dir.join("sequential"))?;
    row(Row::new("cold read back from friends", speed, "MB/s", Target::AtLeast(150.0)));
    Ok(())
}

/// The five-friend grid.
pub fn five(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let m = Mounted::build(ground, "five", 5, None)?;
    let bytes = sequential(ground, &m, row)?;
    upload_lines(&m, bytes, 100.0, row)?;
    cold_read(&m, row)?;
    metadata_lines::run(ground, &m, row)?;
    random_lines::run(ground, &m, row)?;
    m.grid.close();
    Ok(())
}

/// Ten friends, 3 of 10.
pub fn ten(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let m = Mounted::build(ground, "ten", 10, Some((3, 10)))?;
    let bytes = ground.amount(512 << 20, 64 << 20);
    limits::write_file(&m.dir.join("sequential"), bytes)?;
    upload_lines(&m, bytes, 80.0, row)?;
    m.grid.close();
    Ok(())
}
