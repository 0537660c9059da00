//! Entries whose dependencies are missing: as many wait as there is room for.

use super::support::*;
use crate::tree::*;

/// Entries of one log, each on the one before.
fn chain(writer: u8, len: usize) -> Vec<Opened> {
    let mut site = Site::new(writer);
    let publish = |i| {
        site.file(ROOT, &format!("{writer}-{i}"), "x");
        site.publish()
    };
    (0..len).map(publish).collect()
}

#[test]
fn what_finds_no_place_to_wait_is_turned_away_and_comes_in_when_given_again() {
    let entries = chain(1, 6);
    let mut b = Site::new(2);
    b.fold.set_room(2, usize::MAX);
    let late = entries[1..].to_vec();
    assert_eq!(b.fold.would_turn_away(&b.table, late.iter()).unwrap().len(), 3);
    let step = b.fold.take(&b.table, late.clone()).unwrap();
    assert_eq!(step.turned_away, entries[3..].iter().map(|e| e.hash).collect());
    b.commit(step);
    assert_eq!(b.fold.waiting().len(), 2);
    // Nothing was kept of them, and those that wait are the same ones after a reopening.
    b.reopen();
    b.fold.set_room(2, usize::MAX);
    assert_eq!(b.fold.waiting().len(), 2);
    // What stands in its order always comes in, and makes room.
    let step = b.fold.take(&b.table, entries[..1].to_vec()).unwrap();
    assert!(step.turned_away.is_empty());
    b.commit(step);
    assert_eq!((b.fold.waiting().len(), b.fold.applied()), (0, 3));
    let step = b.fold.take(&b.table, late).unwrap();
    assert!(step.turned_away.is_empty());
    b.commit(step);
    assert_eq!(b.fold.applied(), 6);
}

#[test]
fn what_waits_is_bounded_in_bytes_too() {
    let mut a = Site::new(1);
    let texts = ["first".to_string(), "x".repeat(20_000), "y".repeat(20_000), "z".into()];
    let entries: Vec<Opened> = (0..)
        .zip(texts)
        .map(|(i, text)| {
            a.file(ROOT, &format!("f{i}"), &text);
            a.publish()
        })
        .collect();
    let mut b = Site::new(2);
    b.fold.set_room(100, 30_000);
    let step = b.fold.take(&b.table, entries[1..].to_vec()).unwrap();
    assert_eq!(step.turned_away, [entries[2].hash].into());
    b.commit(step);
    // They are counted when it is opened again, and no more once they came in.
    b.reopen();
    b.fold.set_room(100, 30_000);
    assert_eq!(b.fold.would_turn_away(&b.table, [&entries[2]].into_iter()).unwrap().len(), 1);
    let step = b.fold.take(&b.table, entries[..1].to_vec()).unwrap();
    b.commit(step);
    let step = b.fold.take(&b.table, entries[2..].to_vec()).unwrap();
    assert!(step.turned_away.is_empty());
    b.commit(step);
    assert_eq!((b.fold.waiting().len(), b.fold.applied()), (0, 4));
}

/// Given again and again, in any order, everything comes in through the smallest room.
#[test]
fn no_order_and_no_room_keep_an_entry_out() {
    cases(20, |seed| {
        let mut dice = Dice(seed);
        let (mut a, mut b) = (Site::new(1), Site::new(2));
        for i in 0..6 {
            a.file(ROOT, &format!("a{i}"), "a");
            a.publish();
            b.take(a.has.clone());
            b.file(ROOT, &format!("b{i}"), "b");
            b.publish();
            a.take(b.has.clone());
        }
        let mut c = Site::new(3);
        let room = dice.below(3);
        c.fold.set_room(room, usize::MAX);
        let mut rounds = 0;
        while c.fold.applied() < 12 {
            rounds += 1;
            assert!(rounds <= 12, "each round takes one in, at the least");
            let mut all = a.has.clone();
            for i in (1..all.len()).rev() {
                all.swap(i, dice.below(i + 1));
            }
            for part in all.chunks(1 + dice.below(5)) {
                let foretold = c.fold.would_turn_away(&c.table, part.iter()).unwrap();
                let step = c.fold.take(&c.table, part.to_vec()).unwrap();
                assert_eq!(foretold, step.turned_away);
                c.commit(step);
                assert!(c.fold.waiting().len() <= room);
            }
        }
        assert_eq!(c.tree(), a.tree());
    });
}

/// What this machine has is read again in any order, without a bound: nobody else may have it.
#[test]
fn a_rebuild_turns_nothing_away() {
    let entries = chain(1, 6);
    let mut b = Site::new(2);
    b.fold.set_room(2, usize::MAX);
    b.fold.rebuilding(true);
    let step = b.fold.take(&b.table, entries[1..].to_vec()).unwrap();
    assert!(step.turned_away.is_empty());
    b.commit(step);
    b.fold.rebuilding(false);
    let step = b.fold.take(&b.table, entries[..1].to_vec()).unwrap();
    b.commit(step);
    assert_eq!(b.fold.applied(), 6);
}
