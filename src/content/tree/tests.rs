use super::super::testing::{Dice, keys, noise};
use super::super::{PageRef, SEAL_OVERHEAD, open_chunk, seal_chunk};
use super::*;
use crate::keys::{Epoch, Hash, encode};

/// Node chunks as a disk would keep them: really sealed, really opened.
#[derive(Default)]
struct Disk {
    sealed: BTreeMap<ChunkId, Vec<u8>>,
    written: usize,
}

impl Disk {
    fn put(&mut self, plaintext: &[u8]) -> Result<ChunkRef, TreeError> {
        let (reference, sealed) = seal_chunk(&keys(), Epoch::FIRST, plaintext).unwrap();
        self.sealed.insert(reference.id, sealed);
        self.written += 1;
        Ok(reference)
    }
    /// Run a step to its end; how many rounds it took.
    fn run<T>(
        &self,
        mut step: impl FnMut(&Nodes) -> Result<Step<T>, TreeError>,
    ) -> Result<(T, usize), TreeError> {
        let mut nodes = Nodes::new();
        for round in 0..=DEPTH_MAX as usize {
            match step(&nodes)? {
                Step::Done(value) => return Ok((value, round)),
                Step::Need(list) => {
                    assert!(!list.is_empty());
                    for reference in list {
                        assert!(!nodes.contains(&reference.id), "asked for twice");
                        let plain = open_chunk(&keys(), &reference, &self.sealed[&reference.id]).unwrap();
                        nodes.insert(&reference, &plain)?;
                    }
                }
            }
        }
        panic!("more rounds than levels")
    }
    fn update(
        &mut self,
        old: &Content,
        size: u64,
        changes: &BTreeMap<u64, Ref>,
    ) -> Result<Content, TreeError> {
        let mut written = Vec::new();
        let (content, _) = self.run(|nodes| {
            update(old, size, changes, nodes, |plain| {
                written.push(plain.to_vec());
                Ok::<_, TreeError>(seal_chunk(&keys(), Epoch::FIRST, plain).unwrap().0)
            })
        })?;
        for plain in written {
            self.put(&plain)?;
        }
        Ok(content)
    }
}

/// A data reference that looks right; `tag` tells it from others.
fn data(len: u64, tag: u64) -> ChunkRef {
    let pages = (0..len.div_ceil(65_536))
        .map(|i| PageRef {
            codec: 0,
            sealed_len: (len - i * 65_536).min(65_536) as u32 + SEAL_OVERHEAD as u32,
            hash: Hash(*blake3::hash(&(tag + i).to_le_bytes()).as_bytes()),
        })
        .collect();
    let id = ChunkId(*blake3::hash(&tag.to_be_bytes()).as_bytes());
    ChunkRef { id, epoch: Epoch::FIRST, len: len as u32, pages }
}

/// The oracle: a flat list of chunks.
fn check(disk: &Disk, content: &Content, size: u64, flat: &BTreeMap<u64, ChunkRef>, dice: &mut Dice) {
    assert_eq!(content_problem(content), None);
    let whole = |range: Range<u64>| disk.run(|nodes| extents(content, range.clone(), nodes)).unwrap().0;
    for _ in 0..3 {
        let range = if size == 0 { 0..1 } else { dice.range(size) };
        let mut at = range.start / CHUNK * CHUNK;
        let found = whole(range.clone());
        for pair in found.windows(2) {
            assert!(!(pair[0].kind == ExtentKind::Hole && pair[1].kind == ExtentKind::Hole), "not joined");
        }
        for extent in found {
            assert_eq!(extent.range.start, at);
            match extent.kind {
                ExtentKind::Chunk(chunk) => {
                    assert_eq!(Some(&chunk), flat.get(&(at / CHUNK)));
                    assert_eq!(extent.range.end, (at + CHUNK).min(size));
                }
                ExtentKind::Hole => {
                    let chunks = at / CHUNK..extent.range.end.div_ceil(CHUNK);
                    assert!(flat.range(chunks).next().is_none());
                }
            }
            at = extent.range.end;
        }
        assert!(size == 0 || at >= range.end);
        let offset = range.start;
        let next = flat
            .keys()
            .map(|i| (i * CHUNK).max(offset))
            .find(|&start| start < size && (start > offset || flat.contains_key(&(offset / CHUNK))));
        let data = if offset >= size {
            None
        } else if flat.contains_key(&(offset / CHUNK)) {
            Some(offset)
        } else {
            flat.range(offset / CHUNK..).next().map(|(i, _)| i * CHUNK)
        };
        assert!(next.is_some() || data.is_none());
        assert_eq!(disk.run(|nodes| seek_data(content, offset, nodes)).unwrap().0, data);
        let mut hole = offset;
        while hole < size && flat.contains_key(&(hole / CHUNK)) {
            hole = ((hole / CHUNK + 1) * CHUNK).min(size);
        }
        let hole = (offset < size).then_some(hole);
        assert_eq!(disk.run(|nodes| seek_hole(content, offset, nodes)).unwrap().0, hole);
    }
    let sum: u64 = flat.values().map(|chunk| chunk.len as u64).sum();
    assert_eq!(disk.run(|nodes| allocated(content, nodes)).unwrap().0, sum);
    assert!(allocated_estimate(content) >= sum);
}

#[test]
fn random_changes_against_a_flat_list() {
    for seed in 0..25 {
        let mut dice = Dice::new(seed);
        let mut disk = Disk::default();
        let mut flat: BTreeMap<u64, ChunkRef> = BTreeMap::new();
        let mut size = 0;
        let mut content = Content::Tree { size: 0, depth: 0, refs: vec![] };
        for round in 0..14 {
            let new_size = match dice.below(6) {
                0 => dice.below(4 * CHUNK),
                1 => dice.below(300 * CHUNK),
                2 => dice.below(40_000 * CHUNK),
                _ => size,
            };
            let mut changes = BTreeMap::new();
            let chunks = chunk_count(new_size);
            // A last chunk whose length changes is given anew, as a writer would.
            for last in [chunk_count(size), chunks].into_iter().filter_map(|n| n.checked_sub(1)) {
                let (old, new) = (chunk_plain_len(size, last), chunk_plain_len(new_size, last));
                if old != new && new > 0 && flat.contains_key(&last) {
                    changes.insert(last, Ref::Chunk(data(new, dice.next())));
                }
            }
            for _ in 0..dice.below(8) {
                let index = dice.below(chunks);
                if index < chunks {
                    let len = chunk_plain_len(new_size, index);
                    let change =
                        if dice.below(3) == 0 { Ref::Hole } else { Ref::Chunk(data(len, dice.next())) };
                    changes.insert(index, change);
                }
            }
            content = disk.update(&content, new_size, &changes).unwrap();
            flat.retain(|&index, _| index < chunks);
            for (index, change) in changes {
                match change {
                    Ref::Hole => drop(flat.remove(&index)),
                    Ref::Chunk(chunk) => drop(flat.insert(index, chunk)),
                }
            }
            size = new_size;
            check(&disk, &content, size, &flat, &mut dice);
            // The way there leaves no trace: building afresh gives the same content.
            let afresh = disk.update(
                &Content::Inline(vec![]),
                size,
                &flat.iter().map(|(&i, c)| (i, Ref::Chunk(c.clone()))).collect(),
            );
            assert_eq!(afresh.unwrap(), content, "seed {seed} round {round}");
        }
    }
}

#[test]
fn one_changed_chunk_in_a_large_file_costs_one_node_a_level() {
    let mut disk = Disk::default();
    let size = 3000 * CHUNK - 5;
    let refs: Vec<Ref> = (0..3000).map(|i| Ref::Chunk(data(chunk_plain_len(size, i), i))).collect();
    let content = build(size, refs, |plain| disk.put(plain)).unwrap();
    assert!(matches!(&content, Content::Tree { depth: 2, refs, .. } if refs.len() == 3));
    assert_eq!(disk.written, 94 + 3);
    disk.written = 0;
    let changes = BTreeMap::from([(1234, Ref::Chunk(data(CHUNK, 77_777)))]);
    let changed = disk.update(&content, size, &changes).unwrap();
    assert_eq!(disk.written, 2);
    let encoded = encode(&changed).len();
    assert!(encoded < 300 * 8, "the operation carries {encoded} bytes");
    let (found, rounds) = disk.run(|nodes| extents(&changed, 1234 * CHUNK..1234 * CHUNK + 1, nodes)).unwrap();
    assert_eq!(found[0].kind, ExtentKind::Chunk(data(CHUNK, 77_777)));
    assert_eq!(rounds, 2);
    // Nothing changed: nothing written, nothing read.
    disk.written = 0;
    assert_eq!(
        update(&changed, size, &BTreeMap::new(), &Nodes::new(), |plain| disk.put(plain)),
        Ok(Step::Done(changed))
    );
    assert_eq!(disk.written, 0);
}

#[test]
fn an_exbibyte_of_nothing_costs_nothing() {
    let mut disk = Disk::default();
    for size in [1 << 60, SIZE_MAX] {
        let content = build(size, vec![], |plain| disk.put(plain)).unwrap();
        assert!(encode(&content).len() < 40);
        assert_eq!(disk.written, 0);
        let hole = Extent { range: 0..size, kind: ExtentKind::Hole };
        assert_eq!(extents(&content, 0..size, &Nodes::new()), Ok(Step::Done(vec![hole])));
        assert_eq!(seek_data(&content, 0, &Nodes::new()), Ok(Step::Done(None)));
        assert_eq!(seek_hole(&content, 5, &Nodes::new()), Ok(Step::Done(Some(5))));
        assert_eq!(allocated_estimate(&content), 0);
    }
    // One byte at the far end.
    let last = chunk_count(SIZE_MAX) - 1;
    let chunk = Ref::Chunk(data(chunk_plain_len(SIZE_MAX, last), 1));
    let content = disk.update(&Content::Inline(vec![]), SIZE_MAX, &BTreeMap::from([(last, chunk)])).unwrap();
    assert_eq!(disk.written, DEPTH_MAX as usize);
    assert_eq!(disk.run(|nodes| seek_data(&content, 0, nodes)).unwrap().0, Some(last * CHUNK));
    assert_eq!(disk.run(|nodes| seek_hole(&content, last * CHUNK, nodes)).unwrap().0, Some(SIZE_MAX));
    let shorter = disk.update(&content, 1 << 40, &BTreeMap::new()).unwrap();
    assert_eq!(allocated_estimate(&shorter), 0);
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    let mut disk = Disk::default();
    let size = 2 * CHUNK + 10;
    let refs = (0..3).map(|i| Ref::Chunk(data(chunk_plain_len(size, i), i))).collect();
    let content = build(size, refs, |plain| disk.put(plain)).unwrap();
    let mut change = |size, changes: &[(u64, Ref)]| {
        disk.update(&content, size, &changes.iter().cloned().collect()).unwrap_err()
    };
    let grow = size + 1;
    assert_eq!(change(grow, &[]), TreeError::Stale { index: 2, old: 10, new: 11 });
    assert_eq!(change(CHUNK + 3, &[]), TreeError::Stale { index: 1, old: CHUNK, new: 3 });
    assert_eq!(change(5 * CHUNK, &[]), TreeError::Stale { index: 2, old: 10, new: CHUNK });
    assert_eq!(change(size, &[(3, Ref::Hole)]), TreeError::NoChunk { index: 3, chunks: 3 });
    let chunk = Ref::Chunk(data(11, 1));
    assert_eq!(change(size, &[(2, chunk)]), TreeError::ChunkLen { index: 2, got: 11, want: 10 });
    assert_eq!(change(SIZE_MAX + 1, &[]), TreeError::Size(SIZE_MAX + 1));
    let mut bad = data(10, 1);
    bad.pages[0].codec = 9;
    assert!(matches!(change(size, &[(2, Ref::Chunk(bad))]), TreeError::Malformed(_)));
    let inline = Content::Inline(vec![1, 2, 3]);
    let stale = TreeError::Stale { index: 0, old: 3, new: 5000 };
    assert_eq!(disk.update(&inline, 5000, &BTreeMap::new()), Err(stale));
}

#[test]
fn hostile_contents_and_nodes_are_refused() {
    let mut disk = Disk::default();
    let size = 100 * CHUNK;
    let refs: Vec<Ref> = (0..100).map(|i| Ref::Chunk(data(CHUNK, i))).collect();
    let good = build(size, refs.clone(), |plain| disk.put(plain)).unwrap();
    let Content::Tree { refs: top, .. } = &good else { unreachable!() };
    let with = |size, depth, refs: &[Ref]| Content::Tree { size, depth, refs: refs.to_vec() };
    let hostile = [
        ("a reference too few", with(size, 1, &top[..3])),
        ("a wrong depth", with(size, 2, &top[..1])),
        ("no depth", with(size, 0, top)),
        ("a depth beyond reason", with(size, 255, top)),
        ("a size beyond reason", with(u64::MAX, 1, top)),
        ("a size of too many chunks", with(size + 200 * CHUNK, 1, top)),
        ("data in place of a node", with(size, 1, &refs[..4])),
        ("a data chunk too short", with(2 * CHUNK, 0, &[refs[0].clone(), Ref::Chunk(data(5, 5))])),
        ("inline and long", Content::Inline(vec![0; 4097])),
    ];
    for (flaw, content) in hostile {
        assert!(content_problem(&content).is_some(), "{flaw}");
        if !matches!(content, Content::Inline(_)) {
            assert!(extents(&content, 0..1, &Nodes::new()).is_err(), "{flaw}");
            assert!(disk.update(&content, 10, &BTreeMap::new()).is_err(), "{flaw}");
        }
    }
    let Ref::Chunk(first) = &top[0] else { unreachable!() };
    let insert = |plain: &[u8]| Nodes::new().insert(first, plain);
    let mut flawed = data(CHUNK, 1);
    flawed.pages.pop();
    for (flaw, plain) in [
        ("noise", noise(1000, 1)),
        ("33 references", encode(&refs[..33])),
        ("nothing but holes", encode(&vec![Ref::Hole; 32])),
        ("nothing", encode(&Vec::<Ref>::new())),
        ("a byte after the end", [encode(&refs[..32]), vec![0]].concat()),
        ("a malformed reference", encode(&vec![Ref::Chunk(flawed)])),
        ("a count beyond reason", vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        assert!(matches!(insert(&plain), Err(TreeError::BadNode { .. })), "{flaw}");
    }
    // Well-formed nodes that do not belong there.
    for (flaw, children) in [
        ("too few", refs[..31].to_vec()),
        ("a short chunk inside", {
            let mut children = refs[..32].to_vec();
            children[7] = Ref::Chunk(data(100, 7));
            children
        }),
    ] {
        let mut nodes = Nodes::new();
        nodes.insert(first, &encode(&children)).unwrap();
        assert!(extents(&good, 0..1, &nodes).is_err(), "{flaw}");
        let change = BTreeMap::from([(0, Ref::Hole)]);
        assert!(update(&good, size, &change, &nodes, |plain| disk.put(plain)).is_err(), "{flaw}");
    }
}

#[test]
fn inline_content_has_no_extents_and_seeks_like_a_file() {
    let content = Content::Inline(vec![0; 10]);
    assert_eq!(extents(&content, 0..10, &Nodes::new()), Ok(Step::Done(vec![])));
    assert_eq!(seek_data(&content, 9, &Nodes::new()), Ok(Step::Done(Some(9))));
    assert_eq!(seek_data(&content, 10, &Nodes::new()), Ok(Step::Done(None)));
    assert_eq!(seek_hole(&content, 3, &Nodes::new()), Ok(Step::Done(Some(10))));
    assert_eq!(allocated(&content, &Nodes::new()), Ok(Step::Done(10)));
}
