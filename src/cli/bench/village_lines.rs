//! How much faster than life the village runs.

use super::{Ground, Row, Target, failed};
use crate::daemon::api::Outcome;
use crate::sim::family::busy_hour;
use std::time::Instant;

pub fn run(_ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let start = Instant::now();
    let (length, report) = busy_hour(1);
    let speed = length.as_secs_f64() / start.elapsed().as_secs_f64();
    row(Row::new("village: a busy grid of 6 nodes, virtual : real", speed, "x", Target::AtLeast(1000.0)));
    let packets = report.counts.get("packets").copied().unwrap_or(0) as f64;
    row(Row::new(
        "village: packets per second of real time",
        packets / start.elapsed().as_secs_f64(),
        "/s",
        Target::None,
    ));
    match report.violations.first() {
        None => Ok(()),
        Some(broken) => Err(failed("the village", broken)),
    }
}
