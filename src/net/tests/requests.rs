//! Requests, bodies, deadlines.

use super::*;
use crate::wire::{FRAME_MAX, SHARE_MAX};
use std::time::Instant;

#[tokio::test]
async fn a_hung_peer_costs_its_deadline_and_blocks_nobody() {
    let (a, b) = friends();
    let peer = a.peer(&b);
    peer.connect(SOON).await.unwrap();
    let started = Instant::now();
    let hung = tokio::spawn({
        let peer = peer.clone();
        async move { peer.request(&hang(), Priority::Interactive, Duration::from_secs(3)).await }
    });
    for _ in 0..20 {
        peer.request(&small(), Priority::Log, SOON).await.unwrap();
    }
    assert!(!hung.is_finished(), "others were held up as long as the hung one");
    let error = hung.await.unwrap().unwrap_err();
    assert!(matches!(error, NetError::Deadline { .. }), "{error}");
    assert!(started.elapsed() >= Duration::from_secs(3));
    // The handler learns that nobody waits any more: all of the peer's places are free again.
    until("the handler ends", || {
        b.endpoint.inner().pool.serving(a.id).available_permits() == crate::wire::STREAMS_MAX as usize - 1
    })
    .await;
}

#[tokio::test]
async fn more_requests_than_streams_wait_their_turn() {
    let (a, b) = friends();
    let peer = a.peer(&b);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let peer = peer.clone();
        all.spawn(async move { peer.request(&small(), Priority::Log, SOON).await });
    }
    while let Some(done) = all.join_next().await {
        assert_eq!(done.unwrap().unwrap(), Response::Done);
    }
    assert_eq!(b.echo.handled.load(Ordering::Relaxed), 300);
}

#[tokio::test]
async fn a_thousand_small_requests() {
    let (a, b) = friends();
    let peer = a.peer(&b);
    peer.connect(SOON).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..1000 {
        let started = Instant::now();
        peer.request(&small(), Priority::Interactive, SOON).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort();
    println!("small requests: p50 {:?} p99 {:?} max {:?}", times[500], times[990], times[999]);
    assert!(times[500] < Duration::from_millis(5));
}

#[tokio::test]
async fn a_large_body_goes_up_and_comes_down() {
    let (a, b) = friends();
    let peer = a.peer(&b);
    let data: Vec<u8> = (0..SHARE_MAX).map(|i| (i * i / 7) as u8).collect();
    let body: Vec<Bytes> = data.chunks(1 << 20).map(Bytes::copy_from_slice).collect();
    let started = Instant::now();
    let answer = peer.request_with_body(&put(SHARE_MAX), body, Priority::Upload, SOON).await.unwrap();
    let hash = blake3::hash(&data).as_bytes().to_vec();
    assert_eq!(answer, Response::Receipt { receipt: Signed { bytes: hash, signature: vec![] } });
    println!("17 MiB up in {:?}", started.elapsed());
    let started = Instant::now();
    let (answer, reader) =
        peer.download(&get(16 << 20, 0), 16 << 20, Priority::Interactive, SOON).await.unwrap();
    assert!(matches!(answer, Response::Data { len, .. } if len == 16 << 20));
    let all = reader.all().await.unwrap();
    assert_eq!(all.len(), 16 << 20);
    assert!(all.iter().all(|b| *b == 7));
    println!("16 MiB down in {:?}", started.elapsed());
}

#[tokio::test]
async fn a_body_can_be_read_in_exact_pieces() {
    let (a, b) = friends();
    let (_, mut reader) = a.peer(&b).download(&get(100_000, 0), 100_000, Priority::Log, SOON).await.unwrap();
    for len in [1, 1000, 40_000, 58_999] {
        let mut piece = vec![0; len];
        reader.exact(&mut piece).await.unwrap();
        assert!(piece.iter().all(|b| *b == 7));
    }
    assert!(reader.chunk().await.unwrap().is_none());
    assert!(reader.exact(&mut [0]).await.is_err());
}

#[tokio::test]
async fn a_body_longer_than_allowed_is_refused_by_its_reader() {
    let (a, b) = friends();
    let (_, reader) = a.peer(&b).download(&get(1 << 20, 0), 1000, Priority::Log, SOON).await.unwrap();
    assert!(matches!(reader.all().await, Err(NetError::BodyTooLong { max: 1000, .. })));
    // And on the way up: the lease says 1,000 bytes.
    let body = vec![Bytes::from(vec![0; 5000])];
    let up = a.peer(&b).request_with_body(&put(1000), body, Priority::Upload, SOON).await;
    assert!(up.is_err());
    assert_eq!(a.peer(&b).request(&small(), Priority::Log, SOON).await.unwrap(), Response::Done);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    let (a, b) = friends();
    // 1,000 bytes arrive with the reset, 16 MiB before it.
    for len in [1000, 16 << 20] {
        let whole = match a.peer(&b).download(&get(len, 1), u64::from(len), Priority::Log, SOON).await {
            Ok((_, reader)) => reader.all().await,
            Err(e) => Err(e),
        };
        assert!(matches!(whole, Err(NetError::Lost { .. })));
    }
}

#[tokio::test]
async fn a_refusal_stops_the_body() {
    let (a, b) = friends();
    let offer = Request::Offer { lease: lease(1), grants: vec![] };
    let body: Vec<Bytes> = (0..200).map(|_| Bytes::from(vec![0; 1 << 20])).collect();
    let started = Instant::now();
    let answer = a.peer(&b).request_with_body(&offer, body, Priority::Upload, SOON).await.unwrap();
    assert!(matches!(answer, Response::Refusal { .. }));
    assert!(started.elapsed() < Duration::from_secs(2), "200 MiB were not sent");
}

#[tokio::test]
async fn what_cannot_be_decoded_costs_its_stream_only() {
    let (a, b) = friends();
    let peer = a.peer(&b);
    peer.connect(SOON).await.unwrap();
    let live = a.endpoint.inner().pool.live(&b.id).unwrap();
    let long = (FRAME_MAX as u32 + 1).to_le_bytes().to_vec();
    let unknown = [&[2, 0, 0, 0][..], &[99, 1]].concat();
    let garbage = [&[3, 0, 0, 0][..], &[17, 0x81, 0x00]].concat();
    let hello = crate::wire::encode_request(&Request::Hello {
        certificate: Signed { bytes: vec![1; 32], signature: vec![] },
        label: String::new(),
        version: 1,
    })
    .unwrap();
    for bytes in [long, unknown, garbage, hello] {
        let (mut send, mut recv) = live.connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        let answer = dial::response(b.id, &mut recv, FRAME_MAX).await.unwrap();
        let Response::Refusal { refusal } = answer else { panic!("no refusal but {answer:?}") };
        let refusal: Refusal = refusal.open(&refuser().public()).expect("signed");
        assert!(!refusal.detail.is_empty(), "{refusal:?}");
        assert_eq!(refusal.account, PersonId([1; 32]), "said to the one who asked");
    }
    // A frame cut short is answered with nothing.
    let (mut send, mut recv) = live.connection.open_bi().await.unwrap();
    send.write_all(&[100, 0, 0, 0, 1]).await.unwrap();
    send.finish().unwrap();
    assert!(dial::response(b.id, &mut recv, FRAME_MAX).await.is_err());
    assert_eq!(b.echo.handled.load(Ordering::Relaxed), 0);
    assert_eq!(peer.request(&small(), Priority::Log, SOON).await.unwrap(), Response::Done);
}

#[tokio::test]
async fn requests_that_are_dropped_leave_nothing_behind() {
    let (a, b) = friends();
    let peer = a.peer(&b);
    peer.connect(SOON).await.unwrap();
    for _ in 0..200 {
        let request = hang();
        let waiting = peer.request(&request, Priority::Log, SOON);
        assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
    }
    assert_eq!(peer.request(&small(), Priority::Log, SOON).await.unwrap(), Response::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bare_limit_and_bodies_against_it() {
    let world = World::real(Arc::new(MemIndexes));
    let bare = super::bench::bare_transfer(&world, 5, 100 << 20).await.unwrap();
    assert_eq!(bare.bytes, 100 << 20);
    let hub = node(1);
    let mut others = Vec::new();
    for n in 2..7 {
        let other = node(n);
        hub.befriend(&other);
        other.befriend(&hub);
        hub.peer(&other).connect(SOON).await.unwrap();
        others.push(other);
    }
    let body: Vec<Bytes> = vec![Bytes::from(vec![1; 1 << 20]); 10];
    let started = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for other in others.iter().chain(&others) {
        let (peer, body) = (hub.peer(other), body.clone());
        all.spawn(
            async move { peer.request_with_body(&put(10 << 20), body, Priority::Upload, SOON * 6).await },
        );
    }
    while let Some(done) = all.join_next().await {
        done.unwrap().unwrap();
    }
    let ours = 100.0 * 1.048576 / started.elapsed().as_secs_f64();
    println!("bare quinn {:.0} MB/s, requests with bodies {ours:.0} MB/s", bare.rate());
}
