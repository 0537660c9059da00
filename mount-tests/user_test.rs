//! An ordinary user's mount, through the set-uid fusermount3 and without /etc/fuse.conf.

use crate::harness::eventually;
use crate::session_test::{mount_line, spawn_child};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

const USER: u32 = 65_534;
const AS_USER: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Runs a shell command as the user; true if it succeeded.
fn as_user(command: &str) -> bool {
    Command::new(AS_USER[0]).args(&AS_USER[1..]).args(["sh", "-c", command]).status().unwrap().success()
}

/// Set for the run of this test inside a mount namespace of its own.
const INSIDE: &str = "KITH_TEST_INSIDE";

/// Where /dev/fuse is closed to users (it is open to all on a desktop), gives them one of their
/// own, in a mount namespace that ends with this test.
fn run_with_an_open_device() -> bool {
    let mode = fs::metadata("/dev/fuse").unwrap().permissions().mode();
    if mode & 0o006 == 0o006 || std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let node = tempfile::tempdir().unwrap();
    let script = "mknod -m 666 \"$1/fuse\" c 10 229 && mount --bind \"$1/fuse\" /dev/fuse && \
                  exec \"$2\" --exact user_test::a_user_mounts_crashes_mounts_again_and_unmounts --nocapture";
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(node.path())
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "the test inside the namespace failed");
    true
}

#[test]
fn a_user_mounts_crashes_mounts_again_and_unmounts() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT RUN (needs root): this test changes users");
        return;
    }
    if run_with_an_open_device() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The user may not be able to reach the program where it was built.
    let program = dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(USER), Some(USER)).unwrap();
    let at = home.join("Kith");
    for _ in 0..2 {
        let mut child = spawn_child(&program, &AS_USER, &at);
        let line = mount_line(&at).unwrap();
        assert!(line.contains(" - fuse.kith kith:child ") && line.contains("user_id=65534"), "{line}");
        let own = format!("cd {} && echo hello > a && grep -q hello a && rm a && ls -la", at.display());
        assert!(as_user(&own), "the user works in it");
        // Root stays outside: that is FUSE's default, and not for us to break.
        assert!(fs::read_dir(&at).is_err());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(as_user(&format!("fusermount3 -uz {}", at.display())));
    eventually("it is gone", || mount_line(&at).is_none());
}
