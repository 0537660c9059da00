//! Holders gone, shares damaged, disks full, two writers at once.

use super::*;
use crate::content::Coding;
use crate::grid::Level;
use crate::promises::promise;

/// Five holders, 2 of 5, with some files on all of them; the first machine is gone.
async fn stored(seed: u64) -> (Arc<MemGrid>, Founding, Vec<(String, Vec<u8>)>) {
    let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(seed));
    let a = Machine::start(&founding, 0, &grid).await;
    let files: Vec<(String, Vec<u8>)> =
        [5_000, 100_000, 3_000_000].iter().map(|s| (format!("f{s}"), dice.noise(*s))).collect();
    for (path, bytes) in &files {
        a.write(path, bytes).await.unwrap();
    }
    a.full().await;
    (grid, founding, files)
}

#[tokio::test(start_paused = true)]
async fn with_too_few_holders_a_read_is_an_error_in_time_and_metadata_stays() {
    let (grid, founding, files) = stored(1).await;
    let b = Machine::start(&founding, 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for holder in 0..4 {
        grid.set_up(holder, false);
    }
    let begun = tokio::time::Instant::now();
    for (path, bytes) in &files {
        let error = b.read(path).await.expect_err("unreadable");
        assert!(matches!(&error, Error::Unreadable(why) if why.contains("friend 0")), "{error}");
        assert_eq!(
            b.drive.getattr(b.drive.resolve(path.as_bytes()).unwrap()).unwrap().size,
            bytes.len() as u64
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(46), "15 s each");
    // Again: the answer is known, and comes at once; after a while friends are asked anew.
    let begun = tokio::time::Instant::now();
    for (path, _) in &files {
        assert!(matches!(b.read(path).await, Err(Error::Unreadable(_))));
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(11)).await;
    let begun = tokio::time::Instant::now();
    assert!(matches!(b.read(&files[0].0).await, Err(Error::Unreadable(_))));
    assert!(begun.elapsed() > Duration::from_secs(10), "asked again: {:?}", begun.elapsed());
    // A friend comes: what was known counts no more.
    grid.set_up(2, true);
    for (path, bytes) in &files {
        assert!(b.read(path).await.unwrap() == *bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn damaged_shares_are_never_served_and_never_an_end_of_file() {
    let (grid, founding, files) = stored(2).await;
    for holder in 0..3 {
        grid.damage(holder);
    }
    let b = Machine::start(&founding, 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (path, bytes) in &files {
        assert!(b.read(path).await.unwrap() == *bytes, "{path}: two good shares are enough");
    }
    b.drive.drop_caches().await;
    grid.damage(3);
    for (path, _) in &files {
        assert!(matches!(b.read(path).await, Err(Error::Unreadable(_))), "{path}: one good share is not");
    }
}

#[tokio::test(start_paused = true)]
async fn two_nodes_write_at_once_and_converge_with_nothing_lost() {
    for seed in 0..6 {
        let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(seed));
        let a = Machine::start(&founding, 0, &grid).await;
        let b = Machine::start(&founding, 1, &grid).await;
        a.write("both", b"base").await.unwrap();
        a.full().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(b.read("both").await.unwrap(), b"base");
        for holder in 0..5 {
            grid.set_up(holder, false);
        }
        let (left, right) = (dice.noise(50_000), dice.noise(60_000));
        a.write("both", &left).await.unwrap();
        b.write("both", &right).await.unwrap();
        a.drive.mkdir(ROOT_INO, b"same", 0o755, ME).unwrap();
        b.drive.mkdir(ROOT_INO, b"same", 0o755, ME).unwrap();
        a.write("same/a", b"from a").await.unwrap();
        b.write("same/b", &dice.noise(9_000)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        for holder in 0..5 {
            grid.set_up(holder, true);
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        a.full().await;
        b.full().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let names = a.names("");
        assert_eq!(names, b.names(""), "seed {seed}");
        assert_eq!(a.names("same"), vec!["a", "b"]);
        assert_eq!(b.names("same"), vec!["a", "b"]);
        assert_eq!(names.len(), 3, "{names:?}");
        let mut contents = Vec::new();
        for name in names.iter().filter(|n| *n != "same") {
            let bytes = a.read(name).await.unwrap();
            assert!(bytes == b.read(name).await.unwrap(), "{name}");
            contents.push(bytes);
        }
        contents.sort_by_key(Vec::len);
        assert!(contents == [left, right], "both versions are kept");
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_go_on_after_a_power_cut_and_when_friends_return() {
    for seed in 0..4 {
        let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(seed));
        let mut a = Machine::start(&founding, 0, &grid).await;
        for holder in 1..5 {
            grid.set_up(holder, false);
        }
        *grid.coding.lock() = Some(crate::content::Coding { k: 2, n: 5 });
        let bytes = dice.noise(2_200_000);
        a.write("f", &bytes).await.unwrap();
        a.fsync("f").await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        let ino = a.drive.resolve(b"f").unwrap();
        let state = a.drive.state(ino).unwrap();
        assert!(state < FileState::Published, "{state}");
        a = a.crash(Crash::Seeded(seed)).await;
        for holder in 1..5 {
            grid.set_up(holder, true);
        }
        a.full().await;
        drop(a);
        for holder in 0..3 {
            grid.set_up(holder, false);
        }
        let b = Machine::start(&founding, 1, &grid).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(b.read("f").await.unwrap() == bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_and_nothing_synced_is_lost() {
    let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(4));
    let m = Machine::start(&founding, 0, &grid).await;
    let first = dice.noise(1_500_000);
    m.write("first", &first).await.unwrap();
    m.fsync("first").await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    m.disk.set_capacity(m.disk.used() + (6 << 20));
    let mut refused = None;
    for i in 0..30 {
        let path = format!("more{i}");
        let done = async {
            m.write(&path, &dice.noise(1_200_000)).await?;
            m.fsync(&path).await
        };
        if let Err(e) = done.await {
            refused = Some(e);
            break;
        }
    }
    assert!(matches!(refused, Some(Error::NoSpace | Error::Disk(_))), "{refused:?}");
    assert!(m.read("first").await.unwrap() == first);
    m.disk.set_capacity(u64::MAX / 4);
    let m = m.crash(Crash::Seeded(1)).await;
    assert!(m.read("first").await.unwrap() == first);
    m.write("after", &first).await.unwrap();
    m.fsync("after").await.unwrap();
    assert!(m.read("after").await.unwrap() == first);
}

#[tokio::test(start_paused = true)]
async fn what_comes_and_goes_while_settling_never_leaves_the_machine() {
    let (grid, founding, dice) = (MemGrid::new(5), found(1), Dice::new(5));
    let m = Machine::start(&founding, 0, &grid).await;
    for i in 0..20 {
        m.write(&format!("tmp{i}"), &dice.noise(100_000)).await.unwrap();
        m.drive.unlink(ROOT_INO, format!("tmp{i}").as_bytes(), ME).unwrap();
    }
    m.full().await;
    assert_eq!(*grid.uploaded.lock(), 0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(grid.holders.lock().iter().all(|h| h.logs.is_empty()), "not even their names");
    assert_eq!(m.drive.status().pending_operations, 0);
    // A file that is saved by writing a new one and renaming it goes up once.
    m.write("doc", &dice.noise(200_000)).await.unwrap();
    m.full().await;
    let before = *grid.uploaded.lock();
    let attrs = SetAttr { mode: Some(0o600), mtime: Some(5), ..SetAttr::default() };
    m.drive.setattr(m.drive.resolve(b"doc").unwrap(), attrs, ME).unwrap();
    m.full().await;
    assert_eq!(*grid.uploaded.lock(), before, "attributes cost no upload");
    let outcome = m.drive.wait(ROOT_INO, Level::Full, Duration::from_secs(1)).await;
    assert_eq!(outcome, Ok(WaitOutcome::Reached));
}

#[tokio::test(start_paused = true)]
async fn versions_that_no_friend_had_are_overtaken_even_across_a_power_cut() {
    for seed in 0..4 {
        let (grid, founding, dice) = (MemGrid::new(3), found(2), Dice::new(seed));
        for holder in 0..3 {
            grid.set_up(holder, false);
        }
        let mut m = Machine::start(&founding, 0, &grid).await;
        let mut last = Vec::new();
        for round in 0..6 {
            last = dice.noise(500_000);
            m.write("f", &last).await.unwrap();
            tokio::time::sleep(Duration::from_secs(4)).await;
            if round == 3 {
                m.fsync("f").await.unwrap();
                m = m.crash(Crash::Seeded(seed)).await;
                assert!(m.read("f").await.unwrap() == last);
            }
        }
        assert_eq!(m.drive.status().pending_operations, 2, "a creation and one content");
        for holder in 0..3 {
            grid.set_up(holder, true);
        }
        m.full().await;
        assert!(
            *grid.uploaded.lock() < 3 * 600_000,
            "one version at k = 1 on three: {}",
            grid.uploaded.lock()
        );
        let b = Machine::start(&founding, 1, &grid).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(b.read("f").await.unwrap() == last);
        assert_eq!(b.names(""), vec!["f"]);
    }
}

/// A version takes the place of one that no friend has had, and with it the chunks it shares
/// with that one, flat and in a tree of nodes.
#[tokio::test(start_paused = true)]
async fn a_version_brings_up_what_it_shares_with_the_one_it_overtakes() {
    for (seed, len) in [(1, 3_000_000), (2, 21_000_000)] {
        let (grid, founding, dice) = (MemGrid::new(3), found(2), Dice::new(seed));
        (0..3).for_each(|holder| grid.set_up(holder, false));
        let m = Machine::start(&founding, 0, &grid).await;
        let mut want = dice.noise(len);
        let ino = m.write("film", &want).await.unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        for round in 0..3 {
            let at = dice.below(len as u64 - 10);
            let handle = m.drive.open(ino, RW).await.unwrap();
            m.drive.write(handle, at, Bytes::from(vec![round; 10]), false).await.unwrap();
            m.drive.release(handle).await.unwrap();
            want[at as usize..at as usize + 10].fill(round);
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        assert_eq!(m.drive.status().pending_operations, 2, "a creation and one content");
        // What nothing names any more goes, what the version shares stays.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let own = m.drive.status().own_bytes;
        assert!(own < len as u64 + 2_000_000, "{own} bytes are kept for a file of {len}");
        (0..3).for_each(|holder| grid.set_up(holder, true));
        m.full().await;
        let b = Machine::start(&founding, 1, &grid).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(b.read("film").await.unwrap() == want, "seed {seed}");
    }
}

/// A chunk is written over again and again without a rest: what the journal tells of it goes
/// through its earlier forms, so these stay until the file has settled.
#[tokio::test(start_paused = true)]
async fn a_crash_of_a_file_that_never_rests_finds_what_was_synced() {
    let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(6));
    let m = Machine::start(&founding, 0, &grid).await;
    let (attr, handle) = m.drive.create(ROOT_INO, b"busy", 0o644, RW, ME).unwrap();
    let mut last = Vec::new();
    for _ in 0..50 {
        last = dice.noise(1 << 20);
        m.drive.write(handle, 0, Bytes::from(last.clone()), false).await.unwrap();
        m.drive.sync_inode(attr.ino).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let m = m.crash(Crash::Seeded(6)).await;
    assert!(m.read("busy").await.unwrap() == last);
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_before_friends_had_it_gives_its_room_back() {
    let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(5));
    let m = Machine::start(&founding, 0, &grid).await;
    let keep = dice.noise(2_500_000);
    m.write("keep", &keep).await.unwrap();
    m.write("gone", &dice.noise(5_000_000)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    m.drive.unlink(ROOT_INO, b"gone", ME).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let own = m.drive.status().own_bytes;
    assert!((2_500_000..2_700_000).contains(&own), "{own}");
    let m = m.restart().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(m.read("keep").await.unwrap() == keep);
}

/// Without a sync a crash may take the newest writes, but what is left of a file is what it
/// was at some moment, and names are those of some moment.
#[tokio::test(start_paused = true)]
async fn a_crash_without_sync_leaves_a_state_that_there_was() {
    promise("Without fsync a power cut leaves a file as it was at some moment.");
    for seed in super::model::seeds(40) {
        let (grid, founding, dice) = (MemGrid::new(0), found(1), Dice::new(seed));
        let m = Machine::start(&founding, 0, &grid).await;
        let (attr, handle) = m.drive.create(ROOT_INO, b"f", 0o644, RW, ME).unwrap();
        m.drive.sync_inode(ROOT_INO).await.unwrap();
        let mut states: Vec<Vec<u8>> = vec![Vec::new()];
        for _ in 0..dice.below(25) + 5 {
            let mut now = states[states.len() - 1].clone();
            match dice.below(8) {
                0 => tokio::time::sleep(Duration::from_millis(dice.below(1500))).await,
                1 => m.drive.flush(handle).await.unwrap(),
                2 => {
                    let size = dice.below(now.len() as u64 + 2000);
                    m.drive.truncate(attr.ino, size, SetAttr::default(), ME).await.unwrap();
                    now.resize(size as usize, 0);
                }
                _ => {
                    // Appended in order, so that every prefix is a different state.
                    let bytes = dice.noise(dice.below(400_000) as usize + 1);
                    m.drive.write(handle, now.len() as u64, Bytes::from(bytes.clone()), false).await.unwrap();
                    now.extend(bytes);
                }
            }
            states.push(now);
        }
        let m = m.crash(Crash::Seeded(seed)).await;
        let found = m.read("f").await.unwrap();
        assert!(
            states.contains(&found),
            "seed {seed}: {} bytes, {:?}",
            found.len(),
            states.iter().map(Vec::len).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_enrolled_later_is_heard() {
    let (grid, founding, dice) = (MemGrid::new(3), found(2), Dice::new(3));
    let mut before = founding.admin.clone();
    before.pop();
    let early = Founding {
        admin: before,
        keys: founding.keys.clone(),
        writers: founding.writers.clone(),
        ..founding
    };
    let a = Machine::start(&early, 0, &grid).await;
    a.write("from a", &dice.noise(9_000)).await.unwrap();
    a.full().await;
    let b = Machine::start(&found(2), 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let bytes = dice.noise(70_000);
    b.write("from b", &bytes).await.unwrap();
    b.full().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(a.read("from b").await.unwrap() == bytes);
    assert_eq!(a.drive.admin_records().len(), founding.admin.len());
    let news = a.drive.next_invalidation().await;
    assert!(matches!(news, Some(Invalidation::Entry { parent: ROOT_INO, .. })), "{news:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_start_an_entry_that_few_homes_have_is_not_called_safe() {
    let (grid, founding, _) = stored(9).await;
    let a = Machine::start(&founding, 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    *grid.coding.lock() = Some(Coding { k: 2, n: 5 });
    for holder in 1..5 {
        grid.set_up(holder, false);
    }
    // So small that the entry itself carries it: one home has it.
    let ino = a.write("small", b"a few bytes").await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(a.drive.state(ino), Ok(FileState::Published));
    let a = a.restart().await;
    assert_eq!(a.drive.state(ino), Ok(FileState::Published), "after a clean end");
    let a = a.crash(Crash::Seeded(1)).await;
    assert_eq!(a.drive.state(ino), Ok(FileState::Published), "after a power cut");
    for holder in 1..5 {
        grid.set_up(holder, true);
    }
    a.full().await;
    assert_eq!(a.drive.state(ino), Ok(FileState::Full { margin: 3 }));
    // And what is known to be safe needs no friend to say so again.
    let a = a.restart().await;
    assert_eq!(a.drive.state(ino), Ok(FileState::Full { margin: 3 }));
}
