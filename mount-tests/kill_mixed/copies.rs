//! rsync of a tree, and a sync of what it made: all of it is there as it was at its source.

use super::lab::{bytes, same_tree, snapshot};
use super::load::{Dice, Killed, Load, run, sync};
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies that are kept; older ones are removed.
const KEPT: usize = 4;
const FILES: u64 = 60;

pub struct Copies {
    source: tempfile::TempDir,
    want: BTreeMap<PathBuf, String>,
    /// Copies that were synced whole.
    synced: VecDeque<String>,
    next: u64,
}

impl Copies {
    pub fn new(seed: u64) -> Copies {
        let source = tempfile::tempdir().expect("a directory");
        for i in 0..FILES {
            let dir = source.path().join(format!("d{}/e{}", i % 5, i % 3));
            std::fs::create_dir_all(&dir).expect("a directory");
            let len = [0, 17, 3000, 4096, 40_000, 200_000, 1_100_000][(i * i % 7) as usize];
            let file = dir.join(format!("file {i}"));
            std::fs::write(&file, bytes(seed ^ i, len)).expect("a file");
            let mode = [0o644, 0o600, 0o755][(i % 3) as usize];
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("a mode");
            if i % 10 == 0 {
                std::os::unix::fs::symlink(format!("file {i}"), dir.join(format!("link {i}")))
                    .expect("a link");
            }
        }
        // rsync leaves the time of a directory alone when it is right to the second.
        let paths: Vec<PathBuf> = snapshot(source.path()).into_keys().collect();
        for (path, i) in paths.iter().rev().zip(0..) {
            let time = filetime::FileTime::from_unix_time(1_600_000_000 + i, 123_456_789);
            filetime::set_symlink_file_times(source.path().join(path), time, time).expect("a time");
        }
        let want = snapshot(source.path());
        Copies { source, want, synced: VecDeque::new(), next: 0 }
    }

    fn copy(&mut self, dir: &Path) -> Result<(), String> {
        let name = format!("copy{}", self.next);
        self.next += 1;
        let to = dir.join(&name);
        run(Command::new("rsync").arg("-a").arg(format!("{}/", self.source.path().display())).arg(&to))?;
        // Every file, then every directory, then the one that holds the copy's name.
        let made = self.want.iter().filter(|(_, line)| !line.starts_with("->"));
        let (dirs, files): (Vec<_>, Vec<_>) = made.partition(|(_, line)| line.starts_with("dir"));
        files.iter().chain(&dirs).try_for_each(|(path, _)| sync(&to.join(path)))?;
        sync(&to)?;
        sync(dir)?;
        self.synced.push_back(name);
        if self.synced.len() > KEPT
            && let Some(old) = self.synced.pop_front()
        {
            std::fs::remove_dir_all(dir.join(old)).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

impl Load for Copies {
    fn name(&self) -> String {
        "rsync".into()
    }

    fn begin(&mut self, _dir: &Path) -> Result<(), String> {
        self.synced.clear();
        Ok(())
    }

    fn work(&mut self, dir: &Path, killed: &Killed, _dice: &mut Dice) -> Result<(), String> {
        while !killed.is() {
            let done = self.copy(dir);
            if killed.is() {
                break;
            }
            done?;
        }
        Ok(())
    }

    fn check(&mut self, dir: &Path) -> Result<String, String> {
        for name in &self.synced {
            let got = snapshot(&dir.join(name));
            std::panic::catch_unwind(|| same_tree(&self.want, &got))
                .map_err(|_| format!("{name} differs"))?;
        }
        // What was under way is whole, or not there yet, or in part; it is not counted.
        for entry in std::fs::read_dir(dir).map_err(|e| e.to_string())?.flatten() {
            if !self.synced.iter().any(|name| entry.file_name() == name.as_str()) {
                std::fs::remove_dir_all(entry.path()).map_err(|e| format!("{:?}: {e}", entry.path()))?;
            }
        }
        Ok(format!("{} copies of {} files", self.synced.len(), self.want.len()))
    }
}
