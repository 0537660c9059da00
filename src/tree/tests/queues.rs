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

/// Operations of a drive in which little happens in many places, in the order they were made.
fn some_operations(dice: &mut Dice) -> Vec<Operation> {
    let objects: Vec<ObjectId> = (1..8).map(|n| OpId { log: log(2), n }).collect();
    let count = 1 + dice.below(40) as u64;
    let mut ops = Vec::new();
    for n in 1..=count {
        let mut pick = || *dice.pick(&objects).expect("some");
        let (object, parent, other) = (pick(), pick(), pick());
        let change = match dice.below(6) {
            0 => Change::Create { parent, name: "n".into(), kind: Kind::File, attrs: attrs(0o644, 0) },
            1 => Change::SetAttrs { object, change: AttrChange::default() },
            2 => Change::Link { object, parent, name: "l".into() },
            3 => Change::Rmdir { parent, name: "d".into(), object },
            4 => Change::PackContents { pack: crate::keys::PackId([n as u8; 32]), chunks: Vec::new() },
            _ => Change::SetAttrs { object: other, change: AttrChange::default() },
        };
        ops.push(Operation { n, time: 0, utc_offset_min: 0, change });
    }
    ops
}

#[test]
fn the_fronts_of_the_queues_give_what_looking_at_all_gives() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let ops = some_operations(&mut dice);
        let mut standing: Vec<&Operation> = Vec::new();
        let mut queues = Queues::new(log(1));
        let find = |standing: &[&Operation], n: u64| standing.iter().position(|op| op.n == n);
        // They come and go in any order.
        for _ in 0..ops.len() * 3 {
            let op = dice.pick(&ops).expect("some");
            match find(&standing, op.n) {
                None => {
                    standing.push(op);
                    queues.insert(op);
                }
                Some(at) if dice.one_in(3) => {
                    standing.remove(at);
                    let left = standing.clone();
                    queues.remove(op, |n| left.iter().find(|op| op.n == n).copied());
                }
                Some(_) => {}
            }
            standing.sort_by_key(|op| op.n);
            let unready: BTreeSet<u64> = (1..=ops.len() as u64).filter(|_| dice.one_in(5)).collect();
            let all = publishable(log(1), standing.iter().copied(), &unready);
            let by_number = |n| standing.iter().find(|op| op.n == n).copied();
            for most in [1, 3, usize::MAX] {
                let some = queues.publishable(most, by_number, |op| unready.contains(&op.n));
                assert_eq!(some, all[..all.len().min(most)], "seed {seed}");
            }
        }
    }
}

#[test]
fn what_waits_behind_others_is_not_looked_at() {
    let mut queues = Queues::new(log(1));
    let dir = |n| OpId { log: log(2), n };
    let create = |n, parent| {
        let change = Change::Create { parent, name: "n".into(), kind: Kind::File, attrs: attrs(0o644, 0) };
        Operation { n, time: 0, utc_offset_min: 0, change }
    };
    // 10,000 new files whose first waits for an uplink, and a few elsewhere.
    let mut ops: Vec<Operation> = (1..=10_000).map(|n| create(n, dir(1))).collect();
    ops.extend((10_001..=10_005).map(|n| create(n, dir(2))));
    ops.iter().for_each(|op| queues.insert(op));
    let asked = std::cell::Cell::new(0);
    let by_number = |n: u64| ops.get(n as usize - 1);
    let ready = queues.publishable(usize::MAX, by_number, |op| {
        asked.set(asked.get() + 1);
        op.n == 1
    });
    assert_eq!(ready, (10_001..=10_005).collect::<Vec<_>>());
    assert_eq!(asked.get(), 6);
}

#[test]
fn what_a_friend_did_elsewhere_replays_nothing_of_what_is_pending_here() {
    let (mut here, mut friend) = (Site::new(1), Site::new(2));
    let dirs = [here.dir(ROOT, "a"), here.dir(ROOT, "b")];
    here.publish();
    friend.take(here.has.clone());
    for i in 0..400 {
        here.file(dirs[0], &format!("{i}"), "waits for an uplink");
    }
    let reads_of = |here: &mut Site, entry: Opened| {
        let counting = Counting(&here.table, std::cell::Cell::new(0));
        let step = here.fold.take(&counting, vec![entry.clone()]).unwrap();
        let reads = counting.1.get();
        here.commit(step);
        here.has.push(entry);
        reads
    };
    friend.file(dirs[1], "elsewhere", "1");
    friend.publish();
    let elsewhere = reads_of(&mut here, friend.has.last().unwrap().clone());
    friend.file(dirs[0], "7", "the same name");
    friend.publish();
    let same = reads_of(&mut here, friend.has.last().unwrap().clone());
    assert!(elsewhere < 60 && same > 800, "{elsewhere} reads elsewhere, {same} in the same directory");
    here.publish();
    friend.take(here.has.clone());
    assert_eq!(state_of(&here.table), state_of(&friend.table));
}
