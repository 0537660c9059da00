use super::village::*;
use crate::grid::AppendEvent;
use crate::holder::tests::common::{TestEntry, call};
use crate::keys::{AdminLog, EntryHash, Epoch, Power, Seed, Signed, Writer, WriterKey};
use crate::wire::{Head, Request, Response};
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

/// The village's drive with one more writer, and an entry of that writer.
fn with_another_writer(v: &Village) -> (AdminLog, Vec<u8>) {
    let mut log = v.drive.log.clone();
    let writer = WriterKey::new(&Seed::from_bytes([77; 32]), [2; 16]);
    let you = crate::holder::tests::common::Someone::new(1);
    let enrolled = Writer {
        key: writer.public(),
        person: you.id(),
        node: you.node(),
        power: Power::Write,
        from: Epoch::FIRST,
        ticket: None,
    };
    log.enrol_writer(you.person.signing(), enrolled).unwrap();
    let entry = TestEntry {
        drive: v.drive.id(),
        writer: writer.public(),
        log: writer.log(),
        seq: 1,
        previous: EntryHash([0; 32]),
        filling: vec![0; 10],
    };
    let signed = Signed::record(writer.signing(), &entry);
    (log, crate::keys::encode(&signed))
}

/// Admin records that a friend keeps of the drive.
async fn admin_at(v: &Village, friend: usize) -> usize {
    let token = v.drive.keys.read_token(Epoch::FIRST, &v.nodes[friend]).unwrap();
    let fetch = Request::LogFetch { drive: v.drive.id(), token, vector: Vec::new(), admin_len: 0 };
    match call(&v.holder(friend), &v.net.you, fetch).await.response {
        Response::LogEntries { admin, .. } => admin.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn new_admin_records_reach_holders_without_an_entry() {
    let v = Village::new(3, 1 << 30).await;
    let id = v.drive.id();
    let entries = v.drive.entries(START, 3, 1000);
    v.access.add(id, &entries);
    all(v.grid.append(id, entries)).await;
    v.set(2, Mood::Off);
    let (log, entry) = with_another_writer(&v);
    *v.access.admin.lock() = log.records(0).to_vec();
    // As after an enrolment: nothing but the admin log is new.
    all(v.grid.append(id, Vec::new())).await;
    let len = log.records(0).len();
    assert_eq!((admin_at(&v, 0).await, admin_at(&v, 1).await), (len, len));
    // One that was off learns of it when it is back.
    assert_eq!(admin_at(&v, 2).await, len - 1);
    v.set(2, Mood::On);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(admin_at(&v, 2).await, len);
    // Told once, it is not told again; and the new writer's entry is taken at once.
    let before = v.asked();
    v.access.add(id, std::slice::from_ref(&entry));
    let (acked, failed, _) = all(v.grid.append(id, vec![entry])).await;
    assert_eq!((acked.len(), failed, v.asked() - before), (3, 0, 3));
}
