//! `kith demo` as README tells people to use it: start, copy files in, switch friends off, read,
//! Ctrl-C; the files are there the next time, and only `--fresh` throws them away.

mod lab;

use lab::{PATIENCE, bytes, can_mount, same_tree, snapshot, wait_until};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running demo; whatever becomes of the test, nothing of it stays.
struct Demo {
    child: Child,
    home: PathBuf,
    mnt: PathBuf,
}

/// The program with a home of its own, whatever the environment of the test says.
fn kith(home: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_kith"));
    c.env("HOME", home);
    for name in ["KITH_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
        c.env_remove(name);
    }
    c
}

/// Everything that runs with a path below `home` in its command line.
fn processes(home: &Path) -> Vec<String> {
    let dirs = fs::read_dir("/proc").unwrap().flatten();
    dirs.filter(|d| d.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter_map(|d| fs::read(d.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(home.to_str().unwrap()))
        .collect()
}

/// Mounts below `home`; blanks are `\040` in the list.
fn mounts(home: &Path) -> Vec<String> {
    let home = home.to_str().unwrap().replace(' ', "\\040");
    let all = fs::read_to_string("/proc/self/mounts").unwrap();
    all.lines().filter(|l| l.contains(&home)).map(String::from).collect()
}

impl Demo {
    /// Starts it and waits until it greets, with the drive mounted.
    fn start(home: &Path, options: &[&str]) -> Demo {
        let mnt = home.join("Kith");
        let out = home.join("demo.out");
        let mut command = kith(home);
        command.arg("demo").args(options).arg(&mnt).stdin(Stdio::piped()).process_group(0);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(home.join("demo.err")).unwrap());
        let child = command.spawn().unwrap();
        let mut demo = Demo { child, home: home.into(), mnt };
        wait_until("the demo greets", PATIENCE, || {
            let ended = demo.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", demo.said("demo.err"));
            demo.said("demo.out").contains("Here you can type")
        });
        let mounted = mounts(home);
        assert!(mounted.len() == 1 && mounted[0].contains("fuse.kith"), "{mounted:?}");
        assert_eq!(processes(home).len(), 7, "the demo, you and five friends: {:#?}", processes(home));
        demo
    }
    fn said(&self, file: &str) -> String {
        fs::read_to_string(self.home.join(file)).unwrap_or_default()
    }
    /// Types a line into the demo's terminal.
    fn types(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
    fn runs(&self, friend: &str) -> bool {
        let dir = format!("/{friend} ");
        processes(&self.home).iter().any(|line| line.contains(&dir))
    }
    /// A command that the greeting tells people to use, as a shell takes it, with more words.
    fn as_told(&self, verb: &str, more: &str) {
        let said = self.said("demo.out");
        let line = said.lines().find(|l| l.contains(" --home ") && l.ends_with(verb));
        let line = format!("{} {more}", line.unwrap_or_else(|| panic!("no {verb} in: {said}")));
        let done = Command::new("sh").arg("-c").arg(&line).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }
    /// What is read next comes from the friends.
    fn forget(&self) {
        let you = self.home.join(".local/share/kith-demo/you");
        let done = kith(&self.home).arg("--home").arg(you).arg("drop-caches").status().unwrap();
        assert!(done.success());
        for entry in fs::read_dir(&self.mnt).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                let file = File::open(entry.path()).unwrap();
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            }
        }
    }
    /// Ctrl-C: the whole of it ends, in order, at once.
    fn interrupt(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let mut ended: Option<ExitStatus> = None;
        wait_until("the demo ends", PATIENCE, || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        assert!(ended.unwrap().success(), "{ended:?}: {}", self.said("demo.err"));
        assert_eq!(processes(&self.home), [""; 0], "nothing is left running");
        assert_eq!(mounts(&self.home), [""; 0], "nothing is left mounted");
        assert_eq!(fs::read_dir(&self.mnt).unwrap().count(), 0, "the bare directory is empty");
    }
}

impl Drop for Demo {
    /// Its nodes end with it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !mounts(&self.home).is_empty() {
            let _ = Command::new("umount").arg("-l").arg(&self.mnt).stderr(Stdio::null()).status();
            let _ = Command::new("fusermount3").arg("-uz").arg(&self.mnt).stderr(Stdio::null()).status();
        }
    }
}

#[test]
fn the_demo_keeps_files_through_friends_off_and_an_end_until_fresh() {
    if !can_mount() {
        return;
    }
    let dir = tempfile::Builder::new().prefix("kith-demo-").tempdir().unwrap();
    // Somebody's home may have a blank in its name; what the demo prints must work there.
    let home = dir.path().join("some body");
    fs::create_dir(&home).unwrap();
    let mut demo = Demo::start(&home, &[]);
    let mnt = demo.mnt.clone();
    fs::create_dir(mnt.join("folder")).unwrap();
    for i in 0..5 {
        fs::write(mnt.join(format!("photo {i}")), bytes(i, 700_000 * i as usize)).unwrap();
        fs::write(mnt.join(format!("folder/note {i}")), bytes(100 + i, 1000)).unwrap();
    }
    let want = snapshot(&mnt);
    // A second one would take the first one's files away under it.
    for options in [&["demo", "--fresh"][..], &["demo", "elsewhere"]] {
        let second = kith(&home).current_dir(dir.path()).args(options).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&second.stderr);
        assert!(second.status.code() == Some(1) && said.contains("running already"), "{said}");
    }
    demo.as_told("sync", "--until full --timeout 170s");
    demo.as_told("status", "");
    for friend in ["anna", "ben"] {
        assert!(demo.runs(friend));
        demo.types(&format!("off {friend}"));
        wait_until("the friend is off", PATIENCE, || !demo.runs(friend));
    }
    demo.forget();
    same_tree(&want, &snapshot(&mnt));
    demo.types("on anna");
    wait_until("anna is back", PATIENCE, || demo.runs("anna"));
    demo.interrupt();

    let demo = Demo::start(&home, &[]);
    same_tree(&want, &snapshot(&mnt));
    demo.interrupt();
    let demo = Demo::start(&home, &["--fresh"]);
    assert_eq!(fs::read_dir(&mnt).unwrap().count(), 0, "a fresh demo is empty");
    demo.interrupt();
}

#[test]
fn a_fresh_demo_removes_nothing_that_is_not_a_demos() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("letter"), "dear").unwrap();
    let mut command = kith(dir.path());
    let done =
        command.arg("--home").arg(&own).args(["demo", "--fresh"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("left alone"), "{said}");
    assert_eq!(fs::read_to_string(own.join("letter")).unwrap(), "dear");
    assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
}
