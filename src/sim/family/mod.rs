//! A family on the village's network: whole nodes, one drive, and a year of bad luck.
//!
//! Node 0 founds the drive and invites all others with real tickets; node 1 joins as a second
//! writer, node 2 as a reader, the rest lend space. Then files are written, renamed, removed
//! and read at random while power, links, clocks and machines fail, and an oracle that knows
//! every version ever written compares. The invariants carry the numbers of the reliability
//! plan: I1 (synced data survives a power cut), I2 (what was reported safe is read elsewhere
//! without its writer and without as many homes as were promised to be dispensable), I5 (nothing
//! changes by whoever may not change it), I6 (no log goes back or forks), I8 (no call hangs), I9 (bytes read
//! are those of a version that was written), I3 (all drives agree after a heal). I12 (one seed, one
//! trace) is for the caller to see: it runs a seed twice and compares the reports.

mod acts;
mod attack;
mod checks;
mod faults;
mod forge;
mod oracle;

use super::{Homes, Machine, Trace, Village};
use crate::daemon::Keyring;
use crate::daemon::api::{Line, Outcome, Trouble};
use crate::daemon::config::Config;
use crate::daemon::home::Home;
use crate::daemon::node::{Node, NodeSetup};
use crate::daemon::setup::new_identity;
use crate::drive::{Drive, Files, ROOT_INO};
use crate::keys::{DriveId, DriveKeys, LogId, PersonId};
use crate::sim::SimRng;
use oracle::{Own, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const DRIVE: &str = "family";
const WRITERS: [usize; 2] = [0, 1];
const READER: usize = 2;
/// Fewest machines: two writers, a reader, and enough others for 2 of 5.
pub const LEAST: usize = 6;
const GRANT: u64 = 64 << 30;
const GIB: u64 = 1 << 30;

/// What happens in every long enough run with faults; a run in which one of these did not
/// has not shown what it should.
pub const MUST_HAPPEN: [&str; 47] = [
    "packets lost",
    "packets duplicated",
    "packets overtaking others",
    "packets with a bit flipped",
    "packets into a cut link",
    "packets dropped by a full queue",
    "fault: a friend hands out forged entries",
    "fault: bad links",
    "fault: clock steps",
    "fault: disk of a friend full",
    "fault: hung",
    "fault: orderly restart",
    "fault: partition",
    "fault: power cut of a friend",
    "fault: power cut of a writer",
    "fault: power cut while writing",
    "fault: slow friend",
    "started after a power cut",
    "files made",
    "files changed",
    "fsync",
    "fsync of a directory",
    "mkdirs",
    "renames",
    "unlinks",
    "reads of own files",
    "reads of any file",
    "writes into what both write",
    "writes refused to the reader",
    "I1 checks after a power cut",
    "I2 writer and homes unplugged",
    "I2 files read without their writer",
    "I3 checks of agreement",
    "files compared after agreement",
    "I5 refused: a forged admin record",
    "I5 refused: a grant in another's name",
    "I5 refused: a share in another's name",
    "I5 refused: a share read without its token",
    "I5 refused: a share under a forged grant",
    "I5 refused: an altered entry",
    "I5 refused: an append for another's account",
    "I5 refused: an entry in a writer's name",
    "I5 refused: an entry of nobody's",
    "I5 refused: leases of another's account",
    "I5 refused: logs opened by a stranger",
    "I5 looks at a holder's logs",
    "I6 looks at heads",
];

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Virtual time of the random part.
    pub length: Duration,
    /// Longest pause between two acts.
    pub pause: Duration,
    /// Whether anything fails at all.
    pub faults: bool,
    /// Keep every packet in the report, to see where two runs part.
    pub log: bool,
}

impl Plan {
    /// With every fault.
    pub fn hours(hours: f64) -> Plan {
        Plan {
            length: Duration::from_secs_f64(hours * 3600.0),
            pause: Duration::from_secs(20),
            faults: true,
            log: false,
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    /// From the first node's start to the end of the last check.
    pub virtual_time: Duration,
    pub trace: Trace,
    /// How often each act, fault and check took place.
    pub counts: BTreeMap<&'static str, u64>,
    pub violations: Vec<String>,
    /// Packets, if the plan asked for them.
    pub log: Vec<(u64, std::net::SocketAddr, std::net::SocketAddr, usize)>,
}

pub(super) struct Family {
    homes: Homes<Outcome<Arc<Node>>>,
    rng: Arc<SimRng>,
    plan: Plan,
    drive: DriveId,
    started: Instant,
    own: [Own; 2],
    /// Every content that any file ever had, at any moment.
    versions: BTreeSet<Version>,
    next_file: u64,
    /// Machines without power, and when it comes back.
    down: BTreeMap<usize, Instant>,
    asleep: BTreeSet<usize>,
    /// The hash of every log entry anybody showed, and how far each machine knew each log.
    entries: BTreeMap<(LogId, u64), crate::keys::EntryHash>,
    heads: BTreeMap<(usize, LogId), u64>,
    counts: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
    /// Logs that enrolled writers write.
    logs: BTreeSet<LogId>,
    /// Friends on whose disks there is a forged entry.
    liars: BTreeSet<usize>,
    persons: Vec<PersonId>,
    /// What the reader can open, and could give away.
    reader_keys: Option<DriveKeys>,
}

fn home() -> Home {
    Home::below(Path::new("/kith"))
}

async fn start(machine: Machine) -> Outcome<Arc<Node>> {
    let Machine { number, world, .. } = machine;
    let home = home();
    let config = Config {
        schema: crate::daemon::api::SCHEMA,
        label: format!("node {number}"),
        lends: 256 * GIB,
        grant: GRANT,
        household: format!("home {number}"),
        listen: std::net::SocketAddr::from(([0, 0, 0, 0], 4433)),
        coding: None,
    };
    let made = |e: std::io::Error| Trouble::new("no home", e, "");
    world.disk.create_dir_all(&home.state).map_err(made)?;
    let keyring = match Keyring::open(&world, &home, None).await {
        Ok(keyring) => keyring,
        Err(_) => {
            let identity = new_identity(&world, &config.label, &config.household);
            Keyring::create(&world, &home, identity, None).await?
        }
    };
    Node::open(NodeSetup { world, home, config, keyring }).await
}

/// Runs the scenario in a village of at least [`LEAST`] machines.
pub async fn run(village: Arc<Village>, plan: Plan) -> Report {
    if plan.log {
        village.net.keep_log();
    }
    let mut family = Family {
        rng: village.rng.clone(),
        homes: Homes::new(village.clone(), start),
        plan,
        drive: DriveId([0; 32]),
        started: Instant::now(),
        own: Default::default(),
        versions: [oracle::version(b"")].into(),
        next_file: 0,
        down: BTreeMap::new(),
        asleep: BTreeSet::new(),
        entries: BTreeMap::new(),
        heads: BTreeMap::new(),
        counts: BTreeMap::new(),
        violations: Vec::new(),
        logs: BTreeSet::new(),
        liars: BTreeSet::new(),
        persons: Vec::new(),
        reader_keys: None,
    };
    match family.gather().await {
        Ok(()) => family.live().await,
        Err(t) => family.violation("setup", t),
    }
    family.report()
}

impl Family {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
    fn most(&mut self, what: &'static str, value: u64) {
        let most = self.counts.entry(what).or_default();
        *most = value.max(*most);
    }
    fn violation(&mut self, which: &str, what: impl std::fmt::Display) {
        let at = self.started.elapsed().as_secs_f64();
        self.violations.push(format!("{which} at {at:.3} s: {what}"));
    }
    fn below(&self, n: usize) -> usize {
        self.rng.below(n as u64) as usize
    }
    fn node(&self, i: usize) -> Option<Arc<Node>> {
        self.homes.get(i).and_then(|n| n.as_ref().ok()).cloned()
    }
    fn drive(&self, i: usize) -> Option<Arc<Drive>> {
        self.node(i)?.drive(&self.drive).map(|d| d.drive)
    }

    /// All nodes up, all friends of the founder, the drive at three of them.
    async fn gather(&mut self) -> Outcome<()> {
        for i in 0..self.homes.village.len() {
            self.homes.start(i).await.as_ref().map_err(Trouble::clone)?;
        }
        let nodes: Vec<Arc<Node>> = (0..self.homes.village.len()).filter_map(|i| self.node(i)).collect();
        let founder = nodes[0].clone();
        self.drive = founder.create_drive(DRIVE).await?.drive.id();
        for (i, node) in nodes.iter().enumerate().skip(1) {
            let with = [DRIVE.to_string()];
            let (drives, role): (&[String], _) = match i {
                1 => (&with, "writer"),
                READER => (&with, "reader"),
                _ => (&[], "reader"),
            };
            let Line::Ticket { ticket, .. } = founder.invite(None, Some(GRANT), 60, drives, role).await?
            else {
                return Err(Trouble::new("no ticket", "another answer", ""));
            };
            node.join(&ticket, Some(GRANT)).await?;
            self.count("joined by ticket");
        }
        let made = |e: crate::drive::Error| Trouble::new("no directories", e, "");
        let root = self.drive(0).ok_or_else(|| Trouble::new("no drive", "it is not open", ""))?;
        for name in ["w0", "w1", "both"] {
            root.mkdir(ROOT_INO, name.as_bytes(), 0o755, acts::ME).map_err(made)?;
        }
        root.sync_local().await.map_err(made)?;
        self.persons = nodes.iter().map(|n| n.person()).collect();
        let machine = self.homes.village.machine(READER);
        let secrets = Keyring::open(&machine.world, &home(), None).await?;
        let secrets = secrets.read(|k| k.drives.get(&self.drive).cloned());
        self.reader_keys = secrets.map(|s| DriveKeys::new(self.drive, s.epoch, s.level_key()));
        self.converge().await;
        Ok(())
    }

    async fn live(&mut self) {
        let end = Instant::now() + self.plan.length;
        while Instant::now() < end && self.violations.len() < 10 {
            self.power_back().await;
            self.act().await;
            if self.plan.faults && self.below(10) == 0 {
                self.fault().await;
            }
            if self.plan.faults && self.below(16) == 0 {
                self.attack().await;
            }
            match self.below(240) {
                0 => self.converge().await,
                1 | 2 => self.safe_without_writer().await,
                _ => {}
            }
            self.look_at_heads();
            let pause = self.rng.below(self.plan.pause.as_millis() as u64);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.converge().await;
        self.safe_without_writer().await;
        self.converge().await;
    }

    fn report(mut self) -> Report {
        let net = self.homes.village.net.clone();
        let stats = net.stats();
        for (what, n) in [
            ("packets", stats.sent),
            ("packets lost", stats.lost),
            ("packets duplicated", stats.duplicated),
            ("packets overtaking others", stats.overtaking),
            ("packets dropped by a full queue", stats.overflowed),
            ("packets with a bit flipped", stats.flipped),
            ("packets into a cut link", stats.cut),
            ("packets to nobody", stats.nowhere),
        ] {
            self.counts.insert(what, n);
        }
        Report {
            seed: self.homes.village.seed,
            virtual_time: self.started.elapsed(),
            trace: net.trace(),
            counts: self.counts,
            violations: self.violations,
            log: net.log(),
        }
    }
}

/// One hour of a busy family on good links; how long it was in virtual time, and the report.
pub fn busy_hour(seed: u64) -> (Duration, Report) {
    let plan = Plan { faults: false, ..Plan::hours(1.0) };
    let report = crate::village!(async { run(Village::new(seed, LEAST), plan).await });
    (report.virtual_time, report)
}
