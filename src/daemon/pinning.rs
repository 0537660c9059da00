//! `kith pin`: what stays on this machine.

use super::api::{Exit, Line, Outcome, PinLine, Trouble};
use super::node::NodeDrive;
use super::runner::Runner;
use crate::drive::{PinReport, Unpin};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked whether what was pinned is here.
const LOOK: Duration = Duration::from_millis(100);

fn line(drive: &str, report: PinReport) -> PinLine {
    let PinReport { path, looked, files, bytes, missing, why, .. } = report;
    PinLine { drive: drive.into(), path, looked, files, bytes, missing, why }
}

impl Runner {
    /// Pins a path and waits until its content is here; or lists what is pinned.
    pub(super) async fn pin(&self, path: Option<PathBuf>, free: bool) -> Outcome<Line> {
        let Some(path) = path else {
            let of = |d: NodeDrive| d.drive.pins().into_iter().map(|r| line(&d.name, r)).collect::<Vec<_>>();
            return Ok(Line::Pins { pins: self.node().drives().into_iter().flat_map(of).collect() });
        };
        let (d, ino) = self.locate(&path)?;
        if free {
            return unpin(&d, ino, &path).await;
        }
        let failed = |e: crate::drive::Error| {
            Trouble::new(format!("{} is not pinned", path.display()), e, "see the log and kith status")
        };
        let object = d.drive.object_of(ino).map_err(failed)?;
        d.drive.pin(ino).await.map_err(failed)?;
        let report = loop {
            match d.drive.pins().into_iter().find(|r| r.object == object) {
                Some(report) if report.looked => break report,
                Some(_) => tokio::time::sleep(LOOK).await,
                None => {
                    let what = format!("{} is not pinned", path.display());
                    return Err(Trouble::new(what, "it was freed meanwhile", "pin it again"));
                }
            }
        };
        match (report.missing, &report.why) {
            (0, _) => Ok(Line::Pins { pins: vec![line(&d.name, report)] }),
            (missing, why) => Err(Trouble::new(
                format!("{missing} of {} files of {} are not all here yet", report.files, path.display()),
                why.clone().unwrap_or_default(),
                "they come when they can be had; kith pin says how far it is",
            )
            .exit(Exit::NotSafe)),
        }
    }
}

async fn unpin(d: &NodeDrive, ino: u64, path: &Path) -> Outcome<Line> {
    let what = || format!("{} is not freed", path.display());
    match d.drive.unpin(ino).await {
        Ok(Unpin::Freed(bytes)) => Ok(Line::Freed { bytes }),
        Ok(Unpin::PinnedAbove(above)) => Err(Trouble::new(
            what(),
            format!("it is pinned as part of {above}"),
            "free that, and pin what is to stay",
        )),
        Err(e) => Err(Trouble::new(what(), e, "see the log and kith status")),
    }
}
