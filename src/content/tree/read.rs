//! Walking a content tree.

use super::super::{ChunkRef, Content, Ref};
use super::{CHUNK, Extent, ExtentKind, Nodes, Place, Step, Tree, TreeError};
use std::ops::{ControlFlow, Range};

/// What a walk calls, in order of the chunks.
enum Found<'a> {
    /// Chunks that were never written.
    Hole(Range<u64>),
    Chunk(u64, &'a ChunkRef),
    /// A node that is not at hand.
    Missing(&'a ChunkRef),
}

type Visit<'v, 'a> = &'v mut dyn FnMut(Found<'a>) -> ControlFlow<()>;

impl<'a> Tree<'a> {
    fn walk(&self, chunks: &Range<u64>, visit: Visit<'_, 'a>) -> Result<(), TreeError> {
        for (index, child) in self.refs.iter().enumerate() {
            let place = Place { level: self.depth, index: index as u64 };
            if self.walk_ref(child, place, chunks, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn walk_ref(
        &self,
        child: &'a Ref,
        place: Place,
        wanted: &Range<u64>,
        visit: Visit<'_, 'a>,
    ) -> Result<ControlFlow<()>, TreeError> {
        let below = place.chunks(self.chunks());
        let (start, end) = (below.start.max(wanted.start), below.end.min(wanted.end));
        if start >= end {
            return Ok(ControlFlow::Continue(()));
        }
        let chunk = match child {
            Ref::Hole => return Ok(visit(Found::Hole(start..end))),
            Ref::Chunk(chunk) if place.level == 0 => return Ok(visit(Found::Chunk(place.index, chunk))),
            Ref::Chunk(chunk) => chunk,
        };
        let Some(children) = self.children(chunk, place)? else {
            return Ok(visit(Found::Missing(chunk)));
        };
        for (which, child) in children.iter().enumerate() {
            if self.walk_ref(child, place.child(which), wanted, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The extents that cover `range` of the file (cut at its end), in order. None for
/// [`Content::Inline`]. A last hole ends where the range does or the chunk it ends in.
pub fn extents(content: &Content, range: Range<u64>, nodes: &Nodes) -> Result<Step<Vec<Extent>>, TreeError> {
    let tree = Tree::new(content, nodes)?;
    let end = range.end.min(tree.size);
    if range.start >= end {
        return Ok(Step::Done(Vec::new()));
    }
    let bytes = |chunks: Range<u64>| chunks.start * CHUNK..(chunks.end.saturating_mul(CHUNK)).min(tree.size);
    let (mut missing, mut found) = (Vec::new(), Vec::<Extent>::new());
    tree.walk(&(range.start / CHUNK..end.div_ceil(CHUNK)), &mut |next| {
        match next {
            Found::Missing(node) => missing.push(node.clone()),
            Found::Chunk(index, chunk) => {
                let range = bytes(index..index + 1);
                found.push(Extent { range, kind: ExtentKind::Chunk(chunk.clone()) });
            }
            Found::Hole(chunks) => {
                let range = bytes(chunks);
                match found.last_mut() {
                    Some(last) if last.kind == ExtentKind::Hole && last.range.end == range.start => {
                        last.range.end = range.end;
                    }
                    _ => found.push(Extent { range, kind: ExtentKind::Hole }),
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(if missing.is_empty() { Step::Done(found) } else { Step::Need(missing) })
}

/// The first byte at or after `offset` that lies in a chunk (lseek SEEK_DATA); None: no data
/// from there on.
pub fn seek_data(content: &Content, offset: u64, nodes: &Nodes) -> Result<Step<Option<u64>>, TreeError> {
    if let Content::Inline(bytes) = content {
        return Ok(Step::Done((offset < bytes.len() as u64).then_some(offset)));
    }
    seek(content, offset, nodes, None, |next| match next {
        Found::Chunk(index, _) => Some(*index),
        _ => None,
    })
}

/// The first byte at or after `offset` that lies in a hole, or the file's end (lseek
/// SEEK_HOLE); None: `offset` is at or beyond the end.
pub fn seek_hole(content: &Content, offset: u64, nodes: &Nodes) -> Result<Step<Option<u64>>, TreeError> {
    if let Content::Inline(bytes) = content {
        let len = bytes.len() as u64;
        return Ok(Step::Done((offset < len).then_some(len)));
    }
    let end = Tree::new(content, nodes)?.size;
    seek(content, offset, nodes, Some(end), |next| match next {
        Found::Hole(chunks) => Some(chunks.start),
        _ => None,
    })
}

fn seek(
    content: &Content,
    offset: u64,
    nodes: &Nodes,
    otherwise: Option<u64>,
    matches: impl Fn(&Found<'_>) -> Option<u64>,
) -> Result<Step<Option<u64>>, TreeError> {
    let tree = Tree::new(content, nodes)?;
    if offset >= tree.size {
        return Ok(Step::Done(None));
    }
    let mut result = Step::Done(otherwise);
    tree.walk(&(offset / CHUNK..tree.chunks()), &mut |next| {
        result = match (&next, matches(&next)) {
            (Found::Missing(node), _) => Step::Need(vec![(*node).clone()]),
            (_, Some(chunk)) => Step::Done(Some(offset.max(chunk * CHUNK))),
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(())
    })?;
    Ok(result)
}

/// Bytes that are not holes, exactly (needs every node).
pub fn allocated(content: &Content, nodes: &Nodes) -> Result<Step<u64>, TreeError> {
    if let Content::Inline(bytes) = content {
        return Ok(Step::Done(bytes.len() as u64));
    }
    let tree = Tree::new(content, nodes)?;
    let (mut missing, mut sum) = (Vec::new(), 0);
    tree.walk(&(0..tree.chunks()), &mut |next| {
        match next {
            Found::Missing(node) => missing.push(node.clone()),
            Found::Chunk(_, chunk) => sum += chunk.len as u64,
            Found::Hole(_) => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(if missing.is_empty() { Step::Done(sum) } else { Step::Need(missing) })
}

/// As [`allocated`], from the content alone: never less, and exact when no node has holes in
/// it. 0 for content that is malformed.
pub fn allocated_estimate(content: &Content) -> u64 {
    let Content::Tree { size, depth, refs } = content else {
        return if let Content::Inline(bytes) = content { bytes.len() as u64 } else { 0 };
    };
    if super::content_problem(content).is_some() {
        return 0;
    }
    let covered = |(index, child): (usize, &Ref)| match child {
        Ref::Hole => 0,
        Ref::Chunk(_) => {
            let chunks = Place { level: *depth, index: index as u64 }.chunks(super::chunk_count(*size));
            (chunks.end * CHUNK).min(*size) - chunks.start * CHUNK
        }
    };
    refs.iter().enumerate().map(covered).sum()
}
