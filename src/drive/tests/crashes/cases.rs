//! Sequences of operations, numbered, and how much of each is tried.

use super::workload::OPS;
use super::*;
use std::fmt;

/// What the operations start from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Everything is at friends.
    Published,
    /// Everything is in the journal.
    Unsettled,
    /// The same, and the journal's file is almost full.
    Full,
}

/// A sequence of operations, by their numbers in [`OPS`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    pub start: Start,
    /// Time passes afterwards: content settles, is packed and published.
    pub settles: bool,
    pub ops: Vec<usize>,
}

pub const STARTS: [(Start, &str); 3] =
    [(Start::Published, "published"), (Start::Unsettled, "unsettled"), (Start::Full, "full")];

impl Case {
    const VARIANTS: usize = 2 * STARTS.len();
    /// Cases of one operation come first, then all of two, then some of three, for ever.
    pub const ONES: usize = OPS.len() * Case::VARIANTS;
    pub const TWOS: usize = OPS.len() * OPS.len() * Case::VARIANTS;

    pub fn of(index: usize) -> Case {
        let (variant, mut n) = (index % Case::VARIANTS, index / Case::VARIANTS);
        let len = OPS.len();
        let ops = if n < len {
            vec![n]
        } else if n < len + len * len {
            n -= len;
            vec![n / len, n % len]
        } else {
            let dice = Dice::new(n as u64);
            (0..3).map(|_| dice.below(len as u64) as usize).collect()
        };
        Case { start: STARTS[variant / 2].0, settles: variant % 2 == 1, ops }
    }
    pub fn seed(&self) -> u64 {
        self.ops.iter().fold(7, |seed, op| seed * 64 + *op as u64)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = STARTS.iter().find(|s| s.0 == self.start).map_or("", |s| s.1);
        let ops: Vec<String> = self.ops.iter().map(usize::to_string).collect();
        write!(f, "{start}:{}:{}", if self.settles { "settles" } else { "rests" }, ops.join(","))
    }
}

/// How much of what there is is tried.
#[derive(Clone, Copy)]
pub struct Limit {
    /// Of so many pending operations all subsets are tried.
    pub exhaustive: usize,
    /// Of more so many.
    pub states: usize,
    /// And so many more, in which writes may be torn.
    pub torn: usize,
    /// In one state of so many the work goes on.
    pub go_on: u64,
}

/// What was tried.
#[derive(Clone, Copy, Default)]
pub struct Checked {
    pub cases: u64,
    /// A cut and what it kept.
    pub states: u64,
    /// Disks that differed within their case: these were opened.
    pub opened: u64,
    pub went_on: u64,
}

impl std::ops::AddAssign for Checked {
    fn add_assign(&mut self, more: Checked) {
        self.cases += more.cases;
        self.states += more.states;
        self.opened += more.opened;
        self.went_on += more.went_on;
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked { cases, states, opened, went_on } = self;
        write!(
            f,
            "{states} crash states of {cases} cases, {opened} different disks opened, {went_on} lived on"
        )
    }
}
