//! First in, first out per directory and inode; others overtake.

use super::support::*;
use crate::tree::*;
use std::collections::BTreeSet;

#[test]
fn a_big_upload_delays_only_what_touches_it() {
    let mut s = Site::new(1);
    let d = s.dir(ROOT, "d");
    let other = s.dir(ROOT, "other");
    s.publish();
    let film = s.create(d, "film", Kind::File);
    let content = s.write(film, "4 GB, say");
    let made = s.dir(other, "made meanwhile");
    let in_d = s.dir(d, "beside it");
    s.rename((d, "film"), (d, "film.mp4"));
    let after = s.dir(d, "behind the rename");
    let inside = s.dir(after, "inside");
    let ops = s.fold.pending_operations(&s.table).unwrap();
    let ready = publishable(log(1), &ops, &BTreeSet::from([content.n]));
    assert_eq!(ready, [film.n, made.n, in_d.n]);
    assert!(!ready.contains(&inside.n));
    // Publishing them before the rest changes nothing here.
    let before = s.tree();
    s.publish_some(&ready);
    assert_eq!(s.tree(), before);
    assert_eq!(publishable(log(1), &s.fold.pending_operations(&s.table).unwrap(), &BTreeSet::new()).len(), 4);
}

#[test]
fn link_unlink_and_exchange_join_the_queues_they_touch() {
    let mut s = Site::new(1);
    let (d, e) = (s.dir(ROOT, "d"), s.dir(ROOT, "e"));
    let (f, g) = (s.file(d, "f", "1"), s.file(e, "g", "2"));
    s.publish();
    let link = s.local(Change::Link { object: f, parent: e, name: "f2".into() });
    let seen = s.seen(e, "g").unwrap();
    s.local(Change::Unlink { parent: e, name: "g".into(), seen });
    s.local(Change::SetAttrs { object: g, change: AttrChange::default() });
    s.local(Change::SetAttrs { object: f, change: AttrChange::default() });
    let free = s.dir(d, "free");
    let ops = s.fold.pending_operations(&s.table).unwrap();
    assert_eq!(publishable(log(1), &ops, &BTreeSet::from([link.n])), [free.n]);
}

/// Counts what is asked of a table.
struct Counting<'a>(&'a MemTable, std::cell::Cell<usize>);

impl Table for Counting<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, TableError> {
        self.1.set(self.1.get() + 1);
        self.0.get(key)
    }
    fn scan(
        &self,
        table: u8,
        group: &[u8],
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Vec<u8>)>, TableError> {
        self.1.set(self.1.get() + 1);
        self.0.scan(table, group, after, limit)
    }
}

/// 200 files are kept back in one directory while 200 are ready in another: publish ten of
/// these; how many reads that took. Without footprints (they are not on disk) all is replayed.
fn reads_of_overtaking(footprints: bool) -> usize {
    let mut s = Site::new(1);
    let dirs = [s.dir(ROOT, "a"), s.dir(ROOT, "b")];
    s.publish();
    for i in 0..200 {
        s.file(dirs[0], &format!("{i}"), "kept back");
        s.file(dirs[1], &format!("{i}"), "sent");
    }
    let ops = s.fold.pending_operations(&s.table).unwrap();
    let held = ops.iter().filter(|op| queues(log(1), op).contains(&dirs[0])).map(|op| op.n).collect();
    let ready = publishable(log(1), &ops, &held);
    assert!(ready.len() >= 200 && ready.len() < ops.len());
    if !footprints {
        s.reopen();
    }
    let before = state_of(&s.table);
    let entry = unsigned(1, s.fold.draft(&s.table, &ready[..10]).unwrap());
    let counting = Counting(&s.table, std::cell::Cell::new(0));
    let step = s.fold.published(&counting, entry.clone()).unwrap();
    let reads = counting.1.get();
    s.commit(step);
    s.has.push(entry);
    assert_eq!(state_of(&s.table), before);
    s.publish();
    let mut other = Site::new(2);
    other.take(s.has.clone());
    assert_eq!(state_of(&other.table), state_of(&s.table));
    reads
}

#[test]
fn overtaking_unrelated_operations_replays_nothing() {
    let (with, without) = (reads_of_overtaking(true), reads_of_overtaking(false));
    assert!(with < 100 && without > 400, "{with} reads with footprints, {without} without");
}
