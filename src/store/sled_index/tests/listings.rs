//! Listings while pages are rewritten: what they keep opened is what is stored.

use super::*;
use crate::keys::Kind;
use crate::tree::Cursor;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

/// Records of one group, as those of a directory.
const RECORDS: u64 = 3000;

fn name(n: u64) -> Key {
    Key { table: 1, group: vec![1], item: n.to_le_bytes().to_vec() }
}

/// Lists it all, slowly.
fn list(index: &dyn Index) -> Vec<(Cursor, Vec<u8>)> {
    let mut all = Vec::new();
    let mut take = |cursor, value: &[u8]| {
        all.push((cursor, value.to_vec()));
        if all.len() % 64 == 0 {
            std::thread::yield_now();
        }
        true
    };
    index.each(1, &[1], None, &mut take).unwrap();
    all
}

/// Tells the listings to end, also after a failure.
struct Ends<'a>(&'a AtomicBool);
impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_a_listing_keeps_opened_is_never_older_than_what_is_stored() {
    for seed in seeds(2) {
        let dir = TempDir::new().unwrap();
        let index = open(&dir).index;
        let mut dice = Dice(seed);
        let mut model = BTreeMap::new();
        let over = AtomicBool::new(false);
        std::thread::scope(|s| {
            let _ends = Ends(&over);
            for _ in 0..2 {
                s.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let all = list(&*index);
                        assert!(
                            all.windows(2).all(|two| two[0].0 < two[1].0),
                            "seed {seed}: twice or in no order"
                        );
                    }
                });
            }
            for round in 0..40u64 {
                let some = (0..RECORDS / 4).map(|_| dice.below(RECORDS));
                let writes: Vec<_> =
                    some.map(|n| (name(n), (n % 5 != round % 5).then(|| value(n ^ round)))).collect();
                for (key, value) in &writes {
                    model.insert(key.clone(), value.clone());
                }
                index.commit(Batch { writes }).unwrap();
                index.flush().unwrap();
                for (key, value) in &model {
                    assert_eq!(index.get(key).unwrap(), *value, "seed {seed}, round {round}");
                }
            }
        });
        assert_eq!(list(&*index).len(), model.values().flatten().count(), "seed {seed}");
    }
}

/// Writes the records of a round; by their keys.
fn written(pages: &Pages, round: u64) -> BTreeMap<Blinded, Vec<u8>> {
    let blinder = Blinder::new(&KEY);
    let all: BTreeMap<_, _> = (0..RECORDS / 4).map(|n| (blinder.key(&name(n)), value(n ^ round))).collect();
    pages.write(all.iter().map(|(key, value)| (key, Some(&value[..])))).unwrap();
    all
}

/// A listing reads several pages of sled's at once, so it meets some as they were before they were
/// rewritten. It may show them, but what is looked up later is what is stored.
#[test]
fn a_page_rewritten_in_the_middle_of_a_listing_is_not_kept_as_it_was() {
    let dir = TempDir::new().unwrap();
    let tree = sled::Config::new().path(dir.path()).open().unwrap().open_tree(PAGES).unwrap();
    let seal = SealKey::derive(&KEY, b"", Kind::IndexValue, b"index 1");
    let new = || Pages::new(tree.clone(), seal.clone());
    let range = Blinder::new(&KEY).range(1, &[1], None);
    written(&new(), 0);
    for walked in 0..50 {
        // None of its pages is open, so the listing goes through sled.
        let pages = new();
        let mut walk = pages.walk(range);
        for _ in 0..walked {
            assert!(walk.next().unwrap().is_some(), "too few pages: {walked}");
        }
        let now = written(&pages, walked + 1);
        while walk.next().unwrap().is_some() {}
        for (key, value) in &now {
            assert_eq!(pages.get(key).unwrap().as_ref(), Some(value), "rewritten after {walked} pages");
        }
    }
}
