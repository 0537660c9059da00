//! `kith bench`: what this machine can do, what kith does on it, and the targets beside.
//!
//! Every figure that has a limit is measured in the same run as its limit and printed as a
//! ratio: timings of a busy machine wander, ratios much less.

mod compare;
mod fs_lines;
mod fs_names;
mod fs_photos;
mod grid_lines;
mod guard;
mod limits;
mod merge_lines;
mod metadata_lines;
mod peers;
mod random_lines;
mod restart_lines;
mod scale_lines;
mod stage_lines;
mod village_lines;

use crate::cli::Context;
use crate::cli::args::Bench;
use crate::daemon::api::{Exit, Outcome, Trouble};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a figure should be.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// A limit of this machine, or a figure without a target.
    None,
}

/// One line of the result.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    pub target: Target,
    /// Why it was not measured, in place of a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
}

impl Row {
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str, target: Target) -> Row {
        Row { what: what.into(), value, unit, target, not_run: None }
    }
    /// A figure that cannot be had here.
    pub fn not_run(what: impl Into<String>, why: impl Into<String>) -> Row {
        Row { not_run: Some(why.into()), ..Row::new(what, f64::NAN, "", Target::None) }
    }
    /// Whether the target is met; None without one.
    pub fn met(&self) -> Option<bool> {
        match self.target {
            Target::AtLeast(t) => Some(self.value >= t),
            Target::AtMost(t) => Some(self.value <= t),
            Target::None => None,
        }
    }
    fn line(&self) -> String {
        if let Some(why) = &self.not_run {
            return format!("{:62} NOT RUN: {why}", self.what);
        }
        let target = match self.target {
            Target::AtLeast(t) => format!(">= {}", figure(t)),
            Target::AtMost(t) => format!("<= {}", figure(t)),
            Target::None => "-".into(),
        };
        let met = match self.met() {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        format!("{:62} {:>10} {:6} {:>10}  {met}", self.what, figure(self.value), self.unit, target)
    }
}

/// All of them, for programs.
#[derive(Serialize)]
struct Rows<'a> {
    rows: &'a [Row],
}

fn figure(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 1.0 => format!("{v:.2}"),
        _ => format!("{v:.3}"),
    }
}

/// What a group of lines is given.
pub struct Ground {
    /// An empty directory on the disk to measure; removed afterwards.
    pub dir: PathBuf,
    /// Volume, 1.0 for the whole run.
    pub scale: f64,
    /// The groups of this run.
    pub groups: Vec<&'static str>,
}

impl Ground {
    /// `full` bytes or files, scaled, at least `least`.
    pub fn amount(&self, full: u64, least: u64) -> u64 {
        ((full as f64 * self.scale) as u64).max(least)
    }
    pub fn sub(&self, name: &str) -> Outcome<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).map_err(|e| failed(&dir, e))?;
        Ok(dir)
    }
}

/// A measurement that could not be made.
pub fn failed(what: impl AsRef<Path>, why: impl ToString) -> Trouble {
    Trouble::new(
        format!("bench: {}", what.as_ref().display()),
        why,
        "check room and permissions, or choose another --dir",
    )
}

type Group = fn(&Ground, &mut dyn FnMut(Row)) -> Outcome<()>;

/// Whether a group is measured when none is named.
#[derive(Clone, Copy, PartialEq)]
enum When {
    Usually,
    Named,
}

const GROUPS: [(&str, Group, When); 8] = [
    ("stages", stage_lines::run, When::Usually),
    ("grid", grid_lines::five, When::Usually),
    ("ten", grid_lines::ten, When::Usually),
    ("fs", fs_lines::run, When::Usually),
    ("scale", scale_lines::usual, When::Usually),
    ("village", village_lines::run, When::Usually),
    ("million", scale_lines::million, When::Named),
    ("merge", merge_lines::run, When::Named),
];

/// The groups that are asked for, in the order of the table.
fn chosen(which: &[String]) -> Outcome<Vec<(&'static str, Group)>> {
    let known: Vec<&str> = GROUPS.iter().map(|(n, ..)| *n).collect();
    if let Some(unknown) = which.iter().find(|w| !known.contains(&w.as_str())) {
        return Err(Trouble::new(
            format!("no measurement called '{unknown}'"),
            "unknown name",
            format!("one of: {}", known.join(", ")),
        )
        .exit(Exit::Usage));
    }
    let wanted = |name: &str, when| match which {
        [] => when == When::Usually,
        named => named.iter().any(|w| w == name),
    };
    Ok(GROUPS.into_iter().filter(|(n, _, when)| wanted(n, *when)).map(|(n, g, _)| (n, g)).collect())
}

/// The verb: a process of its own measures, and this one clears up behind it.
pub fn bench(cx: &Context, args: &Bench) -> Outcome<()> {
    let groups = chosen(&args.which)?;
    match &args.ground {
        Some(dir) => {
            guard::end_with_parent(dir);
            measure(cx, args, dir, &groups)
        }
        None => {
            let base = args.dir.clone().unwrap_or_else(std::env::temp_dir);
            guard::supervise(&base.join(format!("kith-bench-{}", std::process::id())))
        }
    }
}

fn measure(cx: &Context, args: &Bench, dir: &Path, groups: &[(&'static str, Group)]) -> Outcome<()> {
    let ground = Ground {
        dir: dir.to_path_buf(),
        scale: if args.quick { 0.1 } else { 1.0 },
        groups: groups.iter().map(|(n, _)| *n).collect(),
    };
    let mut rows = Vec::new();
    let mut take = |row: Row| {
        if !cx.json {
            out!("{}", row.line());
        }
        rows.push(row);
    };
    let result = groups.iter().try_for_each(|(_, group)| group(&ground, &mut take));
    if cx.json {
        cx.print(&Rows { rows: &rows }, |_| ())?;
    }
    result?;
    let missed = rows.iter().filter(|r| r.met() == Some(false)).count();
    if missed > 0 && !cx.json {
        out!(
            "{missed} of {} targets missed on this machine now",
            rows.iter().filter(|r| r.met().is_some()).count()
        );
    }
    Ok(())
}
