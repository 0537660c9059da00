//! Nodes as processes of their own: start one, wait until it answers, end it.

use crate::cli::client;
use crate::daemon::api::{Exit, Line, Outcome, Request, Trouble};
use crate::daemon::home::Home;
use crate::daemon::log;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take to answer its socket (a large journal is replayed first).
const START_MAX: Duration = Duration::from_secs(60);
/// How long a daemon may take to unmount and end before it is killed.
pub const STOP_MAX: Duration = Duration::from_secs(10);
/// How long one may take that unmounts what is in use.
const END_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Where the log ends now: what a daemon writes comes after.
fn log_end(home: &Home) -> u64 {
    std::fs::metadata(home.log()).map_or(0, |m| m.len())
}

/// A node this process started, which ends with it: the node watches the pipe on its
/// standard input, so even a kill -9 of the parent leaves nothing running.
pub struct NodeProcess {
    pub name: String,
    pub home: Home,
    /// To start it again; only benchmarks do.
    #[cfg(feature = "mount")]
    pub dir: PathBuf,
    child: Child,
}

fn program() -> Outcome<PathBuf> {
    std::env::current_exe()
        .map_err(|e| Trouble::new("cannot find my own program file", e, "run kith by its full path"))
}

fn log_file(home: &Home) -> Outcome<File> {
    let trouble = |e| {
        Trouble::new(
            format!("cannot write {}", home.log().display()),
            e,
            "check the directory's owner and room",
        )
    };
    log::open(home).map_err(trouble)
}

/// Run a verb of this program to its end; its error text becomes the trouble.
pub fn run(dir: &Path, args: &[&str]) -> Outcome<String> {
    let out = Command::new(program()?)
        .arg("--home")
        .arg(dir)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Trouble::new(format!("cannot run kith {}", args.join(" ")), e, "try again"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    Err(Trouble::new(
        format!("kith {} failed in {}", args.join(" "), dir.display()),
        String::from_utf8_lossy(&out.stderr).trim(),
        "see the reason above",
    ))
}

impl NodeProcess {
    /// Start the node whose home is `dir` and wait until it answers.
    pub fn start(name: &str, dir: &Path) -> Outcome<NodeProcess> {
        let home = Home::below(dir);
        let log = log_file(&home)?;
        let log_from = log_end(&home);
        let child = Command::new(program()?)
            .arg("--home")
            .arg(dir)
            .args(["daemon", "--until-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Its own group: a Ctrl-C at the terminal is for the parent, which ends it in order.
            .process_group(0)
            .spawn()
            .map_err(|e| {
                Trouble::new(format!("cannot start {name}"), e, "check memory and process limits")
            })?;
        let mut node = NodeProcess {
            name: name.into(),
            home,
            #[cfg(feature = "mount")]
            dir: dir.into(),
            child,
        };
        node.wait_ready(log_from)?;
        Ok(node)
    }

    fn wait_ready(&mut self, log_from: u64) -> Outcome<()> {
        let home = self.home.clone();
        let child = &mut self.child;
        wait_answer(&home, log_from, || child.try_wait().ok().flatten().map(|s| s.to_string()))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ask this node something.
    pub fn ask(&self, request: &Request) -> Outcome<Line> {
        client::ask(&self.home, request, |_| ())
    }

    /// Begin to end it in order: unmount, sync, stop.
    pub fn let_go(&mut self) {
        drop(self.child.stdin.take());
    }

    /// As a power cut does to a process; only benchmarks do this.
    #[cfg(feature = "mount")]
    pub fn kill(mut self) {
        // What has ended already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// End it in order.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for NodeProcess {
    /// Waits for the orderly end; killed by its pid when it does not come.
    fn drop(&mut self) {
        self.let_go();
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        // Nothing else is left to do with a process that does not end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Wait until a daemon answers; `ended` says how it ended, if it did.
fn wait_answer(home: &Home, log_from: u64, mut ended: impl FnMut() -> Option<String>) -> Outcome<()> {
    let deadline = Instant::now() + START_MAX;
    loop {
        match client::ask(home, &Request::DriveList, |_| ()) {
            Ok(_) => return Ok(()),
            Err(t) if t.exit != Exit::NoDaemon => return Err(t),
            Err(_) => {}
        }
        if let Some(status) = ended() {
            return Err(last_words(home, log_from, &status));
        }
        if Instant::now() > deadline {
            return Err(Trouble::new(
                "the daemon does not answer",
                format!("nothing on {} for {} s", home.socket().display(), START_MAX.as_secs()),
                format!("look into {}", home.log().display()),
            ));
        }
        std::thread::sleep(POLL);
    }
}

/// Wait until the daemon that was told to end has ended: its lock is free then.
pub fn wait_end(home: &Home) -> Outcome<()> {
    use rustix::fs::{FlockOperation, flock};
    let deadline = Instant::now() + END_MAX;
    // Without a lock file there is no daemon.
    let Ok(lock) = File::open(home.lock()) else { return Ok(()) };
    while flock(&lock, FlockOperation::NonBlockingLockShared).is_err() {
        if Instant::now() > deadline {
            return Err(Trouble::new(
                "the daemon has not ended yet",
                format!("it was told to, {} s ago", END_MAX.as_secs()),
                format!("look into {}", home.log().display()),
            ));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Why the daemon ended: in its own three lines if it wrote them.
fn last_words(home: &Home, log_from: u64, status: &str) -> Trouble {
    let text = std::fs::read(home.log()).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(log_from as usize..).unwrap_or_default());
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    if let [.., what, why, fix] = lines[..]
        && let (Some(what), Some(why), Some(fix)) =
            (what.strip_prefix("kith: "), why.strip_prefix("  why: "), fix.strip_prefix("  do:  "))
    {
        return Trouble::new(what, why, fix);
    }
    let said = lines[lines.len().saturating_sub(2)..].join("; ");
    let why = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    Trouble::new("the daemon ended at once", why, format!("the whole log is {}", home.log().display()))
}

/// Make sure a daemon runs for `home`, starting one in the background where there is none.
/// `passphrase`: of a sealed keystore.
pub fn ensure(option: Option<&Path>, home: &Home, passphrase: Option<&str>) -> Outcome<()> {
    match client::ask(home, &Request::DriveList, |_| ()) {
        Err(t) if t.exit == Exit::NoDaemon => {}
        other => return other.map(|_| ()),
    }
    let (log, log_from) = (log_file(home)?, log_end(home));
    let mut command = Command::new(program()?);
    if let Some(dir) = option {
        command.arg("--home").arg(dir);
    }
    command.args(["daemon", "--background"]).stdout(Stdio::null()).stderr(log);
    match passphrase {
        Some(_) => command.arg("--passphrase-stdin").stdin(Stdio::piped()),
        None => command.stdin(Stdio::null()),
    };
    let mut child = command
        .spawn()
        .map_err(|e| Trouble::new("cannot start the daemon", e, "start it by hand: kith daemon"))?;
    if let (Some(words), Some(mut pipe)) = (passphrase, child.stdin.take()) {
        writeln!(pipe, "{words}").map_err(|e| {
            Trouble::new("cannot hand the passphrase to the daemon", e, "start it by hand: kith daemon")
        })?;
    }
    wait_answer(home, log_from, || child.try_wait().ok().flatten().map(|s| s.to_string()))
}
