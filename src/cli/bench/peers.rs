//! Other encrypting filesystems on this machine, mounted over a directory of the same disk.

use super::{Ground, guard};
use crate::daemon::api::Trouble;
use crate::mount::clear_below;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a peer may take to mount (it stretches its passphrase), and to end.
const START_MAX: Duration = Duration::from_secs(30);
const END_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Protects nothing: what is under it is noise, and removed.
const PASSPHRASE: &str = "throw-away";

/// A program that can be compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    Gocryptfs,
    Securefs,
}

impl Program {
    pub const ALL: [Program; 2] = [Program::Gocryptfs, Program::Securefs];

    pub fn name(self) -> &'static str {
        match self {
            Program::Gocryptfs => "gocryptfs",
            Program::Securefs => "securefs",
        }
    }
    /// Command lines with the defaults of the program: to make a filesystem, and to mount it in the foreground.
    fn commands(self, data: &Path, dir: &Path, words: &Path) -> (Command, Command) {
        let (mut make, mut mount) = (Command::new(self.name()), Command::new(self.name()));
        match self {
            Program::Gocryptfs => {
                make.args(["-init", "-q", "-passfile"]).arg(words).arg(data);
                mount.args(["-fg", "-q", "-nosyslog", "-passfile"]).arg(words).arg(data).arg(dir);
            }
            Program::Securefs => {
                make.args(["create", "--pass", PASSPHRASE]).arg(data);
                mount.args(["mount", "--pass", PASSPHRASE]).arg(data).arg(dir);
            }
        }
        (make, mount)
    }
}

/// A mounted peer; unmounted when dropped.
pub struct Peer {
    pub dir: PathBuf,
    child: Child,
}

impl Peer {
    /// Why it is not there, in place of a peer.
    pub fn mount(ground: &Ground, program: Program) -> Result<Peer, String> {
        let name = program.name();
        let said = |t: Trouble| t.to_string();
        let data = ground.sub(&format!("{name}-data")).map_err(said)?;
        let dir = ground.sub(&guard::mount_name(name)).map_err(said)?;
        let words = ground.dir.join("passphrase");
        std::fs::write(&words, PASSPHRASE).map_err(|e| e.to_string())?;
        let (mut make, mut mount) = program.commands(&data, &dir, &words);
        let made = make.stdin(Stdio::null()).output().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => format!("{name} is not installed"),
            _ => format!("{name}: {e}"),
        })?;
        if !made.status.success() {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        mount.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = mount.spawn().map_err(|e| format!("{name}: {e}"))?;
        let mut peer = Peer { dir, child };
        peer.wait_mounted(&ground.dir).map_err(|why| format!("{name}: {why}"))?;
        Ok(peer)
    }

    /// A mount is another device than what it lies on.
    fn wait_mounted(&mut self, below: &Path) -> Result<(), String> {
        let disk = std::fs::metadata(below).map_err(|e| e.to_string())?.dev();
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if std::fs::metadata(&self.dir).is_ok_and(|m| m.dev() != disk) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended at once, {status}"));
            }
            std::thread::sleep(POLL);
        }
        Err(format!("not mounted after {} s", START_MAX.as_secs()))
    }

    fn ended(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // By its own directory; nothing else is looked for.
        let unmounted = clear_below(&self.dir);
        if unmounted.is_err() || !self.ended(END_MAX) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = clear_below(&self.dir);
        }
    }
}
