//! kill -9 of the daemon while several programs work in its mount at once: sqlite3 in both
//! journal modes, git, rsync, and saves by rename. What each was told is on the disk is there
//! when the daemon is back.
//!
//! `KITH_KILL_MIXED=300` for the long run (`target/kill-mixed-rounds` says how many were done
//! in all); `KITH_SEED` replays one.

#[path = "kill_mixed/copies.rs"]
mod copies;
#[path = "kill_mixed/git.rs"]
mod git;
mod lab;
#[path = "kill_mixed/load.rs"]
mod load;
#[path = "../src/promises.rs"]
mod promises;
#[path = "kill_mixed/saves.rs"]
mod saves;
#[path = "kill_mixed/sqlite.rs"]
mod sqlite;

use lab::{Lab, can_mount, count};
use load::{Dice, Killed, Load, installed};
use promises::promise;
use std::path::Path;
use std::time::Duration;

const FRIENDS: usize = 4;
/// Rounds after which all begin anew, so that a long run fits on a disk.
const ANEW: usize = 10;

/// All work until the daemon is killed; what fails before that is a failure.
fn round(lab: &mut Lab, loads: &mut [Box<dyn Load>], dice: &mut Dice) {
    let mnt = lab.mount_dir("you");
    let killed = Killed::default();
    let after = Duration::from_millis(150 + dice.roll(2000));
    let seeds: Vec<u64> = loads.iter().map(|_| dice.roll(u64::MAX)).collect();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = loads
            .iter_mut()
            .zip(seeds)
            .map(|(load, seed)| {
                let (dir, killed) = (mnt.join(load.name()), &killed);
                scope.spawn(move || {
                    let done = load.work(&dir, killed, &mut Dice(seed));
                    done.err().map(|e| format!("{}: {e}", load.name()))
                })
            })
            .collect();
        std::thread::sleep(after);
        killed.now();
        lab.kill("you");
        workers.into_iter().filter_map(|w| w.join().expect("no panic")).collect()
    });
    assert!(failures.is_empty(), "failed before the daemon was killed: {failures:#?}");
}

/// Everything is looked at, and all that is wrong is told.
fn check(mnt: &Path, loads: &mut [Box<dyn Load>], when: &str) {
    let mut wrong = Vec::new();
    for load in loads {
        let dir = mnt.join(load.name());
        match load.check(&dir) {
            Ok(what) => print!("  {}: {what}", load.name()),
            Err(why) => wrong.push(format!("{}: {why}", load.name())),
        }
    }
    println!();
    assert!(wrong.is_empty(), "{when}: {wrong:#?}");
}

fn begin_anew(mnt: &Path, loads: &mut [Box<dyn Load>]) {
    for load in loads {
        let dir = mnt.join(load.name());
        if dir.exists() {
            std::fs::remove_dir_all(&dir).expect("it is removed");
        }
        std::fs::create_dir(&dir).expect("a directory");
        load.begin(&dir).unwrap_or_else(|e| panic!("{}: {e}", load.name()));
    }
    load::sync(mnt).expect("synced");
}

/// One more round in the count of all.
fn counted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kill-mixed-rounds");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let rounds = before.trim().parse::<u64>().unwrap_or(0) + 1;
    std::fs::write(&path, format!("{rounds}\n")).expect("target/ can be written");
}

#[test]
fn what_programs_were_told_is_on_the_disk_is_there_after_a_kill() {
    promise("What fsync was asked for is there after the daemon was killed.");
    if !can_mount() {
        return;
    }
    if let Some(program) = ["sqlite3", "git", "rsync"].into_iter().find(|p| !installed(p)) {
        eprintln!("NOT RUN: {program} is not installed");
        return;
    }
    let seed = count("KITH_SEED", 20_261_126) as u64;
    let rounds = count("KITH_KILL_MIXED", 2);
    println!("KITH_SEED={seed} rounds={rounds}");
    let mut dice = Dice(seed);
    let mut lab = Lab::grid(FRIENDS);
    let mut loads: Vec<Box<dyn Load>> = vec![
        Box::new(sqlite::Sqlite { mode: "DELETE", committed: 0 }),
        Box::new(sqlite::Sqlite { mode: "WAL", committed: 0 }),
        Box::new(git::Git::default()),
        Box::new(copies::Copies::new(seed)),
        Box::new(saves::Saves::default()),
    ];
    let mut mnt = lab.mount("you");
    for n in 0..rounds {
        if n % ANEW == 0 {
            begin_anew(&mnt, &mut loads);
        }
        round(&mut lab, &mut loads, &mut dice);
        lab.start("you");
        mnt = lab.mount("you");
        print!("round {n}:");
        check(&mnt, &mut loads, &format!("KITH_SEED={seed} round {n}"));
        counted();
    }
    lab.stop("you");
}
