//! What the programs that work while the daemon is killed have in common.

pub use super::lab::dice::Dice;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set just before the daemon is killed: what fails from then on, fails rightly.
#[derive(Default)]
pub struct Killed(AtomicBool);

impl Killed {
    pub fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
    pub fn now(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One program, over all rounds: it remembers what it was told is on the disk.
pub trait Load: Send {
    fn name(&self) -> String;
    /// Begins anew in an empty directory.
    fn begin(&mut self, dir: &Path) -> Result<(), String>;
    /// Works until something fails, which is when the daemon is killed, or until it is.
    fn work(&mut self, dir: &Path, killed: &Killed, dice: &mut Dice) -> Result<(), String>;
    /// Everything that was acknowledged is there; tells how much that was.
    fn check(&mut self, dir: &Path) -> Result<String, String>;
}

/// Runs a program to its end; what it printed.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.trim().into()) } else { Err(format!("{command:?}: {out}{err}")) }
}

/// Whether a program is installed.
pub fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
}

pub fn sync(path: &Path) -> Result<(), String> {
    let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|e| format!("{}: {e}", path.display()))
}
