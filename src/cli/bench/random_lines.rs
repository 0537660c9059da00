//! Random reads of what lies at friends, and what a small change sends.

use super::grid_lines::Mounted;
use super::limits;
use super::{Ground, Row, Target, failed};
use crate::daemon::api::{Outcome, Until};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Instant;

const READS: usize = 100;
const READ_BYTES: usize = 4096;
const FILE_BYTES: u64 = 100_000_000;
/// What a small change may send besides its chunk, in kB.
const FEW_KB: f64 = 10.0;

/// Offsets of blocks spread over the file, the same in every run.
pub fn offsets(len: u64, count: usize) -> impl Iterator<Item = u64> {
    let seed = limits::noise(99, count * 8);
    (0..count).map(move |i| {
        let mut b = [0; 8];
        b.copy_from_slice(&seed[i * 8..i * 8 + 8]);
        (u64::from_le_bytes(b) % (len / READ_BYTES as u64)) * READ_BYTES as u64
    })
}

pub fn run(ground: &Ground, m: &Mounted, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let len = ground.amount(FILE_BYTES, 30_000_000);
    let path = m.dir.join("random");
    limits::write_file(&path, len)?;
    m.sync(Until::Full)?;
    m.forget()?;
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|e| failed(&path, e))?;
    // Advice only: where it is refused the kernel reads ahead and the figure is the worse for it.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
    let mut times = Vec::with_capacity(READS);
    for offset in offsets(len, READS) {
        let mut buf = [0; READ_BYTES];
        let start = Instant::now();
        file.read_exact_at(&mut buf, offset).map_err(|e| failed(&path, e))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    row(Row::new("random 4 kB cold read from friends, median", times[READS / 2], "ms", Target::AtMost(4.0)));
    row(Row::new("random 4 kB cold read from friends, worst", times[READS - 1], "ms", Target::AtMost(20.0)));

    m.sync(Until::Full)?;
    let report = m.grid.report()?;
    let (k, n) = report.drives.first().map_or((1.0, 1.0), |d| (d.k.max(1) as f64, d.n as f64));
    let before = m.sent()?;
    file.write_all_at(b"change", len / 2).and_then(|()| file.sync_all()).map_err(|e| failed(&path, e))?;
    drop(file);
    m.sync(Until::Full)?;
    let sent = (m.sent()? - before) as f64;
    let floor = (1u64 << 20) as f64 * n / k;
    row(Row::new(
        "6 bytes changed in 100 MB: sent beyond 1 MiB x n/k",
        (sent - floor) / 1e3,
        "kB",
        Target::AtMost(FEW_KB),
    ));
    row(Row::new("  sent in all", sent / 1e6, "MB", Target::None));
    Ok(())
}
