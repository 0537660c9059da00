//! The index on sled, in which everything can be rebuilt.

use crate::tree::TableError;
use crate::world::{Indexes, Opened};
use std::path::Path;

/// Opens sled databases as indexes; the only place that names sled.
pub struct SledIndexes {}

impl SledIndexes {
    /// Must be called inside a tokio runtime if batches are to be written in the background.
    pub fn new() -> SledIndexes {
        todo!()
    }
}

impl Indexes for SledIndexes {
    fn open(&self, dir: &Path, key: &[u8; 32]) -> Result<Opened, TableError> {
        todo!()
    }
}
