//! The states that cuts leave of a case, and what is done with each.

use super::cases::{Case, Checked, Limit, STARTS, Start};
use super::oracle::{Moment, Progress, Tree, capture, judge};
use super::workload::{OPS, Op, Work, lay, text};
use super::*;
use std::collections::HashMap;
use std::future::Future;

/// Bytes of a journal file: so few that it is left for the next one now and then.
const JOURNAL_FILE: u64 = 128 << 10;

/// Virtual time; every life of a machine is some minutes later than the one before.
struct LaterClock {
    begun: tokio::time::Instant,
    life: u64,
}

impl Clock for LaterClock {
    fn now_ns(&self) -> i64 {
        let before = 1_795_000_000 + self.life as i64 * 1000;
        before * 1_000_000_000 + self.begun.elapsed().as_nanos() as i64
    }
    fn monotonic(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// A synced drive to start from.
pub struct Base {
    pub disk: SimDisk,
    pub grid: Arc<MemGrid>,
    pub tree: Tree,
}

pub struct Bases {
    founding: Founding,
    bases: Vec<Base>,
}

pub fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

impl Bases {
    pub fn new() -> Bases {
        let mut bases = Bases { founding: found(2), bases: Vec::new() };
        let mut full = 0;
        for (start, _) in STARTS {
            if start == Start::Full {
                full = in_virtual_time(bases.fill());
            }
            let base = in_virtual_time(bases.build(start, full));
            bases.bases.push(base);
        }
        bases
    }
    pub fn get(&self, start: Start) -> &Base {
        &self.bases[start as usize]
    }
    /// A machine with a disk. Each of its lives has a clock and randomness of its own.
    pub async fn machine(
        &self,
        disk: SimDisk,
        grid: Arc<MemGrid>,
        device: usize,
        life: u64,
    ) -> std::result::Result<Machine, String> {
        let (disk, client) = (Arc::new(disk), grid.client());
        let world = World {
            clock: Arc::new(LaterClock { begun: tokio::time::Instant::now(), life }),
            rng: Arc::new(Dice::new(device as u64 * 1000 + life)),
            disk: disk.clone(),
            net: Arc::new(RealNet),
            indexes: Arc::new(MemIndexes),
            blocking: Blocking::Inline,
        };
        let at = |name: &str| PathBuf::from("/node").join(name);
        let setup = DriveSetup {
            world,
            places: Places { state: at("state"), cache: at("cache"), lent: at("lent") },
            keys: self.founding.keys.clone(),
            writer: self.founding.writers.get(device).cloned(),
            local: LocalKey::from_bytes([60 + device as u8; 32]),
            admin: self.founding.admin.clone(),
            account: self.founding.person,
            label: format!("device {device}"),
            grid: client.clone(),
            options: DriveOptions { journal_file: JOURNAL_FILE, ..DriveOptions::default() },
        };
        let drive = Drive::open(setup.clone()).await.map_err(|e| format!("the drive does not open: {e}"))?;
        Ok(Machine { disk, setup, client, drive })
    }
    async fn laid(&self) -> Machine {
        let m = self.machine(SimDisk::new(), MemGrid::new(2), 0, 0).await.expect("a new drive");
        lay(&m).await;
        m
    }
    async fn pad(m: &Machine) {
        let set = SetAttr { mode: Some(0o755), ..SetAttr::default() };
        m.drive.setattr(ROOT_INO, set, ME).expect("set");
        m.drive.sync_inode(ROOT_INO).await.expect("synced");
    }
    /// Synced operations until the journal goes on in its next file.
    async fn fill(&self) -> u32 {
        let m = self.laid().await;
        let before = m.drive.shared.journal.status().disk;
        let mut pads = 0;
        while m.drive.shared.journal.status().disk == before {
            Bases::pad(&m).await;
            pads += 1;
        }
        pads
    }
    async fn build(&self, start: Start, full: u32) -> Base {
        let m = self.laid().await;
        match start {
            Start::Published => {
                m.full().await;
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            Start::Unsettled => {}
            Start::Full => {
                for _ in 3..full {
                    Bases::pad(&m).await;
                }
            }
        }
        let tree = capture(&m).await.expect("read");
        let (grid, disk) = (m.client.grid.copy(), m.disk.crash(Crash::Keep(0)));
        Base { disk, grid, tree }
    }
}

/// The disk before one of its changes.
struct Cut {
    disk: SimDisk,
    grid: Arc<MemGrid>,
    progress: Progress,
}

/// Keeps the disk, and what friends had, as they were before each change.
fn record(disk: &SimDisk, grid: &Arc<MemGrid>, progress: &Arc<Mutex<Progress>>) -> Arc<Mutex<Vec<Cut>>> {
    let cuts: Arc<Mutex<Vec<Cut>>> = Arc::default();
    let (grid, progress, out) = (grid.clone(), progress.clone(), cuts.clone());
    let mut kept: Option<(u64, Arc<MemGrid>)> = None;
    disk.watch(Some(Box::new(move |disk| {
        let held = grid.held();
        if kept.as_ref().is_none_or(|k| k.0 != held) {
            kept = Some((held, grid.copy()));
        }
        let grid = kept.as_ref().expect("kept").1.clone();
        out.lock().push(Cut { disk, grid, progress: progress.lock().clone() });
    })));
    cuts
}

/// What cuts are tried with so many pending operations.
fn states(pending: usize, limit: Limit, seed: u64) -> Vec<Crash> {
    if pending == 0 {
        return vec![Crash::Keep(0)];
    }
    let dice = Dice::new(seed);
    let mut out: Vec<Crash> = if pending <= limit.exhaustive {
        (0..1 << pending).map(Crash::Keep).collect()
    } else {
        let some = (2..limit.states).map(|_| Crash::Seeded(dice.next() >> 16));
        [Crash::Keep(0), Crash::Keep(u64::MAX)].into_iter().chain(some).collect()
    };
    out.extend((0..limit.torn).map(|_| Crash::Seeded(dice.next() >> 16)));
    out
}

/// Runs a case, and everything that cuts of it leave.
pub fn run(bases: &Bases, case: &Case, limit: Limit) -> Checked {
    in_virtual_time(check(bases, case, limit, None))
}

/// Runs one state: `case:cut:kept`.
pub fn replay(bases: &Bases, state: &str) {
    let fields: Vec<&str> = state.split(':').collect();
    let [start, settles, ops, cut, how] = fields[..] else {
        panic!("start:settles:ops:cut:how, not {state}")
    };
    let start = STARTS.iter().find(|s| s.1 == start).expect("a start").0;
    let ops = ops.split(',').map(|n| n.parse().expect("an operation")).collect();
    let case = Case { start, settles: settles == "settles", ops };
    let value = how[1..].parse().expect("a number");
    let how = if how.starts_with('k') { Crash::Keep(value) } else { Crash::Seeded(value) };
    let only = Some((cut.parse().expect("a cut"), how));
    let limit = Limit { exhaustive: 0, states: 1, torn: 0, go_on: 1 };
    let done = in_virtual_time(check(bases, &case, limit, only));
    eprintln!("{:?}: {done}", case.ops.iter().map(|n| OPS[*n]).collect::<Vec<Op>>());
}

async fn check(bases: &Bases, case: &Case, limit: Limit, only: Option<(usize, Crash)>) -> Checked {
    let Some((moments, cuts)) = live(bases, case).await else { return Checked::default() };
    let mut done = Checked { cases: 1, ..Checked::default() };
    let mut seen: HashMap<[u8; 32], Arc<Tree>> = HashMap::new();
    for (n, cut) in cuts.iter().enumerate() {
        if only.is_some_and(|o| o.0 != n) {
            continue;
        }
        let all = states(cut.disk.pending(), limit, case.seed() * 1000 + n as u64);
        for how in only.map_or(all, |o| vec![o.1]) {
            done.states += 1;
            let judged = one(bases, cut, how, &moments, limit, &mut seen, &mut done).await;
            if let Err(why) = judged {
                let kept = match how {
                    Crash::Keep(mask) => format!("k{mask}"),
                    Crash::Seeded(seed) => format!("s{seed}"),
                    Crash::Kill => "all".into(),
                };
                let ops: Vec<Op> = case.ops.iter().map(|n| OPS[*n]).collect();
                panic!("KITH_CRASH={case}:{n}:{kept}\n{ops:?}, cut {n} of {}\n{why}", cuts.len() - 1);
            }
        }
    }
    done
}

/// The states that a case goes through, and the disk before each change of it.
async fn live(bases: &Bases, case: &Case) -> Option<(Vec<Moment>, Vec<Cut>)> {
    let base = bases.get(case.start);
    let m = bases.machine(base.disk.copy(), base.grid.copy(), 0, 1).await.expect("opens");
    let mut work = Work::new(&m, base.tree.clone());
    let cuts = record(&m.disk, &m.client.grid, &work.progress);
    for (i, op) in case.ops.iter().enumerate() {
        work.apply(OPS[*op], case.seed() + i as u64).await.ok()?;
    }
    if case.settles {
        work.settle().await;
    }
    m.disk.watch(None);
    let progress = work.progress.lock().clone();
    let rest = Cut { disk: m.disk.snapshot(), grid: m.client.grid.copy(), progress };
    let moments = work.moments;
    let mut cuts = std::mem::take(&mut *cuts.lock());
    cuts.push(rest);
    Some((moments, cuts))
}

async fn one(
    bases: &Bases,
    cut: &Cut,
    how: Crash,
    moments: &[Moment],
    limit: Limit,
    seen: &mut HashMap<[u8; 32], Arc<Tree>>,
    done: &mut Checked,
) -> std::result::Result<(), String> {
    let disk = cut.disk.crash(how);
    let print = disk.fingerprint();
    let goes_on = done.states.is_multiple_of(limit.go_on);
    if let Some(tree) = seen.get(&print).filter(|_| !goes_on) {
        return judge(tree, moments, &cut.progress);
    }
    done.opened += 1;
    // The power may go again while the drive opens.
    let progress = Arc::new(Mutex::new(cut.progress.clone()));
    let again = goes_on.then(|| record(&disk, &cut.grid, &progress));
    let m = bases.machine(disk, cut.grid.copy(), 0, 2).await?;
    m.disk.watch(None);
    let tree = Arc::new(capture(&m).await?);
    seen.insert(print, tree.clone());
    judge(&tree, moments, &cut.progress)?;
    for opening in again.map(|cuts| std::mem::take(&mut *cuts.lock())).unwrap_or_default() {
        for how in [Crash::Keep(0), Crash::Keep(u64::MAX), Crash::Seeded(done.states)] {
            done.states += 1;
            done.opened += 1;
            let m = bases.machine(opening.disk.crash(how), cut.grid.copy(), 0, 3).await?;
            let found = capture(&m).await?;
            judge(&found, moments, &cut.progress).map_err(|e| format!("cut again while it opened: {e}"))?;
        }
    }
    if goes_on {
        done.went_on += 1;
        go_on(bases, m, &tree, done.states).await?;
    } else {
        drop(m);
    }
    // Its tasks see that it is over.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Whether two trees are the same; times of directories may go back to before what came and went.
pub fn same(what: &str, got: &Tree, want: &Tree) -> std::result::Result<(), String> {
    if got.names != want.names {
        return Err(format!("{what}: names are {:?}, not {:?}", got.names, want.names));
    }
    for (ino, node) in &got.nodes {
        let mut wanted = want.nodes[ino].clone();
        if node.dir {
            wanted.mtime = node.mtime;
        }
        if *node != wanted {
            let say = |n: &super::oracle::Node| format!("{} bytes, {:o}, {}", n.bytes.len(), n.mode, n.mtime);
            return Err(format!("{what}: {ino} is {}, not {}", say(node), say(&wanted)));
        }
    }
    Ok(())
}

/// Work goes on after a crash: what is synced now outlives a second one, and friends get it all.
pub async fn go_on(bases: &Bases, m: Machine, before: &Tree, seed: u64) -> std::result::Result<(), String> {
    let said = |what: &'static str| move |e: Error| format!("{what}: {e}");
    let old = before.names.iter().find(|(_, ino)| !before.nodes[ino].dir).map(|(path, _)| path.clone());
    for path in old.iter().map(String::as_str).chain(["again"]) {
        m.write(path, &text(seed, 3000)).await.map_err(said("writing after the crash"))?;
        m.fsync(path).await.map_err(said("syncing after the crash"))?;
    }
    let mut want = capture(&m).await?;
    let mut now = want.clone();
    now.names.remove("again");
    if now.names != before.names {
        return Err(format!("after writing names are {:?}", want.names));
    }
    let grid = m.client.grid.clone();
    let disk = m.disk.crash(Crash::Seeded(seed));
    drop(m);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let m = bases.machine(disk, grid.clone(), 0, 4).await?;
    same("after the second crash", &capture(&m).await?, &want)?;
    let full = m.drive.wait(ROOT_INO, crate::grid::Level::Full, Duration::from_secs(120)).await;
    if full != Ok(WaitOutcome::Reached) {
        return Err(format!("not at friends: {full:?}, {:#?}", m.drive.status()));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    same("when friends have it", &capture(&m).await?, &want)?;
    let other = bases.machine(SimDisk::new(), grid, 1, 5).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let there = capture(&other).await?;
    // Names and numbers are the same everywhere.
    want.nodes.retain(|ino, _| there.nodes.contains_key(ino));
    same("at a second machine", &there, &want)
}
