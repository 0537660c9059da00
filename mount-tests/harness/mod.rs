//! Running one case on a mount and on the local disk, and comparing what came of it.

pub mod child;
pub mod memfs;
pub mod real;
pub mod sys;

pub use crate::promises::promise;
use kithfs::mount::{MountHandle, MountOptions, mount};
use memfs::MemFs;
use real::RealMount;
use std::fmt::{Debug, Display};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a test waits for the kernel and other threads at most.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A mounted filesystem, taken down when dropped.
pub struct Mounted {
    pub files: Arc<MemFs>,
    handle: Option<MountHandle>,
    runtime: Option<Runtime>,
    _dir: TempDir,
}

/// The threads that a mount's requests run on.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

impl Mounted {
    pub fn new() -> Mounted {
        Mounted::with(&MountOptions::default())
    }

    pub fn with(options: &MountOptions) -> Mounted {
        let dir = tempfile::tempdir().expect("a directory");
        let (runtime, files) = (runtime(), Arc::new(MemFs::default()));
        let at = dir.path().join("mount");
        let handle = mount(&at, "test", files.clone(), options, runtime.handle().clone())
            .expect("FUSE is there and lets us mount");
        Mounted { files, handle: Some(handle), runtime: Some(runtime), _dir: dir }
    }

    pub fn dir(&self) -> &Path {
        self.handle().dir()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn handle(&self) -> &MountHandle {
        self.handle.as_ref().expect("mounted")
    }

    /// Unmounts; true if nothing was in use.
    pub fn unmount(&mut self, wait: Duration) -> bool {
        self.handle.take().expect("mounted").unmount(wait).expect("it unmounts")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = handle.unmount(Duration::from_secs(2));
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What came of a case, line by line.
pub struct Trace {
    lines: Vec<String>,
    base: PathBuf,
}

impl Trace {
    /// One outcome: the value, or the errno.
    pub fn say<T: Debug, E: Into<io::Error>>(
        &mut self,
        what: impl Display,
        outcome: Result<T, E>,
    ) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.lines.push(format!("{what}: {value:?}"));
                Some(value)
            }
            Err(e) => {
                let e: io::Error = e.into();
                let errno = e.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
                self.lines.push(format!("{what}: {errno:?}"));
                None
            }
        }
    }

    /// One outcome of which only success or errno counts.
    pub fn did<T, E: Into<io::Error>>(&mut self, what: impl Display, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.say(what, Ok::<_, io::Error>(()));
                Some(value)
            }
            Err(e) => {
                self.say(what, Err::<(), _>(e));
                None
            }
        }
    }

    pub fn note(&mut self, what: impl Debug) {
        self.lines.push(format!("{what:?}"));
    }

    /// What stat(2) says, but for times, inode numbers and sizes of directories.
    pub fn stat(&mut self, path: &Path) {
        let name = path.strip_prefix(&self.base).unwrap_or(path).display().to_string();
        self.say(format!("stat {name}"), std::fs::symlink_metadata(path).map(|m| describe(&m)));
    }
}

fn describe(m: &Metadata) -> String {
    let t = m.file_type();
    let kind = match () {
        () if t.is_dir() => "dir",
        () if t.is_symlink() => "symlink",
        () if t.is_fifo() => "fifo",
        () if t.is_socket() => "socket",
        () if t.is_block_device() => "block",
        () if t.is_char_device() => "char",
        () => "file",
    };
    let size = if t.is_dir() { 0 } else { m.size() };
    let (mode, links, owner) = (m.mode() & 0o7777, m.nlink(), (m.uid(), m.gid()));
    format!("{kind} {mode:o} links {links} owner {owner:?} size {size} rdev {:x}", m.rdev())
}

/// Runs `case` in an empty directory of the local disk, of a mount of files in memory (which is
/// the adapter alone) and of a real drive; all must tell the same.
pub fn compare(case: impl Fn(&Path, &mut Trace)) {
    let run = |dir: &Path| {
        let mut trace = Trace { lines: Vec::new(), base: dir.into() };
        case(dir, &mut trace);
        trace.lines
    };
    let local = tempfile::tempdir().expect("a directory");
    let expected = run(local.path());
    assert!(!expected.is_empty(), "the case says nothing");
    // As root cases also do things as others, who are kept out otherwise.
    let allow_other = rustix::process::geteuid().is_root();
    let in_memory = Mounted::with(&MountOptions { allow_other, ..MountOptions::default() });
    same("files in memory", &expected, &run(in_memory.dir()));
    let real = RealMount::shared();
    same("a drive", &expected, &run(&real.case_dir()));
}

fn same(what: &str, expected: &[String], got: &[String]) {
    for (i, (e, g)) in expected.iter().zip(got).enumerate() {
        assert_eq!(g, e, "line {i}: {what} (left) differs from the disk\n{got:#?}");
    }
    assert_eq!(got.len(), expected.len(), "{what}: {got:#?}\n{expected:#?}");
}

/// Waits until `true` or PATIENCE is over.
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !check() {
        assert!(std::time::Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
