//! Every change of the disk fails, once or from then on, for want of room or for good: what the
//! drive said is synced is there on a disk that works again.

use super::cases::{Case, STARTS};
use super::enumerate::{Base, Bases, go_on, in_virtual_time, same};
use super::oracle::{Progress, Tree, capture, judge};
use super::workload::{OPS, Op, Stop, Work};
use super::*;
use crate::world::Fault;

const ERRORS: [i32; 2] = [5, 28];
/// In one of so many the work goes on afterwards.
const GO_ON: u64 = 9;
/// Of the continuous integration, every so many cases and every so many failures of each.
const CI_CASES: usize = 61;
const CI_STRIDE: u64 = 7;

#[derive(Default, Debug)]
struct Tried {
    cases: u64,
    failures: u64,
    /// Calls that said so.
    refused: u64,
    /// Drives that wrote no more.
    stopped: u64,
    openings: u64,
}

/// How many changes a case makes.
async fn changes(bases: &Bases, case: &Case) -> Option<u64> {
    let base = bases.get(case.start);
    let m = bases.machine(base.disk.copy(), base.grid.copy(), 0, 1).await.expect("opens");
    let before = m.disk.counts().changes;
    let mut work = Work::new(&m, base.tree.clone());
    for (i, op) in case.ops.iter().enumerate() {
        work.apply(OPS[*op], case.seed() + i as u64).await.ok()?;
    }
    if case.settles {
        work.settle().await;
    }
    Some(m.disk.counts().changes - before)
}

/// One failure while a case runs.
async fn fail(
    bases: &Bases,
    case: &Case,
    fault: Fault,
    seed: u64,
    tried: &mut Tried,
) -> std::result::Result<(), String> {
    let base = bases.get(case.start);
    let m = bases.machine(base.disk.copy(), base.grid.copy(), 0, 1).await?;
    let mut work = Work::new(&m, base.tree.clone());
    work.failing = true;
    m.disk.set_fault(Some(fault));
    for (i, op) in case.ops.iter().enumerate() {
        // What was refused may be missing to what follows; the rest goes on all the same.
        let _: std::result::Result<(), Stop> = work.apply(OPS[*op], case.seed() + i as u64).await;
    }
    if case.settles {
        work.settle().await;
    }
    let _: std::result::Result<(), Stop> = work.apply(Op::SyncAll, 0).await;
    let last = work.moments[work.moments.len() - 1].tree.clone();
    same("while the disk fails", &capture(&m).await?, &last)?;
    tried.refused += work.refused;
    tried.stopped += u64::from(m.drive.status().failed.is_some());
    let (moments, progress) = (work.moments, work.progress.lock().clone());
    m.disk.set_fault(None);
    let (disk, grid) = (
        m.disk.crash(if seed.is_multiple_of(2) { Crash::Keep(0) } else { Crash::Seeded(seed) }),
        m.client.grid.copy(),
    );
    drop(m);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let m = bases.machine(disk, grid, 0, 2).await?;
    let found = capture(&m).await?;
    judge(&found, &moments, &progress)?;
    if seed.is_multiple_of(GO_ON) {
        go_on(bases, m, &found, seed).await?;
    }
    Ok(())
}

/// The disk fails while a drive opens on what a cut left: it does not open, or it does; on a
/// disk that works again everything is there.
async fn open_failing(
    bases: &Bases,
    base: &Base,
    fault: Fault,
    how: Crash,
) -> std::result::Result<bool, String> {
    let disk = base.disk.copy();
    disk.set_fault(Some(fault));
    let shared = disk.clone();
    let opened = bases.machine(disk, base.grid.copy(), 0, 1).await;
    let (failed, faults) = (opened.is_err(), shared.counts().faults);
    if let Ok(m) = &opened {
        check(&capture(m).await?, &base.tree)?;
    }
    shared.set_fault(None);
    let after = shared.crash(how);
    drop(opened);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let m = bases.machine(after, base.grid.copy(), 0, 2).await?;
    check(&capture(&m).await?, &base.tree)?;
    Ok(failed || faults > 0)
}

fn check(found: &Tree, want: &Tree) -> std::result::Result<(), String> {
    let moment = super::oracle::Moment { tree: want.clone(), content: None };
    judge(found, &[moment], &Progress::default())
}

#[test]
fn a_failing_disk_is_said_and_takes_nothing_that_was_synced() {
    let bases = Bases::new();
    let (cases, stride) = match number("KITH_FAILING_CASES") {
        Some(n) => ((0..n as usize).collect::<Vec<_>>(), 1),
        None => ((0..Case::ONES + Case::TWOS / 40).step_by(CI_CASES).collect(), CI_STRIDE),
    };
    let mut tried = Tried::default();
    for index in cases {
        let case = Case::of(index);
        let Some(changes) = in_virtual_time(changes(&bases, &case)) else { continue };
        tried.cases += 1;
        let mut nth = index as u64 % stride;
        while nth < changes {
            for (errno, forever) in ERRORS.into_iter().flat_map(|e| [(e, false), (e, true)]) {
                tried.failures += 1;
                let fault = Fault::Fail { nth, errno, forever };
                let seed = tried.failures;
                if let Err(why) = in_virtual_time(fail(&bases, &case, fault, seed, &mut tried)) {
                    let ops: Vec<Op> = case.ops.iter().map(|n| OPS[*n]).collect();
                    panic!("case {index} ({case}) {ops:?}, {fault:?}, seed {seed}: {why}");
                }
            }
            nth += stride;
        }
    }
    for start in STARTS.map(|s| s.0) {
        for (errno, forever) in ERRORS.into_iter().flat_map(|e| [(e, false), (e, true)]) {
            for nth in 0.. {
                tried.openings += 1;
                let fault = Fault::Fail { nth, errno, forever };
                let how = if nth % 2 == 0 { Crash::Keep(0) } else { Crash::Seeded(nth) };
                match in_virtual_time(open_failing(&bases, bases.get(start), fault, how)) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(why) => panic!("opening {start:?}, {fault:?}: {why}"),
                }
            }
        }
    }
    eprintln!("{tried:?}");
    assert!(tried.refused > 0 && tried.stopped > 0, "{tried:?}");
}
