//! Making a content tree, or a new one out of an old one.

use super::super::{ChunkRef, Content, Ref};
use super::{
    FANOUT, FANOUT_LOG, Nodes, Place, SIZE_MAX, Step, Tree, TreeError, chunk_count, chunk_plain_len,
    depth_of, refs_at,
};
use crate::keys::encode;
use std::collections::BTreeMap;

const HOLE: &Ref = &Ref::Hole;

/// Content of `size` bytes from its chunks in order; what is missing at the end is holes.
/// `seal` seals and keeps the plaintext of a node chunk.
pub fn build<E: From<TreeError>>(
    size: u64,
    refs: Vec<Ref>,
    seal: impl FnMut(&[u8]) -> Result<ChunkRef, E>,
) -> Result<Content, E> {
    let changes = (0..).zip(refs).collect();
    let nothing = Content::Tree { size: 0, depth: 0, refs: Vec::new() };
    match update(&nothing, size, &changes, &Nodes::default(), seal)? {
        Step::Done(content) => Ok(content),
        Step::Need(_) => Err(TreeError::Malformed("nothing has nodes").into()),
    }
}

/// `old` with a new size and some chunks replaced (by number). Only nodes above a change are
/// sealed anew, children before parents. A last chunk whose length changes must be among the
/// changes, and so must chunk 0 when `old` is inline. `seal` is not called before all nodes
/// that are needed are at hand.
pub fn update<E: From<TreeError>>(
    old: &Content,
    size: u64,
    changes: &BTreeMap<u64, Ref>,
    nodes: &Nodes,
    mut seal: impl FnMut(&[u8]) -> Result<ChunkRef, E>,
) -> Result<Step<Content>, E> {
    if size > SIZE_MAX {
        return Err(TreeError::Size(size).into());
    }
    let change = Change { old: Tree::new(old, nodes)?, size, changes };
    change.check(old)?;
    let depth = depth_of(size);
    let mut missing = Vec::new();
    for index in 0..refs_at(chunk_count(size), depth) {
        let place = Place { level: depth, index };
        if let Some(was) = change.was(place, &mut missing)? {
            change.find_missing(place, was, &mut missing)?;
        }
    }
    if !missing.is_empty() {
        return Ok(Step::Need(missing));
    }
    let mut refs = Vec::new();
    for index in 0..refs_at(chunk_count(size), depth) {
        let place = Place { level: depth, index };
        let was = change.was(place, &mut missing)?.unwrap_or(Was::Ref(HOLE));
        refs.push(change.make(place, was, &mut seal)?);
    }
    Ok(Step::Done(Content::Tree { size, depth, refs }))
}

/// What stood at a place in the old tree.
#[derive(Clone, Copy)]
enum Was<'a> {
    Ref(&'a Ref),
    /// Nothing yet: the old tree is not so high; all of it lies below this place.
    Above,
}

struct Change<'a> {
    old: Tree<'a>,
    size: u64,
    changes: &'a BTreeMap<u64, Ref>,
}

impl<'a> Change<'a> {
    /// Whether the changes make sense.
    fn check(&self, old: &Content) -> Result<(), TreeError> {
        let chunks = chunk_count(self.size);
        for (&index, change) in self.changes {
            if index >= chunks {
                return Err(TreeError::NoChunk { index, chunks });
            }
            let Ref::Chunk(chunk) = change else { continue };
            let (got, want) = (chunk.len as u64, chunk_plain_len(self.size, index));
            if got != want {
                return Err(TreeError::ChunkLen { index, got, want });
            }
            if super::chunk_problem(chunk).is_some() {
                return Err(TreeError::Malformed("a reference given is malformed"));
            }
        }
        match old {
            Content::Inline(bytes) if !bytes.is_empty() && chunks > 0 && !self.changes.contains_key(&0) => {
                let (old, new) = (bytes.len() as u64, chunk_plain_len(self.size, 0));
                Err(TreeError::Stale { index: 0, old, new })
            }
            _ => Ok(()),
        }
    }

    /// The chunk that was last and has another length now.
    fn resized(&self) -> Option<u64> {
        let last = self.old.chunks().checked_sub(1)?;
        let keeps = chunk_plain_len(self.size, last) == chunk_plain_len(self.old.size, last);
        (!keeps && last < chunk_count(self.size)).then_some(last)
    }

    /// The chunk that is last now and was not so long before.
    fn cut(&self) -> Option<u64> {
        let last = chunk_count(self.size).checked_sub(1)?;
        let keeps = chunk_plain_len(self.size, last) == chunk_plain_len(self.old.size, last);
        (!keeps && last < self.old.chunks()).then_some(last)
    }

    /// Whether the old reference at `place` serves as it is.
    fn untouched(&self, place: Place) -> bool {
        let (old, new) = (place.chunks(self.old.chunks()), place.chunks(chunk_count(self.size)));
        old.end == new.end
            && self.changes.range(new.clone()).next().is_none()
            && ![self.resized(), self.cut()].into_iter().flatten().any(|last| new.contains(&last))
    }

    /// What stood at a top place. None: a node on the way down to it is missing (and noted).
    fn was(&self, place: Place, missing: &mut Vec<ChunkRef>) -> Result<Option<Was<'a>>, TreeError> {
        let old = &self.old;
        if place.level > old.depth {
            return Ok(Some(if place.index == 0 { Was::Above } else { Was::Ref(HOLE) }));
        }
        let mut at =
            Place { level: old.depth, index: place.index >> (FANOUT_LOG * (old.depth - place.level) as u32) };
        let mut was = old.refs.get(at.index as usize).unwrap_or(HOLE);
        while at.level > place.level {
            let Ref::Chunk(node) = was else { return Ok(Some(Was::Ref(HOLE))) };
            let Some(children) = old.children(node, at)? else {
                note(missing, node);
                return Ok(None);
            };
            let down = place.index >> (FANOUT_LOG * (at.level - 1 - place.level) as u32);
            let which = (down % FANOUT as u64) as usize;
            was = children.get(which).unwrap_or(HOLE);
            at = at.child(which);
        }
        Ok(Some(Was::Ref(was)))
    }

    /// What stood at the children of a place. None: the node is not at hand.
    fn children(&self, place: Place, was: Was<'a>) -> Result<Option<Vec<Was<'a>>>, TreeError> {
        let count = refs_at(chunk_count(self.size), place.level - 1) - (place.index << FANOUT_LOG);
        let old: Vec<Was> = match was {
            Was::Ref(Ref::Hole) => Vec::new(),
            Was::Ref(Ref::Chunk(node)) => match self.old.children(node, place)? {
                Some(children) => children.iter().map(Was::Ref).collect(),
                None => return Ok(None),
            },
            Was::Above if place.level - 1 == self.old.depth => self.old.refs.iter().map(Was::Ref).collect(),
            Was::Above => vec![Was::Above],
        };
        let filled = old.into_iter().chain(std::iter::repeat(Was::Ref(HOLE)));
        Ok(Some(filled.take(count.min(FANOUT as u64) as usize).collect()))
    }

    /// Whether a place keeps its old reference; the new one may be a hole without looking further.
    fn kept(&self, place: Place, was: Was<'a>) -> Option<&'a Ref> {
        let Was::Ref(old) = was else { return None };
        let no_change = || self.changes.range(place.chunks(chunk_count(self.size))).next().is_none();
        match old {
            Ref::Hole if no_change() => Some(old),
            _ if self.untouched(place) => Some(old),
            _ => None,
        }
    }

    fn find_missing(&self, place: Place, was: Was<'a>, missing: &mut Vec<ChunkRef>) -> Result<(), TreeError> {
        if place.level == 0 || self.kept(place, was).is_some() {
            return Ok(());
        }
        let Some(children) = self.children(place, was)? else {
            if let Was::Ref(Ref::Chunk(node)) = was {
                note(missing, node);
            }
            return Ok(());
        };
        for (which, was) in children.into_iter().enumerate() {
            self.find_missing(place.child(which), was, missing)?;
        }
        Ok(())
    }

    fn make<E: From<TreeError>>(
        &self,
        place: Place,
        was: Was<'a>,
        seal: &mut impl FnMut(&[u8]) -> Result<ChunkRef, E>,
    ) -> Result<Ref, E> {
        if let Some(kept) = self.kept(place, was) {
            return Ok(kept.clone());
        }
        if place.level == 0 {
            return Ok(self.data(place.index, was)?);
        }
        let children = self.children(place, was)?.unwrap_or_default();
        let mut refs = Vec::with_capacity(children.len());
        for (which, was) in children.into_iter().enumerate() {
            refs.push(self.make(place.child(which), was, seal)?);
        }
        if refs.iter().all(|child| *child == Ref::Hole) {
            return Ok(Ref::Hole);
        }
        Ok(Ref::Chunk(seal(&encode(&refs))?))
    }

    /// The data chunk at `index`, changed or with another length than before.
    fn data(&self, index: u64, was: Was<'a>) -> Result<Ref, TreeError> {
        match (self.changes.get(&index), was) {
            (Some(change), _) => Ok(change.clone()),
            (None, Was::Ref(Ref::Chunk(chunk))) => {
                let (old, new) = (chunk.len as u64, chunk_plain_len(self.size, index));
                if old == new {
                    Ok(Ref::Chunk(chunk.clone()))
                } else {
                    Err(TreeError::Stale { index, old, new })
                }
            }
            _ => Ok(Ref::Hole),
        }
    }
}

fn note(missing: &mut Vec<ChunkRef>, node: &ChunkRef) {
    if missing.iter().all(|known| known.id != node.id) {
        missing.push(node.clone());
    }
}
