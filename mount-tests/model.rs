//! Random operations of two processes through the kernel, on a drive with friends and on the
//! local disk: both must tell the same after every one, and show the same tree, also to a
//! kernel that forgot, and after the daemon ended.
//!
//! `KITH_FUSE_MODEL_SEED=n` does that seed alone. `KITH_FUSE_MODEL_OPS=n` is how many operations
//! it has; without a seed it does n more than were done before, seed after seed
//! (`target/fuse-model-ops` says how many were, and with which it goes on). A failing list is
//! kept in `target/`; `KITH_FUSE_MODEL_REPLAY=file` does it again.

#[path = "model/actor.rs"]
mod actor;
#[path = "model/differences.rs"]
mod differences;
mod lab;
#[path = "model/op.rs"]
mod op;
#[path = "model/perform.rs"]
mod perform;
#[path = "model/run.rs"]
mod run;
#[path = "model/shrink.rs"]
mod shrink;
#[allow(dead_code)] // only mappings are used here
#[path = "harness/sys.rs"]
mod sys;

use op::Step;
use run::{Field, Mismatch};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Operations of one seed.
const EACH: u64 = 3000;
/// Friends: a stripe over three, so that packs are made and sent.
const FRIENDS: usize = 3;
/// How long a failing list is made shorter.
const SHRINK: Duration = Duration::from_secs(240);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

fn target(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target").join(name)
}

fn words(steps: &[Step]) -> String {
    let lines = steps.iter().enumerate().map(|(i, s)| format!("  {i}: process {} {:?}", s.actor, s.op));
    lines.collect::<Vec<_>>().join("\n")
}

/// Does the steps; if they fail keeps them, finds the shortest that do, and panics with it.
fn run(field: &mut Field, seed: u64, steps: Vec<Step>) {
    let Some(Mismatch { step, what }) = field.play(&steps) else { return };
    let failing = steps[..(step + 1).min(steps.len())].to_vec();
    let kept = target(&format!("fuse-model-{seed}.json"));
    std::fs::write(&kept, serde_json::to_vec(&failing).expect("JSON")).expect("target/ can be written");
    eprintln!("KITH_FUSE_MODEL_SEED={seed} step {step} fails: {what}\n  kept: {}", kept.display());
    eprintln!("the last steps:\n{}", words(&failing[failing.len().saturating_sub(10)..]));
    eprintln!("{}", field.log_tail());
    if what.contains("no answer") {
        panic!("KITH_FUSE_MODEL_SEED={seed} step {step}: {what}");
    }
    let again = field.play(&failing);
    let Some(again) = again else { panic!("KITH_FUSE_MODEL_SEED={seed} step {step} failed once: {what}") };
    let failing = failing[..(again.step + 1).min(failing.len())].to_vec();
    let short = shrink::shortest(failing, SHRINK, |some| field.play(some).is_some());
    let why = field.play(&short).map(|m| m.what).unwrap_or_default();
    panic!("KITH_FUSE_MODEL_SEED={seed} fails; {} steps do:\n{}\n{why}", short.len(), words(&short));
}

/// Seed after seed until `more` operations are done.
fn long(field: &mut Field, more: u64) {
    let path = target("fuse-model-ops");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let mut fields = before.split_whitespace().map_while(|f| f.parse::<u64>().ok());
    let (mut seed, mut done) = (fields.next().unwrap_or(1000), fields.next().unwrap_or(0));
    let enough = done + more;
    while done < enough {
        let start = Instant::now();
        run(field, seed, op::steps(seed, EACH));
        done += EACH;
        println!("seed {seed}: {EACH} operations in {:.1?}, {done} so far", start.elapsed());
        seed += 1;
        std::fs::write(&path, format!("{seed} {done}\n")).expect("target/ can be written");
    }
}

#[test]
fn random_operations_do_on_a_drive_what_they_do_on_the_local_disk() {
    if !lab::can_mount() {
        return;
    }
    for (name, why) in differences::DIFFERENCES {
        println!("not compared: {name} ({why})");
    }
    let (ops, seed) = (number("KITH_FUSE_MODEL_OPS"), number("KITH_FUSE_MODEL_SEED"));
    let mut field = Field::new(FRIENDS);
    if let Some(file) = std::env::var_os("KITH_FUSE_MODEL_REPLAY") {
        let kept = std::fs::read(file).expect("a list that was kept");
        return run(&mut field, 0, serde_json::from_slice(&kept).expect("steps"));
    }
    match (ops, seed) {
        (Some(ops), None) => long(&mut field, ops),
        (ops, seed) => {
            let seed = seed.unwrap_or(1);
            println!("KITH_FUSE_MODEL_SEED={seed}");
            run(&mut field, seed, op::steps(seed, ops.unwrap_or(EACH)));
        }
    }
}
