//! Which pending operations may be published before others.

use super::Operation;
use std::collections::BTreeSet;

/// Of `pending` (in order), the numbers that may be published now: not unready themselves,
/// and behind no unpublished one in any queue (directory or inode) they are in.
pub fn publishable(_pending: &[Operation], _unready: &BTreeSet<u64>) -> Vec<u64> {
    todo!()
}
