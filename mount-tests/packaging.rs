//! What the package brings beside the program: `mount.kith` and the words with systemd; and a
//! real node of an ordinary user.

mod lab;

use lab::{Lab, can_mount, wait_until};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const KITH: &str = env!("CARGO_BIN_EXE_kith");

fn mount_options(dir: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().rev().find(|l| l.split(' ').nth(1) == dir.to_str())?;
    let mut words = line.split(' ');
    assert_eq!((words.next(), words.nth(1)), (Some("kith:family"), Some("fuse.kith")));
    words.next().map(str::to_string)
}

/// As mount(8) calls it: by its own name, without any environment.
fn mount_kith(lab: &Lab, words: &[&str], options: &str) -> (i32, String) {
    let helper = lab.path("mount.kith");
    if !helper.exists() {
        symlink(KITH, &helper).unwrap();
    }
    let options = format!("{options},config={}", lab.path("you").display());
    let out = Command::new(helper).args(words).args(["-o", &options]).env_clear().output().unwrap();
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn mount_kith_passes_its_options_on_or_refuses_them_by_name() {
    if !can_mount() {
        return;
    }
    let mut lab = Lab::new();
    lab.init("you");
    lab.start("you");
    lab.kith("you", &["drive", "create", "family"]).ok();
    let dir = lab.mount_dir("you");
    let at = dir.to_str().unwrap();
    let usual = "rw,noexec,nosuid,nodev,noatime,noauto,_netdev,x-systemd.automount";
    assert_eq!(mount_kith(&lab, &["kith:family", at], usual), (0, String::new()));
    let options = mount_options(&dir).expect("mounted");
    for word in ["rw", "noexec", "nosuid", "nodev", "noatime"] {
        assert!(options.split(',').any(|o| o == word), "{word} in {options}");
    }
    std::fs::write(dir.join("a"), "hello").unwrap();
    let (code, said) = mount_kith(&lab, &["family", at], "ro");
    assert!(code == 32 && said.contains(at) && said.contains("is mounted there"), "{code} {said}");
    let freed = lab.kith("you", &["unmount", at]).ok();
    assert_eq!(freed.out, format!("{at} is unmounted.\n"));
    assert_eq!(lab.kith("you", &["unmount"]).ok().out, "Nothing was mounted.\n");

    assert_eq!(mount_kith(&lab, &["family", at], "rw,ro").0, 0);
    assert!(std::fs::write(dir.join("b"), "no").is_err() && dir.join("a").exists());
    lab.kith("you", &["unmount", at]).ok();
    for (options, code, named) in [("rw,zap", 1, "zap"), ("sync", 1, "sync")] {
        let (got, said) = mount_kith(&lab, &["family", at], options);
        assert!(got == code && said.contains(named), "{options}: {got} {said}");
    }
    let (code, said) = mount_kith(&lab, &["nosuch", at], "rw");
    assert!(code == 32 && said.contains("nosuch"), "{code} {said}");
    assert_eq!(mount_options(&dir), None);
}

#[test]
fn systemd_is_told_ready_alive_and_stopping() {
    let mut lab = Lab::new();
    lab.init("you");
    let socket = UnixDatagram::bind(lab.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let next = || {
        let mut word = [0; 512];
        let n = socket.recv(&mut word).expect("a word");
        String::from_utf8_lossy(&word[..n]).into_owned()
    };
    let mut daemon = Command::new(KITH)
        .arg("--home")
        .arg(lab.path("you"))
        .args(["daemon", "--until-eof"])
        .env("NOTIFY_SOCKET", lab.path("notify"))
        .env("WATCHDOG_USEC", "400000")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(next(), "READY=1");
    for _ in 0..3 {
        assert_eq!(next(), "WATCHDOG=1");
        assert_eq!(next(), "STATUS=0 files to save, 0 friends online");
    }
    // The terminal was closed, or systemd asks for the end.
    let hangup = Command::new("kill").args(["-HUP", &daemon.id().to_string()]).status().unwrap();
    assert!(hangup.success());
    while next() != "STOPPING=1" {}
    assert!(daemon.wait().unwrap().success());
    lab.start("you"); // nothing of it is left in the way
}

const USER: u32 = 65_534;
/// Set for the run of the test inside a mount namespace, where /dev/fuse is open to all.
const INSIDE: &str = "KITH_TEST_INSIDE";

#[test]
fn an_ordinary_user_owns_what_is_in_the_drive() {
    if !can_mount() || !rustix::process::geteuid().is_root() {
        return; // everything here is then run by an ordinary user anyway
    }
    if std::fs::metadata("/dev/fuse").unwrap().permissions().mode() & 0o006 != 0o006
        && std::env::var_os(INSIDE).is_none()
    {
        let node = tempfile::tempdir().unwrap();
        let script = "mknod -m 666 \"$1/fuse\" c 10 229 && mount --bind \"$1/fuse\" /dev/fuse && \
                      exec \"$2\" --exact an_ordinary_user_owns_what_is_in_the_drive --nocapture";
        let status = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(node.path())
            .arg(std::env::current_exe().unwrap())
            .env(INSIDE, "1")
            .status()
            .unwrap();
        assert!(status.success(), "the test inside the namespace failed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(USER), Some(USER)).unwrap();
    // The user may not be able to reach the program where it was built.
    let kith = dir.path().join("kith");
    std::fs::copy(KITH, &kith).unwrap();
    let script = r#"
        set -e
        "$K" init --name user --listen 127.0.0.1:0 && "$K" drive create family && "$K" mount
        echo hello > "$HOME/Kith/a" && mkdir "$HOME/Kith/d" && cp -a "$HOME/Kith/a" "$HOME/Kith/d/"
        test "$(stat -c %u "$HOME/Kith" "$HOME/Kith/d/a" | sort -u)" = "$(id -u)"
        "$K" status | head -1
        "$K" unmount && "$K" stop
    "#;
    let done = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "timeout", "60", "sh", "-c", script])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", &home)
        .env("K", &kith)
        .output()
        .unwrap();
    // Whatever went wrong, nothing stays.
    let _ = Command::new("umount").arg("-l").arg(home.join("Kith")).stderr(Stdio::null()).status();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    wait_until("it is unmounted", Duration::from_secs(5), || mount_options(&home.join("Kith")).is_none());
}
