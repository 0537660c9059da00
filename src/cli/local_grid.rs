//! A grid of nodes on this machine, each a process of its own: what `demo` shows and `bench` measures.

use crate::cli::node_process::{self, NodeProcess};
use crate::daemon::api::{FriendStatus, Line, Outcome, Report, Request, Trouble};
use crate::daemon::home::Home;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

const NAMES: [&str; 20] = [
    "anna", "ben", "carla", "dmitri", "esra", "femi", "greta", "hiro", "ines", "jonas", "kemal", "lucia",
    "mei", "noah", "olga", "pavel", "quinn", "rosa", "sami", "tara",
];
/// What each friend lends the others here.
const LEND: &str = "20G";

/// A friend of the grid; its process is None while it is switched off.
pub struct Friend {
    pub name: String,
    pub dir: PathBuf,
    pub process: Option<NodeProcess>,
}

/// The running grid.
pub struct LocalGrid {
    pub you: NodeProcess,
    pub friends: Vec<Friend>,
}

/// A UDP port that is free now and that the node keeps from then on.
fn free_port() -> Outcome<u16> {
    UdpSocket::bind("127.0.0.1:0")
        .and_then(|s| s.local_addr())
        .map(|a| a.port())
        .map_err(|e| Trouble::new("no free UDP port on loopback", e, "close some programs"))
}

/// Make the node's keys if it has none; its directory.
pub fn prepare(base: &Path, name: &str) -> Outcome<PathBuf> {
    let dir = base.join(name);
    if !Home::below(&dir).config().exists() {
        let listen = format!("127.0.0.1:{}", free_port()?);
        node_process::run(
            &dir,
            &["init", "--name", name, "--lend", LEND, "--listen", &listen, "--household", name],
        )?;
    }
    Ok(dir)
}

fn node(base: &Path, name: &str) -> Outcome<NodeProcess> {
    NodeProcess::start(name, &prepare(base, name)?)
}

fn unexpected(line: Line) -> Trouble {
    Trouble::new("the node answered something else", format!("{line:?}"), "report this as a bug")
}

fn report(you: &NodeProcess) -> Outcome<Report> {
    match you.ask(&Request::Status { path: None })? {
        Line::Status(report) => Ok(*report),
        other => Err(unexpected(other)),
    }
}

/// Invite and join every friend that is not one yet.
fn befriend(you: &NodeProcess, friend: &NodeProcess, known: &[FriendStatus]) -> Outcome<()> {
    if known.iter().any(|f| f.name == friend.name) {
        return Ok(());
    }
    let invite = Request::Invite {
        label: Some(friend.name.clone()),
        grant: None,
        valid_minutes: 10,
        drives: vec![],
        role: None,
    };
    match you.ask(&invite)? {
        Line::Ticket { ticket, .. } => friend.ask(&Request::Join { ticket, grant: None }).map(|_| ()),
        other => Err(unexpected(other)),
    }
}

/// Mount a drive of a node at `dir`.
pub fn mount(node: &NodeProcess, drive: &str, dir: &Path) -> Outcome<()> {
    let mount = Request::Mount {
        drive: Some(drive.into()),
        dir: dir.to_path_buf(),
        read_only: false,
        allow_other: false,
        nonempty: false,
        noatime: false,
        noexec: false,
        uid: None,
        gid: None,
    };
    node.ask(&mount).map(|_| ())
}

impl LocalGrid {
    /// Start "you" and `count` friends below `base`, make them friends where they are not yet,
    /// and create the drive where it is not there.
    pub fn build(base: &Path, count: usize, drive: &str) -> Outcome<LocalGrid> {
        let you = node(base, "you")?;
        let known = report(&you)?.friends;
        let mut friends = Vec::new();
        for name in &NAMES[..count.min(NAMES.len())] {
            let process = node(base, name)?;
            befriend(&you, &process, &known)?;
            friends.push(Friend { name: name.to_string(), dir: base.join(name), process: Some(process) });
        }
        if let Line::Drives { drives } = you.ask(&Request::DriveList)?
            && !drives.iter().any(|d| d.name == drive)
        {
            you.ask(&Request::DriveCreate { name: drive.into() })?;
        }
        Ok(LocalGrid { you, friends })
    }

    /// Mount the drive at `dir`.
    pub fn mount(&self, drive: &str, dir: &Path) -> Outcome<()> {
        mount(&self.you, drive, dir)
    }

    pub fn report(&self) -> Outcome<Report> {
        report(&self.you)
    }

    /// Switch a friend on or off.
    pub fn switch(&mut self, name: &str, on: bool) -> Outcome<()> {
        let Some(friend) = self.friends.iter_mut().find(|f| f.name == name) else {
            return Err(Trouble::new(
                format!("no friend called {name}"),
                "the name is not in the list",
                "type: status",
            ));
        };
        match (on, friend.process.take()) {
            (true, None) => friend.process = Some(NodeProcess::start(name, &friend.dir)?),
            (false, Some(running)) => running.stop(),
            (_, same) => friend.process = same,
        }
        Ok(())
    }

    /// Nothing stays running, nothing stays mounted.
    pub fn close(mut self) {
        self.let_go();
    }

    /// All at once, so that they need not be waited for one by one.
    fn let_go(&mut self) {
        self.you.let_go();
        self.friends.iter_mut().filter_map(|f| f.process.as_mut()).for_each(NodeProcess::let_go);
    }
}
