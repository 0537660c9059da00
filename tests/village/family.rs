//! Whole nodes: the family, its faults and its oracle.
//!
//! `KITH_SEED` (first seed), `KITH_SEEDS`, `KITH_HOURS` for long runs, `KITH_JOBS` for how many
//! processes at a time. `KITH_VILLAGE_LOG` names a file that gets a line per finished seed: a
//! run with the same file leaves out the seeds in it and goes on with the sum.

use super::begin;
use super::ledger::{Ledger, Life};
use kithfs::sim::Village;
use kithfs::sim::family::{LEAST, MUST_HAPPEN, Plan, Report, run};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

/// With fewer virtual hours in all, some fault may not have had its turn.
const ENOUGH_HOURS: f64 = 40.0;

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

/// How many lives may run at once, over all tests of this process.
static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

struct Turn;

impl Turn {
    fn take() -> Turn {
        let jobs = setting("KITH_JOBS", std::thread::available_parallelism().map_or(1, |n| n.get()));
        let free = RUNNING.1.wait_while(RUNNING.0.lock().unwrap(), |n| *n >= jobs.max(1));
        *free.unwrap() += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap() -= 1;
        RUNNING.1.notify_one();
    }
}

/// What a seed's life prints. A process of its own, because tokio seeds its randomness (in
/// which order the waiters of a watch are woken) from a counter of the whole process.
fn life(seed: u64, hours: f64) -> Life {
    let _turn = Turn::take();
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
    let life = Life::parse(seed, &text);
    assert!(life.seconds > 0.0, "seed={seed} printed nothing: {text}{errors}");
    let speed = life.seconds / started.elapsed().as_secs_f64();
    println!("seed={seed} at {speed:.0} x real time: {}", life.verdict());
    life
}

/// I12: one seed is one family, to the packet.
#[test]
fn one_seed_is_one_family() {
    let (seed, hours) = (setting("KITH_SEED", 1), setting("KITH_HOURS_TWICE", 1.0));
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| life(seed, hours));
        (life(seed, hours), other.join().unwrap())
    });
    assert_eq!(a.lines, b.lines, "I12: seed={seed}");
    assert!(a.broken().is_empty(), "replay: KITH_SEED={seed}: {:#?}", a.broken());
}

#[test]
fn whatever_fails_the_invariants_hold() {
    let (first, seeds, hours) =
        (setting("KITH_SEED", 1), setting("KITH_SEEDS", 6), setting("KITH_HOURS", 4.0));
    let ledger = Ledger::open(std::env::var_os("KITH_VILLAGE_LOG"));
    let (ledger, next) = (Mutex::new(ledger), AtomicU64::new(first));
    let lives: Mutex<Vec<Life>> = Mutex::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            if ledger.lock().unwrap().has(seed) {
                continue;
            }
            let life = life(seed, hours);
            ledger.lock().unwrap().enter(&life);
            lives.lock().unwrap().push(life);
        }
    };
    let jobs = setting("KITH_JOBS", std::thread::available_parallelism().map_or(1, |n| n.get()));
    std::thread::scope(|scope| (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let lives = lives.into_inner().unwrap();
    println!("{}", ledger.lock().unwrap().sum());
    let broken: Vec<String> = lives.iter().flat_map(Life::broken).collect();
    assert!(broken.is_empty(), "replay with KITH_SEED=<seed> KITH_SEEDS=1 KITH_HOURS={hours}: {broken:#?}");
    everything_happened(&lives);
}

/// Every fault fired and every check was made, over these lives.
fn everything_happened(lives: &[Life]) {
    let mut sum = BTreeMap::<&str, u64>::new();
    for (what, n) in lives.iter().flat_map(|l| &l.counts) {
        let all = sum.entry(what).or_default();
        *all = if what.starts_with("longest") { *n.max(all) } else { *all + n };
    }
    for (what, n) in &sum {
        println!("{n:10} {what}");
    }
    if lives.iter().map(|l| l.seconds).sum::<f64>() < ENOUGH_HOURS * 3600.0 {
        return;
    }
    let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| sum.get(*what).is_none_or(|n| *n == 0)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}
