//! Many files, and a friend with nothing to do.

use super::grid_lines::{DRIVE, Mounted};
use super::limits::resident;
use super::{Ground, Row, Target, failed};
use crate::cli::node_process::NodeProcess;
use crate::daemon::api::{Outcome, Request, Until};
use std::time::{Duration, Instant};

pub fn run(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let m = Mounted::build(ground, "scale", 1, None)?;
    std::thread::sleep(Duration::from_secs(2));
    let idle = m.grid.friends.first().and_then(|f| f.process.as_ref()).and_then(|p| resident(p.pid()));
    row(Row::new("an idle holder, resident", idle.unwrap_or(0) as f64 / 1e6, "MB", Target::AtMost(25.0)));

    let files = ground.amount(100_000, 5_000);
    let start = Instant::now();
    for i in 0..files {
        let dir = m.dir.join(format!("d{:03}", i / 1000));
        if i % 1000 == 0 {
            std::fs::create_dir(&dir).map_err(|e| failed(&dir, e))?;
        }
        let path = dir.join(format!("file {i:06}"));
        std::fs::write(&path, format!("file number {i}\n")).map_err(|e| failed(&path, e))?;
    }
    row(Row::new(
        format!("{files} files made"),
        files as f64 / start.elapsed().as_secs_f64(),
        "/s",
        Target::None,
    ));
    m.sync(Until::Published)?;
    let Mounted { grid, dir } = m;
    let busy = resident(grid.you.pid()).unwrap_or(0) as f64 / 1e6;
    row(Row::new(format!("{files} files: resident after making them"), busy, "MB", Target::AtMost(120.0)));

    let (you_dir, friends) = (grid.you.dir.clone(), grid.friends);
    grid.you.stop();
    let start = Instant::now();
    let you = NodeProcess::start("you", &you_dir)?;
    you.ask(&Request::Mount {
        drive: Some(DRIVE.into()),
        dir: dir.clone(),
        read_only: false,
        allow_other: false,
        nonempty: false,
        noatime: false,
        noexec: false,
        uid: None,
        gid: None,
    })?;
    let listed = std::fs::read_dir(&dir).map_err(|e| failed(&dir, e))?.count();
    row(Row::new(
        format!("{files} files: start until the mount lists its root"),
        start.elapsed().as_secs_f64(),
        "s",
        Target::AtMost(2.0),
    ));
    if listed == 0 {
        return Err(failed(&dir, "the mount came up empty"));
    }
    let start = Instant::now();
    let mut seen = 0;
    for entry in std::fs::read_dir(&dir).map_err(|e| failed(&dir, e))?.flatten() {
        seen += std::fs::read_dir(entry.path()).map_err(|e| failed(entry.path(), e))?.count();
    }
    row(Row::new(format!("{seen} names listed"), start.elapsed().as_secs_f64(), "s", Target::None));
    let rested = resident(you.pid()).unwrap_or(0) as f64 / 1e6;
    row(Row::new(
        format!("{files} files: resident after start and listing"),
        rested,
        "MB",
        Target::AtMost(120.0),
    ));
    you.stop();
    friends.into_iter().filter_map(|f| f.process).for_each(NodeProcess::stop);
    Ok(())
}
