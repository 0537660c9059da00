//! The daemon as a process: lock, log, signals, systemd, and an orderly end.

use super::api::{Exit, Outcome, Trouble};
use super::config::Config;
use super::control;
use super::home::Home;
use super::keyring::Keyring;
use super::node::{Node, NodeSetup};
use super::notify::{notify, watchdog};
use super::runner::Runner;
use super::setup::real_world;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How the daemon is started.
pub struct RunOptions {
    /// Drives and where to mount them once running.
    pub mounts: Vec<(String, PathBuf)>,
    /// End when standard input ends.
    pub until_eof: bool,
    pub passphrase: Option<String>,
    /// Leave the terminal and the directory it was started from.
    pub background: bool,
}

/// Between two looks at the mounts. The watchdog is fed as often, oftener if it asks for that.
const PULSE: Duration = Duration::from_secs(15);

/// One daemon per home: the lock is held until the process ends, however it ends.
fn lock(home: &Home) -> Outcome<File> {
    let path = home.lock();
    let open = || -> std::io::Result<File> {
        std::fs::create_dir_all(&home.state)?;
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)
    };
    let file = open().map_err(|e| {
        Trouble::new(format!("cannot open {}", path.display()), e, "check the directory's owner and room")
    })?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Trouble::new(
            "the daemon does not start",
            format!("another one runs for {}", home.state.display()),
            "use that one, or stop it: kith stop",
        )
    })?;
    // For those who look for the socket elsewhere. No reason to stay away, on a full disk say.
    let socket = home.socket();
    let socket = socket.as_os_str().as_bytes();
    if !std::fs::read(&path).is_ok_and(|noted| noted == socket)
        && let Err(e) = file.set_len(0).and_then(|()| (&file).write_all(socket))
    {
        tracing::warn!("{} does not say where the socket is: {e}", path.display());
    }
    Ok(file)
}

fn start_log(home: &Home) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KITH_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,kithfs=info"));
    // A second subscriber in one process (tests) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::sync::Mutex::new(super::log::writer(home)))
        .with_ansi(false)
        .with_target(false)
        // A line that a full disk does not take is no reason to print another one to the same
        // place, which would panic in whatever thread had something to say.
        .log_internal_errors(false)
        .try_init();
}

/// Run the node until it is told to end.
pub fn run(home: &Home, options: RunOptions) -> Outcome<()> {
    start_log(home);
    if options.background {
        // Neither a closed terminal nor a Ctrl-C in it is for this process, and it keeps no disk
        // from being unmounted. Where that is refused it runs all the same.
        let left = rustix::process::setsid().map(|_| ()).and_then(|()| rustix::process::chdir("/"));
        if let Err(e) = left {
            tracing::warn!("still at the terminal: {e}");
        }
    }
    // Keys must not end in a core file; where the kernel refuses, the daemon still runs.
    if let Err(e) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!("core files stay possible: {e}");
    }
    let _lock = lock(home)?;
    // The portable codec is used then: slower, the same bytes.
    if let Err(slow) = crate::content::check_cpu() {
        tracing::warn!("{slow}");
    }
    let config = Config::load(home)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("kith")
        .build()
        .map_err(|e| Trouble::new("the daemon does not start", e, "check memory and process limits"))?;
    let ended = runtime.block_on(serve(home, config, options));
    // Blocking work that hangs on a dead disk must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(3));
    ended
}

async fn serve(home: &Home, config: Config, options: RunOptions) -> Outcome<()> {
    let world = real_world();
    let keyring = Keyring::open(&world, home, options.passphrase.as_deref()).await?;
    let node = Node::open(NodeSetup { world, home: home.clone(), config, keyring }).await?;
    let listener = control::bind(home)?;
    let runner = Arc::new(Runner::new(node.clone()));
    let serving = tokio::spawn(control::serve(listener, runner.clone()));
    let mut result = Ok(());
    for (name, dir) in &options.mounts {
        if let Err(t) = runner.mount_at_start(name, dir).await {
            result = Err(t);
        }
    }
    if result.is_ok() {
        tell("READY=1");
        let pulse = tokio::spawn(pulse(runner.clone()));
        result = until_told(&runner, options.until_eof).await;
        pulse.abort();
    }
    tell("STOPPING=1");
    serving.abort();
    let unmounted = runner.mounts.unmount(None).await;
    node.close().await;
    // The socket may be gone already; the lock tells the truth.
    let _ = std::fs::remove_file(home.socket());
    for dir in unmounted.iter().flat_map(|u| &u.busy) {
        tracing::warn!("{} was still in use and is detached", dir.display());
    }
    result.and(unmounted.map(|_| ()))
}

fn tell(state: &str) {
    if let Err(e) = notify(state) {
        tracing::debug!("systemd was not told {state}: {e}");
    }
}

/// Looks at the mounts and feeds the watchdog while all of them answer.
async fn pulse(runner: Arc<Runner>) {
    let mut pulse = tokio::time::interval(watchdog().map_or(PULSE, |w| PULSE.min(w / 2)));
    loop {
        pulse.tick().await;
        runner.mounts.sweep();
        let silent = runner.mounts.silent().await;
        for dir in &silent {
            tracing::error!("the mount at {} does not answer", dir.display());
        }
        if silent.is_empty() {
            tell("WATCHDOG=1");
            tell(&format!("STATUS={}", runner.one_line().await));
        }
    }
}

/// Wait for a signal, for standard input to end, or for `kith stop`.
async fn until_told(runner: &Arc<Runner>, until_eof: bool) -> Outcome<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let trouble = |e| Trouble::new("cannot listen for signals", e, "try again").exit(Exit::Failed);
    let mut term = signal(SignalKind::terminate()).map_err(trouble)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(trouble)?;
    let mut eof = std::pin::pin!(async {
        if !until_eof {
            std::future::pending::<()>().await;
        }
        let mut byte = [0; 64];
        while matches!(tokio::io::stdin().read(&mut byte).await, Ok(n) if n > 0) {}
    });
    tokio::select! { biased;
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
        // The terminal was closed. A daemon in the background has none and hears nothing.
        _ = hangup.recv() => {}
        () = &mut eof => {}
        () = runner.stopped() => {}
    }
    Ok(())
}
