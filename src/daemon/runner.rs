//! Answers to what the control socket asks.

use super::api::{
    DriveReport, Exit, Hidden, Line, Outcome, PathReport, Progress, Report, Request, SCHEMA, Trouble, Until,
};
use super::control::{Control, ProgressSender};
use super::mounts::{self, MountOptions, Mounts, Unmounted};
use super::node::{Node, NodeDrive, Unopened};
use crate::drive::{FileState, Files, ROOT_INO, WaitOutcome};
use crate::grid::Level;
use crate::keys::DriveId;
use std::future::Future;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Without `--timeout`, `sync` waits this long: as good as for ever.
const SYNC_MAX: Duration = Duration::from_secs(365 * 86_400);
/// While waiting, whether friends have room is looked at this often; and `sync` ends when they
/// have had none for so long.
const ROOM_LOOK: Duration = Duration::from_millis(500);
const ROOM_PATIENCE: Duration = Duration::from_secs(5);
/// Between two progress lines.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// A running node and its mounts.
pub struct Runner {
    node: Arc<Node>,
    pub mounts: Mounts,
    stop: Notify,
}

impl Control for Runner {
    fn answer(
        self: Arc<Self>,
        request: Request,
        progress: ProgressSender,
    ) -> Pin<Box<dyn Future<Output = Outcome<Line>> + Send>> {
        Box::pin(async move { self.handle(request, progress).await })
    }
}

impl Runner {
    pub fn new(node: Arc<Node>) -> Runner {
        Runner { node, mounts: Mounts::default(), stop: Notify::new() }
    }

    /// Resolves when `kith stop` was asked for.
    pub async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// For systemd's status line.
    pub async fn one_line(&self) -> String {
        let online = self.node.friends().iter().filter(|f| f.online).count();
        let waiting: u64 = self.node.drives().iter().map(|d| d.drive.status().unsafe_files).sum();
        format!("{waiting} files to save, {online} friends online")
    }

    pub async fn mount_at_start(&self, name: &str, dir: &Path) -> Outcome<()> {
        let drive = self.node.find_drive(Some(name))?;
        self.mounts.mount(drive.drive.clone(), &drive.name, dir, MountOptions::default()).await
    }

    async fn handle(self: Arc<Self>, request: Request, progress: ProgressSender) -> Outcome<Line> {
        let node = &self.node;
        match request {
            Request::Status { path: None } => Ok(Line::Status(Box::new(self.report()))),
            Request::Status { path: Some(path) } => self.path_report(path).map(Line::Path),
            Request::Invite { label, grant, valid_minutes, drives, role } => {
                node.invite(label, grant, valid_minutes, &drives, role.as_deref().unwrap_or("writer")).await
            }
            Request::Join { ticket, grant } => node.join(&ticket, grant).await,
            Request::Friends => Ok(Line::Friends { friends: node.friends() }),
            Request::FriendLimit { friend, bytes } => {
                node.limit_friend(&friend, bytes).await.map(|()| Line::Done)
            }
            Request::DriveCreate { name } => node.create_drive(&name).await.map(|_| Line::Done),
            Request::DriveList => Ok(Line::Drives { drives: self.drive_lines() }),
            Request::DriveShow { name, power } => node.capability(&name, &power).await,
            Request::DriveOpen { capability, name } => node.open_capability(&capability, name).await,
            Request::Mount { ref drive, ref dir, .. } => {
                node.reopen(drive.as_deref()).await;
                let drive = node.find_drive(drive.as_deref())?;
                self.mounts.sweep();
                self.mounts.mount(drive.drive.clone(), &drive.name, dir, mounts::options(&request)).await?;
                Ok(Line::Mounted { dir: dir.clone(), drive: drive.name })
            }
            Request::Unmount { dir } => {
                self.mounts.sweep();
                let Unmounted { dirs, busy } = self.mounts.unmount(dir.as_deref()).await?;
                Ok(Line::Unmounted { dirs, busy })
            }
            Request::Sync { path, timeout_s, until } => self.sync(path, timeout_s, until, progress).await,
            Request::Pin { path, free } => self.pin(path, free).await,
            Request::History { path } => self.history(&path),
            Request::Conflicts => self.conflicts(),
            Request::Recovery => Ok(Line::Recovery(node.recovery_report())),
            Request::RecoveryKit { passphrase } => node.recovery_kit(passphrase.as_ref().map(Hidden::expose)),
            Request::BringBack => {
                node.bring_all_back().await;
                Ok(Line::Drives { drives: self.drive_lines() })
            }
            Request::DropCaches => {
                for d in node.drives() {
                    d.drive.drop_caches().await;
                }
                Ok(Line::Done)
            }
            Request::Stop => {
                self.stop.notify_one();
                Ok(Line::Done)
            }
        }
    }

    fn drive_lines(&self) -> Vec<super::api::DriveLine> {
        let line = |d: NodeDrive| super::api::DriveLine {
            id: d.drive.id().to_string(),
            power: d.power.to_string(),
            mounted: self.mounts.of(&d.drive.id()),
            name: d.name,
        };
        let shut = |(id, u): (DriveId, Unopened)| super::api::DriveLine {
            id: id.to_string(),
            power: match u.nameless() {
                true => format!("{}, {}", u.power, super::api::NAMELESS),
                false => format!("{}, does not open (kith status says why)", u.power),
            },
            mounted: None,
            name: u.name,
        };
        let unopened = self.node.unopened.lock().clone();
        self.node.drives().into_iter().map(line).chain(unopened.into_iter().map(shut)).collect()
    }

    fn report(&self) -> Report {
        let node = &self.node;
        let traffic = node.traffic();
        Report {
            schema: SCHEMA,
            name: node.label(),
            node: node.id().to_string(),
            addrs: node.addrs(),
            lends: node.lends(),
            lent_used: node.lent_used(),
            sent_bytes: traffic.0,
            received_bytes: traffic.1,
            friends: node.friends(),
            drives: self.drive_reports(),
            problems: node.problems(),
        }
    }

    fn drive_reports(&self) -> Vec<DriveReport> {
        let shut = |(id, u): (DriveId, Unopened)| {
            let (state, problems) = match u.nameless() {
                true => (super::api::NAMELESS, Vec::new()),
                false => (super::api::NOT_OPEN, vec![format!("{}: {}", u.why.what, u.why.why)]),
            };
            DriveReport {
                name: u.name,
                id: id.to_string(),
                power: u.power.to_string(),
                mounted: None,
                files: 0,
                k: 0,
                n: 0,
                margin: 0,
                state: state.into(),
                level: String::new(),
                waiting_files: 0,
                waiting_bytes: 0,
                problems,
                conflicts: 0,
            }
        };
        let unopened = self.node.unopened.lock().clone();
        let open = self.node.drives().into_iter().map(|d| self.drive_report(d));
        open.chain(unopened.into_iter().map(shut)).collect()
    }

    fn drive_report(&self, d: NodeDrive) -> DriveReport {
        let status = d.drive.status();
        let coding = status.coding;
        let least = d.drive.state_of_all();
        let mut problems = status.notes;
        let room = self.node.room(&d.drive.id());
        if status.bytes_to_upload > room.free {
            problems.push(format!(
                "friends have room for {} more bytes of this drive, {} wait: ask for a higher limit or invite more friends",
                room.free, status.bytes_to_upload
            ));
        }
        for (node, shares) in &status.losses {
            problems.push(format!(
                "{} has lost {shares} shares that it promised to keep; they are being made again",
                self.node.name_of(node)
            ));
        }
        let lost = status.unsafe_list.iter().filter(|f| f.state == FileState::Unreadable);
        problems.extend(lost.map(|file| {
            format!(
                "{} is unreadable: a part of it was damaged on this machine's disk before friends had it; write \
                 it again, or delete it",
                file.path.as_deref().unwrap_or("a file without a name")
            )
        }));
        problems.extend(status.disk_short);
        problems.extend(status.failed.map(|why| format!("writes are refused: {why}")));
        DriveReport {
            id: d.drive.id().to_string(),
            mounted: self.mounts.of(&d.drive.id()),
            name: d.name,
            power: d.power.to_string(),
            files: status.files,
            k: coding.map_or(0, |c| c.k),
            n: coding.map_or(0, |c| c.n),
            margin: coding.map_or(0, |c| c.margin()),
            state: least.to_string(),
            level: least.word().into(),
            waiting_files: status.unsafe_files,
            waiting_bytes: status.bytes_to_upload,
            problems,
            conflicts: status.conflicts,
        }
    }

    /// The drive and the inode a path lies at.
    pub(super) fn locate(&self, path: &Path) -> Outcome<(NodeDrive, u64)> {
        let nowhere = |why: String| {
            Trouble::new(
                format!("{} is not found", path.display()),
                why,
                "give a path inside a mount; kith status lists the mounts",
            )
        };
        let (drive, inside) =
            self.mounts.find(path).ok_or_else(|| nowhere("it lies in no mount of this node".into()))?;
        let drive = self.node.drive(&drive).ok_or_else(|| nowhere("its drive is closed".into()))?;
        let ino = drive.drive.resolve(inside.as_os_str().as_bytes()).map_err(|e| nowhere(e.to_string()))?;
        Ok((drive, ino))
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    fn path_report(&self, path: PathBuf) -> Outcome<PathReport> {
        let (d, ino) = self.locate(&path)?;
        let unreadable = |e: crate::drive::Error| {
            Trouble::new(format!("no status of {}", path.display()), e, "see the log").exit(Exit::AtRisk)
        };
        let attr = d.drive.getattr(ino).map_err(unreadable)?;
        let state = d.drive.state(ino).map_err(unreadable)?;
        let holders = d.drive.holders_of(ino).map_err(unreadable)?;
        let holders = holders.iter().map(|node| self.node.name_of(node)).collect();
        Ok(PathReport {
            schema: SCHEMA,
            state: state.to_string(),
            level: state.word().into(),
            size: attr.size,
            holders,
            path,
        })
    }

    async fn sync(
        &self,
        path: Option<PathBuf>,
        timeout_s: Option<u64>,
        until: Until,
        progress: ProgressSender,
    ) -> Outcome<Line> {
        let targets = match path {
            Some(path) => vec![self.locate(&path)?],
            None => {
                self.node.reopen(None).await;
                if let Some(shut) = self.node.unopened.lock().values().find(|u| !u.nameless()) {
                    return Err(shut.why.clone());
                }
                self.node.drives().into_iter().map(|d| (d, ROOT_INO)).collect()
            }
        };
        let timeout = timeout_s.map_or(SYNC_MAX, Duration::from_secs);
        let deadline = tokio::time::Instant::now() + timeout;
        let mut totals = (0, 0, String::from("nothing to do"));
        for (d, ino) in targets {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let mut waiting = std::pin::pin!(wait(&d, ino, until, left));
            let state = loop {
                tokio::select! { biased;
                    state = &mut waiting => break state?,
                    () = tokio::time::sleep(PROGRESS_EVERY) => {
                        // Whoever asked may be gone; the wait goes on all the same.
                        let _ = progress.try_send(progress_of(&d));
                    }
                }
            };
            let status = d.drive.status();
            totals = (totals.0 + status.files, totals.1 + status.bytes, state);
        }
        Ok(Line::Synced { files: totals.0, bytes: totals.1, state: totals.2 })
    }
}

fn progress_of(d: &NodeDrive) -> Progress {
    let s = d.drive.status();
    Progress {
        done_bytes: s.bytes.saturating_sub(s.bytes_to_upload),
        total_bytes: s.bytes,
        files_waiting: s.unsafe_files,
        text: d.name.clone(),
    }
}

/// Wait for one drive (or what lies below one inode of it); says the state in the end.
async fn wait(d: &NodeDrive, ino: u64, until: Until, timeout: Duration) -> Outcome<String> {
    let failed = |e: crate::drive::Error| {
        Trouble::new(format!("'{}' is not synced", d.name), e, "see the log and kith status")
            .exit(Exit::AtRisk)
    };
    d.drive.sync_inode(ino).await.map_err(failed)?;
    let level = match until {
        Until::Local => return Ok("local".into()),
        Until::Published => Level::Published,
        Until::Safe => Level::Safe,
        Until::Full => Level::Full,
    };
    let deadline = tokio::time::Instant::now() + timeout;
    let mut lacking_since: Option<tokio::time::Instant> = None;
    loop {
        let now = tokio::time::Instant::now();
        let turn = deadline.saturating_duration_since(now).min(ROOM_LOOK);
        let (least, files) = match d.drive.wait(ino, level, turn).await.map_err(failed)? {
            WaitOutcome::Reached => match reached(d, ino, level).map_err(failed)? {
                Ok(state) => return Ok(state),
                Err(thin) => (thin, d.drive.status().files),
            },
            WaitOutcome::NotYet { least, files } => (least, files),
            WaitOutcome::Lost { files } => return Err(not_yet(d, &FileState::Unreadable, files, None)),
        };
        let lacks = match least {
            FileState::Thin => Some("every friend that grants room holds it already".to_string()),
            _ => d.drive.lacks_room(level),
        };
        let now = tokio::time::Instant::now();
        let since = lacks.is_some().then(|| lacking_since.unwrap_or(now));
        lacking_since = since;
        if now >= deadline || since.is_some_and(|since| now >= since + ROOM_PATIENCE) {
            return Err(not_yet(d, &least, files, lacks));
        }
    }
}

/// The state of what was waited for. Of the whole drive nothing may be under way and the files
/// be thin all the same: that is not safe.
fn reached(d: &NodeDrive, ino: u64, level: Level) -> crate::drive::Result<Result<String, FileState>> {
    if ino != ROOT_INO {
        return d.drive.state(ino).map(|s| Ok(s.to_string()));
    }
    let state = d.drive.state_of_all();
    let thin = level == Level::Safe && state == FileState::Thin && d.drive.status().files > 0;
    Ok(if thin { Err(state) } else { Ok(state.to_string()) })
}

/// What is said, and with which exit code, when the wait is over.
fn not_yet(d: &NodeDrive, least: &FileState, files: u64, lacks: Option<String>) -> Trouble {
    let what = format!("'{}' is not safe yet: {files} files, the least of them {least}", d.name);
    match (least, lacks) {
        (FileState::Unreadable, _) => Trouble::new(
            what,
            "a part of them was damaged on this machine's disk before any friend had it",
            "kith status names them: write them again, or delete them",
        )
        .exit(Exit::AtRisk),
        (FileState::AtRisk { .. }, lacks) => Trouble::new(
            what,
            lacks.unwrap_or_else(|| "friends have lost shares that are not made good yet".into()),
            "kith status says who; it is repaired by itself while enough friends are on",
        )
        .exit(Exit::AtRisk),
        (_, Some(why)) => Trouble::new(
            what,
            why,
            "ask friends for a higher limit (kith friend limit), or invite more: kith invite",
        )
        .exit(Exit::NoRoom),
        (_, None) => match d.drive.status().disk_short {
            Some(short) => Trouble::new(what, short, "delete something there that is not the drive's")
                .exit(Exit::NotSafe),
            None => Trouble::new(
                what,
                "friends are missing, full or slow",
                "kith status says which; everything is kept here and goes up when they return",
            )
            .exit(Exit::NotSafe),
        },
    }
}
