//! Who may connect to whom, and as what.

use super::*;

#[tokio::test]
async fn friends_know_each_other_by_key_and_person() {
    let (a, b) = friends();
    let peer = a.peer(&b);
    assert!(!peer.online());
    let mut events = b.endpoint.events();
    assert_eq!(peer.request(&small(), Priority::Interactive, SOON).await.unwrap(), Response::Done);
    assert!(peer.online());
    assert_eq!(peer.person(), Some(PersonId([2; 32])));
    assert!(peer.rtt().unwrap() < SOON);
    assert_eq!(events.recv().await.unwrap(), Event::Connected(a.id));
    // And back over the same connection: b never dialled.
    b.endpoint.set_addrs(a.id, vec![]);
    assert_eq!(b.peer(&a).request(&small(), Priority::Log, SOON).await.unwrap(), Response::Done);
    assert_eq!(b.peer(&a).person(), Some(PersonId([1; 32])));
    a.endpoint.close().await;
    assert_eq!(events.recv().await.unwrap(), Event::Disconnected(a.id));
    assert!(!b.peer(&a).online());
}

#[tokio::test]
async fn a_wrong_pin_is_refused() {
    let (a, b, c) = (node(1), node(2), node(3));
    for x in [&b, &c] {
        x.befriend(&a);
        a.befriend(x);
    }
    // At b's address stands c.
    a.endpoint.set_addrs(b.id, vec![c.endpoint.local_addr().unwrap()]);
    let error = a.peer(&b).request(&small(), Priority::Log, SOON).await.unwrap_err();
    assert!(matches!(error, NetError::Unreachable { .. }), "{error}");
    assert_eq!(c.echo.handled.load(Ordering::Relaxed), 0);
    // With the right address it goes.
    a.endpoint.set_addrs(b.id, vec![c.endpoint.local_addr().unwrap(), b.endpoint.local_addr().unwrap()]);
    assert_eq!(a.peer(&b).request(&small(), Priority::Log, SOON).await.unwrap(), Response::Done);
}

#[tokio::test]
async fn an_unknown_key_is_refused_in_the_handshake() {
    let (a, b) = (node(1), node(2));
    a.befriend(&b);
    let error = a.peer(&b).request(&small(), Priority::Log, SOON).await.unwrap_err();
    assert!(matches!(error, NetError::Refused(node) if node == b.id), "{error}");
    // Not even a Join.
    let addrs = [b.endpoint.local_addr().unwrap()];
    let error = a.endpoint.join(b.id, &addrs, |_| join(), SOON).await.unwrap_err();
    assert!(matches!(error, NetError::Refused(_)), "{error}");
    assert_eq!(b.echo.handled.load(Ordering::Relaxed), 0);
    assert!(b.endpoint.connected().is_empty());
}

fn join() -> Request {
    Request::Join { ticket: [1; 16], mac: [2; 32], body: vec![3; 4] }
}

#[tokio::test]
async fn with_an_open_ticket_an_unknown_key_may_join_and_nothing_else() {
    let (a, b) = (node(1), node(2));
    b.admit(a.id, Admission::JoinOnly);
    let addrs = [b.endpoint.local_addr().unwrap()];
    let (answer, exporter) = a.endpoint.join(b.id, &addrs, |_| join(), SOON).await.unwrap();
    // Both ends have the same exporter secret, and the next connection has another.
    assert_eq!(answer, Response::Joined { body: [&exporter[..], &[3; 4]].concat() });
    let (_, other) = a.endpoint.join(b.id, &addrs, |_| join(), SOON).await.unwrap();
    assert_ne!(exporter, other);
    // Anything else closes the connection unanswered.
    let result = a.endpoint.join(b.id, &addrs, |_| small(), SOON).await;
    assert!(matches!(result, Err(NetError::Lost { .. })), "{result:?}");
    a.befriend(&b);
    assert!(a.peer(&b).request(&small(), Priority::Log, SOON).await.is_err());
    assert_eq!(b.echo.handled.load(Ordering::Relaxed), 2);
    assert!(b.endpoint.connected().is_empty());
}

#[tokio::test]
async fn a_door_may_ask_to_recover_and_nothing_else() {
    let (a, b) = (node(1), node(2));
    let recover = || {
        let signed = || Signed { bytes: vec![1; 100], signature: vec![2; 64] };
        Request::Recover { certificate: signed(), member: signed() }
    };
    let addrs = [b.endpoint.local_addr().unwrap()];
    for (admission, answered) in
        [(Admission::RecoverOnly, true), (Admission::JoinOnly, false), (Admission::Friend, false)]
    {
        b.admit(a.id, admission);
        let result = a.endpoint.join(b.id, &addrs, |_| recover(), SOON).await;
        assert_eq!(result.is_ok(), answered, "{admission:?}: {result:?}");
    }
    b.admit(a.id, Admission::RecoverOnly);
    for request in [join(), small()] {
        let result = a.endpoint.join(b.id, &addrs, |_| request, SOON).await;
        assert!(matches!(result, Err(NetError::Lost { .. })), "{result:?}");
    }
    assert_eq!(b.echo.handled.load(Ordering::Relaxed), 1);
    assert!(b.endpoint.connected().is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_is_refused() {
    let (a, b) = (node(1), node(2));
    let config = Config {
        bind: "127.0.0.1:0".parse().unwrap(),
        device: device(3),
        certificate: Signed { bytes: vec![1, 2, 3], signature: vec![] },
        label: "c".into(),
    };
    let world = World::real(Arc::new(MemIndexes));
    let book = Arc::new(Book::default());
    let c = Endpoint::bind(&world, config, book.clone(), Arc::new(Echo::default())).unwrap();
    for x in [&a, &b] {
        x.admit(c.node(), Admission::Friend);
        book.0.lock().insert(x.id, Admission::Friend);
    }
    c.set_addrs(a.id, vec![a.endpoint.local_addr().unwrap()]);
    let error = c.peer(a.id).request(&small(), Priority::Log, SOON).await.unwrap_err();
    assert!(matches!(error, NetError::Refused(_)), "{error}");
    b.endpoint.set_addrs(c.node(), vec![c.local_addr().unwrap()]);
    let error = b.endpoint.peer(c.node()).request(&small(), Priority::Log, SOON).await.unwrap_err();
    assert!(matches!(error, NetError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn two_at_once_end_as_one_connection() {
    let (a, b) = friends();
    let (pa, pb) = (a.peer(&b), b.peer(&a));
    let request = small();
    for round in 0..3 {
        let (x, y) = tokio::join!(
            pa.request(&request, Priority::Log, SOON),
            pb.request(&request, Priority::Log, SOON),
        );
        assert_eq!((x.unwrap(), y.unwrap()), (Response::Done, Response::Done), "round {round}");
    }
    // Requests go on while the spare connection is retired, and none fails.
    for _ in 0..25 {
        pa.request(&request, Priority::Log, SOON).await.unwrap();
        pb.request(&request, Priority::Log, SOON).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(a.endpoint.inner().quinn.open_connections(), 1);
    assert_eq!(b.endpoint.inner().quinn.open_connections(), 1);
}

#[tokio::test]
async fn a_kept_friend_is_found_again_after_its_restart() {
    let (a, b) = friends();
    let addr = b.endpoint.local_addr().unwrap();
    a.endpoint.keep(b.id);
    until("connected", || a.peer(&b).online()).await;
    let mut events = a.endpoint.events();
    b.endpoint.close().await;
    drop(b);
    assert_eq!(events.recv().await.unwrap(), Event::Disconnected(device(2).node()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let b = node_at(2, &addr.to_string());
    b.befriend(&a);
    until("connected again", || a.peer(&b).online()).await;
    a.endpoint.forget(&b.id);
    until("forgotten", || b.endpoint.connected().is_empty()).await;
    assert!(!a.peer(&b).online());
}

#[tokio::test]
async fn a_friend_who_is_not_there_fails_fast_the_second_time() {
    let (a, b) = friends();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    a.endpoint.set_addrs(b.id, vec![socket.local_addr().unwrap()]);
    let peer = a.peer(&b);
    let short = Duration::from_millis(300);
    let error = peer.request(&small(), Priority::Log, short).await.unwrap_err();
    assert!(matches!(error, NetError::Deadline { .. }) && error.is_transient(), "{error}");
    assert!(matches!(
        a.endpoint.peer(NodeId([9; 32])).request(&small(), Priority::Log, SOON).await,
        Err(NetError::NoAddress(_))
    ));
    // New addresses are tried at once, though the dial to the old ones is not over, and in parallel: the good one is not held up by the dead one.
    let good = b.endpoint.local_addr().unwrap();
    assert!(matches!(
        peer.request(&small(), Priority::Log, short).await,
        Err(NetError::Deadline { .. } | NetError::Unreachable { .. })
    ));
    a.endpoint.set_addrs(b.id, vec![socket.local_addr().unwrap(), good]);
    let started = std::time::Instant::now();
    peer.request(&small(), Priority::Log, SOON).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
}
