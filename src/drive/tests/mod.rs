//! The drive without a kernel, on a grid in memory and disks that forget.

mod acl;
mod admin;
mod audit;
mod copy;
mod crashes;
mod faults;
mod journal;
mod killed;
mod long;
mod mem_grid;
mod model;
mod no_room;
mod past;
mod pins;
mod review;
mod rot;
mod saved;
mod settling;
mod slice;
mod speed;
mod stopped;
mod stored;
mod times;
mod waiting;

use super::*;
use crate::keys::*;
use crate::world::{Blocking, Clock, Crash, Indexes, MemIndexes, Places, RealNet, Rng, SimDisk, World};
use bytes::Bytes;
use mem_grid::{MemClient, MemGrid};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) const ME: Caller = Caller { uid: 1000, gid: 1000, pid: 1, umask: 0 };
pub(super) const RW: OpenMode = OpenMode { read: true, write: true, append: false, truncate: false };
pub(super) const RO: OpenMode = OpenMode { read: true, write: false, append: false, truncate: false };

/// Virtual time, begun in 2026.
struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now_ns(&self) -> i64 {
        1_795_000_000_000_000_000 + self.0.elapsed().as_nanos() as i64
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// splitmix64.
pub(super) struct Dice(pub Mutex<u64>);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Mutex::new(seed))
    }
    pub fn next(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    /// Bytes that do not compress.
    pub fn noise(&self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(len);
        out
    }
}

impl Rng for Dice {
    fn fill(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.noise(out.len()));
    }
}

/// A drive's founding: admin log and keys, and writer keys for devices.
pub(super) struct Founding {
    pub admin: Vec<Signed>,
    pub keys: DriveKeys,
    pub writers: Vec<WriterKey>,
    pub person: PersonId,
}

pub(super) fn found(devices: u8) -> Founding {
    let signing = SigningKey::from_seed(&Seed::from_bytes([1; 32]));
    let person = PersonKey::from_seed(&Seed::from_bytes([2; 32]));
    let parameters = Parameters {
        sealed_name: Vec::new(),
        retention_days: 30,
        release_delay_days: 7,
        park_after_days: 90,
    };
    let read = ReadKey::from_bytes([3; 32]);
    let (mut log, keys) = found_drive(&signing, "test", parameters, [4; 32], read).expect("founded");
    let exchange_key = person.sharing(0).public();
    let member = Member { person: person.id(), exchange_key, power: Power::Admin };
    let one_time = ExchangeKey::from_seed(Seed::from_bytes([5; 32]));
    log.add_member(&signing, member, &keys, &one_time).expect("a member");
    let mut writers = Vec::new();
    for device in 0..devices {
        let writer = WriterKey::new(&Seed::from_bytes([50 + device; 32]), [device; 16]);
        let node = DeviceKeys::from_seed(Seed::from_bytes([80 + device; 32])).node();
        let enrolled = Writer {
            key: writer.public(),
            person: person.id(),
            node,
            power: Power::Write,
            from: Epoch::FIRST,
            ticket: None,
        };
        log.enrol_writer(&signing, enrolled).expect("enrolled");
        writers.push(writer);
    }
    Founding { admin: log.records(0).to_vec(), keys, writers, person: person.id() }
}

/// A machine with one drive.
pub(super) struct Machine {
    pub disk: Arc<SimDisk>,
    pub setup: DriveSetup,
    pub client: Arc<MemClient>,
    pub drive: Arc<Drive>,
}

impl Machine {
    pub async fn start(founding: &Founding, device: usize, grid: &Arc<MemGrid>) -> Machine {
        Machine::on(Arc::new(SimDisk::new()), founding, device, grid).await
    }
    pub async fn on(disk: Arc<SimDisk>, founding: &Founding, device: usize, grid: &Arc<MemGrid>) -> Machine {
        Machine::with(disk, Arc::new(MemIndexes), founding, device, grid).await
    }
    pub async fn with(
        disk: Arc<SimDisk>,
        indexes: Arc<dyn Indexes>,
        founding: &Founding,
        device: usize,
        grid: &Arc<MemGrid>,
    ) -> Machine {
        let client = grid.client();
        let world = World {
            clock: Arc::new(TestClock(tokio::time::Instant::now())),
            rng: Arc::new(Dice::new(device as u64 + 9)),
            disk: disk.clone(),
            net: Arc::new(RealNet),
            indexes,
            blocking: Blocking::Inline,
        };
        let root = PathBuf::from("/node");
        let setup = DriveSetup {
            world,
            places: Places { state: root.join("state"), cache: root.join("cache"), lent: root.join("lent") },
            keys: founding.keys.clone(),
            writer: founding.writers.get(device).cloned(),
            local: LocalKey::from_bytes([60 + device as u8; 32]),
            admin: founding.admin.clone(),
            account: founding.person,
            label: format!("device {device}"),
            grid: client.clone(),
            options: DriveOptions::default(),
        };
        let drive = Drive::open(setup.clone()).await.expect("the drive opens");
        Machine { disk, setup, client, drive }
    }
    /// kill -9 and a power cut: what was synced is there, of the rest anything.
    pub async fn crash(self, how: Crash) -> Machine {
        let Machine { disk, mut setup, client, drive } = self;
        let disk = {
            let after = disk.crash(how);
            disk.unplug();
            drop(drive);
            Arc::new(after)
        };
        // Tasks that were under way see the drive closing.
        tokio::time::sleep(Duration::from_millis(50)).await;
        setup.world.disk = disk.clone();
        let drive = Drive::open(setup.clone()).await.expect("the drive opens after a crash");
        Machine { disk, setup, client, drive }
    }
    /// A clean end and a new start.
    pub async fn restart(self) -> Machine {
        let Machine { disk, setup, client, drive } = self;
        drive.close().await;
        drop(drive);
        let drive = Drive::open(setup.clone()).await.expect("the drive opens again");
        Machine { disk, setup, client, drive }
    }
    pub async fn write(&self, path: &str, bytes: &[u8]) -> Result<Ino> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.drive.resolve(dir.as_bytes())?;
        let handle = match self.drive.lookup(parent, name.as_bytes()) {
            Ok(attr) => self.drive.open(attr.ino, OpenMode { truncate: true, ..RW }).await?,
            Err(Error::NotFound) => self.drive.create(parent, name.as_bytes(), 0o644, RW, ME)?.1,
            Err(e) => return Err(e),
        };
        for (i, part) in bytes.chunks(128 << 10).enumerate() {
            let at = (i * (128 << 10)) as u64;
            self.drive.write(handle, at, Bytes::copy_from_slice(part), false).await?;
        }
        self.drive.flush(handle).await?;
        self.drive.release(handle).await?;
        self.drive.resolve(path.as_bytes())
    }
    pub async fn fsync(&self, path: &str) -> Result<()> {
        let ino = self.drive.resolve(path.as_bytes())?;
        self.drive.sync_inode(ino).await
    }
    pub async fn read(&self, path: &str) -> Result<Vec<u8>> {
        let ino = self.drive.resolve(path.as_bytes())?;
        self.read_ino(ino).await
    }
    pub async fn read_ino(&self, ino: Ino) -> Result<Vec<u8>> {
        let handle = self.drive.open(ino, RO).await?;
        let mut out = Vec::new();
        let read = loop {
            match self.drive.read(handle, out.len() as u64, 128 << 10).await {
                Ok(part) if part.is_empty() => break Ok(out),
                Ok(part) => out.extend_from_slice(&part),
                Err(e) => break Err(e),
            }
        };
        self.drive.release(handle).await?;
        read
    }
    pub async fn full(&self) {
        let outcome = self.drive.wait(ROOT_INO, crate::grid::Level::Full, Duration::from_secs(120)).await;
        assert_eq!(outcome, Ok(WaitOutcome::Reached), "{:#?}", self.drive.status());
    }
    /// Names in a directory, sorted.
    pub fn names(&self, path: &str) -> Vec<String> {
        let ino = self.drive.resolve(path.as_bytes()).expect("a directory");
        let mut names = Vec::new();
        let mut after = None;
        loop {
            let page = self.drive.readdir(ino, after, 100).expect("listed");
            let Some(last) = page.last() else { break };
            after = Some(last.cursor);
            names.extend(page.iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()));
        }
        names.sort();
        names
    }
}
