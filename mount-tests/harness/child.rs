//! Acts in a process of its own, as somebody else where root runs the tests: this test program
//! again, told by its environment what to do.

use super::sys::{Lock, Want, set_lock};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the child is to do: words, separated by a character that no path here has.
const ACT: &str = "KITH_TEST_ACT";
const BETWEEN: &str = "\u{1f}";
/// What stands before the outcome in what the child prints.
const CAME: &str = "outcome: ";

/// Numbers of a user and a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User(pub u32, pub u32);

/// Whether this process may become others; says so if not.
pub fn may_change_users() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("NOT RUN (needs root): this test changes users");
    }
    root
}

/// Not a test by itself: does what the environment says.
#[test]
fn act() {
    let Ok(words) = std::env::var(ACT) else { return };
    let words: Vec<&str> = words.split(BETWEEN).collect();
    let outcome = match perform(&words) {
        Ok(said) => said,
        Err(e) => errno(&e),
    };
    println!("\n{CAME}{outcome}");
}

fn errno(e: &io::Error) -> String {
    format!("{:?}", e.raw_os_error().map(rustix::io::Errno::from_raw_os_error))
}

fn perform(words: &[&str]) -> io::Result<String> {
    match words {
        ["read", path] => fs::read(path).map(|bytes| format!("{} bytes", bytes.len())),
        ["append", path] => {
            let mut file = OpenOptions::new().append(true).open(path)?;
            file.write_all(b"y").map(|()| "appended".into())
        }
        ["setxattr", path, name, hex] => {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let value: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            rustix::fs::lsetxattr(*path, *name, &value, rustix::fs::XattrFlags::empty())?;
            Ok("set".into())
        }
        ["lock", kind, want, start, len, path] => {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            lock(&file, kind, want, start.parse().unwrap(), len.parse().unwrap()).map(|()| "locked".into())
        }
        ["hold", kind, path] => {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            lock(&file, kind, "write", 0, 0)?;
            println!("\nholding");
            // Until it is killed, or forgotten.
            std::thread::sleep(super::PATIENCE * 6);
            Ok("held".into())
        }
        ["append-many", path, byte, times] => {
            let mut file = OpenOptions::new().append(true).open(path)?;
            let piece = [byte.parse().unwrap(); 10];
            (0..times.parse().unwrap()).try_for_each(|_: u32| file.write_all(&piece))?;
            Ok("appended".into())
        }
        ["unlink", path] => fs::remove_file(path).map(|()| "gone".into()),
        ["rename", from, to] => fs::rename(from, to).map(|()| "moved".into()),
        ["create", path] => fs::File::create_new(path).map(|_| "made".into()),
        ["chown", path, uid, gid] => {
            let id = |word: &str| word.parse().ok();
            std::os::unix::fs::lchown(path, id(uid), id(gid)).map(|()| "given".into())
        }
        ["chmod", path, mode] => {
            let mode = u32::from_str_radix(mode, 8).unwrap();
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).map(|()| "changed".into())
        }
        ["touch", path] => {
            let now = filetime::FileTime::now();
            filetime::set_file_times(path, now, now).map(|()| "now".into())
        }
        ["touch-to", path] => {
            let then = filetime::FileTime::from_unix_time(7, 0);
            filetime::set_file_times(path, then, then).map(|()| "then".into())
        }
        other => panic!("no such act: {other:?}"),
    }
}

/// Takes a lock without waiting.
fn lock(file: &fs::File, kind: &str, want: &str, start: i64, len: i64) -> io::Result<()> {
    let range =
        |lock| set_lock(file, lock, if want == "read" { Want::Read } else { Want::Write }, start, len);
    match (kind, want) {
        ("posix", _) => range(Lock::Posix),
        ("ofd", _) => range(Lock::Ofd),
        (_, "read") => file.try_lock_shared().map_err(io::Error::from),
        _ => file.try_lock().map_err(io::Error::from),
    }
}

/// Does something in `dir` in a new process, and tells what came of it: a word, or the errno.
pub fn run(dir: &Path, user: Option<User>, words: &[&str]) -> String {
    let output = match start(dir, user, words).output() {
        Ok(output) => output,
        // It could not even enter the directory.
        Err(e) => return errno(&e),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().find_map(|line| line.strip_prefix(CAME));
    found.unwrap_or_else(|| panic!("{words:?}: {output:?}")).to_owned()
}

/// The process that does it.
pub fn start(dir: &Path, user: Option<User>, words: &[&str]) -> Command {
    // By way of /proc: another user may not be able to reach where it was built.
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "harness::child::act", "--nocapture"]);
    command.env(ACT, words.join(BETWEEN)).current_dir(dir).stdin(Stdio::null()).stderr(Stdio::piped());
    if let Some(User(uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
