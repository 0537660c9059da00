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

/// One seed in this process; the tests below run it in processes of their own.
#[test]
#[ignore = "a part of the tests below"]
fn one_life() {
    let (seed, hours) = (setting("KITH_SEED", 1), setting("KITH_HOURS", 0.1));
    let report =
        begin(seed, || kithfs::village!(async { run(Village::new(seed, LEAST), Plan::hours(hours)).await }));
    print(&report);
}

fn print(report: &Report) {
    println!("\n| trace {:?}", report.trace);
    println!("| seconds {}", report.virtual_time.as_secs());
    for (what, n) in &report.counts {
        println!("| {n:8} {what}");
    }
    for violation in &report.violations {
        println!("| BROKEN {violation}");
    }
}

/// What a seed's life prints. A process of its own, because tokio seeds its randomness (in
/// which order the waiters of a watch are woken) from a counter of the whole process.
fn life(seed: u64, hours: f64) -> Vec<String> {
    let started = std::time::Instant::now();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "family::one_life", "--ignored", "--nocapture", "--test-threads=1"])
        .env("KITH_SEED", seed.to_string())
        .env("KITH_HOURS", hours.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let errors = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(child.status.success(), "seed={seed}: {text}{errors}");
    let lines: Vec<String> = text.lines().filter_map(|l| l.strip_prefix("| ")).map(String::from).collect();
    assert!(seconds(&lines) > 0.0, "seed={seed} printed nothing: {text}{errors}");
    let speed = seconds(&lines) / started.elapsed().as_secs_f64();
    println!("seed={seed} at {speed:.0} x real time\n    {}", lines.join("\n    "));
    lines
}

fn seconds(life: &[String]) -> f64 {
    life.iter().find_map(|l| l.strip_prefix("seconds ")?.parse().ok()).unwrap_or(0.0)
}

fn broken(life: &[String]) -> Vec<&String> {
    life.iter().filter(|l| l.starts_with("BROKEN")).collect()
}

#[test]
fn one_seed_is_one_family() {
    let (seed, hours) = (setting("KITH_SEED", 1), setting("KITH_HOURS_TWICE", 0.1));
    let (a, b) = (life(seed, hours), life(seed, hours));
    assert_eq!(a, b, "seed={seed}");
    assert!(broken(&a).is_empty(), "replay: KITH_SEED={seed}: {:#?}", broken(&a));
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
    let (mut total, mut all) = (lines.iter().filter_map(|l| l.get(1)).sum::<f64>(), Vec::<String>::new());
    for seed in next..first + seeds {
        let report = life(seed, hours);
        total += seconds(&report);
        if let Some(path) = &log {
            use std::io::Write;
            let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
            let (secs, bad) = (seconds(&report), broken(&report).len());
            writeln!(file, "{seed} {secs:.0} {bad}").unwrap();
        }
        all.extend(broken(&report).into_iter().map(|b| format!("seed={seed} {b}")));
    }
    println!("{:.1} grid-hours in all", total / 3600.0);
    assert!(all.is_empty(), "replay with KITH_SEED=<seed> KITH_SEEDS=1 KITH_HOURS={hours}: {all:#?}");
}
