//! A process that holds handles: this test program again. It does what it is told on the local
//! disk and on the drive, and tells what came of both.

use super::differences::{attributes, bytes, said};
use super::op::{Op, SLOTS};
use super::perform::perform;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// The two directories, separated by a character that no path here has.
const ROOTS: &str = "KITH_MODEL_ACTOR";
const BETWEEN: char = '\u{1f}';
/// What stands before an answer in what the process prints.
const CAME: &str = "came: ";
/// A call that takes longer is called hung.
const PATIENCE: Duration = Duration::from_secs(90);

/// What came of one operation.
#[derive(Serialize, Deserialize, Debug)]
pub struct Came {
    pub disk: String,
    pub drive: String,
}

/// One side of what is compared: a directory, and what is open in it.
pub struct Side {
    pub root: PathBuf,
    pub slots: Vec<Option<File>>,
}

impl Side {
    fn new(root: &str) -> Side {
        Side { root: root.into(), slots: (0..SLOTS).map(|_| None).collect() }
    }
    fn perform(&mut self, op: &Op) -> String {
        match op {
            Op::CheckOpen => self.slots.iter().map(check).collect::<Vec<_>>().join("; "),
            Op::CloseAll => {
                self.slots.iter_mut().for_each(|slot| *slot = None);
                "closed".into()
            }
            op => perform(self, op),
        }
    }
}

/// An open file in words, read from its begin to its end.
fn check(slot: &Option<File>) -> String {
    use std::os::unix::fs::FileExt;
    let Some(file) = slot else { return "-".into() };
    let whole = || -> std::io::Result<String> {
        let meta = file.metadata()?;
        let mut data = vec![0; meta.len() as usize + 1];
        let mut got = 0;
        // A handle for writing alone, and one on a directory, say so here, on both sides.
        while got < data.len() {
            match file.read_at(&mut data[got..], got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) => return Ok(format!("{} {}", attributes(&meta), said::<String>(Err(e)))),
            }
        }
        Ok(format!("{} {}", attributes(&meta), bytes(&data[..got])))
    };
    said(whole())
}

/// Not a test by itself: does what it is told on its standard input.
#[test]
fn act() {
    let Ok(roots) = std::env::var(ROOTS) else { return };
    let (disk, drive) = roots.split_once(BETWEEN).expect("two directories");
    let (mut disk, mut drive) = (Side::new(disk), Side::new(drive));
    println!();
    for line in std::io::stdin().lines() {
        let op: Op = serde_json::from_str(&line.expect("a line")).expect("an operation");
        let came = Came { disk: disk.perform(&op), drive: drive.perform(&op) };
        println!("{CAME}{}", serde_json::to_string(&came).expect("JSON"));
    }
}

/// The process, as the tester has it; ends when dropped.
pub struct Actor {
    child: Child,
    to: ChildStdin,
    from: Receiver<Came>,
}

impl Actor {
    pub fn new(disk: &Path, drive: &Path) -> Actor {
        let roots = format!("{}{BETWEEN}{}", disk.display(), drive.display());
        let mut child = Command::new("/proc/self/exe")
            .args(["--exact", "actor::act", "--nocapture"])
            .env(ROOTS, roots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let to = child.stdin.take().expect("piped");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, from) = channel();
        std::thread::spawn(move || {
            let lines = out.lines().map_while(Result::ok);
            for line in lines {
                let came = line.strip_prefix(CAME).and_then(|json| serde_json::from_str(json).ok());
                if came.is_some_and(|came| tell.send(came).is_err()) {
                    break;
                }
            }
        });
        Actor { child, to, from }
    }

    pub fn perform(&mut self, op: &Op) -> Result<Came, String> {
        let line = serde_json::to_string(op).expect("JSON");
        writeln!(self.to, "{line}").map_err(|e| format!("the process is gone: {e}"))?;
        self.from.recv_timeout(PATIENCE).map_err(|e| format!("no answer ({e})"))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // One that hangs in the kernel ends when the mount goes, so it is not waited for.
        let _ = self.child.kill();
        for _ in 0..200 {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
