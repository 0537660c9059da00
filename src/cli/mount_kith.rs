//! `mount.kith SOURCE DIR [-sfnv] [-o OPTIONS]`: what mount(8) runs for `-t kith` and for
//! `/etc/fstab`. This file understands the words; the mounting is `kith mount`'s.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Exit codes of mount(8) and its helpers.
pub mod exit {
    /// Wrong words.
    pub const USAGE: u8 = 1;
    /// Out of memory, no FUSE, no fusermount3.
    pub const SYSTEM: u8 = 2;
    /// A defect of kith.
    pub const INTERNAL: u8 = 4;
    /// The mount did not come about.
    pub const FAILED: u8 = 32;
}

/// What mount(8) asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The drive's name, without `kith:`.
    pub drive: String,
    pub dir: PathBuf,
    /// `-f`: do everything but mount.
    pub fake: bool,
    /// `-v`
    pub verbose: bool,
    pub read_only: bool,
    pub allow_other: bool,
    pub no_atime: bool,
    pub no_exec: bool,
    /// `nonempty`: hide what is in the directory.
    pub over_non_empty: bool,
    /// `uid=`, `gid=`: numbers of whom everything is to be shown as.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// `user=`: the user whose daemon is to mount, by name or number.
    pub user: Option<String>,
    /// `config=`: kith's directory, if not the usual one.
    pub config: Option<PathBuf>,
}

/// What is wrong with the words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    #[error("usage: mount.kith SOURCE DIR [-sfnv] [-o OPTIONS]")]
    Usage,
    #[error("{0:?} is no option of mount.kith")]
    Flag(String),
    #[error("the mount option {0:?} is not known to kith (-s lets it pass)")]
    Option(String),
    #[error("the drive's name {0:?} is not UTF-8")]
    Name(OsString),
}

/// Options about when to mount, for others to read.
const FOR_OTHERS: [&str; 10] =
    ["auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group", "defaults"];
/// Options that say what is the case anyway, and two that mount(8) says of itself beside `user=`:
/// set-uid programs and device files never work in a mount of kith's.
const IDLE: [&str; 9] =
    ["nodev", "nosuid", "dev", "suid", "async", "relatime", "nodiratime", "silent", "default_permissions"];

/// Parses the words after the program's name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, Misuse> {
    let mut request = Request::default();
    let (mut places, mut options, mut sloppy) = (Vec::new(), Vec::new(), false);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_bytes() {
            [b'-', flags @ ..] if !flags.is_empty() => {
                for (i, flag) in flags.iter().enumerate() {
                    match flag {
                        b's' => sloppy = true,
                        b'f' => request.fake = true,
                        b'n' => {} // /etc/mtab is the kernel's business.
                        b'v' => request.verbose = true,
                        b'w' => request.read_only = false,
                        b'r' => request.read_only = true,
                        b'o' => {
                            let rest = &flags[i + 1..];
                            let list = match rest {
                                [] => words.next().ok_or(Misuse::Usage)?,
                                attached => OsString::from_vec(attached.to_vec()),
                            };
                            options.push(list);
                            break;
                        }
                        // The type, again: `-t kith`.
                        b't' => {
                            words.next().ok_or(Misuse::Usage)?;
                            break;
                        }
                        _ => return Err(Misuse::Flag(word.to_string_lossy().into_owned())),
                    }
                }
            }
            _ => places.push(word),
        }
    }
    let [source, dir] = <[OsString; 2]>::try_from(places).map_err(|_| Misuse::Usage)?;
    request.drive = drive_name(source)?;
    request.dir = dir.into();
    for list in &options {
        for option in list.as_bytes().split(|b| *b == b',').filter(|o| !o.is_empty()) {
            apply(&mut request, &OsStr::from_bytes(option).to_string_lossy(), sloppy)?;
        }
    }
    Ok(request)
}

/// fstab may say `family`, `kith:family` or, with the type `fuse.kith`, `kith#family`.
fn drive_name(source: OsString) -> Result<String, Misuse> {
    let source = source.into_string().map_err(Misuse::Name)?;
    let name = source.strip_prefix("kith:").or_else(|| source.strip_prefix("kith#"));
    Ok(name.map_or_else(|| source.clone(), str::to_owned))
}

fn apply(request: &mut Request, option: &str, sloppy: bool) -> Result<(), Misuse> {
    match option.split_once('=') {
        Some(("user", who)) => request.user = Some(who.into()),
        Some(("uid", number)) => request.uid = Some(id(option, number)?),
        Some(("gid", number)) => request.gid = Some(id(option, number)?),
        Some(("config", dir)) => request.config = Some(dir.into()),
        None if option == "ro" || option == "rw" => request.read_only = option == "ro",
        None if option == "allow_other" => request.allow_other = true,
        None if option == "noatime" || option == "atime" => request.no_atime = option == "noatime",
        None if option == "noexec" || option == "exec" => request.no_exec = option == "noexec",
        None if option == "nonempty" => request.over_non_empty = true,
        None if FOR_OTHERS.contains(&option) || IDLE.contains(&option) => {}
        _ if option.starts_with("x-") || option.starts_with("X-") || option.starts_with("comment=") => {}
        _ if sloppy => {}
        _ => return Err(Misuse::Option(option.into())),
    }
    Ok(())
}

fn id(option: &str, number: &str) -> Result<u32, Misuse> {
    number.parse().map_err(|_| Misuse::Option(option.into()))
}

/// The `kith mount` that does it. As another user if `user=` says so. mount(8) calls its
/// helpers with no environment at all, so the home and the runtime directory are looked up,
/// as the user's own shell would have them.
pub fn command(request: &Request, kith: &Path) -> Result<Command, String> {
    let own = rustix::process::geteuid().as_raw().to_string();
    let mut command = as_user(request.user.as_deref().unwrap_or(&own), &own, kith)?;
    if let Some(home) = &request.config {
        command.arg("--home").arg(home);
    }
    command.arg("mount").arg("--drive").arg(&request.drive);
    for (on, flag) in [
        (request.read_only, "--read-only"),
        (request.allow_other, "--allow-other"),
        (request.over_non_empty, "--nonempty"),
        (request.no_atime, "--noatime"),
        (request.no_exec, "--noexec"),
    ] {
        if on {
            command.arg(flag);
        }
    }
    for (flag, id) in [("--uid", request.uid), ("--gid", request.gid)] {
        if let Some(id) = id {
            command.args([flag, &id.to_string()]);
        }
    }
    command.arg("--").arg(&request.dir);
    Ok(command)
}

/// Where programs are looked for when nobody says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn as_user(user: &str, own: &str, kith: &Path) -> Result<Command, String> {
    let output = Command::new("getent")
        .args(["passwd", "--", user])
        .env("PATH", PATH)
        .output()
        .map_err(|e| format!("getent: {e}"))?;
    let line = String::from_utf8_lossy(&output.stdout);
    // name:password:uid:gid:comment:home:shell
    let fields: Vec<&str> = line.trim().split(':').collect();
    let [name, _, uid, _, _, home, ..] = fields[..] else {
        // A container's user without a name has to be content with what is set.
        return if user == own { Ok(Command::new(kith)) } else { Err(format!("there is no user {user:?}")) };
    };
    let mut command = if uid == own {
        Command::new(kith)
    } else {
        let mut other = Command::new("runuser");
        other.args(["-u", name, "--"]).arg(kith);
        other
    };
    command.env("PATH", PATH).env("HOME", home).env("USER", name);
    for elsewhere in ["KITH_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
        command.env_remove(elsewhere);
    }
    // Made by a login; where there was none the daemon has its socket beside its state.
    let runtime = Path::new("/run/user").join(uid);
    if runtime.is_dir() {
        command.env("XDG_RUNTIME_DIR", runtime);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Request, Misuse> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn as_mount_calls_it() {
        let asked =
            words("kith:family /srv/kith -n -o rw,noauto,user,_netdev,nofail,x-systemd.automount,noatime");
        let expected =
            Request { drive: "family".into(), dir: "/srv/kith".into(), no_atime: true, ..Request::default() };
        assert_eq!(asked, Ok(expected));
    }

    #[test]
    fn every_option_of_ours() {
        let asked = words(
            "-sfv -oro,allow_other,nonempty,noexec,user=1000,uid=1001,gid=100 family /srv/kith -o config=/etc/kith",
        );
        let expected = Request {
            drive: "family".into(),
            dir: "/srv/kith".into(),
            fake: true,
            verbose: true,
            read_only: true,
            allow_other: true,
            no_atime: false,
            no_exec: true,
            over_non_empty: true,
            user: Some("1000".into()),
            uid: Some(1001),
            gid: Some(100),
            config: Some("/etc/kith".into()),
        };
        assert_eq!(asked, Ok(expected));
    }

    #[test]
    fn unknown_options_are_named_unless_sloppy() {
        assert_eq!(words("a /b -o ro,zap"), Err(Misuse::Option("zap".into())));
        assert_eq!(words("a /b -o uid=games"), Err(Misuse::Option("uid=games".into())));
        assert_eq!(words("a /b -o rw=1"), Err(Misuse::Option("rw=1".into())));
        assert!(words("a /b -s -o ro,zap").is_ok());
        assert_eq!(words("a /b -o strictatime"), Err(Misuse::Option("strictatime".into())));
    }

    #[test]
    fn the_last_of_two_opposites_counts() {
        let asked = words("a /b -o ro,noexec,noatime,rw,exec,atime").expect("good words");
        assert!(!asked.read_only && !asked.no_exec && !asked.no_atime);
    }

    #[test]
    fn it_becomes_a_kith_mount() {
        let said = |line| {
            let command = command(&words(line).expect("good words"), Path::new("/usr/bin/kith"))?;
            Ok::<_, String>(format!("{command:?}").replace('"', ""))
        };
        let own = said("family /srv/k").expect("myself");
        assert!(own.ends_with(" /usr/bin/kith mount --drive family -- /srv/k"), "{own}");
        assert!(own.contains("HOME=/") && !own.contains("runuser"), "{own}");
        let other =
            said("family /srv/k -o ro,noexec,noatime,user=games,uid=5,gid=60").expect("games is there");
        let end = "runuser -u games -- /usr/bin/kith mount --drive family --read-only --noatime --noexec --uid 5 --gid 60 -- /srv/k";
        assert!(other.ends_with(end), "{other}");
        assert!(other.contains("HOME=/usr/games"), "{other}");
        assert!(said("family /srv/k -o user=nobody-of-that-name").is_err());
    }

    #[test]
    fn wrong_words_are_refused() {
        assert_eq!(words("a"), Err(Misuse::Usage));
        assert_eq!(words("a b c"), Err(Misuse::Usage));
        assert_eq!(words("a b -o"), Err(Misuse::Usage));
        assert_eq!(words("a b -q"), Err(Misuse::Flag("-q".into())));
        let bad = OsString::from_vec(vec![0xff]);
        assert_eq!(parse([bad.clone(), "b".into()]), Err(Misuse::Name(bad)));
    }
}
