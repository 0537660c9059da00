//! Power cuts at every operation of the disk, for all short sequences of operations, in the
//! manner of CrashMonkey and ACE: what is found afterwards must be one of the states that kith
//! promises, and work must go on from there.
//!
//! A failure prints `KITH_CRASH=...`, which runs that one state again. `KITH_CRASH_STATES=n`
//! checks n states more than were checked before: `target/crash-states` says how far it came.

mod cases;
mod enumerate;
mod failing;
mod found;
mod oracle;
mod workload;

use super::*;
use cases::{Case, Checked, Limit};
use enumerate::Bases;
use std::io::Write;

/// What the continuous integration checks: few states of each cut, every case of one operation
/// and some of two.
const CI: Limit = Limit { exhaustive: 2, states: 4, torn: 1, go_on: 40 };
const CI_STRIDE_ONE: usize = 3;
const CI_STRIDE_TWO: usize = 260;
/// All of them where a few operations are pending, many where there are more.
const LONG: Limit = Limit { exhaustive: 8, states: 64, torn: 6, go_on: 60 };

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

#[test]
fn a_cut_anywhere_leaves_a_state_that_was_promised() {
    let bases = Bases::new();
    if let Ok(state) = std::env::var("KITH_CRASH") {
        enumerate::replay(&bases, &state);
        return;
    }
    if let Some(more) = number("KITH_CRASH_STATES") {
        return long(&bases, more);
    }
    let mut all = Checked::default();
    let ones = (0..Case::ONES).step_by(CI_STRIDE_ONE);
    let twos = (Case::ONES..Case::ONES + Case::TWOS).step_by(CI_STRIDE_TWO);
    for index in ones.chain(twos) {
        all += enumerate::run(&bases, &Case::of(index), CI);
    }
    eprintln!("{all}");
    assert!(all.opened > 300, "{all}");
}

/// Goes on where the last run ended.
fn long(bases: &Bases, more: u64) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/crash-states");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let mut fields = before.split_whitespace().map_while(|f| f.parse::<u64>().ok());
    let mut next = fields.next().unwrap_or(0) as usize;
    let mut all = Checked {
        cases: fields.next().unwrap_or(0),
        states: fields.next().unwrap_or(0),
        opened: fields.next().unwrap_or(0),
        went_on: fields.next().unwrap_or(0),
    };
    let enough = all.states + more;
    while all.states < enough {
        all += enumerate::run(bases, &Case::of(next), LONG);
        next += 1;
        let text = format!("{next} {} {} {} {}\n", all.cases, all.states, all.opened, all.went_on);
        let mut file = std::fs::File::create(&path).expect("target/ can be written");
        file.write_all(text.as_bytes()).expect("written");
        if next.is_multiple_of(50) {
            eprintln!("next case {next}: {all}");
        }
    }
    eprintln!("next case {next}: {all}");
}
