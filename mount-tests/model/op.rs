//! What may be done, and the dice that choose: every step stands for itself, so that any may be
//! left out when a run is shortened.

pub use super::lab::dice::Dice;
use serde::{Deserialize, Serialize};

/// Handles that each process has room for.
pub const SLOTS: u64 = 5;
/// Processes that hold handles.
pub const ACTORS: u64 = 2;

/// How a file is opened. Reading and writing are two bits, since neither is possible.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub struct How {
    pub read: bool,
    pub write: bool,
    pub create: bool,
    pub excl: bool,
    pub trunc: bool,
    pub append: bool,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
pub enum Op {
    Open {
        slot: usize,
        path: String,
        how: How,
        mode: u32,
    },
    Close {
        slot: usize,
    },
    Write {
        slot: usize,
        len: usize,
        seed: u64,
    },
    Read {
        slot: usize,
        len: usize,
    },
    WriteAt {
        slot: usize,
        at: u64,
        len: usize,
        seed: u64,
    },
    ReadAt {
        slot: usize,
        at: u64,
        len: usize,
    },
    /// Through a shared mapping, inside the file.
    WriteMapped {
        slot: usize,
        at: u64,
        len: usize,
        seed: u64,
    },
    SetLen {
        slot: usize,
        len: u64,
    },
    Truncate {
        path: String,
        len: u64,
    },
    /// fallocate(2): its mode, by its bits.
    Allocate {
        slot: usize,
        mode: u32,
        at: u64,
        len: u64,
    },
    Copy {
        from: usize,
        from_at: u64,
        to: usize,
        to_at: u64,
        len: usize,
    },
    Sync {
        slot: usize,
        data_only: bool,
    },
    SyncDir {
        path: String,
    },
    /// SEEK_DATA and SEEK_HOLE from the begin to the end, compared with what is read.
    Holes {
        slot: usize,
    },
    Seek {
        slot: usize,
        at: u64,
    },
    /// posix_fadvise(2): the kernel lets the file's pages go.
    Forget {
        slot: usize,
    },
    StatOpen {
        slot: usize,
    },
    ChmodOpen {
        slot: usize,
        mode: u32,
    },
    TimesOpen {
        slot: usize,
        seconds: i64,
        nanos: i64,
    },
    Rename {
        from: String,
        to: String,
        flags: u32,
    },
    Link {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    Symlink {
        target: String,
        path: String,
    },
    ReadLink {
        path: String,
    },
    Mkdir {
        path: String,
        mode: u32,
    },
    Rmdir {
        path: String,
    },
    List {
        path: String,
    },
    Chmod {
        path: String,
        mode: u32,
    },
    Times {
        path: String,
        seconds: i64,
        nanos: i64,
    },
    Stat {
        path: String,
    },
    SetXattr {
        path: String,
        name: String,
        len: usize,
        seed: u64,
        flags: u32,
    },
    GetXattr {
        path: String,
        name: String,
    },
    RemoveXattr {
        path: String,
        name: String,
    },
    /// Every handle: attributes, and bytes from the begin to the end.
    CheckOpen,
    CloseAll,
    /// What follows is done by the tester and not by a process that holds handles.
    Pause {
        millis: u64,
    },
    /// The kernel forgets names and attributes.
    DropKernel,
    /// The daemon lets go what friends have.
    DropNode,
    Restart {
        kill: bool,
    },
    CompareAll,
}

/// An operation, and which process does it.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Step {
    pub actor: usize,
    pub op: Op,
}

impl Dice {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }
    fn chance(&mut self, of: u64) -> bool {
        self.roll(of) == 0
    }
    fn slot(&mut self) -> usize {
        self.roll(SLOTS) as usize
    }

    fn path(&mut self) -> String {
        const DIRS: [&str; 7] = ["", "", "", "d/", "d/", "e/", "d/s/"];
        const NAMES: [&str; 9] = ["a", "a", "b", "b", "c", "d", "e", "s", "ß\n🦀"];
        format!("{}{}", self.one(&DIRS), self.one(&NAMES))
    }
    fn dir(&mut self) -> String {
        self.one(&["d", "d", "e", "d/s", "e/s", "s"]).to_string()
    }
    /// Mostly at, or beside, the ends of blocks, pages and chunks.
    fn at(&mut self) -> u64 {
        const EDGES: [u64; 9] = [0, 0, 4096, 8192, 65_536, 131_072, 1 << 20, 2 << 20, 3 << 20];
        match self.roll(4) {
            0 => self.roll(300),
            1 => self.roll(4 << 20),
            _ => (self.one(&EDGES) + self.roll(3)).saturating_sub(1),
        }
    }
    fn len(&mut self) -> usize {
        let len = match self.roll(12) {
            0..4 => self.roll(100),
            4..7 => self.one(&[1, 4095, 4096, 4097, 8192]),
            7..9 => self.roll(20_000),
            9 => self.one(&[65_536, 65_537, 131_072]),
            10 => self.roll(300_000),
            _ => (1 << 20) + self.roll(300_000) * self.roll(2),
        };
        len as usize
    }
    fn seed(&mut self) -> u64 {
        // Some content is the same twice, and some is all zeros (seed 0).
        self.roll(1 << 20) * self.roll(8).min(1)
    }
    fn mode(&mut self) -> u32 {
        self.one(&[0o644, 0o600, 0o755, 0o750, 0o777, 0o2755, 0o1777])
    }
    fn time(&mut self) -> (i64, i64) {
        (self.roll(1_400_000_000) as i64 - 1000, self.roll(1_000_000_000) as i64)
    }
    fn xattr(&mut self) -> String {
        self.one(&["user.a", "user.b", "user.long name", "trusted.t"]).to_string()
    }

    fn open(&mut self) -> Op {
        let (read, write) = self.one(&[(true, true), (true, true), (true, false), (false, true)]);
        let create = self.roll(3) > 0;
        let how = How {
            read,
            write,
            create,
            excl: create && self.chance(5),
            trunc: write && self.chance(5),
            append: write && self.chance(5),
        };
        Op::Open { slot: self.slot(), path: self.path(), how, mode: self.mode() }
    }
    fn bytes(&mut self) -> Op {
        let slot = self.slot();
        match self.roll(16) {
            0..5 => Op::WriteAt { slot, at: self.at(), len: self.len(), seed: self.seed() },
            5..9 => Op::ReadAt { slot, at: self.at(), len: self.len() },
            9 | 10 => Op::Write { slot, len: self.len(), seed: self.seed() },
            11 | 12 => Op::Read { slot, len: self.len() },
            13 => Op::WriteMapped { slot, at: self.at(), len: self.len().min(70_000), seed: self.seed() },
            14 => Op::Seek { slot, at: self.at() },
            _ => Op::Holes { slot },
        }
    }
    fn shape(&mut self) -> Op {
        let slot = self.slot();
        match self.roll(8) {
            0 | 1 => Op::SetLen { slot, len: self.at() },
            2 => Op::Truncate { path: self.path(), len: self.at().max(1) },
            3..6 => {
                const KEEP: u32 = 1;
                const PUNCH: u32 = 2 | KEEP;
                const ZERO: u32 = 16;
                let mode = self.one(&[0, KEEP, PUNCH, PUNCH, ZERO, ZERO | KEEP]);
                Op::Allocate { slot, mode, at: self.at(), len: self.at().max(1) }
            }
            _ => {
                let len = self.len().max(self.len());
                Op::Copy { from: slot, from_at: self.at(), to: self.slot(), to_at: self.at(), len }
            }
        }
    }
    fn names(&mut self) -> Op {
        match self.roll(20) {
            0..6 => Op::Rename { from: self.path(), to: self.path(), flags: self.one(&[0, 0, 0, 1, 2]) },
            6..8 => Op::Link { from: self.path(), to: self.path() },
            8..12 => Op::Unlink { path: self.path() },
            12 => {
                const TARGETS: [&str; 6] = ["a", "b", "d/a", "../a", "s", "nowhere"];
                Op::Symlink { target: self.one(&TARGETS).into(), path: self.path() }
            }
            13 => Op::ReadLink { path: self.path() },
            14..17 => Op::Mkdir { path: self.dir(), mode: self.mode() | 0o700 },
            17 => Op::Rmdir { path: self.dir() },
            _ => Op::List { path: self.one(&[".", "d", "e", "d/s"]).into() },
        }
    }
    fn attributes(&mut self) -> Op {
        let (path, slot, (seconds, nanos)) = (self.path(), self.slot(), self.time());
        match self.roll(12) {
            0 => Op::Chmod { path, mode: self.mode() | 0o700 },
            1 => Op::ChmodOpen { slot, mode: self.mode() | 0o700 },
            2 => Op::Times { path, seconds, nanos },
            3 => Op::TimesOpen { slot, seconds, nanos },
            4 | 5 => Op::Stat { path },
            6 | 7 => Op::StatOpen { slot },
            8 | 9 => {
                let (len, flags) = (self.roll(200) as usize, self.one(&[0, 0, 1, 2]));
                Op::SetXattr { path, name: self.xattr(), len, seed: self.seed(), flags }
            }
            10 => Op::GetXattr { path, name: self.xattr() },
            _ => Op::RemoveXattr { path, name: self.xattr() },
        }
    }
    fn op(&mut self) -> Op {
        match self.roll(100) {
            0..17 => self.open(),
            17..22 => Op::Close { slot: self.slot() },
            22..54 => self.bytes(),
            54..64 => self.shape(),
            64..80 => self.names(),
            80..94 => self.attributes(),
            94 | 95 => Op::Sync { slot: self.slot(), data_only: self.chance(2) },
            96 => Op::SyncDir { path: self.one(&[".", "d", "e"]).into() },
            97 => Op::Forget { slot: self.slot() },
            98 => Op::CheckOpen,
            _ => Op::StatOpen { slot: self.slot() },
        }
    }
}

/// The steps of a seed. What takes long comes at its own, rarer, times.
pub fn steps(seed: u64, count: u64) -> Vec<Step> {
    let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let step = |i: u64| {
        let actor = dice.roll(ACTORS) as usize;
        let op = match i + 1 {
            n if n % 1500 == 0 => Op::Restart { kill: dice.chance(2) },
            n if n % 700 == 0 => Op::Pause { millis: 300 + dice.roll(2200) },
            n if n % 500 == 0 => Op::DropNode,
            n if n % 250 == 0 => Op::DropKernel,
            n if n % 125 == 0 => Op::CompareAll,
            n if n % 90 == 0 => Op::Pause { millis: dice.roll(60) },
            _ => dice.op(),
        };
        Step { actor, op }
    };
    (0..count).map(step).collect()
}
