//! Taking in what others did, and looking back: the tree over a real index, without friends.

use super::{Ground, Row, Target, failed};
use crate::content::{ChunkRef, Content, PageRef, Ref};
use crate::daemon::api::Outcome;
use crate::keys::{ChunkId, DriveId, DriveKeys, Epoch, Hash, LevelKey, Power, Seed, WriterKey};
use crate::store::SledIndexes;
use crate::tree::{
    AttrChange, Attrs, Change, Checked, Fold, Kind, Moment, ObjectId, Opened, Operation, ROOT, TimeNs,
    seal_entry,
};
use crate::world::{Index, Indexes, MemIndex};
use std::sync::Arc;
use std::time::Instant;

/// Files the drive has, and files in one directory.
const FILES: u64 = 100_000;
const IN_DIR: u64 = 1000;
/// Operations taken in at once, those that a late entry goes in front of, and those of the history.
const NEWS: u64 = 10_000;
const LATE: u64 = 1000;
const HISTORY: u64 = 1_000_000;
/// Operations in an entry, of those that a late one goes in front of.
const SMALL_ENTRY: u64 = 100;
/// Entries folded at once.
const AT_ONCE: usize = 16;
/// Nanoseconds between two operations.
const TICK: TimeNs = 1_000_000;

const DRIVE: DriveId = DriveId([7; 32]);

fn why(e: impl ToString) -> crate::daemon::api::Trouble {
    failed("merge", e)
}

/// A device: its own tree, and the key it writes with.
struct Device {
    fold: Fold,
    index: Arc<dyn Index>,
    writer: WriterKey,
    keys: DriveKeys,
    next: u64,
    time: TimeNs,
}

impl Device {
    fn new(number: u8, index: Arc<dyn Index>) -> Outcome<Device> {
        let writer = WriterKey::new(&Seed::from_bytes([number; 32]), [number; 16]);
        let fold = Fold::open(&*index, writer.log(), "bench").map_err(why)?;
        let keys = DriveKeys::new(DRIVE, Epoch::FIRST, LevelKey::new(Power::Read, [3; 32]));
        Ok(Device { fold, index, writer, keys, next: 1, time: 1_795_000_000_000_000_000 })
    }

    fn make(&mut self, change: Change) -> Outcome<ObjectId> {
        (self.next, self.time) = (self.next + 1, self.time + TICK);
        let op = Operation { n: self.next, time: self.time, utc_offset_min: 0, change };
        let step = self.fold.local(&*self.index, op).map_err(why)?;
        self.index.commit(step.batch).map_err(why)?;
        Ok(ObjectId { log: self.writer.log(), n: self.next })
    }

    /// Everything pending as entries of at most `most` operations.
    fn publish(&mut self, most: u64, out: &mut Vec<Vec<u8>>) -> Outcome<()> {
        loop {
            let pending: Vec<u64> = self.fold.pending().into_iter().take(most as usize).collect();
            if pending.is_empty() {
                return Ok(());
            }
            let draft = self.fold.draft(&*self.index, &pending).map_err(why)?;
            let (bytes, opened) = seal_entry(&self.keys, &self.writer, &draft, &[]).map_err(why)?;
            let step = self.fold.published(&*self.index, opened).map_err(why)?;
            self.index.commit(step.batch).map_err(why)?;
            out.push(bytes);
        }
    }

    /// Take in entries as they come from a friend: checked, opened, folded, stored.
    fn take(&mut self, entries: &[Vec<u8>]) -> Outcome<()> {
        for some in entries.chunks(AT_ONCE) {
            let open = |bytes: &Vec<u8>| Checked::parse(bytes, &DRIVE)?.open(&self.keys);
            let opened: Vec<Opened> = some.iter().map(open).collect::<Result<_, _>>().map_err(why)?;
            let step = self.fold.take(&*self.index, opened).map_err(why)?;
            self.index.commit(step.batch).map_err(why)?;
        }
        Ok(())
    }

    /// Files as they are copied in: a name, and a reference to a chunk.
    fn copy_in(&mut self, dir: ObjectId, files: u64) -> Outcome<Vec<ObjectId>> {
        let mut out = Vec::new();
        for i in 0..files {
            let time = self.time;
            let attrs = Attrs {
                mode: 0o644,
                uid: 1000,
                gid: 1000,
                atime: time,
                mtime: time,
                ctime: time,
                btime: time,
            };
            let name = format!("IMG_{i:06}.jpg").into_bytes();
            let object = self.make(Change::Create { parent: dir, name, kind: Kind::File, attrs })?;
            let id = *blake3::hash(&self.next.to_le_bytes()).as_bytes();
            let page = PageRef { codec: 0, sealed_len: 10_040, hash: Hash(*blake3::hash(&id).as_bytes()) };
            let chunk = ChunkRef { id: ChunkId(id), epoch: Epoch::FIRST, len: 10_000, pages: vec![page] };
            let content = Content::Tree { size: 10_000, depth: 0, refs: vec![Ref::Chunk(chunk)] };
            self.make(Change::SetContent { object, base: None, content, mtime: time })?;
            out.push(object);
        }
        Ok(out)
    }

    fn dir(&mut self, number: u64) -> Outcome<ObjectId> {
        let time = self.time;
        let attrs =
            Attrs { mode: 0o755, uid: 1000, gid: 1000, atime: time, mtime: time, ctime: time, btime: time };
        self.make(Change::Create {
            parent: ROOT,
            name: format!("dir {number}").into_bytes(),
            kind: Kind::Dir,
            attrs,
        })
    }
}

pub fn run(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let place = ground.sub("merge")?;
    let mut author = Device::new(1, Arc::new(MemIndex::new(&[1; 32])))?;
    let index = SledIndexes::default().open(&place, &[2; 32]).map_err(why)?.index;
    let mut here = Device::new(2, index)?;
    let files = ground.amount(FILES, 5000);
    let (mut entries, mut objects) = (Vec::new(), Vec::new());
    for number in 0..files.div_ceil(IN_DIR) {
        let dir = author.dir(number)?;
        objects.extend(author.copy_in(dir, IN_DIR.min(files))?);
        author.publish(u64::MAX, &mut entries)?;
    }
    here.take(&entries)?;

    let mut news = Vec::new();
    let dir = author.dir(files)?;
    author.copy_in(dir, NEWS / 2)?;
    author.publish(u64::MAX, &mut news)?;
    let bytes: usize = news.iter().map(Vec::len).sum();
    let start = Instant::now();
    here.take(&news)?;
    let what = format!("{NEWS} remote operations taken in, drive of {files} files");
    row(Row::new(what, start.elapsed().as_secs_f64(), "s", Target::AtMost(1.0)));
    row(Row::new(
        "bytes on the wire for each of them, files copied in",
        bytes as f64 / NEWS as f64,
        "B",
        Target::AtMost(200.0),
    ));
    late(&mut author, &mut here, &objects, row)?;
    past(ground, &mut author, &mut here, &objects, row)
}

/// An entry that somebody made before others that are here already.
fn late(
    author: &mut Device,
    here: &mut Device,
    objects: &[ObjectId],
    row: &mut dyn FnMut(Row),
) -> Outcome<()> {
    // A third device knows of the tree before what follows.
    let mut third = Device::new(3, Arc::new(MemIndex::new(&[3; 32])))?;
    let head = here.fold.heads();
    let mut entries = Vec::new();
    for object in objects.iter().take(LATE as usize) {
        let change = AttrChange { mode: Some(0o600), ..AttrChange::default() };
        author.make(Change::SetAttrs { object: *object, change })?;
    }
    author.publish(SMALL_ENTRY, &mut entries)?;
    here.take(&entries)?;
    third.dir(1)?;
    let draft = third.fold.draft(&*third.index, &third.fold.pending()).map_err(why)?;
    // It saw what `here` had, and nothing since.
    let lamport = here.fold.applied().saturating_sub(entries.len() as u64) + 1;
    let draft = crate::tree::Draft {
        lamport,
        vector: crate::tree::Vector { heads: head, ..draft.vector.clone() },
        ..draft
    };
    let (late, _) = seal_entry(&third.keys, &third.writer, &draft, &[]).map_err(why)?;
    let before = here.fold.rewound();
    let start = Instant::now();
    here.take(&[late])?;
    let took = start.elapsed().as_secs_f64() * 1000.0;
    let rewound = (here.fold.rewound() - before) * SMALL_ENTRY;
    row(Row::new(format!("{rewound} operations rewound for a late one"), took, "ms", Target::AtMost(100.0)));
    Ok(())
}

/// A moment in the middle of a long history.
fn past(
    ground: &Ground,
    author: &mut Device,
    here: &mut Device,
    objects: &[ObjectId],
    row: &mut dyn FnMut(Row),
) -> Outcome<()> {
    let operations = ground.amount(HISTORY, 20_000);
    let mut middle = author.time;
    for n in 0..operations {
        // Names and attributes, all over the tree.
        let object = objects[(n.wrapping_mul(7919) % objects.len() as u64) as usize];
        let change = AttrChange { mtime: Some(author.time), ..AttrChange::default() };
        author.make(Change::SetAttrs { object, change })?;
        if n == operations / 2 {
            middle = author.time;
        }
        if (n + 1) % 4096 == 0 || n + 1 == operations {
            let mut entries = Vec::new();
            author.publish(u64::MAX, &mut entries)?;
            here.take(&entries)?;
        }
    }
    here.index.flush().map_err(why)?;
    let start = Instant::now();
    let mut moment = Moment::at(middle);
    here.fold.bring_up(&*here.index, &mut moment).map_err(why)?;
    let dirs = moment.children(&*here.index, ROOT, None, 10_000).map_err(why)?;
    let opened = start.elapsed().as_secs_f64();
    let first = dirs.iter().find(|c| c.inode.children >= IN_DIR).ok_or_else(|| why("no directory"))?;
    let start = Instant::now();
    let listed = moment.children(&*here.index, first.inode.object, None, IN_DIR as usize).map_err(why)?;
    let what = format!("a moment opened, {operations} operations of history");
    row(Row::new(what, opened, "s", Target::AtMost(1.0)));
    let what = format!("  a directory of {} listed there with attributes", listed.len());
    row(Row::new(what, start.elapsed().as_secs_f64(), "s", Target::None));
    Ok(())
}
