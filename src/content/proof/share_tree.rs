//! The hash tree of a share, as its holder keeps it.

use super::{ProofError, Span};
use crate::keys::ShareId;
use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes under one hash that a holder keeps with a share.
pub const TREE_GROUP: usize = 16 << 10;

const GROUP: u64 = TREE_GROUP as u64;

/// The hash of a subtree, as its parent holds it; of the whole share when `is_root`.
pub(super) fn subtree_cv(start: u64, bytes: &[u8], is_root: bool) -> ChainingValue {
    if is_root {
        return *blake3::hash(bytes).as_bytes();
    }
    Hasher::new().set_input_offset(start).update(bytes).finalize_non_root()
}

/// The hash of a parent.
pub(super) fn parent_cv(left: &ChainingValue, right: &ChainingValue, is_root: bool) -> ChainingValue {
    if is_root {
        *merge_subtrees_root(left, right, Mode::Hash).as_bytes()
    } else {
        merge_subtrees_non_root(left, right, Mode::Hash)
    }
}

/// The hash tree of a share down to groups of 16 KiB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareTree {
    len: u64,
    root: ChainingValue,
    groups: Vec<ChainingValue>,
    /// Children of inner nodes, in pre-order: a node over g groups is followed by the g/2
    /// rounded up to a power of two, less one, nodes of its left subtree, then its right one.
    inner: Vec<(ChainingValue, ChainingValue)>,
}

impl ShareTree {
    /// Of a whole share in memory.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = ShareHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// From [`to_bytes`](Self::to_bytes), checked against the id.
    pub fn from_bytes(id: ShareId, len: u64, bytes: &[u8]) -> Result<Self, ProofError> {
        let (groups, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || groups.len() as u64 != len.div_ceil(GROUP).max(1) {
            return Err(ProofError::BadTree(id));
        }
        let tree = Self::from_groups(len, groups.to_vec());
        if tree.root == id.0 { Ok(tree) } else { Err(ProofError::BadTree(id)) }
    }

    fn from_groups(len: u64, groups: Vec<ChainingValue>) -> Self {
        let mut inner = Vec::with_capacity(groups.len() - 1);
        let root = merge(&groups, true, &mut inner);
        Self { len, root, groups, inner }
    }

    /// 32 bytes per group of 16 KiB, in order: to be kept with the share.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.groups.concat()
    }
    /// The root: BLAKE3 of the share.
    pub fn id(&self) -> ShareId {
        ShareId(self.root)
    }
    /// Bytes of the share.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }
    pub(super) fn group(&self, start: u64) -> &ChainingValue {
        &self.groups[(start / GROUP) as usize]
    }
    pub(super) fn pair(&self, slot: usize) -> &(ChainingValue, ChainingValue) {
        &self.inner[slot]
    }
    /// Slots of the two children of the node in `slot`, whose left child is `left`.
    pub(super) fn child_slots(slot: usize, left: Span) -> (usize, usize) {
        (slot + 1, slot + left.len.div_ceil(GROUP) as usize)
    }
}

fn merge(
    groups: &[ChainingValue],
    is_root: bool,
    inner: &mut Vec<(ChainingValue, ChainingValue)>,
) -> ChainingValue {
    if let [one] = groups {
        return *one;
    }
    let slot = inner.len();
    inner.push(([0; 32], [0; 32]));
    let (left, right) = groups.split_at(groups.len().div_ceil(2).next_power_of_two());
    let (left, right) = (merge(left, false, inner), merge(right, false, inner));
    inner[slot] = (left, right);
    parent_cv(&left, &right, is_root)
}

/// Hashes a share as it comes in.
#[derive(Default, Clone)]
pub struct ShareHasher {
    len: u64,
    groups: Vec<ChainingValue>,
    /// The group begun, never longer than one.
    begun: Vec<u8>,
}

impl ShareHasher {
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes so far.
    pub fn taken(&self) -> u64 {
        self.len
    }

    /// The next bytes of the share.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            // A group is closed only when more follows: a lone one is the root.
            if self.begun.len() == TREE_GROUP {
                let begun = std::mem::take(&mut self.begun);
                self.close_group(&begun);
                self.begun = begun;
                self.begun.clear();
            }
            if self.begun.is_empty() && bytes.len() > TREE_GROUP {
                let (group, rest) = bytes.split_at(TREE_GROUP);
                self.close_group(group);
                bytes = rest;
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(TREE_GROUP - self.begun.len()));
            self.begun.extend_from_slice(part);
            bytes = rest;
        }
    }

    /// As [`update`](Self::update) with `count` zeros.
    pub fn update_zeros(&mut self, mut count: usize) {
        let zeros = [0; 1024];
        while count > 0 {
            let part = count.min(zeros.len());
            self.update(&zeros[..part]);
            count -= part;
        }
    }

    fn close_group(&mut self, group: &[u8]) {
        self.groups.push(subtree_cv(self.groups.len() as u64 * GROUP, group, false));
    }

    /// The tree; its root is the share's id.
    pub fn finish(mut self) -> ShareTree {
        let is_root = self.groups.is_empty();
        if is_root || !self.begun.is_empty() {
            self.groups.push(subtree_cv(self.groups.len() as u64 * GROUP, &self.begun, is_root));
        }
        ShareTree::from_groups(self.len, self.groups)
    }
}
