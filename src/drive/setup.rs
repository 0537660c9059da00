//! What a drive needs to live: keys, places, friends, and how much it may use.

use super::DriveGrid;
use crate::keys::{DriveKeys, LocalKey, PersonId, Signed, WriterKey};
use crate::store::StoreError;
use crate::tree::TableError;
use crate::world::{Places, World};
use std::sync::Arc;
use std::time::Duration;

/// Everything [`super::Drive::open`] needs.
#[derive(Clone)]
pub struct DriveSetup {
    pub world: World,
    /// Of this drive alone: `state` and `cache` are directories that no other drive uses.
    pub places: Places,
    /// With read power or more.
    pub keys: DriveKeys,
    /// This device's key in the drive; None mounts it read-only.
    pub writer: Option<WriterKey>,
    /// Seals what stays on this machine.
    pub local: LocalKey,
    /// The genesis record and the admin log as far as known; what is newer is fetched.
    pub admin: Vec<Signed>,
    /// The account that leases shares at holders.
    pub account: PersonId,
    /// This device's name, for conflict names and people.
    pub label: String,
    pub grid: Arc<dyn DriveGrid>,
    pub options: DriveOptions,
}

/// How a drive uses time, memory and disk.
#[derive(Clone, Debug)]
pub struct DriveOptions {
    /// Content settles after this long without a write.
    pub settle_quiet: Duration,
    /// A file that never rests settles when it was dirty this long.
    pub settle_max: Duration,
    /// Dirty ranges are in the journal at the latest after this.
    pub journal_after: Duration,
    /// Entries leave in batches this far apart.
    pub publish_every: Duration,
    /// A pack that is not full is closed when nothing was added for this long.
    pub pack_quiet: Duration,
    /// Packs being uploaded at once (each takes about 17 MiB of memory).
    pub packs_in_flight: usize,
    /// Bytes of dirty buffers before writers wait.
    pub dirty_memory: usize,
    /// Bytes of opened pages kept for reading.
    pub page_memory: usize,
    /// Bytes of sealed chunks fetched from friends that are kept.
    pub cache_disk: u64,
    /// A read that needs absent friends gives up after this.
    pub read_deadline: Duration,
    /// Bytes of one file of the journal; no record is longer than a quarter of it.
    pub journal_file: u64,
    /// Most bytes of journal; it is shortened from a 256th of this on.
    pub journal_max: u64,
    /// This machine's offset from UTC in minutes, for names of conflict copies.
    pub utc_offset_min: i16,
}

impl Default for DriveOptions {
    fn default() -> Self {
        DriveOptions {
            settle_quiet: Duration::from_secs(2),
            settle_max: Duration::from_secs(60),
            journal_after: Duration::from_millis(700),
            publish_every: Duration::from_millis(200),
            pack_quiet: Duration::from_millis(150),
            packs_in_flight: 2,
            dirty_memory: 32 << 20,
            page_memory: 32 << 20,
            cache_disk: 4 << 30,
            // With what comes around it within the 15 s that people are promised.
            read_deadline: Duration::from_secs(13),
            journal_file: 32 << 20,
            journal_max: 8 << 30,
            utc_offset_min: 0,
        }
    }
}

/// Why a drive did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the drive's store: {0}")]
    Store(#[from] StoreError),
    #[error("the drive's index: {0}")]
    Index(#[from] TableError),
    #[error("{}: {error}", .path.display())]
    Disk { path: std::path::PathBuf, error: std::io::Error },
    #[error("the drive's admin log: {0}")]
    Admin(String),
    /// This machine has none that can be read; everybody who holds the drive has it.
    #[error("the drive's admin log cannot be read here: {0}")]
    AdminLost(String),
    #[error("the drive's tree: {0}")]
    Tree(String),
}
