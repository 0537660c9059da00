//! Shares that vanish: found, counted no more, made again.

use super::*;
use crate::content::Coding;
use crate::grid::Level;

const FILES: [(&str, usize); 3] = [("small", 5_000), ("middle", 100_000), ("large", 12_000_000)];

/// Files of one machine at five holders, 2 of 5.
async fn stored(seed: u64) -> (Arc<MemGrid>, Founding, Machine, Vec<(&'static str, Vec<u8>)>) {
    let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(seed));
    let a = Machine::start(&founding, 0, &grid).await;
    let files: Vec<_> = FILES.iter().map(|(name, size)| (*name, dice.noise(*size))).collect();
    for (path, bytes) in &files {
        a.write(path, bytes).await.unwrap();
    }
    a.full().await;
    (grid, founding, a, files)
}

fn state(m: &Machine, path: &str) -> FileState {
    m.drive.state(m.drive.resolve(path.as_bytes()).unwrap()).unwrap()
}

/// A machine without a writer's key: it audits, but can repair nothing.
async fn onlooker(founding: &Founding, grid: &Arc<MemGrid>) -> Machine {
    let m = Machine::start(founding, 9, grid).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    m
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_never_called_healthy() {
    let (grid, founding, a, _) = stored(1).await;
    drop(a);
    let b = onlooker(&founding, &grid).await;
    assert_eq!(state(&b, "large"), FileState::Full { margin: 3 });
    // One is wiped, two rot: two of five are left, as many as are needed, and none may vanish.
    grid.lose(0);
    grid.damage(1);
    grid.damage(2);
    tokio::time::sleep(Duration::from_secs(300)).await;
    for (path, _) in FILES {
        assert_eq!(state(&b, path), FileState::AtRisk { margin: 0 }, "{path}");
    }
    assert_eq!(b.drive.state_of_all(), FileState::AtRisk { margin: 0 });
    let waited = b.drive.wait(ROOT_INO, Level::Safe, Duration::from_secs(1)).await;
    assert!(matches!(waited, Ok(WaitOutcome::NotYet { .. })), "{waited:?}");
    let losses = b.drive.status().losses;
    assert_eq!(losses.len(), 3);
    let packs = grid.holders.lock()[3].shares.len() as u64;
    assert!(losses.values().all(|n| *n == packs), "{losses:?} of {packs}");
    // Known from the first moment after a restart, before anybody was asked.
    let b = b.restart().await;
    assert_eq!(state(&b, "middle"), FileState::AtRisk { margin: 0 });
    // What turns up again counts again.
    grid.damage(1);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(state(&b, "middle"), FileState::AtRisk { margin: 1 });
}

#[tokio::test(start_paused = true)]
async fn lost_shares_are_made_again_and_count_when_they_are_promised() {
    for own_copies in [true, false] {
        let (grid, founding, a, files) = stored(2).await;
        if !own_copies {
            // Nothing here: what is lost is made from what friends have.
            a.drive.drop_caches().await;
        }
        let before = *grid.uploaded.lock();
        grid.lose(0);
        grid.lose(4);
        grid.set_up(4, false);
        tokio::time::sleep(Duration::from_secs(300)).await;
        let losses = a.drive.status().losses;
        assert!(losses.is_empty(), "{losses:?}");
        assert!(*grid.uploaded.lock() > before, "sent again");
        assert!(!grid.holders.lock()[0].shares.is_empty());
        // The one that is off has lost its own, too: found when it is back, and only then.
        assert!(state(&a, "large").is_full(), "{}", state(&a, "large"));
        grid.set_up(4, true);
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(!grid.holders.lock()[4].shares.is_empty());
        a.full().await;
        drop(a);
        // What was made again is as good as what was lost.
        for holder in 1..4 {
            grid.set_up(holder, false);
        }
        let b = Machine::start(&founding, 1, &grid).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for (path, bytes) in &files {
            assert!(b.read(path).await.unwrap() == *bytes, "{path} with own copies {own_copies}");
        }
    }
}

/// Too much is lost to read a file; who still has it copies it in once more. It must not be taken
/// for something that friends have already.
#[tokio::test(start_paused = true)]
async fn what_friends_have_lost_goes_up_again_when_it_is_written_again() {
    let (grid, founding, a, files) = stored(5).await;
    drop(a);
    let b = Machine::start(&founding, 1, &grid).await;
    (0..4).for_each(|holder| grid.lose(holder));
    tokio::time::sleep(Duration::from_secs(300)).await;
    b.drive.drop_pages();
    assert_eq!(state(&b, "middle"), FileState::AtRisk { margin: 0 });
    assert!(b.read("middle").await.is_err(), "one of two pieces is left");
    for (path, bytes) in &files {
        b.write(&format!("again-{path}"), bytes).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(state(&b, "again-middle"), FileState::Full { margin: 3 });
    assert_eq!(state(&b, "middle"), FileState::Full { margin: 3 }, "the first one is well again, too");
    drop(b);
    let c = onlooker(&founding, &grid).await;
    for (path, bytes) in &files {
        assert!(c.read(path).await.unwrap() == *bytes, "{path}");
        assert!(c.read(&format!("again-{path}")).await.unwrap() == *bytes, "again-{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_share_goes_to_a_friend_who_has_none() {
    let (grid, founding, dice) = (MemGrid::new(6), found(2), Dice::new(3));
    *grid.coding.lock() = Some(Coding { k: 2, n: 5 });
    let a = Machine::start(&founding, 0, &grid).await;
    let bytes = dice.noise(700_000);
    a.write("f", &bytes).await.unwrap();
    a.full().await;
    let spare = (0..6).find(|i| grid.holders.lock()[*i].shares.is_empty()).unwrap();
    let lost = (0..6).find(|i| *i != spare).unwrap();
    grid.lose(lost);
    grid.refuse(lost);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!grid.holders.lock()[spare].shares.is_empty());
    assert_eq!(state(&a, "f"), FileState::Full { margin: 3 });
    // Another machine hears where it lies now.
    let b = Machine::start(&founding, 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let keep = (0..6).find(|i| *i != spare && *i != lost).unwrap();
    (0..6).filter(|i| *i != spare && *i != keep).for_each(|i| grid.set_up(i, false));
    assert!(b.read("f").await.unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn what_a_read_found_damaged_is_lost_until_the_whole_share_is_sound() {
    let (grid, founding, a, _) = stored(7).await;
    drop(a);
    let b = onlooker(&founding, &grid).await;
    // Damage that a small piece of a share does not show.
    (*grid.tells.lock(), *grid.lenient.lock()) = (true, true);
    (0..4).for_each(|i| grid.damage(i));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(state(&b, "middle"), FileState::Full { margin: 3 }, "nobody has met it yet");
    assert!(matches!(b.read("middle").await, Err(Error::Unreadable(_))));
    assert_eq!(state(&b, "middle"), FileState::AtRisk { margin: 0 });
    assert_eq!(b.drive.state_of_all(), FileState::AtRisk { margin: 0 });
    let waited = b.drive.wait(ROOT_INO, Level::Safe, Duration::from_secs(1)).await;
    assert!(matches!(waited, Ok(WaitOutcome::NotYet { least: FileState::AtRisk { .. }, .. })), "{waited:?}");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(state(&b, "middle"), FileState::AtRisk { margin: 0 }, "other pieces say nothing");
    let b = b.restart().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(state(&b, "middle"), FileState::AtRisk { margin: 0 }, "nor after a restart");
    (0..4).for_each(|i| grid.damage(i));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(state(&b, "middle"), FileState::Full { margin: 3 });
}

#[tokio::test(start_paused = true)]
async fn what_a_read_found_damaged_is_made_again_at_once() {
    let (grid, _, a, _) = stored(8).await;
    a.drive.drop_caches().await;
    (*grid.tells.lock(), *grid.lenient.lock()) = (true, true);
    (0..3).for_each(|i| grid.damage(i));
    let before = *grid.uploaded.lock();
    a.read("middle").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(*grid.uploaded.lock() > before);
    a.full().await;
    (3..5).for_each(|i| grid.set_up(i, false));
    a.drive.drop_caches().await;
    a.read("middle").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_is_away_has_lost_nothing() {
    let (grid, _, a, _) = stored(4).await;
    for holder in 0..5 {
        grid.set_up(holder, false);
    }
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    for holder in 0..5 {
        grid.set_up(holder, true);
    }
    let before = *grid.uploaded.lock();
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(a.drive.status().losses.len(), 0);
    assert_eq!(*grid.uploaded.lock(), before);
    assert_eq!(state(&a, "large"), FileState::Full { margin: 3 });
}

#[tokio::test(start_paused = true)]
async fn no_repair_is_claimed_that_cannot_be_made() {
    let (grid, _, a, _) = stored(5).await;
    a.drive.drop_caches().await;
    // One share is left of those two that are needed, and no copy is here.
    (1..5).for_each(|i| grid.lose(i));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(state(&a, "middle"), FileState::AtRisk { margin: 0 });
    assert_eq!(a.drive.status().losses.len(), 4);
    assert!(matches!(a.read("middle").await, Err(Error::Unreadable(_))));
    assert!(a.drive.status().notes.iter().any(|n| n.contains("cannot be made again")));
}

#[tokio::test(start_paused = true)]
async fn room_is_said_to_lack_only_where_it_does() {
    let (grid, founding, dice) = (MemGrid::new(3), found(1), Dice::new(6));
    let m = Machine::start(&founding, 0, &grid).await;
    assert_eq!(m.drive.lacks_room(Level::Full), None, "nothing waits");
    grid.set_up(0, false);
    grid.set_up(1, false);
    *grid.coding.lock() = Some(Coding { k: 1, n: 3 });
    m.write("f", &dice.noise(300_000)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(m.drive.lacks_room(Level::Full), None, "they have room, and will be back");
    grid.holders.lock()[0].limit = 1000;
    assert_eq!(m.drive.lacks_room(Level::Safe), None, "two are enough for that");
    let why = m.drive.lacks_room(Level::Full).expect("three are needed");
    assert!(why.contains("2 more homes") && why.contains("1 of 3 friends"), "{why}");
}
