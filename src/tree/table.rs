//! The key-value view through which a tree reads and writes its state.
//!
//! A key is a table number, a group and an item. Groups can be scanned; the order inside a
//! group is that of [`Cursor`], a 64-bit keyed hash of the item which the implementation
//! chooses: stable for a device, meaningless to anybody else, and fit as a readdir offset.

/// Position inside a group; real ones are greater than [`CURSOR_MIN`].
pub type Cursor = u64;
/// Cursors up to this are reserved (for `.` and `..`).
pub const CURSOR_MIN: Cursor = 15;

/// Values read at once by who goes through them one by one.
const EACH: usize = 256;

/// Names one value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    pub table: u8,
    pub group: Vec<u8>,
    pub item: Vec<u8>,
}

/// The index could not answer: the caller rebuilds it or answers EIO.
#[derive(Debug, Clone, thiserror::Error)]
#[error("index: {0}")]
pub struct TableError(pub String);

/// Read access to a state.
pub trait Table {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, TableError>;
    /// Values of a group in cursor order, strictly after `after`, about `limit` of them
    /// (never splitting a run of equal cursors; fewer than `limit` means the end).
    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Vec<u8>)>, TableError>;
    /// The same, one value after another, until `each` wants no more (false). It must not use the
    /// table, which may be locked meanwhile.
    fn each(
        &self,
        table: u8,
        group: &[u8],
        mut after: Option<Cursor>,
        each: &mut dyn FnMut(Cursor, &[u8]) -> bool,
    ) -> Result<(), TableError> {
        loop {
            let page = self.scan(table, group, after, EACH)?;
            for (cursor, value) in &page {
                if !each(*cursor, value) {
                    return Ok(());
                }
            }
            match page.last() {
                Some((cursor, _)) if page.len() >= EACH => after = Some(*cursor),
                _ => return Ok(()),
            }
        }
    }
}

/// Writes that take effect together. None removes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub writes: Vec<(Key, Option<Vec<u8>>)>,
}
