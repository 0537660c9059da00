//! Why admin records, and entries of writers, are refused.

use super::admin_record::{MEMBERS_MAX, WRITERS_MAX};
use super::genesis::GenesisError;
use super::signed::SignedError;
use super::{DriveId, Epoch};

/// Why admin records are refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdminError {
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    #[error("admin record {seq}: {error}")]
    Signed { seq: u32, error: SignedError },
    #[error("the admin log is empty: it must begin with the genesis record")]
    Empty,
    #[error("admin record {seq} is of drive {}, not of {}", .found.short(), .expected.short())]
    OtherDrive { seq: u32, found: DriveId, expected: DriveId },
    #[error("admin record {found} came where {expected} was due: records are missing")]
    Gap { expected: u32, found: u32 },
    #[error("admin record {seq} does not follow the one before it: the log was forked")]
    Fork { seq: u32 },
    #[error("this admin log has {have} records, and {expected} are known to exist: it is old")]
    Stale { have: u32, expected: u32 },
    #[error("admin record {seq}: {rule}")]
    Rule { seq: u32, rule: AdminRule },
}

/// The rules of the fold, by what breaks them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdminRule {
    #[error("the first record must begin epoch 1")]
    NoEpoch,
    #[error("epochs must follow one another by one")]
    EpochOrder,
    #[error("an epoch must give its key to every member, once, in order, and to nobody else")]
    EpochWraps,
    #[error("an epoch after the first must carry the previous keys of three levels, the first none")]
    EpochPrevious,
    #[error("a wrapped key has a wrong length or is for somebody else")]
    BadWrap,
    #[error("the member's keys are not sound")]
    MemberKey,
    #[error("this person is not a member")]
    NotMember,
    #[error("a drive has at most {MEMBERS_MAX} members")]
    TooManyMembers,
    #[error("the writer's keys are not sound")]
    WriterKey,
    #[error("this writer key was enrolled before")]
    WriterTwice,
    #[error("a writer's power must be repair, write or admin, and not above its person's")]
    WriterPower,
    #[error("a writer cannot begin in an epoch that is over or more than one ahead")]
    WriterEpoch,
    #[error("a drive has at most {WRITERS_MAX} writers")]
    TooManyWriters,
    #[error("the invitation was used before")]
    TicketUsed,
    #[error("no such writer")]
    NoWriter,
    #[error("this writer was cut off before")]
    CutTwice,
    #[error("a cut names a log twice or out of order")]
    CutOrder,
    #[error("the new admin key is not sound or has ruled before")]
    AdminKey,
    #[error("the new admin key did not consent")]
    AdminConsent,
    #[error("the admin log is at its greatest length")]
    TooLong,
}

/// Why a writer may not append.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    #[error("this key was never enrolled as a writer of the drive")]
    NotEnrolled,
    #[error("this writer was cut off")]
    Cut,
    #[error("the person of this writer is no longer a member with the power to write")]
    NoMember,
    #[error("the entry is of epoch {}, and the drive is in epoch {}", .entry.0, .current.0)]
    OldEpoch { entry: Epoch, current: Epoch },
    #[error("the entry is of epoch {}, and only epochs up to {} are known here", .entry.0, .current.0)]
    NewEpoch { entry: Epoch, current: Epoch },
}
