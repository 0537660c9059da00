//! Between the kernel's words and ours.

use crate::drive::{Attr, Caller, Error, FileKind, NodeKind, OpenMode, Result, SetAttr};
use crate::tree::TimeNs;
use fuser::{FileAttr, FileHandle, FileType, INodeNo, Request, TimeOrNow};
use rustix::fs::{FileType as RawType, OFlags};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// st_blksize, and the unit of statfs. Larger would make buffered readers that seek about
/// (video players, Python) read that much each time.
pub(super) const BLOCK_SIZE: u32 = 4096;

const NS_PER_S: i64 = 1_000_000_000;

pub(super) fn system_time(t: TimeNs) -> SystemTime {
    let distance = Duration::from_nanos(t.unsigned_abs());
    if t >= 0 { UNIX_EPOCH + distance } else { UNIX_EPOCH - distance }
}

/// The time of a setattr. fuser 0.18 turns (-1 s, 0.25 s), which is a quarter second after
/// -1 s, into 1.25 s before 1970; this turns it back. Beyond the years 1677 to 2262: clamped.
pub(super) fn time_ns(t: SystemTime) -> TimeNs {
    match t.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => {
            let d = before.duration();
            i64::try_from(d.as_secs())
                .ok()
                .and_then(|s| s.checked_mul(-NS_PER_S))
                .map_or(i64::MIN, |s| s + i64::from(d.subsec_nanos()))
        }
    }
}

fn time_or_now(t: TimeOrNow, now: TimeNs) -> TimeNs {
    match t {
        TimeOrNow::SpecificTime(t) => time_ns(t),
        TimeOrNow::Now => now,
    }
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Dir => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::CharDevice => FileType::CharDevice,
    }
}

/// Whose the files of a mount are. Numbers of users mean nothing on another machine: in the
/// mount of an ordinary user everything is that user's, whoever made it and wherever, and the
/// group is what is stored if the user is in it. Root's mount shows what is stored. Either may
/// say otherwise (`uid=`, `gid=`); then what is made belongs to whom the drive belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    /// None: as stored.
    uid: Option<u32>,
    gid: Option<u32>,
    /// Groups that are shown as they are stored, beside `gid`.
    groups: Vec<u32>,
    /// Asked for, not what is usual.
    asked: (bool, bool),
}

impl Owner {
    /// What is usual for the user of this process, or what was asked for instead.
    pub(super) fn of_mount(uid: Option<u32>, gid: Option<u32>) -> Owner {
        let user = rustix::process::geteuid();
        let mut owner = Owner { uid, gid, groups: Vec::new(), asked: (uid.is_some(), gid.is_some()) };
        if user.is_root() {
            return owner;
        }
        owner.uid = owner.uid.or(Some(user.as_raw()));
        if gid.is_none() {
            owner.gid = Some(rustix::process::getegid().as_raw());
            let groups = rustix::process::getgroups().unwrap_or_default();
            owner.groups = groups.into_iter().map(|g| g.as_raw()).collect();
        }
        owner
    }

    /// The user and group that a file is shown with.
    pub(super) fn ids(&self, attr: &Attr) -> (u32, u32) {
        let gid = self.gid.filter(|_| !self.groups.contains(&attr.gid));
        (self.uid.unwrap_or(attr.uid), gid.unwrap_or(attr.gid))
    }

    /// Whom something new belongs to. `root`: the drive's root directory.
    pub(super) fn of_new(&self, caller: Caller, root: &Attr) -> Caller {
        let uid = if self.asked.0 { root.uid } else { caller.uid };
        let gid = if self.asked.1 { root.gid } else { caller.gid };
        Caller { uid, gid, ..caller }
    }

    /// Whether what is made belongs to somebody else than who makes it.
    pub(super) fn gives_away(&self) -> bool {
        self.asked.0 || self.asked.1
    }

    /// The owner that chown(2) is to store: the one shown stands for the drive's, and where all
    /// is one user's nobody else's can be shown.
    pub(super) fn of_chown(&self, set: SetAttr, root: &Attr) -> Result<SetAttr> {
        let stored = |asked, shown, given: Option<u32>, drives| match given {
            Some(id) if asked && shown == Some(id) => Ok(Some(drives)),
            Some(_) if asked => Err(Error::NotPermitted),
            given => Ok(given),
        };
        let uid = stored(self.asked.0, self.uid, set.uid, root.uid)?;
        let gid = stored(self.asked.1, self.gid, set.gid, root.gid)?;
        Ok(SetAttr { uid, gid, ..set })
    }
}

pub(super) fn file_attr(attr: &Attr, owner: &Owner) -> FileAttr {
    let (uid, gid) = owner.ids(attr);
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.blocks,
        atime: system_time(attr.atime),
        mtime: system_time(attr.mtime),
        ctime: system_time(attr.ctime),
        crtime: system_time(attr.btime),
        kind: file_type(attr.kind),
        perm: attr.mode & 0o7777,
        nlink: attr.nlink,
        uid,
        gid,
        // The kernel's own 32-bit encoding of a device, both ways.
        rdev: attr.rdev as u32,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

/// What a negative entry carries: inode 0 says "no such name, and remember that".
pub(super) fn nothing() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

pub(super) fn caller(req: &Request) -> Caller {
    Caller { uid: req.uid(), gid: req.gid(), pid: req.pid(), umask: 0 }
}

pub(super) fn open_mode(flags: i32) -> OpenMode {
    let flags = OFlags::from_bits_retain(flags as u32);
    let access = flags & OFlags::ACCMODE;
    OpenMode {
        read: access != OFlags::WRONLY,
        write: access == OFlags::WRONLY || access == OFlags::RDWR,
        append: flags.contains(OFlags::APPEND),
        truncate: flags.contains(OFlags::TRUNC),
    }
}

/// The kind of node that mknod(2)'s mode asks for; None for what it cannot make.
pub(super) fn node_kind(mode: u32, rdev: u32) -> Option<NodeKind> {
    match RawType::from_raw_mode(mode) {
        RawType::RegularFile => Some(NodeKind::File),
        RawType::Fifo => Some(NodeKind::Fifo),
        RawType::Socket => Some(NodeKind::Socket),
        RawType::BlockDevice => Some(NodeKind::Block(rdev.into())),
        RawType::CharacterDevice => Some(NodeKind::Char(rdev.into())),
        RawType::Directory | RawType::Symlink | RawType::Unknown => None,
    }
}

/// What setattr is asked, in our words.
pub(super) fn set_attr(
    (mode, uid, gid, size): (Option<u32>, Option<u32>, Option<u32>, Option<u64>),
    (atime, mtime, ctime): (Option<TimeOrNow>, Option<TimeOrNow>, Option<SystemTime>),
    fh: Option<FileHandle>,
    now: TimeNs,
    caller: Caller,
) -> SetAttr {
    let owned_anew = uid.is_some() || gid.is_some();
    // The kernel's own flag for this does not come through fuser. Like the kernel, spare the
    // bits when root truncates.
    let cut_by_user = size.is_some() && caller.uid != 0;
    SetAttr {
        mode: mode.map(|m| (m & 0o7777) as u16),
        uid,
        gid,
        size,
        atime: atime.map(|t| time_or_now(t, now)),
        mtime: mtime.map(|t| time_or_now(t, now)),
        ctime: ctime.map(time_ns),
        kill_suid: owned_anew || cut_by_user,
        // O_TRUNC comes without a handle, and looks like truncate(2) to nothing, which is rarer.
        opened: fh.is_some() || size == Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(uid: u32, gid: u32) -> Attr {
        let (ino, kind, size, blocks, mode, nlink, rdev) = (1, FileKind::File, 0, 0, 0o644, 1, 0);
        let (atime, mtime, ctime, btime) = (0, 0, 0, 0);
        Attr { ino, kind, size, blocks, mode, nlink, uid, gid, rdev, atime, mtime, ctime, btime }
    }

    #[test]
    fn files_are_shown_as_somebodys_and_made_as_the_drives() {
        let owner = Owner { uid: Some(1000), gid: Some(100), groups: Vec::new(), asked: (true, true) };
        let (file, root) = (attr(7, 8), attr(5, 6));
        assert_eq!(owner.ids(&file), (1000, 100));
        let caller = Caller { uid: 0, gid: 0, pid: 1, umask: 0o22 };
        assert_eq!(owner.of_new(caller, &root), Caller { uid: 5, gid: 6, ..caller });
        let chown = |uid, gid| owner.of_chown(SetAttr { uid, gid, ..SetAttr::default() }, &root);
        assert_eq!(chown(Some(1000), None).map(|s| (s.uid, s.gid)), Ok((Some(5), None)));
        assert_eq!(chown(None, Some(100)).map(|s| (s.uid, s.gid)), Ok((None, Some(6))));
        assert_eq!(chown(Some(7), None), Err(Error::NotPermitted));
        let usual = Owner { uid: Some(1000), gid: Some(100), groups: vec![8], asked: (false, false) };
        assert_eq!(usual.ids(&file), (1000, 8));
        assert_eq!(usual.of_new(caller, &root), caller);
    }

    #[test]
    fn times_before_1970_survive_what_fuser_makes_of_them() {
        // fuser's reading of tv_sec = -1, tv_nsec = 250,000,000.
        let as_fuser_says = UNIX_EPOCH - Duration::new(1, 250_000_000);
        assert_eq!(time_ns(as_fuser_says), -750_000_000);
    }

    #[test]
    fn times_out_of_range_are_clamped() {
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(time_ns(far), i64::MAX);
        assert_eq!(time_ns(UNIX_EPOCH - Duration::from_secs(1 << 40)), i64::MIN);
        // And they come out again without a panic.
        let _ = (system_time(i64::MAX), system_time(i64::MIN));
    }

    #[test]
    fn open_modes() {
        let rdwr = (OFlags::RDWR | OFlags::APPEND | OFlags::TRUNC).bits() as i32;
        assert_eq!(open_mode(rdwr), OpenMode { read: true, write: true, append: true, truncate: true });
        assert_eq!(open_mode(0), OpenMode { read: true, ..OpenMode::default() });
        assert_eq!(open_mode(OFlags::WRONLY.bits() as i32), OpenMode { write: true, ..OpenMode::default() });
    }
}
