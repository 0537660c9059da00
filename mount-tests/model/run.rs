//! One run: steps on a fresh directory of the local disk and of a drive, compared after each.

use super::actor::Actor;
use super::differences::{is_now, tree};
use super::lab::Lab;
use super::op::{ACTORS, Op, Step};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Operations happen this deep, so that `..` in a symbolic link stays inside.
const INSIDE: &str = "in/side";

/// The drive, its friends, and the local disk.
pub struct Field {
    lab: Lab,
    disk: tempfile::TempDir,
    cases: u64,
}

/// A step that came out differently, and how.
#[derive(Debug)]
pub struct Mismatch {
    pub step: usize,
    pub what: String,
}

struct Case<'a> {
    field: &'a mut Field,
    disk: PathBuf,
    drive: PathBuf,
    actors: Vec<Actor>,
}

impl Field {
    pub fn new(friends: usize) -> Field {
        let lab = Lab::grid(friends);
        lab.mount("you");
        Field { lab, disk: tempfile::tempdir().expect("a directory"), cases: 0 }
    }

    /// Does the steps in a new directory; what came of the first that differs. Nothing is left
    /// of the directory afterwards.
    pub fn play(&mut self, steps: &[Step]) -> Option<Mismatch> {
        self.cases += 1;
        let name = format!("case{}", self.cases);
        let (disk, drive) = (self.disk.path().join(&name), self.lab.mount_dir("you").join(&name));
        for root in [&disk, &drive] {
            std::fs::create_dir_all(root.join(INSIDE)).expect("directories");
        }
        let mut case = Case { field: self, disk: disk.clone(), drive: drive.clone(), actors: Vec::new() };
        case.actors = (0..ACTORS).map(|_| case.actor()).collect();
        let last = Step { actor: 0, op: Op::CompareAll };
        let found = steps
            .iter()
            .chain([&last])
            .enumerate()
            .find_map(|(i, step)| case.step(step).err().map(|what| Mismatch { step: i, what }));
        drop(case);
        for root in [&disk, &drive] {
            let removed = std::fs::remove_dir_all(root);
            if let (Err(e), None) = (removed, &found) {
                let what = format!("{} is not removed: {e}", root.display());
                return Some(Mismatch { step: steps.len(), what });
            }
        }
        found
    }

    pub fn log_tail(&self) -> String {
        self.lab.log_tail("you")
    }
}

impl Case<'_> {
    fn actor(&self) -> Actor {
        Actor::new(&self.disk.join(INSIDE), &self.drive.join(INSIDE))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.op {
            Op::Pause { millis } => std::thread::sleep(Duration::from_millis(*millis)),
            Op::DropKernel => {
                // Only root may; all else is compared for everybody.
                let _ = std::fs::write("/proc/sys/vm/drop_caches", "2");
                return self.compare_all("without what the kernel had cached");
            }
            Op::DropNode => {
                self.field.lab.kith("you", &["drop-caches"]).ok();
            }
            Op::Restart { kill } => return self.restart(*kill),
            Op::CompareAll => {
                self.everyone(&Op::CheckOpen)?;
                return self.compare_all("");
            }
            op => self.tell(step.actor, op)?,
        }
        Ok(())
    }

    fn tell(&mut self, actor: usize, op: &Op) -> Result<(), String> {
        let came = self.actors[actor].perform(op)?;
        if came.disk == came.drive {
            return Ok(());
        }
        Err(format!("the disk says\n    {}\n  and the drive\n    {}", came.disk, came.drive))
    }

    fn everyone(&mut self, op: &Op) -> Result<(), String> {
        (0..self.actors.len()).try_for_each(|actor| self.tell(actor, op))
    }

    /// What was synced is there after the daemon ended in any way.
    fn restart(&mut self, kill: bool) -> Result<(), String> {
        self.everyone(&Op::CheckOpen)?;
        self.everyone(&Op::CloseAll)?;
        sync_below(&self.drive).map_err(|e| format!("syncing all: {e}"))?;
        let lab = &mut self.field.lab;
        if kill {
            lab.kill("you")
        } else {
            lab.stop("you")
        }
        lab.start("you");
        lab.mount("you");
        adopt_times(&self.disk, &self.drive).map_err(|e| format!("times of directories: {e}"))?;
        self.compare_all(if kill { "after kill -9" } else { "after a restart" })
    }

    fn compare_all(&self, when: &str) -> Result<(), String> {
        compare_trees(&self.disk, &self.drive).map_err(|what| format!("the trees differ {when}\n{what}"))
    }
}

/// The local disk's directories get the time that was set before something came and went, where
/// the drive shows that after its daemon ended.
fn adopt_times(disk: &Path, drive: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(disk)? {
        let entry = entry?;
        let there = drive.join(entry.file_name());
        if entry.file_type()?.is_dir() && there.is_dir() {
            adopt_times(&entry.path(), &there)?;
            let (old, new) = (std::fs::metadata(&there)?, entry.metadata()?);
            if is_now(&new) && !is_now(&old) {
                filetime::set_file_mtime(
                    entry.path(),
                    filetime::FileTime::from_last_modification_time(&old),
                )?;
            }
        }
    }
    Ok(())
}

/// fsync(2) of everything below a directory, and of the directory.
fn sync_below(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => sync_below(&entry.path())?,
            kind if kind.is_file() => std::fs::File::open(entry.path())?.sync_all()?,
            _ => {}
        }
    }
    std::fs::File::open(dir)?.sync_all()
}

fn compare_trees(disk: &Path, drive: &Path) -> Result<(), String> {
    let (disk, drive) = (tree(disk), tree(drive));
    let names: std::collections::BTreeSet<_> = disk.keys().chain(drive.keys()).collect();
    let differ = names.into_iter().filter(|name| disk.get(*name) != drive.get(*name));
    let lines: Vec<String> = differ
        .map(|n| format!("  {}\n    disk  {:?}\n    drive {:?}", n.display(), disk.get(n), drive.get(n)))
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}
