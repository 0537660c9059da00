//! Ranges of a share, with proof: the requester's side.

use super::super::HolderStream;
use super::share_tree::{parent_cv, subtree_cv};
use super::{Leaf, PAIR, ProofError, Span, Wanted, proof_len};
use crate::keys::ShareId;
use std::ops::Range;

/// Takes a proof in as it arrives and gives out verified bytes. Holds at most one leaf.
pub struct ProofDecoder {
    share: ShareId,
    len: u64,
    wanted: Wanted,
    leaf: Leaf,
    /// What is still to come, next last, with the hash it must have.
    todo: Vec<(Span, [u8; 32])>,
    /// The item begun.
    begun: Vec<u8>,
    remaining: u64,
}

impl ProofDecoder {
    /// `len` is the share's length, known from its pack's record; ranges as they were asked for.
    /// (A proof shows that bytes are right and where they are, not the share's length: the tree
    /// has the same left part for many lengths.)
    pub fn new(share: ShareId, len: u64, ranges: &[Range<u64>], leaf: Leaf) -> Result<Self, ProofError> {
        let wanted = Wanted::new(len, ranges)?;
        let remaining = proof_len(len, ranges, leaf)?;
        let todo = vec![(Span { start: 0, len }, share.0)];
        Ok(Self { share, len, wanted, leaf, todo, begun: Vec::new(), remaining })
    }

    /// Bytes of the proof still to come: never read more than this from a stream.
    pub fn remaining(&self) -> u64 {
        self.remaining - self.begun.len() as u64
    }

    /// Take in some bytes of the proof; `sink(offset, bytes)` gets each verified part of the
    /// ranges asked for, ascending. After an error the decoder is of no more use.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(u64, &[u8])) -> Result<(), ProofError> {
        while let Some(&(span, _)) = self.todo.last() {
            let need = if span.is_leaf(self.leaf) { span.len } else { PAIR } as usize;
            if self.begun.is_empty() && bytes.len() >= need {
                let (item, rest) = bytes.split_at(need);
                self.take(item, sink)?;
                bytes = rest;
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(need - self.begun.len()));
            self.begun.extend_from_slice(part);
            bytes = rest;
            if self.begun.len() < need {
                return Ok(());
            }
            let mut item = std::mem::take(&mut self.begun);
            self.take(&item, sink)?;
            item.clear();
            self.begun = item;
        }
        if bytes.is_empty() { Ok(()) } else { Err(ProofError::TooLong { share: self.share }) }
    }

    /// One whole item: the next of `todo`.
    fn take(&mut self, item: &[u8], sink: &mut impl FnMut(u64, &[u8])) -> Result<(), ProofError> {
        let Some((span, hash)) = self.todo.pop() else { return Ok(()) };
        let (share, offset) = (self.share, span.start);
        let is_root = span.start == 0 && span.len == self.len;
        self.remaining -= item.len() as u64;
        if span.is_leaf(self.leaf) {
            if subtree_cv(span.start, item, is_root) != hash {
                return Err(ProofError::WrongBytes { share, offset });
            }
            for range in self.wanted.touching(span.start, span.len) {
                let start = range.start.max(span.start);
                let end = range.end.min(span.start + span.len);
                sink(start, &item[(start - span.start) as usize..(end - span.start) as usize]);
            }
            return Ok(());
        }
        let (mut left_hash, mut right_hash) = ([0; 32], [0; 32]);
        left_hash.copy_from_slice(&item[..32]);
        right_hash.copy_from_slice(&item[32..]);
        if parent_cv(&left_hash, &right_hash, is_root) != hash {
            return Err(ProofError::WrongHashes { share, offset });
        }
        let (left, right) = span.split();
        for child in [(right, right_hash), (left, left_hash)] {
            if self.wanted.touches(child.0.start, child.0.len) {
                self.todo.push(child);
            }
        }
        Ok(())
    }

    /// To be called when the stream has ended.
    pub fn finish(self) -> Result<(), ProofError> {
        match self.todo.last() {
            Some((span, _)) => Err(ProofError::Truncated { share: self.share, offset: span.start }),
            None => Ok(()),
        }
    }
}

/// Verify a whole proof: the bytes of each range asked for. With `unseal` the holder seal is
/// taken off.
pub fn decode_ranges(
    share: ShareId,
    len: u64,
    ranges: &[Range<u64>],
    leaf: Leaf,
    proof: &[u8],
    unseal: Option<&HolderStream>,
) -> Result<Vec<Vec<u8>>, ProofError> {
    let mut decoder = ProofDecoder::new(share, len, ranges, leaf)?;
    let mut out: Vec<Vec<u8>> =
        ranges.iter().map(|range| Vec::with_capacity((range.end - range.start) as usize)).collect();
    let mut current = 0;
    decoder.push(proof, &mut |offset, bytes| {
        while ranges[current].end <= offset {
            current += 1;
        }
        out[current].extend_from_slice(bytes);
    })?;
    decoder.finish()?;
    if let Some(stream) = unseal {
        for (range, bytes) in ranges.iter().zip(&mut out) {
            stream.apply(range.start, bytes);
        }
    }
    Ok(out)
}
