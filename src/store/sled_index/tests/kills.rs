//! A process that is killed while it writes: what it had committed up to some moment is there,
//! and nothing of what came after.

use super::*;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The directory in which the child writes.
const CHILD: &str = "KITH_INDEX_CHILD";
/// Rounds of a long run; each goes on where the one before was killed.
const ROUNDS: &str = "KITH_INDEX_KILLS";
const KEYS: u64 = 20_000;

fn count_key() -> Key {
    Key { table: 70, group: Vec::new(), item: Vec::new() }
}

/// What commit number `n` writes besides its number.
fn writes(n: u64) -> Vec<(Key, Option<Vec<u8>>)> {
    let mut dice = Dice(n);
    let write = |dice: &mut Dice| {
        let of = dice.below(KEYS);
        (key(of), (dice.below(4) > 0).then(|| dice.bytes(20 + (n % 400) as usize)))
    };
    let few = 1 + dice.below(30);
    (0..few).map(|_| write(&mut dice)).collect()
}

fn count(index: &dyn Index) -> u64 {
    let bytes = index.get(&count_key()).unwrap();
    bytes.map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()))
}

/// Not a test of its own: it writes until it is killed.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let opened = SledIndexes::default().open(Path::new(&dir), &KEY).unwrap();
    for n in count(&*opened.index) + 1.. {
        let mut writes = writes(n);
        writes.push((count_key(), Some(n.to_le_bytes().to_vec())));
        opened.index.commit(Batch { writes }).unwrap();
    }
}

fn start(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "store::sled_index::tests::kills::child", "--nocapture"]);
    command.env(CHILD, dir).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_killed_process_leaves_what_the_index_was_after_some_commit() {
    let rounds = std::env::var(ROUNDS).ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("index");
    let mut dice = Dice(rounds);
    let mut model: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    let mut told = 0;
    for round in 0..rounds {
        let mut child = start(&place);
        std::thread::sleep(Duration::from_millis(300 + dice.below(700)));
        child.kill().unwrap();
        child.wait().unwrap();
        let opened = SledIndexes::default().open(&place, &KEY).unwrap();
        let new = count(&*opened.index);
        assert!(new >= told, "round {round}: {told} commits were there, now {new}");
        assert!(round == 0 || opened.found == Found::Older, "round {round}: {:?}", opened.found);
        for (key, value) in (told + 1..=new).flat_map(writes) {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        told = new;
        for n in 0..KEYS {
            let found = opened.index.get(&key(n)).unwrap();
            assert_eq!(found.as_ref(), model.get(&key(n)), "round {round}, commit {told}, key {n}");
        }
        // Every other round it is not closed here either.
        if round % 2 == 0 {
            opened.index.close().unwrap();
        }
        drop(opened);
    }
    eprintln!("{rounds} kills, {told} commits");
    assert!(told > 1000, "nothing was tried: {told} commits");
}
