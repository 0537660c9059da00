//! Small state files: replaced whole, two generations.

use super::{Damage, StoreError};
use crate::keys::LocalKey;
use crate::world::World;
use std::path::Path;

/// What a state file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Vec<u8>,
    /// Counts replacements, from 1.
    pub generation: u64,
    /// The other generation was damaged; it may have been the newer one.
    pub damage: Option<Damage>,
}

/// A small file that is replaced whole.
pub struct SealedFile {}

impl SealedFile {
    /// The file `name` in `dir`. Without a key it is checksummed only (for bytes that are
    /// sealed by themselves, such as the keystore).
    pub fn new(world: &World, dir: &Path, name: &str, key: Option<&LocalKey>) -> SealedFile {
        todo!()
    }
    /// The newest generation that is whole; `None` if there never was one; an error if all
    /// there are, are damaged.
    pub async fn load(&self) -> Result<Option<Stored>, StoreError> {
        todo!()
    }
    /// Replace the content; durable when it returns. The previous generation stays.
    pub async fn store(&self, bytes: &[u8]) -> Result<u64, StoreError> {
        todo!()
    }
}
