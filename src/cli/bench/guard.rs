//! Nothing is left behind, however the measuring ends: a child measures, and its parent unmounts
//! and removes what it made, also after Ctrl-C and when the child is killed.

use super::failed;
use crate::cli::node_process;
use crate::daemon::api::{Exit, Outcome, Trouble};
use crate::daemon::home::Home;
use crate::mount::clear_below;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// Mounts that end need a moment; tried so often, so far apart.
const CLEAR_TRIES: usize = 20;
const CLEAR_PAUSE: Duration = Duration::from_millis(250);

/// Run this command line again in a child that measures in `dir`, and clear up behind it. Comes
/// back only when there is something to say that the child has not said.
pub fn supervise(dir: &Path) -> Outcome<()> {
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    // Mounts are known by their real names.
    let dir = dir.canonicalize().map_err(|e| failed(dir, e))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Trouble::new("cannot start", e, "try again"))?;
    let ended = runtime.block_on(wait(&dir));
    clear(&dir)?;
    match ended? {
        Some(status) if status.success() => Ok(()),
        // It has said why.
        Some(status) if status.code().is_some() => {
            std::process::exit(status.code().unwrap_or(Exit::Failed as i32))
        }
        Some(status) => Err(failed("the measuring process", status)),
        None => Err(Trouble::new("bench: not measured to the end", "interrupted", "start it again")),
    }
}

fn start(dir: &Path) -> Outcome<Child> {
    let trouble = |e| Trouble::new("bench: the measuring process", e, "try again");
    Command::new(std::env::current_exe().map_err(trouble)?)
        .args(std::env::args_os().skip(1))
        .arg("--ground")
        .arg(dir)
        .stdin(Stdio::piped())
        // Its own group, with the programs that it runs: a Ctrl-C is for this process.
        .process_group(0)
        .spawn()
        .map_err(trouble)
}

/// How the child ended; None when it was interrupted.
async fn wait(dir: &Path) -> Outcome<Option<ExitStatus>> {
    use tokio::signal::unix::{SignalKind, signal};
    let trouble = |e| Trouble::new("cannot listen for signals", e, "try again");
    let mut term = signal(SignalKind::terminate()).map_err(trouble)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(trouble)?;
    let mut child = start(dir)?;
    // Held until the end: its closing tells the child that this process is gone.
    let pipe = child.stdin.take();
    let pid = child.id();
    let ended = tokio::select! {
        _ = term.recv() => None,
        _ = interrupt.recv() => None,
        _ = hangup.recv() => None,
        status = child.wait() => Some(status.map_err(|e| failed("the measuring process", e))?),
    };
    // The programs that it ran, and itself if it was interrupted. Its nodes see their pipes close
    // and end in order.
    if let Some(group) = pid.and_then(|p| i32::try_from(p).ok()).and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    if ended.is_none() {
        let _ = child.wait().await;
    }
    drop(pipe);
    Ok(ended)
}

/// Directories of nodes below the ground: a grid's directory holds one for each.
fn nodes(dir: &Path) -> Vec<PathBuf> {
    let below = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    // What is mounted is not looked into: it may be dead, or not answer.
    let grids = below(dir.to_path_buf()).filter(|d| !is_mount_name(d));
    grids.flat_map(below).filter(|d| Home::below(d).lock().exists()).collect()
}

/// Everything that is mounted on the ground has a name of this form.
pub fn mount_name(name: &str) -> String {
    format!("mnt-{name}")
}

fn is_mount_name(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("mnt-"))
}

/// Wait for nodes, unmount what is left, remove the directory.
fn clear(dir: &Path) -> Outcome<()> {
    for node in nodes(dir) {
        node_process::wait_end(&Home::below(&node))?;
    }
    let mut last = None;
    for _ in 0..CLEAR_TRIES {
        // Removed only when nothing is mounted: a tree that lives elsewhere is not to be emptied.
        match clear_below(dir) {
            Ok(0) => match std::fs::remove_dir_all(dir) {
                Ok(()) => return Ok(()),
                Err(e) => last = Some(e),
            },
            Ok(_) => {}
            Err(e) => last = Some(e),
        }
        std::thread::sleep(CLEAR_PAUSE);
    }
    let why = last.map_or_else(|| "something is mounted there again and again".into(), |e| e.to_string());
    Err(Trouble::new(
        format!("bench: {} is left", dir.display()),
        why,
        "unmount what is below it, and remove it",
    ))
}

/// The measuring process ends when its parent does, and leaves nothing mounted.
pub fn end_with_parent(dir: &Path) {
    let dir = dir.to_path_buf();
    let watch = move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        // Nobody is there to be told.
        let _ = clear_below(&dir);
        std::process::exit(Exit::Failed as i32);
    };
    // Without the watch a parent that is killed leaves this process measuring to its end.
    let _ = std::thread::Builder::new().name("kith-bench-parent".into()).spawn(watch);
}
