//! The same work on several filesystems of this machine, in turns, and the figures side by side.

use super::grid_lines::Mounted;
use super::limits::drop_kernel_caches;
use super::peers::{Peer, Program};
use super::{Ground, Row, Target, failed, guard};
use crate::daemon::api::{Outcome, Until};
use crate::mount::donothing::{self, DoNothing};
use std::path::{Path, PathBuf};

/// Each figure is the median of so many rounds; each round begins with another filesystem, so
/// that what else this machine does hits all alike.
const ROUNDS: usize = 3;

/// A filesystem that is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Kith,
    Peer(Program),
    DoNothing,
    Disk,
}

/// kith and what it is compared with as a user would.
pub const USERS: [Who; 4] =
    [Who::Kith, Who::Peer(Program::Gocryptfs), Who::Peer(Program::Securefs), Who::Disk];
/// ... and the limit of everything that goes through FUSE.
pub const ALL: [Who; 5] =
    [Who::Kith, Who::Peer(Program::Gocryptfs), Who::Peer(Program::Securefs), Who::DoNothing, Who::Disk];

impl Who {
    fn name(self) -> &'static str {
        match self {
            Who::Kith => "kith",
            Who::Peer(program) => program.name(),
            Who::DoNothing => "do-nothing",
            Who::Disk => "disk",
        }
    }
}

/// All of them, mounted.
pub struct Subjects<'a> {
    kith: &'a Mounted,
    peers: Vec<(Program, Result<Peer, String>)>,
    nothing: DoNothing,
    disk: PathBuf,
}

/// What one line holds kith against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Against {
    /// The better of the other encrypting filesystems.
    Peers,
    DoNothing,
    Disk,
}

/// A line: what it is called, in which unit, and what kith should reach.
pub struct Line<'a> {
    pub what: &'a str,
    /// "s" is better when it is less; all others are rates.
    pub unit: &'static str,
    pub goals: &'a [(Against, Target)],
}

/// Figures of one line, or why there are none, by filesystem.
pub type Figures = Vec<(Who, Result<f64, String>)>;

impl<'a> Subjects<'a> {
    pub fn mount(ground: &Ground, kith: &'a Mounted) -> Outcome<Subjects<'a>> {
        let peers = Program::ALL.map(|p| (p, Peer::mount(ground, p))).into();
        let dir = ground.sub(&guard::mount_name("kept-nothing"))?;
        let nothing = donothing::mount(&dir, true).map_err(|e| failed(&dir, e))?;
        Ok(Subjects { kith, peers, nothing, disk: ground.sub("bare-disk")? })
    }

    fn dir(&self, who: Who) -> Result<&Path, String> {
        let peer = |program| {
            let found = self.peers.iter().find(|(p, _)| *p == program);
            found.map_or(Err("not asked for".into()), |(_, peer)| peer.as_ref().map_err(String::clone))
        };
        match who {
            Who::Kith => Ok(&self.kith.dir),
            Who::Peer(program) => peer(program).map(|p| p.dir.as_path()),
            Who::DoNothing => Ok(self.nothing.dir()),
            Who::Disk => Ok(&self.disk),
        }
    }

    /// Nothing that was measured before goes on: uploads are done, and the disk has everything.
    pub fn quiet(&self) -> Outcome<()> {
        self.kith.sync(Until::Full)?;
        rustix::fs::sync();
        Ok(())
    }

    /// Quiet, and the kernel knows nothing any more of any of them: neither their names and
    /// pages nor those of the disk below.
    pub fn cold(&self) -> Outcome<()> {
        self.quiet()?;
        if !drop_kernel_caches() {
            return Err(failed(&self.disk, "the kernel's caches could not be dropped"));
        }
        Ok(())
    }

    /// Medians of `work`, which gives N figures, on each filesystem of `whom`. What fails on a
    /// peer is its own affair; what fails on kith or the disk ends the measurement.
    pub fn rounds<const N: usize>(
        &self,
        whom: &[Who],
        mut work: impl FnMut(&Path) -> Outcome<[f64; N]>,
    ) -> Outcome<[Figures; N]> {
        let mut seen: Vec<Result<Vec<[f64; N]>, String>> =
            whom.iter().map(|w| self.dir(*w).map(|_| Vec::new())).collect();
        for round in 0..ROUNDS {
            for turn in 0..whom.len() {
                let at = (round + turn) % whom.len();
                let (Ok(values), Ok(dir)) = (&mut seen[at], self.dir(whom[at])) else { continue };
                self.quiet()?;
                match (work(dir), whom[at]) {
                    (Ok(figures), _) => values.push(figures),
                    (Err(t), Who::Peer(program)) => seen[at] = Err(format!("{}: {t}", program.name())),
                    (Err(t), _) => return Err(t),
                }
            }
        }
        let column = |n: usize, values: &Vec<[f64; N]>| median(values.iter().map(|v| v[n]).collect());
        let figures = |n| -> Figures {
            let of = |values: &Result<Vec<[f64; N]>, String>| {
                values.as_ref().map(|v| column(n, v)).map_err(String::clone)
            };
            whom.iter().zip(&seen).map(|(who, values)| (*who, of(values))).collect()
        };
        Ok(std::array::from_fn(figures))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Line<'_> {
    /// How fast: more is better, whatever the unit.
    fn speed(&self, figure: f64) -> f64 {
        if self.unit == "s" { 1.0 / figure.max(1e-9) } else { figure }
    }

    /// What kith is held against, as a speed.
    fn limit(&self, figures: &Figures, against: Against) -> Result<f64, String> {
        let counts = |who: &Who| match against {
            Against::Peers => matches!(who, Who::Peer(_)),
            Against::DoNothing => *who == Who::DoNothing,
            Against::Disk => *who == Who::Disk,
        };
        let theirs = figures.iter().filter(|(who, _)| counts(who));
        let best =
            theirs.clone().filter_map(|(_, f)| f.as_ref().ok()).map(|f| self.speed(*f)).reduce(f64::max);
        let why = || theirs.filter_map(|(_, f)| f.as_ref().err().cloned()).collect::<Vec<_>>().join("; ");
        best.ok_or_else(why)
    }

    /// One row for each filesystem, one for each goal.
    pub fn tell(&self, figures: &Figures, row: &mut dyn FnMut(Row)) {
        for (who, figure) in figures {
            let what = format!("{}: {}", self.what, who.name());
            row(match figure {
                Ok(value) => Row::new(what, *value, self.unit, Target::None),
                Err(why) => Row::not_run(what, why),
            });
        }
        let kith = figures.iter().find(|(who, _)| *who == Who::Kith).and_then(|(_, f)| f.as_ref().ok());
        for (against, target) in self.goals {
            let whose = match against {
                Against::Peers => "speed, of the better peer's",
                Against::DoNothing => "speed, of do-nothing's",
                // A target that is not to be exceeded is about time.
                Against::Disk if matches!(target, Target::AtMost(_)) => "time, of the disk's",
                Against::Disk => "speed, of the disk's",
            };
            let what = format!("  {}: {whose}", self.what);
            row(match (kith, self.limit(figures, *against)) {
                (Some(kith), Ok(limit)) => {
                    let ratio = self.speed(*kith) / limit;
                    let ratio = if matches!(target, Target::AtMost(_)) { 1.0 / ratio } else { ratio };
                    Row::new(what, ratio, "x", *target)
                }
                (None, _) => Row::not_run(what, "kith has no figure"),
                (_, Err(why)) => Row::not_run(what, why),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &Line, figures: Figures) -> Vec<Row> {
        let mut rows = Vec::new();
        line.tell(&figures, &mut |r| rows.push(r));
        rows
    }

    #[test]
    fn the_better_peer_counts_whatever_the_unit() {
        let (first, second) = (Who::Peer(Program::Gocryptfs), Who::Peer(Program::Securefs));
        let goals = [(Against::Peers, Target::AtLeast(1.0))];
        let rate = Line { what: "x", unit: "/s", goals: &goals };
        let rows = told(&rate, vec![(Who::Kith, Ok(30.0)), (first, Ok(40.0)), (second, Ok(20.0))]);
        assert_eq!((rows[3].value, rows[3].met()), (0.75, Some(false)));
        let time = Line { what: "x", unit: "s", goals: &goals };
        let rows = told(&time, vec![(Who::Kith, Ok(20.0)), (first, Ok(40.0)), (second, Ok(30.0))]);
        assert_eq!((rows[3].value, rows[3].met()), (1.5, Some(true)));
        let rows =
            told(&time, vec![(Who::Kith, Ok(20.0)), (first, Err("absent".into())), (second, Ok(10.0))]);
        assert_eq!((rows[1].not_run.as_deref(), rows[3].value), (Some("absent"), 0.5));
    }

    #[test]
    fn without_peers_a_goal_is_not_run_and_says_why() {
        let goals = [(Against::Peers, Target::AtLeast(1.0)), (Against::Disk, Target::AtMost(1.3))];
        let line = Line { what: "x", unit: "s", goals: &goals };
        let none = (Who::Peer(Program::Securefs), Err("securefs is not installed".into()));
        let rows = told(&line, vec![(Who::Kith, Ok(3.0)), none, (Who::Disk, Ok(2.0))]);
        assert_eq!(rows[3].not_run.as_deref(), Some("securefs is not installed"));
        assert_eq!((rows[4].value, rows[4].met()), (1.5, Some(false)));
    }

    #[test]
    fn one_slow_round_is_no_figure() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert!(median(vec![]).is_nan());
    }
}
