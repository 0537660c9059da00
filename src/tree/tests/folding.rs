//! Order, rewind and replay, waiting, duplicates, forks, reopening.

use super::support::*;
use crate::content::{CatalogueRecord, SharePlace};
use crate::keys::*;
use crate::tree::{Kind, *};

#[test]
fn undo_restores_the_exact_table() {
    let mut s = Site::new(1);
    let d = s.dir(ROOT, "d");
    let f = s.file(d, "f", "1");
    s.file(ROOT, "g", "2");
    let (seen_f, seen_g) = (s.seen(d, "f").unwrap(), s.seen(ROOT, "g").unwrap());
    let changes = [
        Change::SetContent { object: f, base: None, content: inline("conflict"), mtime: 1 },
        Change::SetContent { object: f, base: seen_f.version, content: inline("2"), mtime: 1 },
        Change::Rename {
            object: f,
            from_parent: d,
            from_name: "f".into(),
            to_parent: ROOT,
            to_name: "g".into(),
            replaced: Some(seen_g),
        },
        Change::Unlink { parent: d, name: "f".into(), seen: seen_f },
        Change::Link { object: f, parent: ROOT, name: "h".into() },
        Change::PackContents { pack: PackId([1; 32]), chunks: vec![(ChunkId([2; 32]), 3)] },
        Change::DropPack { pack: PackId([1; 32]) },
        Change::ParkLog { log: log(3) },
        Change::SetXattr { object: f, name: "user.x".into(), value: Some("y".into()) },
    ];
    for change in changes {
        let op = s.op(change);
        let author = Author { log: log(1), label: "dev1" };
        let effect = apply(s.view(), author, &op).unwrap();
        let before = s.table.clone();
        let mut table = s.table.clone();
        table.commit(effect.batch.clone());
        assert!(table != before, "{op:?}");
        assert_eq!(effect.batch.writes.len(), effect.undo.writes.len());
        table.commit(effect.undo);
        assert!(table == before, "{op:?}");
    }
}

#[test]
fn entries_in_any_order_give_one_state() {
    cases(40, |seed| {
        let mut dice = Dice(seed);
        let mut a = Site::new(1);
        let mut b = Site::new(2);
        for i in 0..6 {
            a.file(ROOT, &format!("a{i}"), "a");
            a.publish();
            b.file(ROOT, &format!("b{i}"), "b");
            b.publish();
            if dice.one_in(3) {
                b.take(a.has.clone());
            }
        }
        let mut all: Vec<Opened> = [a.has.clone(), b.has.clone()].concat();
        for i in (1..all.len()).rev() {
            all.swap(i, dice.below(i + 1));
        }
        let mut c = Site::new(3);
        c.file(ROOT, "a0", "mine");
        for entry in all {
            c.take(vec![entry]);
            if dice.one_in(3) {
                c.reopen();
            }
        }
        assert!(c.fold.waiting().is_empty());
        settle(&mut [a, b, c]);
    });
}

#[test]
fn what_waits_survives_a_reopening() {
    let mut a = Site::new(1);
    a.file(ROOT, "f", "1");
    let first = a.publish();
    a.file(ROOT, "g", "2");
    let second = a.publish();
    let mut b = Site::new(2);
    assert!(b.take(vec![second.clone()]).is_empty());
    b.reopen();
    assert_eq!(b.fold.waiting(), [(second.hash, vec![first.hash])]);
    assert!(b.fold.heads().is_empty());
    b.take(vec![second.clone()]);
    let touched = b.take(vec![first]);
    assert_eq!(touched.names.len(), 2);
    assert!(b.fold.waiting().is_empty());
    assert_eq!(b.tree(), a.tree());
    assert_eq!(b.fold.heads(), a.fold.heads());
}

#[test]
fn duplicates_change_nothing() {
    let mut a = Site::new(1);
    a.file(ROOT, "f", "1");
    let entry = a.publish();
    let before = a.table.clone();
    assert!(a.take(vec![entry.clone(), entry]).is_empty());
    assert!(a.table == before);
}

#[test]
fn a_wrong_counter_is_ignored_and_poisons_nobody() {
    let mut a = Site::new(1);
    a.file(ROOT, "f", "1");
    let draft = a.fold.draft(&a.table, &a.fold.pending()).unwrap();
    let bad = unsigned(1, Draft { lamport: u64::MAX, ..draft });
    let mut b = Site::new(2);
    b.take(vec![bad.clone()]);
    assert!(b.tree().is_empty());
    b.file(ROOT, "g", "2");
    let good = b.publish();
    assert_eq!(good.header.lamport, 2);
    let mut c = Site::new(3);
    c.take(vec![good, bad]);
    assert_eq!(c.tree(), ["g: 2"]);
}

#[test]
fn both_branches_of_a_forked_log_are_kept() {
    let mut a = Site::new(1);
    let d = a.dir(ROOT, "d");
    a.publish();
    let mut clone = Site { table: a.table.clone(), ..Site::new(1) };
    clone.next = a.next;
    clone.reopen();
    for site in [&mut a, &mut clone] {
        site.has.clear();
    }
    let (f, g) = (a.create(d, "f", Kind::File), clone.create(d, "g", Kind::File));
    assert_eq!(f, g);
    a.write(f, "of a");
    clone.write(g, "of the clone");
    a.publish();
    clone.publish();
    a.dir(ROOT, "more");
    a.publish();
    for (one, other) in [(0, 1), (1, 0)] {
        let sites = [&mut a, &mut clone];
        let news = sites[other].has.clone();
        sites[one].take(news);
        assert_eq!(sites[one].fold.forks(), [log(1)]);
    }
    assert_eq!(state_of(&a.table), state_of(&clone.table));
    let tree = a.tree();
    assert!(tree.iter().any(|l| l.ends_with("of a")), "{tree:?}");
    assert!(tree.iter().any(|l| l.ends_with("of the clone")), "{tree:?}");
    check_sound(a.view());
    assert_eq!(a.fold.heads().len(), 2);
}

#[test]
fn publishing_keeps_the_state_and_empties_the_tail() {
    cases(30, |seed| {
        let mut dice = Dice(seed);
        let mut a = Site::new(1);
        let d = a.dir(ROOT, "d");
        for i in 0..20 {
            a.file(if dice.one_in(2) { d } else { ROOT }, &format!("{i}"), "x");
        }
        let before = state_of(&a.table);
        while !a.fold.pending().is_empty() {
            let ops = a.fold.pending_operations(&a.table).unwrap();
            let unready = a.fold.pending().into_iter().skip(1).filter(|_| dice.one_in(3)).collect();
            let ready = publishable(log(1), &ops, &unready);
            a.publish_some(&ready);
            assert_eq!(state_of(&a.table).keys().count(), before.keys().count());
        }
        let mut b = Site::new(2);
        b.take(a.has.clone());
        assert_eq!(state_of(&a.table), state_of(&b.table));
    });
}

#[test]
fn own_entries_after_a_crash_are_not_applied_twice() {
    // The journal has the signed entry, the index is new, pending operations are replayed.
    let mut a = Site::new(1);
    a.file(ROOT, "f", "1");
    a.dir(ROOT, "later");
    let all = a.fold.pending();
    let ops = a.fold.pending_operations(&a.table).unwrap();
    let entry = a.publish_some(&all[..2]);
    let mut again = Site::new(1);
    for op in ops {
        let step = again.fold.local(&again.table, op).unwrap();
        again.commit(step);
    }
    again.take(vec![entry]);
    assert_eq!(again.fold.next_number(), a.next);
    assert_eq!(again.fold.pending(), all[2..]);
    assert_eq!(state_of(&again.table), state_of(&a.table));
}

#[test]
fn what_is_forgotten_never_happened() {
    let mut a = Site::new(1);
    a.file(ROOT, "keep", "1");
    let before = state_of(&a.table);
    let tmp = a.create(ROOT, "tmp", Kind::File);
    let content = a.write(tmp, "x");
    let kept = a.dir(ROOT, "d");
    a.unlink(ROOT, "tmp");
    let unlink = *a.fold.pending().last().unwrap();
    let step = a.fold.forget(&a.table, &[tmp.n, content.n, unlink]).unwrap();
    a.commit(step);
    assert_eq!(a.tree(), ["d/", "keep: 1"]);
    let step = a.fold.forget(&a.table, &[kept.n]).unwrap();
    a.commit(step);
    assert_eq!(state_of(&a.table), before);
    assert!(a.fold.forget(&a.table, &[99]).is_err());
}

fn record(shares: &[(u16, u8)]) -> CatalogueRecord {
    let place = |(number, holder): &(u16, u8)| SharePlace {
        number: *number,
        id: ShareId([*holder; 32]),
        holder: NodeId([*holder; 32]),
        household: Hash([0; 32]),
        domains: crate::content::FailureDomains::default(),
        minter: PersonId([0; 32]),
        seal_epoch: Epoch::FIRST,
    };
    let shares = shares.iter().map(place).collect();
    CatalogueRecord { pack: PackId([1; 32]), epoch: Epoch::FIRST, k: 2, len: 9, data_roots: vec![], shares }
}

#[test]
fn catalogue_records_merge_share_by_share() {
    let mut a = Site::new(1);
    let publish = |site: &mut Site, record| {
        let draft = site.fold.draft(&site.table, &site.fold.pending()).unwrap();
        let entry = unsigned_with(site.writer, draft, vec![record]);
        let step = site.fold.published(&site.table, entry.clone()).unwrap();
        site.commit(step);
        site.has.push(entry);
    };
    publish(&mut a, record(&[(0, 10), (1, 11), (2, 12)]));
    let mut b = Site::new(2);
    b.take(a.has.clone());
    publish(&mut b, record(&[(1, 21), (3, 23)]));
    a.local(Change::PackContents { pack: PackId([1; 32]), chunks: vec![(ChunkId([5; 32]), 7)] });
    publish(&mut a, record(&[(2, 32)]));
    let mut sites = [a, b];
    settle(&mut sites);
    let pack = sites[0].view().pack(&PackId([1; 32])).unwrap().unwrap();
    let holders: Vec<u8> = pack.shares.iter().map(|s| s.holder.0[0]).collect();
    assert_eq!(holders, [10, 21, 32, 23]);
    let places = sites[1].view().chunk_places(&ChunkId([5; 32])).unwrap();
    assert_eq!(places, [ChunkPlace { pack: PackId([1; 32]), offset: 7 }]);
    assert_eq!(sites[1].view().packs(None, 10).unwrap().len(), 1);
}

#[test]
fn touched_is_net() {
    let mut sites = two(|s| {
        s.file(ROOT, "f", "0");
    });
    let f = sites[0].seen(ROOT, "f").unwrap().object;
    sites[1].dir(ROOT, "pending");
    sites[0].write(f, "1");
    let entry = sites[0].publish();
    let touched = sites[1].take(vec![entry]);
    assert!(touched.names.is_empty(), "{touched:?}");
    assert_eq!(touched.inodes.iter().filter(|i| i.data).map(|i| i.object).collect::<Vec<_>>(), [f]);
    assert!(touched.inodes.iter().all(|i| i.object == f || i.object == ROOT));
}

#[test]
fn limits_and_misuse_are_refused() {
    let mut a = Site::new(1);
    let d = a.dir(ROOT, "d");
    let op =
        Operation { n: d.n, time: 0, utc_offset_min: 0, change: Change::DropPack { pack: PackId([0; 32]) } };
    assert!(matches!(a.fold.local(&a.table, op), Err(FoldError::Twice(_))));
    let value = Some(vec![0; OP_MAX]);
    let op = a.op(Change::SetXattr { object: d, name: "x".into(), value });
    assert!(matches!(a.fold.local(&a.table, op), Err(FoldError::TooLong { .. })));
    assert!(matches!(a.fold.draft(&a.table, &[77]), Err(FoldError::NotPending(77))));
    assert!(matches!(Fold::open(&a.table, log(9), "x"), Err(FoldError::OtherLog(_))));
    let op = a.op(Change::SetRules { version: 2 });
    assert!(matches!(a.fold.local(&a.table, op), Err(FoldError::Upgrade(2))));
}

#[test]
fn a_new_incarnation_tells_all_it_has_seen() {
    let mut sites = two(|s| {
        s.file(ROOT, "f", "0");
    });
    let table = sites.remove(1).table;
    let fold = Fold::open(&table, log(3), "dev3").unwrap();
    let draft = fold.draft(&table, &[]).unwrap();
    assert_eq!((draft.seq, draft.lamport, draft.vector.heads.len()), (1, 2, 1));
}

/// Measured, not asserted to the letter: a debug build on a shared machine.
#[test]
fn local_operations_and_catching_up_are_fast() {
    let mut a = Site::new(1);
    let mut dirs = Vec::new();
    for i in 0..20 {
        dirs.push(a.dir(ROOT, &format!("d{i}")));
    }
    a.publish();
    let mut b = Site::new(2);
    let many: usize = std::env::var("KITH_FILES").ok().and_then(|v| v.parse().ok()).unwrap_or(5_000);
    let start = std::time::Instant::now();
    for i in 0..many {
        let d = dirs[i % dirs.len()];
        a.create(d, &format!("file {i}"), Kind::File);
        if i % 500 == 499 {
            a.publish();
        }
    }
    a.publish();
    let each = start.elapsed().as_nanos() / many as u128;
    b.take(a.has.clone());
    let start = std::time::Instant::now();
    for i in 0..5_000 {
        let d = dirs[i % dirs.len()];
        let f = a.create(d, &format!("more {i}"), Kind::File);
        a.write(f, "x");
        if i % 100 == 99 {
            a.publish();
        }
    }
    a.publish();
    let again = start.elapsed().as_nanos() / 10_000;
    b.file(ROOT, "pending", "here");
    let news = a.has.split_off(a.has.len() - 51);
    let start = std::time::Instant::now();
    for part in news.chunks(10) {
        let step = b.fold.take(&b.table, part.to_vec()).unwrap();
        b.commit(step);
    }
    let taking = start.elapsed();
    println!("local op {each} ns, then {again} ns; 10,000 remote operations in {taking:?} over {many} files");
    assert!(b.view().totals().unwrap().objects > 5_000);
    assert!(each < 2_000_000 && taking.as_secs() < 20);
}
