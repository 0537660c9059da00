//! Running lists of steps, many of them, and finding the shortest that fails.

use super::*;
use std::future::Future;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Steps of one run.
const STEPS: u64 = 120;
/// Shorter lists tried when one has failed.
const TRIES: u32 = 400;

/// The steps of a seed; each is a seed of its own.
fn steps(seed: u64) -> Vec<u64> {
    let dice = Dice::new(seed);
    (0..STEPS).map(|_| dice.next()).collect()
}

/// Does the steps; what was done is in `told`. Panics when something is not as it should be.
fn play(seed: u64, steps: &[u64], told: &Mutex<Vec<String>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let holders = [0, 3, 5][seed as usize % 3];
        let (grid, founding) = (MemGrid::new(holders), found(2));
        let machine = Machine::start(&founding, 0, &grid).await;
        let mut run = Run {
            dice: Dice::new(0),
            model: Model::default(),
            machine: Some(machine),
            open: Vec::new(),
            log: Vec::new(),
        };
        for step in steps {
            run.dice = Dice::new(*step);
            let done = AssertUnwindSafe(run.step()).catch().await;
            told.lock().append(&mut run.log);
            if let Err(why) = done {
                std::panic::resume_unwind(why);
            }
        }
        end(run, &grid, &founding).await;
    });
}

/// Runs a future; a panic in it is an answer.
trait Catch: Future + Sized {
    async fn catch(self) -> std::thread::Result<Self::Output> {
        let mut this = std::pin::pin!(self);
        std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| this.as_mut().poll(cx))) {
            Ok(std::task::Poll::Ready(value)) => std::task::Poll::Ready(Ok(value)),
            Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
            Err(why) => std::task::Poll::Ready(Err(why)),
        })
        .await
    }
}

impl<F: Future> Catch for F {}

/// All is as in the model, here and, when friends have it, on a second node.
async fn end(mut run: Run, grid: &Arc<MemGrid>, founding: &Founding) {
    for (handle, _) in std::mem::take(&mut run.open) {
        run.m().drive.release(handle).await.expect("released");
    }
    run.compare_all().await;
    if grid.holders.lock().is_empty() {
        return;
    }
    run.m().full().await;
    let coding = run.m().drive.status().coding.expect("a coding");
    let first = run.machine.take().expect("running");
    for holder in 0..usize::from(coding.n - coding.k) {
        grid.set_up(holder, false);
    }
    drop(first);
    let second = Machine::start(founding, 1, grid).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    run.machine = Some(second);
    run.compare_all().await;
}

fn fails(seed: u64, steps: &[u64]) -> Option<Vec<String>> {
    let told = Mutex::default();
    let failed = catch_unwind(AssertUnwindSafe(|| play(seed, steps, &told))).is_err();
    failed.then(|| told.into_inner())
}

/// A list that fails, of which no part can be left out (ddmin), and what it does.
fn shortest(mut steps: Vec<u64>, mut fails: impl FnMut(&[u64]) -> bool) -> Vec<u64> {
    let (mut parts, mut tries) = (2, 0);
    while steps.len() > 1 && tries < TRIES {
        let len = steps.len().div_ceil(parts);
        let without = |n: usize| {
            let kept = steps.iter().enumerate().filter(|(i, _)| i / len != n);
            kept.map(|(_, step)| *step).collect::<Vec<u64>>()
        };
        tries += parts as u32;
        match (0..steps.len().div_ceil(len)).map(without).find(|some| fails(some)) {
            Some(shorter) => (steps, parts) = (shorter, (parts - 1).max(2)),
            None if len == 1 => break,
            None => parts = (parts * 2).min(steps.len()),
        }
    }
    steps
}

fn run(seed: u64) -> u64 {
    let all = steps(seed);
    if fails(seed, &all).is_some() {
        let short = shortest(all, |some| fails(seed, some).is_some());
        let told = fails(seed, &short).unwrap_or_default();
        panic!("KITH_SEED={seed} fails; {} steps do:\n  {}", short.len(), told.join("\n  "));
    }
    STEPS
}

/// `KITH_MODEL_OPS=n` does n operations more than were done before: `target/model-ops` says how
/// many were, and with which seed it goes on.
fn long(more: u64) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/model-ops");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let mut fields = before.split_whitespace().map_while(|f| f.parse::<u64>().ok());
    let (mut seed, mut done) = (fields.next().unwrap_or(1000), fields.next().unwrap_or(0));
    let enough = done + more;
    while done < enough {
        done += run(seed);
        seed += 1;
        let mut file = std::fs::File::create(&path).expect("target/ can be written");
        file.write_all(format!("{seed} {done}\n").as_bytes()).expect("written");
    }
    eprintln!("{done} operations so far, next seed {seed}");
}

#[test]
fn random_operations_agree_with_a_model_here_and_on_a_second_node() {
    if let Some(more) = std::env::var("KITH_MODEL_OPS").ok().and_then(|v| v.parse().ok()) {
        return long(more);
    }
    for seed in seeds(12) {
        eprintln!("KITH_SEED={seed}");
        run(seed);
    }
}

#[test]
fn the_shortest_list_that_fails_is_found() {
    let list: Vec<u64> = (0..120).collect();
    let fails = |some: &[u64]| some.contains(&17) && some.contains(&90) && some.contains(&91);
    assert_eq!(shortest(list, fails), vec![17, 90, 91]);
}
