use super::*;
use crate::store::testing::{Dice, seeds};
use crate::world::{Found, Indexes, MemIndex, Opened};
use std::fs;
use tempfile::TempDir;

mod kills;
mod listings;
mod room;

const KEY: [u8; 32] = [3; 32];

fn key(n: u64) -> Key {
    Key { table: (n % 3) as u8, group: vec![(n % 7) as u8], item: n.to_le_bytes().to_vec() }
}

fn value(n: u64) -> Vec<u8> {
    Dice(n).bytes(20 + (n % 150) as usize)
}

fn open(dir: &TempDir) -> Opened {
    SledIndexes::default().open(&dir.path().join("index"), &KEY).unwrap()
}

/// An index with `count` values, closed.
fn filled(count: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let opened = open(&dir);
    assert_eq!(opened.found, Found::Nothing);
    let writes = (0..count).map(|n| (key(n), Some(value(n)))).collect();
    opened.index.commit(Batch { writes }).unwrap();
    opened.index.close().unwrap();
    dir
}

/// Empty, and as good as new.
fn usable(opened: &Opened, count: u64) {
    assert_eq!(opened.found, Found::Nothing);
    for n in 0..count {
        assert_eq!(opened.index.get(&key(n)).unwrap(), None);
    }
    opened.index.commit(Batch { writes: vec![(key(1), Some(value(2)))] }).unwrap();
    opened.index.flush().unwrap();
    assert_eq!(opened.index.get(&key(1)).unwrap(), Some(value(2)));
}

#[test]
fn it_answers_as_an_ordered_map_does() {
    for seed in seeds(3) {
        let dir = TempDir::new().unwrap();
        let model = MemIndex::new(&KEY);
        let mut index = open(&dir).index;
        let mut dice = Dice(seed);
        for step in 0..300 {
            match dice.below(12) {
                0 => index.flush().unwrap(),
                1 if step % 10 == 0 => {
                    index.close().unwrap();
                    drop(index);
                    let opened = open(&dir);
                    assert_eq!(opened.found, Found::All, "seed {seed}: closed cleanly in this boot");
                    index = opened.index;
                }
                2..=5 => {
                    let (table, group) = (dice.below(3) as u8, [dice.below(7) as u8]);
                    let after = (dice.below(2) == 0).then(|| dice.next() >> 1);
                    let limit = 1 + dice.below(20) as usize;
                    let page = index.scan(table, &group, after, limit).unwrap();
                    assert_eq!(page, model.scan(table, &group, after, limit).unwrap(), "seed {seed}");
                    // One by one, as many as are wanted.
                    let mut one_by_one = Vec::new();
                    let mut take = |cursor, value: &[u8]| {
                        one_by_one.push((cursor, value.to_vec()));
                        one_by_one.len() < page.len()
                    };
                    index.each(table, &group, after, &mut take).unwrap();
                    assert_eq!(one_by_one, page, "seed {seed}");
                }
                _ => {
                    let write = |dice: &mut Dice| {
                        let n = dice.below(200);
                        (key(n), (dice.below(4) > 0).then(|| value(dice.next())))
                    };
                    let writes: Vec<_> = (0..dice.below(9)).map(|_| write(&mut dice)).collect();
                    index.commit(Batch { writes: writes.clone() }).unwrap();
                    model.commit(Batch { writes }).unwrap();
                    let n = dice.below(200);
                    assert_eq!(index.get(&key(n)).unwrap(), model.get(&key(n)).unwrap(), "seed {seed}");
                }
            }
        }
    }
}

#[test]
fn what_was_doubted_is_begun_empty_however_it_ended() {
    let ends: [fn(&dyn Index); 3] = [|index| drop(index.close()), |index| drop(index.leave()), |_| {}];
    for end in ends {
        let dir = filled(50);
        let opened = open(&dir);
        assert_eq!(opened.found, Found::All);
        opened.index.doubt();
        let refused = opened.index.commit(Batch { writes: vec![(key(1), Some(value(2)))] });
        assert!(refused.is_err(), "nothing is built on it");
        assert_eq!(opened.index.get(&key(7)).unwrap(), Some(value(7)), "reads go on");
        end(&*opened.index);
        drop(opened);
        usable(&open(&dir), 50);
    }
}

#[test]
fn without_a_clean_end_or_with_another_key_it_is_empty() {
    let dir = filled(50);
    let opened = open(&dir);
    assert_eq!(opened.found, Found::All);
    assert_eq!(opened.index.get(&key(7)).unwrap(), Some(value(7)));
    assert!(SledIndexes::default().open(&dir.path().join("index"), &KEY).is_err(), "open twice");
    opened.index.flush().unwrap();
    drop(opened);
    let opened = open(&dir);
    assert_eq!(opened.found, Found::Older, "the machine ran on");
    assert_eq!(opened.index.get(&key(7)).unwrap(), Some(value(7)));
    drop(opened);
    // As after a power cut: another boot.
    let mark = dir.path().join("index/open");
    let mut bytes = fs::read(&mark).unwrap();
    bytes[20] ^= 1;
    fs::write(&mark, bytes).unwrap();
    usable(&open(&dir), 50);

    let dir = filled(50);
    let other = SledIndexes::default().open(&dir.path().join("index"), &[4; 32]).unwrap();
    usable(&other, 50);
}

#[test]
fn deleted_it_comes_up_empty() {
    let dir = filled(50);
    fs::remove_dir_all(dir.path().join("index/db")).unwrap();
    usable(&open(&dir), 50);
    let dir = filled(50);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    usable(&open(&dir), 50);
}

/// Every file of a database.
fn files(dir: &TempDir) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.path().join("index/db")];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// As a backup would bring it back: the bytes are the same, the files are others.
fn copy(from: &TempDir) -> TempDir {
    let to = TempDir::new().unwrap();
    fs::create_dir_all(to.path().join("index/db")).unwrap();
    let base = from.path().join("index");
    for path in files(from).into_iter().chain([base.join("clean")]) {
        let target = to.path().join("index").join(path.strip_prefix(&base).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
    to
}

#[test]
fn damage_of_any_kind_gives_an_empty_index_and_no_panic() {
    usable(&open(&copy(&filled(300))), 300);
    let mut dice = Dice(11);
    for _ in 0..seeds(40).len() {
        let damaged = filled(300);
        let all: Vec<PathBuf> =
            files(&damaged).into_iter().chain([damaged.path().join("index/clean")]).collect();
        let path = &all[dice.below(all.len() as u64) as usize];
        let mut bytes = fs::read(path).unwrap();
        match dice.below(4) {
            0 if !bytes.is_empty() => bytes.truncate(dice.below(bytes.len() as u64) as usize),
            1 if bytes.len() > 4096 => {
                let at = dice.below(bytes.len() as u64 - 4096) as usize;
                bytes[at..at + 4096].fill(0xa5);
            }
            _ if !bytes.is_empty() => {
                let bit = dice.below(bytes.len() as u64 * 8);
                bytes[bit as usize / 8] ^= 1 << (bit % 8);
            }
            _ => bytes.push(1),
        }
        fs::write(path, bytes).unwrap();
        usable(&open(&damaged), 300);
    }
}

/// Even if the marker is fooled, sled's panics and wrong values stay inside.
#[test]
fn damage_behind_a_good_marker_is_an_error_or_an_empty_index() {
    let mut dice = Dice(12);
    for _ in 0..seeds(20).len() {
        let damaged = filled(300);
        let db = damaged.path().join("index/db");
        let mut bytes = fs::read(db.join("db")).unwrap();
        for _ in 0..20 {
            let bit = dice.below(bytes.len() as u64 * 8);
            bytes[bit as usize / 8] ^= 1 << (bit % 8);
        }
        fs::write(db.join("db"), bytes).unwrap();
        let marker = marker::describe(&db, &KEY).unwrap();
        marker::leave(&damaged.path().join("index/clean"), &marker).unwrap();
        let opened = open(&damaged);
        for n in 0..300 {
            if let Ok(Some(found)) = opened.index.get(&key(n)) {
                assert_eq!(found, value(n));
            }
        }
        let _ = opened.index.scan(0, &[0], None, 1000);
        let _ = opened.index.close();
    }
}

#[test]
fn no_key_and_no_value_can_be_read_on_the_disk() {
    let dir = TempDir::new().unwrap();
    let opened = open(&dir);
    let secret = b"holiday-photos-of-2026".to_vec();
    let name = Key { table: 1, group: secret.clone(), item: secret.clone() };
    opened.index.commit(Batch { writes: vec![(name, Some(secret.clone()))] }).unwrap();
    opened.index.close().unwrap();
    for path in files(&dir) {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{}", path.display());
    }
}

#[test]
fn commits_from_many_threads_are_moved_in_the_background() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let _inside = runtime.enter();
    let dir = TempDir::new().unwrap();
    let index = open(&dir).index;
    std::thread::scope(|s| {
        for t in 0..3u64 {
            let index = &index;
            s.spawn(move || {
                for n in (0..9000).map(|n| n * 3 + t) {
                    let writes = vec![(key(n), Some(vec![n as u8; 300]))];
                    index.commit(Batch { writes }).unwrap();
                    if n % 50 == 0 {
                        assert_eq!(index.get(&key(n)).unwrap(), Some(vec![n as u8; 300]));
                    }
                }
            });
        }
    });
    for n in (0..27_000).step_by(101) {
        assert_eq!(index.get(&key(n)).unwrap(), Some(vec![n as u8; 300]));
    }
    index.close().unwrap();
    drop(index);
    // A move in the background that finds nothing to do may hold it for a moment more.
    let begun = std::time::Instant::now();
    let opened = loop {
        match SledIndexes::default().open(&dir.path().join("index"), &KEY) {
            Ok(opened) => break opened,
            Err(e) if begun.elapsed().as_secs() > 60 => panic!("{e}"),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    assert_eq!(opened.found, Found::All);
    assert_eq!(opened.index.get(&key(26_999)).unwrap(), Some(vec![26_999u64 as u8; 300]));
}

/// Moves that were kept: what of them is given again.
#[test]
fn a_redo_file_that_was_cut_short_is_passed_over_and_a_damaged_one_is_not() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("redo");
    let given = |place: &Path| {
        let mut moves = Vec::new();
        let whole = redo::replay::<()>(place, &KEY, |writes| {
            moves.push(writes.len());
            Ok(())
        });
        (whole.unwrap(), moves)
    };
    assert_eq!(given(&place), (false, vec![]), "there is always a directory");
    let mut redo = Redo::begin(place.clone(), &KEY).unwrap();
    let blinder = Blinder::new(&KEY);
    for count in 1..4 {
        let writes = (0..count).map(|n| (blinder.key(&key(n)), Some(value(n)))).collect();
        redo.keep(&writes).unwrap();
    }
    assert_eq!(given(&place), (true, vec![1, 2, 3]));
    let last = place.join(format!("{:016x}", 2));
    let bytes = fs::read(&last).unwrap();
    for len in 0..bytes.len() {
        fs::write(&last, &bytes[..len]).unwrap();
        assert_eq!(given(&place), (true, vec![1, 2]), "cut at {len}");
    }
    for at in (0..bytes.len()).filter(|at| !(8..16).contains(at)) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        fs::write(&last, bytes).unwrap();
        assert_eq!(given(&place), (false, vec![1, 2]), "byte {at}");
    }
    fs::write(&last, &bytes).unwrap();
    fs::remove_file(place.join(format!("{:016x}", 1))).unwrap();
    assert_eq!(given(&place), (false, vec![]), "one is missing");
    redo.done().unwrap_err();
}

/// A mark of a clean end that does not fit is no sign of a kill.
#[test]
fn what_was_put_back_over_a_closed_index_is_not_trusted() {
    let dir = TempDir::new().unwrap();
    let opened = open(&dir);
    let writes = (0..50).map(|n| (key(n), Some(value(n)))).collect();
    opened.index.commit(Batch { writes }).unwrap();
    opened.index.flush().unwrap();
    let base = dir.path().join("index");
    // A copy taken while it is open, as a backup takes it, and put back into the same files.
    let kept: Vec<(PathBuf, Vec<u8>)> = files(&dir)
        .into_iter()
        .chain([base.join("open")])
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    opened.index.close().unwrap();
    drop(opened);
    for (path, bytes) in kept {
        fs::write(path, bytes).unwrap();
    }
    usable(&open(&dir), 50);
}

/// Where moves cannot be kept the index opens all the same; a kill costs it then.
#[test]
fn an_index_opens_where_moves_cannot_be_kept() {
    let dir = filled(50);
    // In the place of the directory.
    fs::write(dir.path().join("index/redo"), b"in the way").unwrap();
    let opened = open(&dir);
    assert_eq!(opened.found, Found::All);
    opened.index.commit(Batch { writes: vec![(key(1), Some(value(2)))] }).unwrap();
    opened.index.flush().unwrap();
    drop(opened);
    usable(&open(&dir), 50);
}

/// Where kept moves cannot be removed the index goes on; a kill costs it then.
#[test]
fn an_index_goes_on_where_kept_moves_cannot_be_removed() {
    let dir = TempDir::new().unwrap();
    let opened = open(&dir);
    let count = (2 * MOVE_AT / 90) as u64;
    let writes = (0..count).map(|n| (key(n), Some(value(n)))).collect();
    opened.index.commit(Batch { writes }).unwrap();
    let kept = dir.path().join("index/redo").join(format!("{:016x}", 0));
    fs::remove_file(&kept).expect("it was moved, and kept");
    fs::create_dir(&kept).unwrap();
    opened.index.flush().unwrap();
    opened.index.commit(Batch { writes: vec![(key(1), Some(value(2)))] }).unwrap();
    opened.index.flush().unwrap();
    assert_eq!(opened.index.get(&key(1)).unwrap(), Some(value(2)));
    drop(opened);
    usable(&open(&dir), 50);
}
