//! The control socket: who may ask is checked by the kernel's word on the peer, not by a secret.

use super::api::{Line, Outcome, Progress, Request, Trouble};
use super::home::Home;
use super::socket;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// Longest request line.
const REQUEST_MAX: u64 = 64 << 10;
/// Requests in work at once; the next waits in the kernel's queue.
const REQUESTS_MAX: usize = 64;

/// Progress of a long request on its way to whoever asked.
pub type ProgressSender = mpsc::Sender<Progress>;

/// Answers requests.
pub trait Control: Send + Sync + 'static {
    fn answer(
        self: Arc<Self>,
        request: Request,
        progress: ProgressSender,
    ) -> Pin<Box<dyn Future<Output = Outcome<Line>> + Send>>;
}

/// Bind the socket; one left by a crash is replaced (the caller holds the node's lock).
pub fn bind(home: &Home) -> Outcome<UnixListener> {
    let path = home.socket();
    let trouble = |e: std::io::Error| {
        Trouble::new(
            format!("cannot listen on {}", path.display()),
            e,
            "check the directory's owner and room",
        )
    };
    std::fs::create_dir_all(&home.runtime).map_err(trouble)?;
    std::fs::set_permissions(&home.runtime, std::fs::Permissions::from_mode(0o700)).map_err(trouble)?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(trouble(e)),
        _ => {}
    }
    let listener = socket::bind(&path).map_err(trouble)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(trouble)?;
    listener.set_nonblocking(true).map_err(trouble)?;
    UnixListener::from_std(listener).map_err(trouble)
}

/// Serve until the task is dropped.
pub async fn serve(listener: UnixListener, control: Arc<impl Control>) {
    let slots = Arc::new(tokio::sync::Semaphore::new(REQUESTS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!("control socket: {e}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let control = control.clone();
        tokio::spawn(async move {
            if let Err(e) = one(stream, control).await {
                tracing::debug!("control socket: {e}");
            }
            drop(slot);
        });
    }
}

/// Only this user and root may ask.
fn permitted(stream: &UnixStream) -> std::io::Result<bool> {
    let peer = stream.peer_cred()?.uid();
    Ok(peer == 0 || peer == rustix::process::geteuid().as_raw())
}

async fn one(mut stream: UnixStream, control: Arc<impl Control>) -> std::io::Result<()> {
    if !permitted(&stream)? {
        let line =
            Line::Failed(Trouble::new("not permitted", "another user's node", "ask as the user who runs it"));
        return send(&mut stream, &line).await;
    }
    let (read, mut write) = stream.split();
    let mut text = String::new();
    BufReader::new(read.take(REQUEST_MAX)).read_line(&mut text).await?;
    let request = match serde_json::from_str::<Request>(&text) {
        Ok(request) => request,
        Err(e) => {
            let t = Trouble::new(
                "the request was not understood",
                e,
                "the command and the daemon may be of different versions",
            );
            return send(&mut write, &Line::Failed(t)).await;
        }
    };
    let (sender, mut progress) = mpsc::channel(4);
    let mut answer = control.answer(request, sender);
    loop {
        tokio::select! { biased;
            line = &mut answer => {
                let line = line.unwrap_or_else(Line::Failed);
                return send(&mut write, &line).await;
            }
            Some(p) = progress.recv() => send(&mut write, &Line::Progress(p)).await?,
        }
    }
}

async fn send(to: &mut (impl AsyncWriteExt + Unpin), line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text).await
}
