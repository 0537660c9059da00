use super::village::*;
use crate::content::Coding;
use crate::grid::{Level, PackRange, UploadEvent};
use crate::wire::Receipt;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(15);

fn levels(events: &[(Duration, UploadEvent)]) -> Vec<Level> {
    let level = |e: &UploadEvent| match e {
        UploadEvent::Placed { level, .. } => Some(*level),
        _ => None,
    };
    events.iter().filter_map(|(_, e)| level(e)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pack_goes_out_and_comes_back_with_any_k() {
    use Level::{Full, Local, Published, Safe};
    let v = Village::new(6, 1 << 30).await;
    let coding = v.grid.coding_for_now(&v.drive.id()).unwrap();
    assert_eq!((coding.k, coding.n), (2, 5));
    let pack = v.pack(2, 1_000_003);
    let events = v.upload(&pack, coding, Vec::new()).await;
    assert_eq!(levels(&events), [Local, Published, Published, Safe, Full]);
    let (placed, missing) = finished(&events);
    assert!(missing.is_empty());
    for (_, event) in &events {
        if let UploadEvent::Placed { place, receipt, .. } = event {
            let said: Receipt = receipt.open(&v.signing_key(&place.holder)).unwrap();
            assert_eq!(said.share, place.id);
        }
    }
    let record = pack.record(placed.clone());
    let ranges = [(0u64, 70_000u32), (999_000, 1003), (131_000, 1), (65_576, 131_152)];
    let wanted: Vec<_> =
        ranges.iter().map(|(offset, len)| PackRange { offset: *offset, len: *len }).collect();
    // Every pair of friends switched on, all others off.
    for a in 0..placed.len() {
        for b in 0..a {
            for (i, place) in placed.iter().enumerate() {
                let on = i == a || i == b;
                v.set(v.index(&place.holder), if on { Mood::On } else { Mood::Off });
            }
            let got = v.grid.fetch(&v.drive.id(), &record, &wanted, DEADLINE).await.unwrap();
            for (bytes, r) in got.iter().zip(&wanted) {
                let (start, end) = (r.offset as usize, r.offset as usize + r.len as usize);
                assert_eq!(bytes[..], pack.encoder.bytes()[start..end]);
            }
        }
    }
    // One alone is too few, and the others are named, in bounded time.
    v.set(v.index(&placed[0].holder), Mood::Off);
    v.set(v.index(&placed[1].holder), Mood::Off);
    let start = tokio::time::Instant::now();
    for place in &placed[2..4] {
        v.set(v.index(&place.holder), Mood::Off);
    }
    v.set(v.index(&placed[4].holder), Mood::On);
    let error = v.grid.fetch(&v.drive.id(), &record, &wanted, DEADLINE).await.unwrap_err().to_string();
    assert!(start.elapsed() <= DEADLINE + Duration::from_secs(1));
    for place in &placed[..4] {
        let name = format!("friend{}", v.index(&place.holder) + 1);
        assert!(error.contains(&name), "{error} does not name {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_read_asks_one_friend_once() {
    let v = Village::new(5, 1 << 30).await;
    let coding = Coding { k: 2, n: 5 };
    let pack = v.pack(2, 1_000_000);
    let (placed, _) = finished(&v.upload(&pack, coding, Vec::new()).await);
    let record = pack.record(placed);
    let before = v.asked();
    let one = [PackRange { offset: 65_576 * 3 + 10, len: 4096 }];
    let got = v.grid.fetch(&v.drive.id(), &record, &one, DEADLINE).await.unwrap();
    assert_eq!(got[0][..], pack.encoder.bytes()[65_576 * 3 + 10..][..4096]);
    assert_eq!(v.asked() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_resumed_where_it_stopped() {
    let v = Village::new(5, 1 << 30).await;
    let coding = Coding { k: 2, n: 5 };
    for friend in [1, 3] {
        v.set(friend, Mood::Off);
    }
    let pack = v.pack(2, 300_000);
    let (placed, missing) = finished(&v.upload(&pack, coding, Vec::new()).await);
    assert_eq!((placed.len(), missing.len()), (3, 2));
    for friend in [1, 3] {
        v.set(friend, Mood::On);
    }
    let events = v.upload(&pack, coding, placed).await;
    assert_eq!(levels(&events).len(), 2, "only what is missing is sent");
    let (placed, missing) = finished(&events);
    assert_eq!((placed.len(), missing.len()), (5, 0));
    assert_eq!(*levels(&events).last().unwrap(), Level::Full);
    let holders: std::collections::BTreeSet<_> = placed.iter().map(|p| p.holder).collect();
    assert_eq!(holders.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn room_and_codings_follow_the_friends() {
    let v = Village::new(2, 1 << 20).await;
    let id = v.drive.id();
    assert_eq!(v.grid.coding_for_now(&id).map(|c| (c.k, c.n)), Some((1, 2)));
    let room = v.grid.room(&id);
    assert_eq!((room.total, room.free), (1 << 20, 1 << 20));
    let pack = v.pack(1, 100_000);
    v.upload(&pack, Coding { k: 1, n: 2 }, Vec::new()).await;
    assert_eq!(v.grid.room(&id).free, (1 << 20) - 100_000);
    v.grid.set_coding(Some(Coding { k: 1, n: 1 }));
    assert_eq!(v.grid.coding_for_now(&id).map(|c| c.n), Some(1));
    let none = Village::new(0, 0).await;
    assert_eq!(none.grid.coding_for_now(&none.drive.id()), None);
}
