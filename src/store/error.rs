//! What can go wrong on this machine's disk.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

/// A place where bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: damaged at byte {offset}: {what}", .file.display())]
pub struct Damage {
    pub file: PathBuf,
    pub offset: u64,
    pub what: String,
}

/// Why the store refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk failed; after this the same object answers nothing but this.
    #[error("{}: {what} failed: {error}", .file.display())]
    Io { file: PathBuf, what: &'static str, error: Arc<std::io::Error> },
    /// No room, and what was accepted is kept: free something or trim, then go on.
    #[error("{}: no room left on this disk", .0.display())]
    Full(PathBuf),
    /// The buffer before the disk is full: wait (the waiting form does) or answer EAGAIN.
    #[error("{}: more is waiting to be written than may be kept in memory", .0.display())]
    Busy(PathBuf),
    /// One object is larger than a record may be.
    #[error("a record of {len} bytes is larger than {max}")]
    TooLarge { len: usize, max: usize },
    /// Nothing readable is left where there should be something.
    #[error("{0}")]
    Damaged(Damage),
    /// It was closed.
    #[error("{}: closed", .0.display())]
    Closed(PathBuf),
}

impl StoreError {
    /// What a disk without room refused, as that; anything else as it is.
    pub(super) fn or_full(self) -> StoreError {
        match self {
            StoreError::Io { file, error, .. }
                if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                StoreError::Full(file)
            }
            other => other,
        }
    }
    /// An I/O error at a file.
    pub(super) fn io(file: impl Into<PathBuf>, what: &'static str, error: std::io::Error) -> StoreError {
        StoreError::Io { file: file.into(), what, error: Arc::new(error) }
    }
}
