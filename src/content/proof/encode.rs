//! Ranges of a share, with proof: the holder's side.

use super::share_tree::subtree_cv;
use super::{Leaf, ProofError, ShareTree, Span, TREE_GROUP, Wanted};
use std::fmt::Display;
use std::ops::Range;

/// A subtree to come, with the slot of its hashes in the tree (where it is more than a group).
#[derive(Clone, Copy)]
struct Todo {
    span: Span,
    slot: usize,
}

/// Makes a proof piece by piece, so that memory does not depend on what was asked for.
pub struct ProofEncoder<'a> {
    tree: &'a ShareTree,
    wanted: Wanted,
    leaf: Leaf,
    /// What is still to come, next last.
    todo: Vec<Todo>,
    /// The group read last, for proofs finer than groups, and where it begins.
    group: Vec<u8>,
    group_start: Option<u64>,
}

impl<'a> ProofEncoder<'a> {
    /// Ranges of the share: ascending, apart, not empty, at most 256.
    pub fn new(tree: &'a ShareTree, ranges: &[Range<u64>], leaf: Leaf) -> Result<Self, ProofError> {
        let wanted = Wanted::new(tree.len(), ranges)?;
        let todo = vec![Todo { span: Span { start: 0, len: tree.len() }, slot: 0 }];
        Ok(Self { tree, wanted, leaf, todo, group: Vec::new(), group_start: None })
    }

    /// Append to `out` until it is at least `target` bytes long (by less than 17 KiB more) or
    /// the proof ends; false at its end. `read(offset, buffer)` reads the share. Bytes are
    /// checked before they are given out: a holder then learns of its own rot, and does not
    /// serve it.
    pub fn fill<E: Display>(
        &mut self,
        target: usize,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
        out: &mut Vec<u8>,
    ) -> Result<bool, ProofError> {
        while out.len() < target {
            let Some(Todo { span, slot }) = self.todo.pop() else { return Ok(false) };
            if span.is_leaf(self.leaf) {
                self.put_leaf(span, read, out)?;
                continue;
            }
            let (left, right) = span.split();
            let (left_slot, right_slot) = if span.len > TREE_GROUP as u64 {
                let pair = self.tree.pair(slot);
                out.extend_from_slice(&pair.0);
                out.extend_from_slice(&pair.1);
                ShareTree::child_slots(slot, left)
            } else {
                self.load_group(span.start, read)?;
                for child in [left, right] {
                    out.extend_from_slice(&subtree_cv(child.start, self.in_group(child), false));
                }
                (0, 0)
            };
            for child in [Todo { span: right, slot: right_slot }, Todo { span: left, slot: left_slot }] {
                if self.wanted.touches(child.span.start, child.span.len) {
                    self.todo.push(child);
                }
            }
        }
        Ok(!self.todo.is_empty())
    }

    fn put_leaf<E: Display>(
        &mut self,
        leaf: Span,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
        out: &mut Vec<u8>,
    ) -> Result<(), ProofError> {
        let is_group = leaf.start.is_multiple_of(TREE_GROUP as u64)
            && leaf.len == (self.tree.len() - leaf.start).min(TREE_GROUP as u64);
        if !is_group {
            self.load_group(leaf.start, read)?;
            out.extend_from_slice(self.in_group(leaf));
            return Ok(());
        }
        let start = out.len();
        out.resize(start + leaf.len as usize, 0);
        self.read_group(leaf, read, &mut out[start..])
    }

    fn load_group<E: Display>(
        &mut self,
        at: u64,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), ProofError> {
        let start = at - at % TREE_GROUP as u64;
        if self.group_start == Some(start) {
            return Ok(());
        }
        let len = (self.tree.len() - start).min(TREE_GROUP as u64);
        let mut group = std::mem::take(&mut self.group);
        group.resize(len as usize, 0);
        self.group_start = None;
        self.read_group(Span { start, len }, read, &mut group)?;
        (self.group, self.group_start) = (group, Some(start));
        Ok(())
    }

    fn read_group<E: Display>(
        &self,
        group: Span,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
        buffer: &mut [u8],
    ) -> Result<(), ProofError> {
        let (share, offset) = (self.tree.id(), group.start);
        read(offset, buffer).map_err(|why| ProofError::Read { share, offset, why: why.to_string() })?;
        let is_root = group.len == self.tree.len();
        if &subtree_cv(offset, buffer, is_root) != self.tree.group(offset) {
            return Err(ProofError::Damaged { share, offset });
        }
        Ok(())
    }

    /// A span of the group loaded.
    fn in_group(&self, span: Span) -> &[u8] {
        let from = (span.start - self.group_start.unwrap_or(span.start)) as usize;
        &self.group[from..from + span.len as usize]
    }
}

/// The whole proof at once, of a share in memory.
pub fn encode_ranges(
    share: &[u8],
    tree: &ShareTree,
    ranges: &[Range<u64>],
    leaf: Leaf,
) -> Result<Vec<u8>, ProofError> {
    let mut out = Vec::with_capacity(super::proof_len(tree.len(), ranges, leaf)? as usize);
    let mut read = |offset: u64, buffer: &mut [u8]| {
        let part = share.get(offset as usize..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(part.ok_or("it is cut short")?);
        Ok::<(), &str>(())
    };
    ProofEncoder::new(tree, ranges, leaf)?.fill(usize::MAX, &mut read, &mut out)?;
    Ok(out)
}
