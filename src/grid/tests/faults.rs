use super::village::*;
use crate::content::Coding;
use crate::grid::{Audit, Level, PackRange, UploadEvent};
use std::time::Duration;

const CODING: Coding = Coding { k: 2, n: 5 };
const DEADLINE: Duration = Duration::from_secs(15);

fn reached(events: &[(Duration, UploadEvent)], wanted: Level) -> Option<Duration> {
    let at = |(when, event): &(Duration, UploadEvent)| match event {
        UploadEvent::Placed { level, .. } if *level >= wanted => Some(*when),
        _ => None,
    };
    events.iter().find_map(at)
}

#[tokio::test(start_paused = true)]
async fn a_hung_friend_is_overtaken_within_a_second() {
    let v = Village::new(6, 1 << 30).await;
    let pack = v.pack(2, 400_000);
    // Whoever would get share 1 hangs: five others are left.
    let (placed, _) = finished(&v.upload(&pack, CODING, Vec::new()).await);
    let hung = v.index(&placed.iter().find(|p| p.number == 1).unwrap().holder);
    v.set(hung, Mood::Hung);
    let other = v.pack(2, 400_001);
    let events = v.upload(&other, CODING, Vec::new()).await;
    let full = reached(&events, Level::Full).expect("full with the spare");
    assert!(full < Duration::from_secs(1), "{full:?}");
    // And reads of what it holds go on without it.
    let record = pack.record(placed);
    let start = tokio::time::Instant::now();
    let all = [PackRange { offset: 0, len: 400_000 }];
    let got = v.grid.fetch(&v.drive.id(), &record, &all, DEADLINE).await.unwrap();
    assert_eq!(got[0][..], pack.encoder.bytes()[..]);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_spare_the_hung_friend_is_left_for_later() {
    let v = Village::new(5, 1 << 30).await;
    v.set(2, Mood::Hung);
    let pack = v.pack(2, 400_000);
    let events = v.upload(&pack, CODING, Vec::new()).await;
    assert!(reached(&events, Level::Safe).unwrap() < Duration::from_millis(100));
    let (placed, missing) = finished(&events);
    assert_eq!((placed.len(), missing.len()), (4, 1));
    assert!(events.last().unwrap().0 < Duration::from_secs(5));
    assert!(events.iter().any(|(_, e)| matches!(e, UploadEvent::Slow { .. })));
    v.set(2, Mood::On);
    let (placed, missing) = finished(&v.upload(&pack, CODING, placed).await);
    assert_eq!((placed.len(), missing.len()), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_are_not_believed_and_their_friend_is_named() {
    for mood in [Mood::Lying, Mood::Short] {
        let v = Village::new(5, 1 << 30).await;
        let pack = v.pack(2, 400_000);
        let (placed, _) = finished(&v.upload(&pack, CODING, Vec::new()).await);
        let record = pack.record(placed.clone());
        let liar = v.index(&placed.iter().find(|p| p.number == 0).unwrap().holder);
        v.set(liar, mood);
        for (offset, len) in [(0, 400_000), (100, 4000)] {
            let range = [PackRange { offset, len }];
            let got = v.grid.fetch(&v.drive.id(), &record, &range, DEADLINE).await.unwrap();
            let (start, end) = (offset as usize, offset as usize + len as usize);
            assert_eq!(got[0][..], pack.encoder.bytes()[start..end]);
        }
        for friend in v.grid.status() {
            let named = friend.label == format!("friend{}", liar + 1);
            assert_eq!(friend.wrong_bytes > 0, named, "{mood:?} {friend:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_question_proves_nothing() {
    let v = Village::new(5, 1 << 30).await;
    let pack = v.pack(2, 400_000);
    let (placed, _) = finished(&v.upload(&pack, CODING, Vec::new()).await);
    let record = pack.record(placed.clone());
    let stale = placed.iter().position(|p| p.number == 0).unwrap();
    v.set(v.index(&placed[stale].holder), Mood::Stale);
    let all = [PackRange { offset: 0, len: 400_000 }];
    let got = v.grid.fetch(&v.drive.id(), &record, &all, DEADLINE).await.unwrap();
    assert_eq!(got[0][..], pack.encoder.bytes()[..], "the others are enough");
    assert_eq!(v.grid.audit(v.drive.id(), &record, stale, false).await, Audit::NoAnswer);
    let status = v.grid.status();
    let friend = status.iter().find(|f| f.node == placed[stale].holder).unwrap();
    assert!(friend.last_error.as_ref().is_some_and(|e| e.contains("another question")), "{friend:?}");
    assert_eq!((friend.audits, friend.verified_ms), ((0, 0), None));
}

#[tokio::test(start_paused = true)]
async fn damaged_and_deleted_shares_are_read_around() {
    let v = Village::new(5, 1 << 30).await;
    let pack = v.pack(2, 400_000);
    let (placed, _) = finished(&v.upload(&pack, CODING, Vec::new()).await);
    for (i, place) in placed.iter().filter(|p| p.number != 2 && p.number != 4).enumerate() {
        let disk = v.disk(v.index(&place.holder));
        let path = disk.paths().into_iter().find(|p| p.to_string_lossy().contains("/shares/")).unwrap();
        match i {
            0 => assert!(disk.damage(&path, |bytes| bytes.truncate(1000))),
            1 => assert!(disk.damage(&path, |bytes| bytes.iter_mut().for_each(|b| *b ^= 0x55))),
            _ => world_of(&disk).disk.remove(&path).unwrap(),
        }
    }
    let record = pack.record(placed);
    let all = [PackRange { offset: 0, len: 400_000 }];
    let got = v.grid.fetch(&v.drive.id(), &record, &all, DEADLINE).await.unwrap();
    assert_eq!(got[0][..], pack.encoder.bytes()[..]);
}

#[tokio::test(start_paused = true)]
async fn whose_share_a_read_found_damaged_is_said_at_once_and_the_whole_of_it_asked_for() {
    let v = Village::new(5, 1 << 30).await;
    let pack = v.pack(2, 400_000);
    let (placed, _) = finished(&v.upload(&pack, CODING, Vec::new()).await);
    let bad = placed.iter().position(|p| p.number == 0).unwrap();
    let disk = v.disk(v.index(&placed[bad].holder));
    let path = disk.paths().into_iter().find(|p| p.to_string_lossy().contains("/shares/")).unwrap();
    let flip = || assert!(disk.damage(&path, |bytes| bytes[512 + 1000] ^= 1));
    flip();
    let record = pack.record(placed.clone());
    let range = [PackRange { offset: 0, len: 4000 }];
    v.grid.fetch(&v.drive.id(), &record, &range, DEADLINE).await.unwrap();
    assert_eq!(*v.access.lost.lock(), [placed[bad].clone()]);
    let audit = async |whole| v.grid.audit(v.drive.id(), &record, bad, whole).await;
    let mut passed = 0;
    for _ in 0..20 {
        passed += usize::from(audit(false).await == Audit::Kept);
        assert!(matches!(audit(true).await, Audit::Lost(_)));
    }
    assert!(passed > 0, "pieces of it are sound");
    flip();
    assert_eq!(audit(true).await, Audit::Kept);
}

#[tokio::test(start_paused = true)]
async fn a_full_friend_refuses_with_its_limit_and_a_spare_takes_over() {
    let v = Village::new(6, 1 << 30).await;
    v.holder(3).set_lends(1000);
    let mut refused = 0;
    for i in 0..4 {
        let pack = v.pack(2, 400_000 + i);
        let events = v.upload(&pack, CODING, Vec::new()).await;
        assert!(reached(&events, Level::Full).is_some());
        for (_, event) in events {
            if let UploadEvent::Refused { holder, refusal, .. } = event {
                assert_eq!((v.index(&holder), refusal.limit), (3, 1000));
                refused += 1;
            }
        }
    }
    assert!(refused <= 1, "a friend that said it is full is not asked again and again");
}

#[tokio::test(start_paused = true)]
async fn a_friend_that_returns_in_time_saves_a_read() {
    let v = Village::new(5, 1 << 30).await;
    let pack = v.pack(2, 100_000);
    let (placed, _) = finished(&v.upload(&pack, CODING, Vec::new()).await);
    let record = pack.record(placed);
    for friend in 1..5 {
        v.set(friend, Mood::Off);
    }
    let (grid, drive) = (v.grid.clone(), v.drive.id());
    let reading = tokio::spawn(async move {
        grid.fetch(&drive, &record, &[PackRange { offset: 0, len: 100_000 }], DEADLINE).await
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    v.set(4, Mood::On);
    assert_eq!(reading.await.unwrap().unwrap()[0][..], pack.encoder.bytes()[..]);
}
