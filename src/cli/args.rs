//! The command line, as data.

use crate::cli::say::{parse_moment, parse_seconds, parse_size, parse_validity};
use crate::daemon::api::Until;
use crate::keys::KitFriend;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A filesystem that a group of friends holds up together.
#[derive(Parser, Debug)]
#[command(name = "kith", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Try it: kith demo. Exit codes: 0 fine, 1 failed, 2 usage, 3 daemon not running, \
                        4 not yet safe, 5 at risk or unreadable, 6 no room.")]
pub struct Cli {
    /// Keep everything of this node below DIR (default: the XDG places; also KITH_HOME)
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Make this machine a node: keys, a name, space to lend
    Init(Init),
    /// Print a ticket that lets one person in (once, for a short time)
    Invite(Invite),
    /// Join a friend with a ticket ('-' reads it from standard input)
    Join(Join),
    /// Friends: list them, or change what one may use here
    #[command(subcommand)]
    Friend(Friend),
    /// Drives: create, list, show a capability, open one
    #[command(subcommand)]
    Drive(Drive),
    /// Mount a drive (default directory: ~/Kith)
    Mount(Mount),
    /// Unmount (uploads go on in the background)
    Unmount { dir: Option<PathBuf> },
    /// Who holds what, and what is not safe yet; with PATH, of that file
    Status {
        path: Option<PathBuf>,
        /// Print again every second until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Wait until everything (or everything below PATH) is safe
    Sync(Sync),
    /// Keep what is at and below PATH on this machine; without PATH: say what is kept
    Pin(Pin),
    /// What was at PATH and when, deleted things included
    History { path: PathBuf },
    /// Bring back what was at PATH (a file or a whole tree); what came there since stays
    Restore(Restore),
    /// Files that two changed at once: list them, or settle one
    Conflicts(Conflicts),
    /// The recovery kit: make one, check one, or come back with one; without an option: who keeps
    /// what it brings back
    Recover(Recover),
    /// A grid of six nodes on this machine, mounted, ready for files
    Demo(Demo),
    /// Measure this machine and kith on it; prints figures beside their targets
    Bench(Bench),
    /// Run the node in the foreground
    Daemon(Daemon),
    /// Stop the daemon of this node
    Stop,
    /// Forget caches (never unsaved data): what is read next comes from friends
    #[command(hide = true)]
    DropCaches,
}

#[derive(Args, Debug)]
pub struct Init {
    /// The name friends see
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Space for friends, for example 50G
    #[arg(long, value_parser = parse_size, default_value = "10G", value_name = "SIZE")]
    pub lend: u64,
    /// What one friend may use unless said otherwise
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    pub grant: Option<u64>,
    /// The home, rack or site this machine stands in; copies in one household count once
    #[arg(long, value_name = "NAME")]
    pub household: Option<String>,
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0:7417", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Seal the keys under a passphrase (asked for, or the first line of standard input)
    #[arg(long)]
    pub passphrase: bool,
}

#[derive(Args, Debug)]
pub struct Invite {
    /// Name of the guest, for your own list
    pub guest: Option<String>,
    /// What the guest may use on this machine
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    pub grant: Option<u64>,
    /// How long the ticket is good
    #[arg(long, value_parser = parse_validity, default_value = "24h", value_name = "TIME")]
    pub valid: u64,
    /// Let the guest into this drive as well
    #[arg(long, value_name = "NAME")]
    pub drive: Vec<String>,
    /// ... with this power
    #[arg(long = "as", value_name = "ROLE", default_value = "writer")]
    pub role: Role,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Admin,
    Writer,
    Reader,
    Helper,
    Auditor,
}

/// The roles that a capability can give: whoever writes or admits others is enrolled by an
/// invitation, with keys of their own.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShownRole {
    Reader,
    Helper,
    Auditor,
}

#[derive(Args, Debug)]
pub struct Join {
    pub ticket: String,
    /// What the inviter may use on this machine
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    pub grant: Option<u64>,
}

#[derive(Subcommand, Debug)]
pub enum Friend {
    List,
    /// Change what a friend may use on this machine
    Limit {
        friend: String,
        #[arg(value_parser = parse_size)]
        size: u64,
    },
}

#[derive(Subcommand, Debug)]
pub enum Drive {
    Create {
        name: String,
    },
    List,
    /// Print a capability: whoever has it has that power over the drive
    Show {
        name: String,
        /// At most reading can be copied about like this; who is to write is invited
        #[arg(long = "as", value_name = "ROLE", default_value = "reader")]
        role: ShownRole,
    },
    /// Add a drive by its capability ('-' reads it from standard input)
    Open {
        capability: String,
        /// What to call it here
        #[arg(long)]
        name: Option<String>,
    },
}

#[derive(Args, Debug)]
pub struct Mount {
    /// The drive, when there is more than one
    #[arg(long, short, value_name = "NAME")]
    pub drive: Option<String>,
    /// Where (default: ~/Kith)
    pub dir: Option<PathBuf>,
    /// Refuse writes
    #[arg(long)]
    pub read_only: bool,
    /// Let other users of this machine in (needs root or user_allow_other in /etc/fuse.conf)
    #[arg(long)]
    pub allow_other: bool,
    /// Mount over a directory that has files in it
    #[arg(long)]
    pub nonempty: bool,
    /// Do not note when files were read
    #[arg(long)]
    pub noatime: bool,
    /// Run no programs from it
    #[arg(long)]
    pub noexec: bool,
    /// Show everything as this user's (new files belong to whom the drive belongs to)
    #[arg(long, value_name = "NUMBER")]
    pub uid: Option<u32>,
    /// Show everything as this group's
    #[arg(long, value_name = "NUMBER")]
    pub gid: Option<u32>,
}

#[derive(Args, Debug)]
pub struct Pin {
    pub path: Option<PathBuf>,
    /// Keep it no more, and free the room of what friends keep safely
    #[arg(long, requires = "path")]
    pub free: bool,
}

#[derive(Args, Debug)]
pub struct Restore {
    pub path: PathBuf,
    /// As it was at this time: 2026-11-26, 2026-11-26T14:05, or 2h, 3d for so long ago (default, of
    /// a deleted file: when it was there last)
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub at: Option<String>,
    /// Into this directory instead of where it was
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Conflicts {
    /// The one with the conflict name
    pub path: Option<PathBuf>,
    /// Which stays under the name: what was made on this machine, what was not, or both (the one with
    /// the conflict name then gets a plain one). What is replaced can be brought back from the history
    #[arg(long, requires = "path", value_name = "WHICH")]
    pub keep: Option<Keep>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    Mine,
    Theirs,
    Both,
    /// The one with the conflict name, whoever made it
    Copy,
    /// The one with the name, whoever made it
    Original,
}

#[derive(Args, Debug)]
pub struct Sync {
    pub path: Option<PathBuf>,
    /// Give up after this time (exit code 4; 6, at once, when friends have no room)
    #[arg(long, value_parser = parse_seconds, value_name = "TIME")]
    pub timeout: Option<u64>,
    /// What to wait for
    #[arg(long, default_value = "safe", value_name = "STATE")]
    pub until: UntilArg,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum UntilArg {
    Local,
    Published,
    Safe,
    Full,
}

impl From<UntilArg> for Until {
    fn from(u: UntilArg) -> Until {
        match u {
            UntilArg::Local => Until::Local,
            UntilArg::Published => Until::Published,
            UntilArg::Safe => Until::Safe,
            UntilArg::Full => Until::Full,
        }
    }
}

#[derive(Args, Debug)]
pub struct Recover {
    /// Print a kit for paper: 24 words, friends' addresses, a code to scan
    #[arg(long, group = "what")]
    pub new: bool,
    /// Say whether words (typed, or on standard input) are yours
    #[arg(long, group = "what")]
    pub verify: bool,
    /// On a machine without kith's files: bring back who you are, your drives and your files
    #[arg(long, group = "what")]
    pub from_phrase: bool,
    /// Write the kit into a new file that only you can read
    #[arg(long, value_name = "FILE", requires = "new")]
    pub out: Option<PathBuf>,
    /// Without a terminal: do not ask for three of its words
    #[arg(long, requires = "new")]
    pub yes: bool,
    /// Read the kit from a file
    #[arg(long, value_name = "FILE", requires = "from_phrase")]
    pub kit: Option<PathBuf>,
    /// A friend to ask, beside those of the kit
    #[arg(long, value_name = "ADDRESS:PORT#NODE", requires = "from_phrase")]
    pub friend: Vec<KitFriend>,
    /// The name friends see, in place of the former machine's
    #[arg(long, value_name = "NAME", requires = "from_phrase")]
    pub name: Option<String>,
    /// Space for friends, in place of what the former machine lent
    #[arg(long, value_parser = parse_size, value_name = "SIZE", requires = "from_phrase")]
    pub lend: Option<u64>,
    /// The home, rack or site this machine stands in, where that is another
    #[arg(long, value_name = "NAME", requires = "from_phrase")]
    pub household: Option<String>,
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0:7417", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// No other machine of yours that the record names will return: friends refuse all of them from
    /// now on, for ever, and make again what they kept for them
    #[arg(long, requires = "from_phrase")]
    pub gone: bool,
    /// Seal the keys under a passphrase (asked for, or the first line of standard input)
    #[arg(long, requires = "from_phrase")]
    pub passphrase: bool,
}

#[derive(Args, Debug)]
pub struct Demo {
    /// Where to mount (default: ~/Kith)
    pub dir: Option<PathBuf>,
    /// Throw away what an earlier demo kept
    #[arg(long)]
    pub fresh: bool,
    /// Friends to start
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub friends: u8,
}

#[derive(Args, Debug)]
pub struct Bench {
    /// Only these (stages, grid, ten, fs, scale, village; million, merge); default: all but these two
    pub which: Vec<String>,
    /// A directory on the disk to measure
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// A tenth of the volume, for a quick look
    #[arg(long)]
    pub quick: bool,
    /// Measure in this directory, for the process that made it and removes it
    #[arg(long, hide = true, value_name = "DIR")]
    pub ground: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Daemon {
    /// Mount this drive at this directory once running (NAME=DIR)
    #[arg(long, value_name = "NAME=DIR")]
    pub mount: Vec<String>,
    /// End when standard input ends: for programs that start nodes of their own
    #[arg(long)]
    pub until_eof: bool,
    /// Leave the terminal: how the other verbs start it
    #[arg(long, hide = true)]
    pub background: bool,
    /// The first line of standard input is the passphrase of the keystore
    #[arg(long)]
    pub passphrase_stdin: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
