//! Mounting, watching, unmounting, and what a crash leaves.

use crate::harness::child::{self, User};
use crate::harness::memfs::MemFs;
use crate::harness::{Mounted, PATIENCE, eventually, promise, runtime};
use kithfs::drive::{Caller, Files, ROOT_INO, SetAttr};
use kithfs::mount::{FS_TYPE, MountError, MountOptions, clear_stale, is_dead, mount};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the child of this test program is to mount.
const CHILD_DIR: &str = "KITH_TEST_CHILD_DIR";

/// Not a test by itself: run as a child process, it mounts and waits to be killed.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let runtime = runtime();
    let options = MountOptions::default();
    let files = Arc::new(MemFs::default());
    let mounted = mount(Path::new(&dir), "child", files, &options, runtime.handle().clone());
    let mounted = mounted.unwrap_or_else(|e| panic!("{e}"));
    fs::write(mounted.dir().join("made-by-child"), b"x").unwrap();
    println!("mounted");
    std::thread::sleep(Duration::from_secs(600));
}

/// Runs the child with `wrap` before it and waits until it has mounted.
pub fn spawn_child(program: &Path, wrap: &[&str], dir: &Path) -> Child {
    let mut words: Vec<&std::ffi::OsStr> = wrap.iter().map(std::ffi::OsStr::new).collect();
    words.push(program.as_os_str());
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .args(["--exact", "session_test::child", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Not the mount table: a dead mount of an earlier child looks the same in it.
    let said = BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap().contains("mounted")), "the child has mounted");
    child
}

pub fn mount_line(dir: &Path) -> Option<String> {
    let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let dir = format!(" {} ", dir.display());
    all.lines().rev().find(|line| line.contains(&dir)).map(str::to_owned)
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

#[test]
fn type_and_source() {
    let m = Mounted::new();
    let line = mount_line(m.dir()).unwrap();
    assert!(line.contains(&format!(" - {FS_TYPE} kith:test ")), "{line}");
    assert!(line.contains("nosuid") && line.contains("nodev"), "{line}");
}

#[test]
fn an_unmount_leaves_a_plain_empty_directory() {
    let mut m = Mounted::new();
    let dir = m.dir().to_owned();
    fs::write(m.path("a"), b"x").unwrap();
    assert!(m.unmount(PATIENCE));
    assert_eq!(mount_line(&dir), None);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    fs::remove_dir(&dir).unwrap();
}

#[test]
fn a_mount_in_use_is_detached_after_the_wait() {
    let mut m = Mounted::new();
    let dir = m.dir().to_owned();
    fs::write(m.path("a"), b"still readable").unwrap();
    let held = fs::File::open(m.path("a")).unwrap();
    let start = Instant::now();
    assert!(!m.unmount(Duration::from_millis(300)), "it was in use");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(mount_line(&dir), None);
    // Whoever holds a file keeps it.
    assert_eq!(std::io::read_to_string(&held).unwrap(), "still readable");
}

#[test]
fn the_end_is_told_when_somebody_else_unmounts() {
    let m = Mounted::new();
    let ended = m.handle().ended();
    assert!(!m.handle().has_ended());
    let status = Command::new("fusermount3").arg("-u").arg(m.dir()).status().unwrap();
    assert!(status.success());
    runtime().block_on(async { tokio::time::timeout(PATIENCE, ended).await }).expect("it is told");
    assert!(m.handle().has_ended());
    assert!(!m.handle().probe(PATIENCE));
}

#[test]
fn the_heartbeat_needs_no_user() {
    let m = Mounted::new();
    for _ in 0..3 {
        let before = m.handle().heartbeat();
        assert!(m.handle().probe(PATIENCE));
        assert!(m.handle().heartbeat() > before);
    }
}

#[test]
fn a_second_mount_at_the_same_place_is_refused() {
    let m = Mounted::new();
    let runtime = runtime();
    let again = || {
        let files = Arc::new(MemFs::default());
        mount(m.dir(), "b", files, &MountOptions::default(), runtime.handle().clone())
    };
    assert!(
        matches!(again(), Err(MountError::AlreadyMounted { source_name, .. }) if source_name == "kith:test")
    );
}

#[test]
fn read_only_is_read_only() {
    let m = Mounted::with(&MountOptions { read_only: true, ..MountOptions::default() });
    let error = fs::write(m.path("a"), b"x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
}

#[test]
fn everything_is_shown_as_one_users_and_made_as_the_drives() {
    promise(
        "A mount with `uid=` and `gid=` shows everything as that user's and group's, and stores what is made as the drive's owner's.",
    );
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT RUN (needs root): the drive belongs to somebody else");
        return;
    }
    let m = Mounted::with(&MountOptions { uid: Some(1234), gid: Some(77), ..MountOptions::default() });
    let (uid, gid) = (Some(5), Some(6));
    let root = Caller { uid: 0, gid: 0, pid: 0, umask: 0 };
    m.files.setattr(ROOT_INO, SetAttr { uid, gid, ..SetAttr::default() }, root).unwrap();
    fs::write(m.path("f"), b"x").unwrap();
    fs::create_dir(m.path("d")).unwrap();
    std::os::unix::fs::symlink("f", m.path("l")).unwrap();
    for name in ["f", "d", "l"] {
        let shown = fs::symlink_metadata(m.path(name)).unwrap();
        assert_eq!((shown.uid(), shown.gid()), (1234, 77), "{name}");
        let stored = m.files.getattr(shown.ino()).unwrap();
        assert_eq!((stored.uid, stored.gid), (5, 6), "{name}");
    }
    let given = |uid| chown(m.path("f"), Some(uid), None).map_err(|e| e.raw_os_error());
    assert_eq!(given(1234), Ok(()));
    assert_eq!(given(1235), Err(Some(rustix::io::Errno::PERM.raw_os_error())));
    assert_eq!(m.files.getattr(fs::metadata(m.path("f")).unwrap().ino()).unwrap().uid, 5);
}

#[test]
fn others_are_let_in_only_where_that_was_asked_for() {
    if !child::may_change_users() {
        return;
    }
    for (allow_other, expected) in [(true, "1 bytes"), (false, "Some(Os { code: 13")] {
        let m = Mounted::with(&MountOptions { allow_other, ..MountOptions::default() });
        fs::write(m.path("f"), b"x").unwrap();
        let came = child::run(m.dir(), Some(User(1234, 1234)), &["read", "f"]);
        assert!(came.starts_with(expected), "{allow_other}: {came}");
    }
}

#[test]
fn blanks_and_links_in_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("a b");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
    let runtime = runtime();
    let at = dir.path().join("link");
    let files = Arc::new(MemFs::default());
    let m = mount(&at, "x", files, &MountOptions::default(), runtime.handle().clone()).unwrap();
    assert_eq!(m.dir(), real.canonicalize().unwrap());
    fs::write(at.join("f"), b"x").unwrap();
    assert!(m.unmount(PATIENCE).unwrap());
}

#[test]
fn what_a_crash_leaves_is_cleared_by_the_next_mount() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("Kith");
    // Two crashes, the second over the first's remains.
    for _ in 0..2 {
        let mut child = spawn_child(&this_program(), &["env"], &at);
        assert!(at.join("made-by-child").exists());
        child.kill().unwrap();
        child.wait().unwrap();
        eventually("the mount is dead", || is_dead(&at));
    }
    let runtime = runtime();
    let files = Arc::new(MemFs::default());
    let m = mount(&at, "next", files, &MountOptions::default(), runtime.handle().clone()).unwrap();
    fs::write(at.join("alive"), b"x").unwrap();
    assert!(mount_line(&at).unwrap().contains("kith:next"));
    assert!(m.unmount(PATIENCE).unwrap());
    assert_eq!(mount_line(&at), None, "no layers left below");
    assert!(!clear_stale(&at).unwrap());
}
