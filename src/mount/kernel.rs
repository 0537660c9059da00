//! What is agreed with the kernel: flags, sizes, and how long it may believe what it was told.

use fuser::{Generation, InitFlags, KernelConfig};
use std::time::Duration;

/// How long the kernel may believe a name or attributes without asking: remote changes
/// invalidate, so this only bounds the damage of a lost invalidation.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(3600);

/// The same for an inode. Nobody tells what changes of the past (a late entry comes into it).
pub(super) fn kept_for(ino: crate::drive::Ino) -> Duration {
    if crate::drive::is_past(ino) { Duration::from_secs(1) } else { KEPT_FOR }
}
/// How long the kernel may believe that a name is absent. File managers look for `.hidden`
/// and `.Trash` in every directory again and again.
pub(super) const ABSENT_FOR: Duration = Duration::from_secs(10);
/// Longest name, as on local filesystems; the kernel lets 1,024 bytes through to FUSE.
pub(super) const NAME_MAX: usize = 255;
/// The largest WRITE or READ; more than 1 MiB saved no processor time in trials.
const MAX_WRITE: u32 = super::pool::LARGEST as u32;
/// Reads ahead and other requests that nobody waits for, at once.
const MAX_BACKGROUND: u16 = 64;
/// Entries asked of the drive at once for a listing with attributes: about what fits into 4 KiB, the
/// least that a kernel asks for (Linux 6.18: up to 32 KiB).
pub(super) const LIST_BATCH: usize = 24;
/// What statfs says of free inodes: as many as anybody will want.
pub(super) const FREE_FILES: u64 = 1 << 32;
pub(super) const GENERATION: Generation = Generation(0);

/// What is asked of the kernel, where it can.
///
/// FUSE_HANDLE_KILLPRIV_V2 is the one that matters for speed: the kernel must know before
/// each write whether the file has set-id bits or `security.capability`. Measured on Linux
/// 6.18, 256 writes to a new file: with no flag or with the old FUSE_HANDLE_KILLPRIV each
/// WRITE is preceded by a GETXATTR (512 requests); with V2 one GETXATTR precedes the first,
/// and "none" is kept in the inode (S_NOSEC) until its attributes are fetched anew (at most
/// 260 requests; mount-tests/xattr_test.rs holds it there). In exchange the filesystem clears
/// set-id bits itself on write (`kill_suid`), truncate and chown. Answering ENOSYS would stop
/// the question too, but would switch off every other xattr.
///
/// FUSE_ATOMIC_O_TRUNC is not asked for: with it the kernel forgets a file's pages before it
/// looks whether the file is a running program, and says ETXTBSY; the program dies of that.
/// Without it emptying an existing file while opening it is one more request.
///
/// With FUSE_POSIX_ACL the kernel enforces the lists and the filesystem keeps them in step with
/// the modes. FUSE_DONT_MASK belongs to it: a default list takes the place of the umask.
const WANTED: [InitFlags; 9] = [
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_EXPORT_SUPPORT,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_POSIX_ACL,
    InitFlags::FUSE_DONT_MASK,
];

/// Settles with the kernel what both sides can; true if directories need no OPENDIR.
pub(super) fn negotiate(config: &mut KernelConfig) -> bool {
    for flag in WANTED {
        if config.add_capabilities(flag).is_err() {
            tracing::debug!(?flag, "this kernel cannot");
        }
    }
    // Values the kernel cannot take are answered with the nearest; the default serves too.
    let _ = config.set_max_write(MAX_WRITE);
    let _ = config.set_max_background(MAX_BACKGROUND);
    config.capabilities().contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT)
}
