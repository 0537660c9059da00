//! git: every commit that was acknowledged is whole, and the branch is at the last one that a
//! sync of its directory followed.

use super::lab::bytes;
use super::load::{Dice, Killed, Load, run, sync};
use std::path::Path;
use std::process::Command;

#[derive(Default)]
pub struct Git {
    /// All commits that git said it made.
    acknowledged: Vec<String>,
    /// The branch was here, and synced.
    synced: Option<String>,
}

/// Loose objects become a pack after so many commits.
const REPACK: u64 = 12;

fn git(dir: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(["-c", "core.fsync=all", "-c", "core.fsyncMethod=fsync"]);
    for setting in ["gc.auto=0", "maintenance.auto=false", "user.name=a", "user.email=a@localhost"] {
        command.args(["-c", setting]);
    }
    // The mount may be another user's, and no settings of this machine are to matter.
    command.args(["-c", "safe.directory=*"]).args(args);
    run(command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1"))
}

/// What a killed git leaves lies in the way of the next.
fn remove_locks(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_locks(&path);
        } else if path.extension().is_some_and(|e| e == "lock") {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Git {
    fn commit(&mut self, dir: &Path, i: u64, dice: &mut Dice) -> Result<(), String> {
        for _ in 0..1 + dice.roll(4) {
            let file = dir.join(format!("file{}", dice.roll(20)));
            let content = bytes(dice.roll(u64::MAX), dice.roll(20_000) as usize);
            std::fs::write(&file, content).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        git(dir, &["add", "-A"])?;
        git(dir, &["commit", "-q", "--allow-empty", "-m", &format!("number {i}")])?;
        let head = git(dir, &["rev-parse", "HEAD"])?;
        self.acknowledged.push(head.clone());
        sync(&dir.join(".git/refs/heads"))?;
        self.synced = Some(head);
        if i % REPACK == REPACK - 1 {
            git(dir, &["repack", "-adq"])?;
        }
        Ok(())
    }
}

impl Load for Git {
    fn name(&self) -> String {
        "git".into()
    }

    fn begin(&mut self, dir: &Path) -> Result<(), String> {
        *self = Git::default();
        git(dir, &["init", "-q", "-b", "main"])?;
        sync(dir)
    }

    fn work(&mut self, dir: &Path, killed: &Killed, dice: &mut Dice) -> Result<(), String> {
        remove_locks(&dir.join(".git"));
        for i in self.acknowledged.len() as u64.. {
            let done = self.commit(dir, i, dice);
            if killed.is() {
                break;
            }
            done?;
        }
        Ok(())
    }

    fn check(&mut self, dir: &Path) -> Result<String, String> {
        git(dir, &["fsck", "--full", "--strict", "--no-dangling"])?;
        let Some(synced) = &self.synced else { return Ok("nothing committed".into()) };
        git(dir, &["merge-base", "--is-ancestor", synced, "HEAD"])
            .map_err(|e| format!("the branch is not at {synced}: {e}"))?;
        for commit in &self.acknowledged {
            git(dir, &["cat-file", "-e", &format!("{commit}^{{tree}}")])?;
        }
        let listed = git(dir, &["log", "--format=%H", "--raw", "-p", "HEAD"])?;
        Ok(format!("{} commits, {} bytes of log", self.acknowledged.len(), listed.len()))
    }
}
