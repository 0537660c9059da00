use super::village::*;
use crate::grid::AppendEvent;
use crate::keys::EntryHash;
use crate::wire::Head;
use std::time::Duration;
use tokio::sync::mpsc;

const START: (u64, EntryHash) = (0, EntryHash([0; 32]));

async fn all(mut events: mpsc::Receiver<AppendEvent>) -> (Vec<(usize, Vec<Head>)>, usize, usize) {
    let (mut acked, mut failed, mut households) = (Vec::new(), 0, 0);
    while let Some(event) = events.recv().await {
        match event {
            AppendEvent::Acked { household, heads, .. } => acked.push((household.0[0].into(), heads)),
            AppendEvent::Refused { refusal, .. } => panic!("{refusal:?}"),
            AppendEvent::Failed { .. } => failed += 1,
            AppendEvent::Finished { households: n } => households = n,
        }
    }
    (acked, failed, households)
}

#[tokio::test(start_paused = true)]
async fn entries_go_to_every_holder_and_those_who_return_catch_up() {
    let v = Village::new(4, 1 << 30).await;
    let id = v.drive.id();
    let entries = v.drive.entries(START, 30, 60_000);
    v.access.add(id, &entries[..10]);
    v.set(2, Mood::Off);
    let (acked, failed, households) = all(v.grid.append(id, entries[..10].to_vec())).await;
    assert_eq!((acked.len(), failed, households), (3, 1, 3));
    assert!(acked.iter().all(|(_, heads)| heads[0].seq == 10));
    v.access.add(id, &entries[10..]);
    // Only the last is sent: those who lack earlier ones get them.
    let (acked, ..) = all(v.grid.append(id, vec![entries[29].clone()])).await;
    assert!(acked.iter().all(|(_, heads)| heads[0].seq == 30));
    // The one that was off catches up by itself.
    v.set(2, Mood::On);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(v.holder(2).status().lent > 30 * 60_000);
    let (acked, failed, households) = all(v.grid.append(id, Vec::new())).await;
    assert_eq!((acked.len(), failed, households), (4, 0, 4));
    assert!(acked.iter().all(|(_, heads)| heads[0].seq == 30));
}

#[tokio::test(start_paused = true)]
async fn news_is_fetched_and_watched() {
    let v = Village::new(3, 1 << 30).await;
    let id = v.drive.id();
    let entries = v.drive.entries(START, 25, 100_000);
    v.access.add(id, &entries);
    all(v.grid.append(id, entries[..20].to_vec())).await;
    // As another device would see it: nothing here yet.
    v.access.entries.lock().clear();
    v.set(1, Mood::Hung);
    let (news, silent) = v.grid.fetch_since(&id, Duration::from_secs(3)).await.unwrap();
    assert_eq!(silent, ["friend2"]);
    let mut got: Vec<_> = news.iter().flat_map(|n| &n.entries).collect();
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 20);
    v.set(1, Mood::On);
    let mut watch = v.grid.watch(id);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 20 {
        let (_, news) = tokio::time::timeout(Duration::from_secs(5), watch.recv()).await.unwrap().unwrap();
        seen.extend(news.entries);
    }
    // The rest is appended while it is watched, and arrives at once.
    v.access.add(id, &entries);
    let sent = tokio::time::Instant::now();
    all(v.grid.append(id, entries[20..].to_vec())).await;
    v.access.entries.lock().clear();
    while seen.len() < 25 {
        let (_, news) = tokio::time::timeout(Duration::from_secs(5), watch.recv()).await.unwrap().unwrap();
        seen.extend(news.entries);
    }
    assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
}
