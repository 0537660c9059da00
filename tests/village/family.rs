//! Whole nodes: the family, its faults and its oracle.
//!
//! `KITH_SEED` (first seed), `KITH_SEEDS`, `KITH_HOURS` for long runs; `KITH_VILLAGE_LOG` names
//! a file that gets a line per finished seed: a run with the same file goes on after the last
//! seed in it and prints the sum.

use super::begin;
use kithfs::sim::Village;
use kithfs::sim::family::{LEAST, Plan, Report, run};

fn setting<T: std::str::FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

fn life(seed: u64, plan: Plan) -> Report {
    let started = std::time::Instant::now();
    let report = begin(seed, || kithfs::village!(async { run(Village::new(seed, LEAST), plan).await }));
    let speed = report.virtual_time.as_secs_f64() / started.elapsed().as_secs_f64();
    println!("seed={seed} {:?} at {speed:.0} x real time", report.virtual_time);
    for (what, n) in &report.counts {
        println!("    {n:8} {what}");
    }
    for violation in &report.violations {
        println!("    BROKEN {violation}");
    }
    report
}

#[test]
fn one_seed_is_one_family() {
    let plan = Plan { log: true, ..Plan::hours(setting("KITH_HOURS_TWICE", 0.1)) };
    let seed = setting("KITH_SEED", 1);
    let (a, b) = (life(seed, plan.clone()), life(seed, plan));
    if a.trace != b.trace {
        let at = a.log.iter().zip(&b.log).position(|(x, y)| x != y);
        let at = at.unwrap_or(a.log.len().min(b.log.len()));
        panic!("seed={seed}: packet {at} differs: {:?} and {:?}", a.log.get(at), b.log.get(at));
    }
    assert_eq!(a.counts, b.counts);
    assert!(a.violations.is_empty(), "replay: KITH_SEED={seed}: {:#?}", a.violations);
}

#[test]
fn whatever_fails_the_invariants_hold() {
    let (first, seeds, hours) =
        (setting("KITH_SEED", 1), setting("KITH_SEEDS", 3), setting("KITH_HOURS", 0.2));
    let log = std::env::var_os("KITH_VILLAGE_LOG");
    let done = log.as_ref().map(|p| std::fs::read_to_string(p).unwrap_or_default()).unwrap_or_default();
    // Each line: seed, virtual seconds, violations.
    let lines: Vec<Vec<f64>> =
        done.lines().map(|l| l.split(' ').filter_map(|w| w.parse().ok()).collect()).collect();
    let next = lines.iter().filter_map(|l| l.first()).fold(first, |a, s| a.max(*s as u64 + 1));
    let (mut total, mut broken) = (lines.iter().filter_map(|l| l.get(1)).sum::<f64>(), Vec::new());
    for seed in next..first + seeds {
        let report = life(seed, Plan::hours(hours));
        total += report.virtual_time.as_secs_f64();
        if let Some(path) = &log {
            use std::io::Write;
            let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
            let secs = report.virtual_time.as_secs_f64();
            writeln!(file, "{seed} {secs:.0} {}", report.violations.len()).unwrap();
        }
        if !report.violations.is_empty() {
            broken.push((seed, report.violations));
        }
    }
    println!("{:.1} grid-hours in all", total / 3600.0);
    assert!(broken.is_empty(), "replay with KITH_SEED=<seed> KITH_SEEDS=1 KITH_HOURS={hours}: {broken:#?}");
}
