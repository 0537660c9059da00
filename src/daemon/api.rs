//! What is said over the control socket: one JSON request line, then any number of
//! progress lines, then one answer line. The command line is a thin client of it.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Version of everything printed by `--json`; fields are only ever added.
pub const SCHEMA: u32 = 1;

/// Exit codes of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Failed = 1,
    Usage = 2,
    NoDaemon = 3,
    NotSafe = 4,
    AtRisk = 5,
    NoRoom = 6,
}

/// An error as people read it, in three lines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Trouble {
    /// What was not done, naming the object.
    pub what: String,
    pub why: String,
    /// The way out.
    pub fix: String,
    pub exit: Exit,
}

impl Trouble {
    pub fn new(what: impl Into<String>, why: impl ToString, fix: impl Into<String>) -> Trouble {
        Trouble { what: what.into(), why: why.to_string(), fix: fix.into(), exit: Exit::Failed }
    }
    /// The same with another exit code.
    pub fn exit(mut self, exit: Exit) -> Trouble {
        self.exit = exit;
        self
    }
}

/// Results towards people.
pub type Outcome<T> = Result<T, Trouble>;

/// How long `sync` waits, and for what.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    Local,
    Published,
    Safe,
    Full,
}

/// Requests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    Status {
        path: Option<PathBuf>,
    },
    /// A ticket for one person (or `device`: another device of this person is not yet offered).
    Invite {
        label: Option<String>,
        /// Bytes granted to the guest on this node's disk.
        grant: Option<u64>,
        valid_minutes: u64,
        drives: Vec<String>,
        role: Option<String>,
    },
    Join {
        ticket: String,
        grant: Option<u64>,
    },
    Friends,
    FriendLimit {
        friend: String,
        bytes: u64,
    },
    DriveCreate {
        name: String,
    },
    DriveList,
    /// A capability string for a drive this node has, at `power` or less.
    DriveShow {
        name: String,
        power: String,
    },
    DriveOpen {
        capability: String,
        name: Option<String>,
    },
    Mount {
        drive: Option<String>,
        dir: PathBuf,
        read_only: bool,
        allow_other: bool,
        nonempty: bool,
        #[serde(default)]
        noatime: bool,
        #[serde(default)]
        noexec: bool,
        /// Show everything as this user's, this group's.
        #[serde(default)]
        uid: Option<u32>,
        #[serde(default)]
        gid: Option<u32>,
    },
    Unmount {
        dir: Option<PathBuf>,
    },
    Sync {
        path: Option<PathBuf>,
        timeout_s: Option<u64>,
        until: Until,
    },
    /// Keep what is at and below a path on this machine, or (`free`) no more; without a path:
    /// what is.
    Pin {
        path: Option<PathBuf>,
        #[serde(default)]
        free: bool,
    },
    /// What was at a path, whether or not something is now.
    History {
        path: PathBuf,
    },
    /// What has a conflict name, in all drives.
    Conflicts,
    /// Which friends keep this person's recovery record.
    Recovery,
    /// The recovery kit. `passphrase`: of a keystore that has one.
    RecoveryKit {
        passphrase: Option<Hidden>,
    },
    /// Bring back what was recovered: drives whose admin log is still to be fetched, and what
    /// friends know of each.
    BringBack,
    /// Forget what can be fetched again (caches and memory; never unsaved data).
    DropCaches,
    Stop,
}

/// One line of an answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Line {
    Progress(Progress),
    Failed(Trouble),
    Done,
    Ticket {
        ticket: String,
        expires_ms: u64,
    },
    Joined {
        friend: String,
        /// Names of drives that can be mounted now.
        drives: Vec<String>,
        /// Names of drives that came with a power that shows no names.
        nameless: Vec<String>,
    },
    Friends {
        friends: Vec<FriendStatus>,
    },
    Drives {
        drives: Vec<DriveLine>,
    },
    Capability {
        capability: String,
    },
    Mounted {
        dir: PathBuf,
        drive: String,
    },
    /// `busy`: of these, the ones that programs still use. They are off their directory, and
    /// end for those programs when they close what they have open.
    Unmounted {
        dirs: Vec<PathBuf>,
        busy: Vec<PathBuf>,
    },
    Status(Box<Report>),
    Path(PathReport),
    Synced {
        state: String,
        files: u64,
        bytes: u64,
    },
    Pins {
        pins: Vec<PinLine>,
    },
    Recovery(RecoveryReport),
    RecoveryKit {
        /// For people; what the QR code holds; the words alone, with blanks between them.
        text: Hidden,
        short: Hidden,
        words: Hidden,
        /// How many friends it names.
        friends: usize,
    },
    /// Bytes of this machine's disk.
    Freed {
        bytes: u64,
    },
    /// The mount that a path is in, the rest of the path, and what was there, latest first.
    History {
        mount: PathBuf,
        inside: PathBuf,
        versions: Vec<VersionLine>,
    },
    Conflicts {
        conflicts: Vec<ConflictLine>,
        /// How many there are; not all of them may be listed.
        count: u64,
    },
}

/// What was under a name for a while.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VersionLine {
    /// Since when, in this machine's time, to the next second; and exactly, as `--at` takes it, too.
    pub since: String,
    pub at: String,
    /// The last moment at which it was there as it was, exactly; None: it still is.
    pub until: Option<String>,
    /// file, directory, symlink, special; nothing, where it was removed.
    pub kind: String,
    pub bytes: u64,
    /// When it was last written to, in this machine's time.
    pub modified: String,
    /// The device that did it; None: before all that is kept.
    pub by: Option<String>,
}

/// Two things that wanted one name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConflictLine {
    pub drive: String,
    /// With the mount's directory where the drive is mounted, else inside the drive.
    pub path: PathBuf,
    pub wanted: PathBuf,
    /// Something has the wanted name.
    pub taken: bool,
    /// Made on this machine: what has the conflict name, what has the wanted one.
    pub ours: bool,
    pub theirs_is_ours: bool,
    pub modified: String,
    pub bytes: u64,
}

/// Text that is never printed by accident, and zeroed when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// The text itself; the caller answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Hidden {
        Hidden(text)
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(..)")
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// What a person should know of the recovery record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecoveryReport {
    pub schema: u32,
    /// The person: its public key.
    pub person: String,
    /// Of the newest record made here; 0: none yet.
    pub generation: u64,
    /// Friends that grant room.
    pub keepers: Vec<RecoveryKeeper>,
    pub problem: Option<String>,
}

/// One friend that is to keep the recovery record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecoveryKeeper {
    pub name: String,
    /// It has said, since this start, that it keeps the newest.
    pub newest: bool,
    pub trouble: Option<String>,
}

/// One place that is kept on this machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PinLine {
    pub drive: String,
    /// In the drive; empty: all of it. None: it is gone.
    pub path: Option<String>,
    /// It was looked through; else the numbers are not known yet.
    pub looked: bool,
    pub files: u64,
    pub bytes: u64,
    /// Files of which something is not here yet, and why, of one of them.
    pub missing: u64,
    pub why: Option<String>,
}

/// How far a long request is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Progress {
    pub done_bytes: u64,
    pub total_bytes: u64,
    pub files_waiting: u64,
    pub text: String,
}

/// One friend.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FriendStatus {
    pub name: String,
    pub node: String,
    pub online: bool,
    /// Seconds since it was last heard of; None: never.
    pub last_seen_s: Option<u64>,
    pub rtt_ms: Option<u64>,
    /// Bytes this friend allows us, and holds for us.
    pub allows: u64,
    pub holds_for_us: u64,
    /// Bytes we allow this friend, and hold for it.
    pub we_allow: u64,
    pub we_hold: u64,
    /// Trouble with this friend, in words (wrong bytes served, full, refused).
    pub trouble: Option<String>,
    /// What it said last, signed, of what it keeps for us.
    #[serde(default)]
    pub statement: Option<Stated>,
    /// What it announced that it will let go of; the day (since 1970) until which it is away.
    #[serde(default)]
    pub notice: Option<String>,
    #[serde(default)]
    pub away_until: Option<u32>,
    /// Seconds since it last proved that it has what it keeps for us; None: never.
    #[serde(default)]
    pub verified_s: Option<u64>,
    /// Audits that it passed and failed, ever.
    #[serde(default)]
    pub audits_passed: u64,
    #[serde(default)]
    pub audits_failed: u64,
}

/// A friend's signed statement. Its counters only rise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stated {
    /// UTC day, as 2026-11-24, and the statement's number.
    pub day: String,
    pub number: u64,
    /// Bytes we may use there, and use; shares it leases to us.
    pub limit: u64,
    pub used: u64,
    pub leases: u64,
    /// Bytes written there and read from there, ever.
    pub written: u64,
    pub read: u64,
}

/// One drive, in a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DriveLine {
    pub name: String,
    pub id: String,
    pub power: String,
    pub mounted: Option<PathBuf>,
}

/// State of a drive that is in the keyring and did not open; its problems say why.
pub const NOT_OPEN: &str = "not open";
/// State of a drive that this node may repair or verify, not read.
pub const NAMELESS: &str = "shows no names here";

/// One drive, in the status.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DriveReport {
    pub name: String,
    pub id: String,
    pub power: String,
    pub mounted: Option<PathBuf>,
    pub files: u64,
    /// Shares needed and made now, and the households that may vanish once files are safe.
    pub k: u8,
    pub n: u8,
    pub margin: u8,
    /// The worst state of any file, in the words of the user.kith.state attribute.
    pub state: String,
    /// The same in one word, for programs: written, local, uploading, published, at-risk, thin,
    /// safe, full or unreadable; empty when the drive is not open.
    #[serde(default)]
    pub level: String,
    /// Files (and bytes) not yet safe.
    pub waiting_files: u64,
    pub waiting_bytes: u64,
    pub problems: Vec<String>,
    /// Things with a conflict name.
    #[serde(default)]
    pub conflicts: u64,
}

/// `kith status`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    pub name: String,
    pub node: String,
    pub addrs: Vec<String>,
    pub lends: u64,
    pub lent_used: u64,
    /// Bytes on the wire since this start, headers included.
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub friends: Vec<FriendStatus>,
    pub drives: Vec<DriveReport>,
    /// What a person should know of this machine, in words.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// `kith status PATH`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PathReport {
    pub schema: u32,
    pub path: PathBuf,
    pub state: String,
    /// The state in one word, for programs.
    #[serde(default)]
    pub level: String,
    pub size: u64,
    /// Names of friends that hold part of it, for a file.
    pub holders: Vec<String>,
}
