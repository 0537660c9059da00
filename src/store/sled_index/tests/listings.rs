//! Listings while pages are rewritten: what they keep opened is what is stored.

use super::*;
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
