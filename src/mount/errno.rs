//! The one table from [`Error`] to errno. Exhaustive on purpose: a new error must be placed.

use crate::drive::Error;
use fuser::Errno;

/// The errno, and a line in the log if it is more than a user's mistake.
pub(super) fn logged(error: &Error) -> Errno {
    if is_news(error) {
        tracing::warn!(%error, "a request failed");
    }
    errno(error)
}

/// What a program calling the kernel gets for an error of the filesystem.
fn errno(error: &Error) -> Errno {
    match error {
        Error::NotFound => Errno::ENOENT,
        Error::Exists => Errno::EEXIST,
        Error::NotDir => Errno::ENOTDIR,
        Error::IsDir => Errno::EISDIR,
        Error::NotEmpty => Errno::ENOTEMPTY,
        Error::NameTooLong => Errno::ENAMETOOLONG,
        Error::Invalid(_) => Errno::EINVAL,
        Error::NotPermitted => Errno::EPERM,
        Error::Denied => Errno::EACCES,
        Error::ReadOnly => Errno::EROFS,
        Error::NoAttr => Errno::ENODATA,
        Error::TooBig => Errno::EFBIG,
        Error::Range => Errno::ERANGE,
        Error::TooManyLinks => Errno::EMLINK,
        Error::Stale => Errno::ESTALE,
        Error::BadHandle => Errno::EBADF,
        Error::Unsupported => Errno::EOPNOTSUPP,
        Error::NoSpace => Errno::ENOSPC,
        // Friends' room is a quota in the user's eyes: this disk has space.
        Error::Quota => Errno::EDQUOT,
        // Never end of file, never zeros: what cannot be read is an error.
        Error::Unreadable(_) => Errno::EIO,
        Error::Disk(_) => Errno::EIO,
        Error::TimedOut => Errno::ETIMEDOUT,
        // lseek(2): SEEK_DATA past the last data.
        Error::NoData => Errno::ENXIO,
        Error::Internal(_) => Errno::EIO,
    }
}

/// Whether the log should have it: the user's own mistakes are not news.
fn is_news(error: &Error) -> bool {
    matches!(error, Error::Unreadable(_) | Error::Disk(_) | Error::Internal(_) | Error::TimedOut)
}
