//! Real nodes as processes on loopback, real mounts: the top storey of the tests.
//!
//! A [`Lab`] starts nodes below one temporary directory and ends them by pid when it is
//! dropped; nothing stays running, nothing stays mounted.
#![allow(dead_code)] // each test target uses its own part of the lab

pub mod dice;
pub mod friends;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Nodes of one test.
pub struct Lab {
    dir: tempfile::TempDir,
    running: BTreeMap<String, Child>,
    env: BTreeMap<String, String>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Output {
    pub fn ok(self) -> Output {
        assert_eq!(self.code, 0, "command failed: {}\n{}", self.err, self.out);
        self
    }
    pub fn json(self) -> Value {
        let o = self.ok();
        serde_json::from_str(o.out.trim()).unwrap_or_else(|e| panic!("not JSON ({e}): {}", o.out))
    }
}

/// Whether tests that mount can run here at all. Says why not, loudly, and only where the
/// machine has no FUSE.
pub fn can_mount() -> bool {
    let can = Path::new("/dev/fuse").exists();
    if !can {
        eprintln!("NOT RUN: this machine has no /dev/fuse");
    }
    can
}

/// A number from the environment, for longer runs of the same test.
pub fn count(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

/// Reproducible bytes.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let key = blake3::hash(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(key.as_bytes()).finalize_xof().fill(&mut out);
    out
}

pub fn wait_until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Three lines, naming the object, the cause, the way out.
pub fn says(o: &Output, code: i32, what: &str) {
    assert_eq!(o.code, code, "{}{}", o.out, o.err);
    assert!(o.err.to_lowercase().contains(&what.to_lowercase()), "'{what}' expected in: {}", o.err);
    assert!(o.err.lines().any(|l| l.trim_start().starts_with("why:")), "{}", o.err);
    assert!(o.err.lines().any(|l| l.trim_start().starts_with("do:")), "{}", o.err);
}

pub fn file_state(path: &Path) -> String {
    String::from_utf8(xattr::get(path, "user.kith.state").unwrap().unwrap_or_default()).unwrap()
}

impl Lab {
    pub fn new() -> Lab {
        let dir = tempfile::Builder::new().prefix("kith-lab-").tempdir().unwrap();
        Lab { dir, running: BTreeMap::new(), env: BTreeMap::new() }
    }
    /// Put something into the environment of all that is run from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    /// The directory a node is mounted at.
    pub fn mount_dir(&self, node: &str) -> PathBuf {
        self.dir.path().join(format!("mnt-{node}"))
    }

    fn command(&self, node: &str, args: &[&str]) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_kith"));
        c.arg("--home").arg(self.path(node)).args(args).envs(&self.env);
        c
    }
    /// Run a verb of a node to its end.
    pub fn kith(&self, node: &str, args: &[&str]) -> Output {
        let out = self.command(node, args).stdin(Stdio::null()).output().unwrap();
        Output {
            code: out.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }
    /// Make a node's keys.
    pub fn init(&self, node: &str) {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        self.kith(node, &["init", "--name", node, "--lend", "20G", "--listen", &listen, "--household", node])
            .ok();
    }
    /// Start a node's daemon and wait until it answers.
    pub fn start(&mut self, node: &str) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log(node)).unwrap();
        let child = self
            .command(node, &["daemon", "--until-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        self.running.insert(node.into(), child);
        let start = Instant::now();
        loop {
            // A verb that starts no daemon of its own.
            if self.kith(node, &["status"]).code == 0 {
                return;
            }
            let ended = self.running.get_mut(node).unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{node} ended at start: {ended:?}\n{}", self.log_tail(node));
            assert!(start.elapsed() < PATIENCE, "{node} does not answer\n{}", self.log_tail(node));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    pub fn log(&self, node: &str) -> PathBuf {
        self.path(&format!("{node}.log"))
    }
    pub fn log_tail(&self, node: &str) -> String {
        let text = std::fs::read_to_string(self.log(node)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
    pub fn pid(&self, node: &str) -> u32 {
        self.running[node].id()
    }
    pub fn signal(&self, node: &str, signal: &str) {
        let pid = self.pid(node).to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
    /// kill -9.
    pub fn kill(&mut self, node: &str) {
        let mut child = self.running.remove(node).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    /// End in order, as SIGTERM does.
    pub fn stop(&mut self, node: &str) {
        self.signal(node, "-TERM");
        let mut child = self.running.remove(node).unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{node} ended with {status}\n{}", self.log_tail(node));
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{node} does not end\n{}",
                self.log_tail(node)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Invite and join. `extra`: more arguments of invite, for example a drive.
    pub fn befriend(&self, host: &str, guest: &str, extra: &[&str]) {
        let mut args = vec!["--json", "invite", guest];
        args.extend(extra);
        let ticket = self.kith(host, &args).json()["ticket"].as_str().unwrap().to_string();
        self.kith(guest, &["join", &ticket]).ok();
    }
    /// Put a node on a small disk of its own (root only): a tmpfs of `megabytes`.
    pub fn small_disk(&self, node: &str, megabytes: u32) {
        let dir = self.path(node);
        std::fs::create_dir_all(&dir).unwrap();
        let size = format!("size={megabytes}m,mode=700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&dir).status();
        assert!(done.unwrap().success(), "tmpfs at {}", dir.display());
    }
    /// Change the size of a [`Lab::small_disk`].
    pub fn resize_disk(&self, node: &str, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        assert!(Command::new("mount").args(["-o", &size]).arg(self.path(node)).status().unwrap().success());
    }
    /// A founder ("you") with `friends` joined friends "f0", "f1", ..., and a drive "family".
    pub fn grid(friends: usize) -> Lab {
        let mut lab = Lab::new();
        lab.init("you");
        lab.start("you");
        for i in 0..friends {
            let name = format!("f{i}");
            lab.init(&name);
            lab.start(&name);
            lab.befriend("you", &name, &[]);
        }
        lab.kith("you", &["drive", "create", "family"]).ok();
        lab
    }
    pub fn mount(&self, node: &str) -> PathBuf {
        let dir = self.mount_dir(node);
        self.kith(node, &["mount", "--drive", "family", dir.to_str().unwrap()]).ok();
        dir
    }
    /// `kith sync` until a state.
    pub fn sync(&self, node: &str, until: &str) {
        let o = self.kith(node, &["sync", "--until", until, "--timeout", "170s"]);
        assert_eq!(o.code, 0, "sync until {until}: {}\n{}\n{}", o.err, o.out, self.log_tail(node));
    }
    pub fn status(&self, node: &str) -> Value {
        self.kith(node, &["--json", "status"]).json()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // SIGCONT first: a stopped process is killed all the same, but its mount must not hang us.
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            if mounts.contains(&format!("tmpfs {} ", name.path().display())) {
                let _ = Command::new("umount").arg("-l").arg(name.path()).stderr(Stdio::null()).status();
            }
            if name.file_name().to_string_lossy().starts_with("mnt-") {
                let _ = Command::new("umount").arg("-l").arg(name.path()).stderr(Stdio::null()).status();
                let _ =
                    Command::new("fusermount3").arg("-uz").arg(name.path()).stderr(Stdio::null()).status();
            }
        }
        if std::thread::panicking() && std::env::var_os("KITH_KEEP").is_some() {
            let kept = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap()).keep();
            let _ = writeln!(std::io::stderr(), "kept: {}", kept.display());
        }
    }
}

/// Everything about a tree that must survive: bytes' hash, kind, mode, mtime, link target.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    use std::os::unix::fs::MetadataExt;
    let mut out = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let what = if meta.is_dir() {
                todo.push(path.clone());
                "dir".to_string()
            } else if meta.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).unwrap().display())
            } else {
                let data = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                format!("{} {}", data.len(), blake3::hash(&data).to_hex())
            };
            let time = if meta.is_symlink() { 0 } else { meta.mtime() * 1_000_000_000 + meta.mtime_nsec() };
            let line = format!("{what} mode {:o} mtime {time}", meta.mode() & 0o7777);
            out.insert(path.strip_prefix(root).unwrap().to_path_buf(), line);
        }
    }
    out
}

/// Fails naming the first few differences.
pub fn same_tree(want: &BTreeMap<PathBuf, String>, got: &BTreeMap<PathBuf, String>) {
    let mut wrong = Vec::new();
    for (path, line) in want {
        match got.get(path) {
            Some(other) if other == line => {}
            other => wrong.push(format!("{}: wanted {line}, got {other:?}", path.display())),
        }
    }
    wrong.extend(
        got.keys().filter(|p| !want.contains_key(*p)).map(|p| format!("{}: not expected", p.display())),
    );
    assert!(wrong.is_empty(), "{} differences, first: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
}
