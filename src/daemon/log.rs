//! The daemon's log. It goes to standard error; where that is `kith.log` of the home, as it is
//! for a daemon that was started in the background, the file is put aside when it is long, and
//! one put aside before it goes: a log that nobody reads must not fill the disk.

use super::home::Home;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes of the log; of what was before, as much again is kept.
const LOG_MAX: u64 = 8 << 20;

/// The log, to be written by a daemon that is about to be started.
pub fn open(home: &Home) -> io::Result<File> {
    std::fs::create_dir_all(&home.state)?;
    if std::fs::metadata(home.log()).is_ok_and(|m| m.len() >= LOG_MAX) {
        std::fs::rename(home.log(), aside(&home.log()))?;
    }
    append(&home.log())
}

/// Where this process writes its log from now on.
pub fn writer(home: &Home) -> Box<dyn Write + Send> {
    match LogFile::of(home.log(), LOG_MAX) {
        Ok(Some(log)) => Box::new(log),
        // A terminal, or systemd: bounded there.
        Ok(None) => Box::new(io::stderr()),
        Err(e) => {
            // Not eprintln, which panics where nothing can be written.
            let _ = writeln!(io::stderr(), "kith: {} is not kept short: {e}", home.log().display());
            Box::new(io::stderr())
        }
    }
}

/// Where the log goes when it is long.
fn aside(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_os_string();
    name.push(".1");
    PathBuf::from(name)
}

fn append(log: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(log)
}

/// A log file that stays short.
struct LogFile {
    path: PathBuf,
    file: File,
    len: u64,
    max: u64,
    /// Standard error goes to it as well: what is printed, and what a panic says.
    stderr: bool,
}

impl LogFile {
    /// The file at `path`, if standard error goes there.
    fn of(path: PathBuf, max: u64) -> io::Result<Option<LogFile>> {
        let here = match rustix::fs::stat(&path) {
            Ok(stat) => (stat.st_dev, stat.st_ino),
            Err(_) => return Ok(None),
        };
        let stderr = rustix::fs::fstat(io::stderr())?;
        match (stderr.st_dev, stderr.st_ino) == here {
            true => LogFile::open(path, max, true).map(Some),
            false => Ok(None),
        }
    }

    fn open(path: PathBuf, max: u64, stderr: bool) -> io::Result<LogFile> {
        let file = append(&path)?;
        let len = file.metadata()?.len();
        Ok(LogFile { path, file, len, max, stderr })
    }

    /// Begin anew, with what there is put aside.
    fn turn(&mut self) -> io::Result<()> {
        if let Err(e) = std::fs::rename(&self.path, aside(&self.path)) {
            // What cannot be put aside goes: the bound is kept in any case.
            self.file.set_len(0)?;
            self.len = 0;
            return writeln!(self.file, "the log before this was not kept: {e}");
        }
        self.file = append(&self.path)?;
        self.len = 0;
        if self.stderr {
            rustix::stdio::dup2_stderr(&self.file)?;
        }
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.len >= self.max {
            self.turn()?;
        }
        let written = self.file.write(line)?;
        self.len = self.len.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_log_is_put_aside_when_it_is_long_and_only_the_last_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kith.log");
        let mut log = LogFile::open(path.clone(), 100, false).unwrap();
        for i in 0..1000 {
            log.write_all(format!("line {i}\n").as_bytes()).unwrap();
        }
        let (now, before) = (read(&path), read(&aside(&path)));
        assert!(now.len() < 120 && before.len() < 120, "{} and {}", now.len(), before.len());
        let lines: Vec<String> = before.lines().chain(now.lines()).map(String::from).collect();
        let last: Vec<String> = (1000 - lines.len()..1000).map(|i| format!("line {i}")).collect();
        assert_eq!(lines, last, "no line is lost between the two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        // One that is opened again goes on where it was.
        let mut log = LogFile::open(path.clone(), 100, false).unwrap();
        log.write_all(&[b'x'; 100]).unwrap();
        log.write_all(b"new\n").unwrap();
        assert_eq!(read(&path), "new\n");
    }

    #[test]
    fn a_log_that_was_left_long_is_put_aside_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        writeln!(open(&home).unwrap(), "first").unwrap();
        drop(open(&home).unwrap());
        assert_eq!(read(&home.log()), "first\n", "a short one goes on");
        std::fs::OpenOptions::new().write(true).open(home.log()).unwrap().set_len(LOG_MAX).unwrap();
        drop(open(&home).unwrap());
        assert_eq!(std::fs::metadata(home.log()).unwrap().len(), 0);
        assert_eq!(std::fs::metadata(aside(&home.log())).unwrap().len(), LOG_MAX);
    }

    const CHILD: &str = "KITH_TEST_LOG";

    #[test]
    fn standard_error_goes_on_into_the_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kith.log");
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "daemon::log::tests::a_process_whose_log_turns", "--ignored", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(append(&path).unwrap())
            .status();
        assert!(ended.unwrap().success());
        assert!(read(&aside(&path)).ends_with(&"x".repeat(100)));
        assert_eq!(read(&path), "logged\nprinted\n");
    }

    #[test]
    #[ignore = "the process of the test above"]
    fn a_process_whose_log_turns() {
        let Some(path) = std::env::var_os(CHILD) else { return };
        let mut log = LogFile::of(path.into(), 100).unwrap().expect("standard error goes there");
        log.write_all(&[b'x'; 100]).unwrap();
        log.write_all(b"logged\n").unwrap();
        eprintln!("printed");
    }

    #[test]
    fn what_is_not_standard_error_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kith.log");
        assert!(LogFile::of(path.clone(), 1).unwrap().is_none(), "there is none");
        std::fs::write(&path, "old").unwrap();
        assert!(LogFile::of(path, 1).unwrap().is_none(), "standard error is something else");
    }
}
