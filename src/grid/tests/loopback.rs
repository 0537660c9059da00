//! The same over real QUIC on loopback, with real disks.

use super::village::*;
use crate::content::Coding;
use crate::grid::{
    Door, Grid, GridError, Invitation, Joined, Level, Me, PackRange, Roster, UploadEvent, gossip,
};
use crate::holder::tests::common::{Someone, check_entry};
use crate::holder::tests::logs::drive;
use crate::holder::{Caller, Holder};
use crate::keys::{Certificate, DriveId, Hash, Power};
use crate::net::{BodyReader, BoxFuture, Config, Endpoint, PeerInfo, Responder, Service};
use crate::wire::{Enrol, JoinedDrive, Reason, Refusal, Request, Response, Ticket};
use crate::world::{MemIndexes, Places, World};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(10);

struct Server {
    roster: Arc<Roster>,
    holder: Arc<Holder>,
    hung: AtomicBool,
}

/// Nobody is let into a drive here.
struct NoDoor;

impl Door for NoDoor {
    fn enrol<'a>(
        &'a self,
        _: DriveId,
        _: Power,
        _: &'a Certificate,
        _: Option<&'a Enrol>,
    ) -> BoxFuture<'a, Result<JoinedDrive, String>> {
        Box::pin(async { Err("no drives here".into()) })
    }
}

impl Service for Server {
    fn handle<'a>(
        &'a self,
        peer: PeerInfo,
        request: Request,
        mut body: BodyReader,
        responder: Responder,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.hung.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if let Request::Join { ticket, mac, body } = request {
                let answer = self.roster.answer_join(&NoDoor, &peer, &ticket, &mac, &body).await;
                responder.send(&answer).await.ok();
                return;
            }
            let request = match self.roster.answer(&peer.node, request).await {
                Ok(answer) => return drop(responder.send(&answer).await),
                Err(request) => *request,
            };
            let reply = self.holder.serve(&Caller::from(&peer), request, &mut body).await;
            match reply.body {
                None => drop(responder.send(&reply.response).await),
                Some(bytes) => {
                    let Ok(mut out) = responder.send_with_body(&reply.response).await else { return };
                    if out.write(bytes).await.is_ok() {
                        out.finish().ok();
                    }
                }
            }
        })
    }
}

struct Node {
    who: Someone,
    world: World,
    roster: Arc<Roster>,
    endpoint: Endpoint,
    server: Arc<Server>,
    _dir: tempfile::TempDir,
}

async fn node(i: u8) -> Node {
    let who = Someone::new(i);
    let world = World::real(Arc::new(MemIndexes));
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let places = Places { state: at("state"), cache: at("cache"), lent: at("lent") };
    for place in [&places.state, &places.lent] {
        std::fs::create_dir_all(place).unwrap();
    }
    let today = crate::ledger::day_of(world.now_ms());
    let household = Hash([i; 32]);
    let certificate = who.device.certificate(who.id(), "node", household, today, 1);
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let me = Me {
        node: who.node(),
        person: who.id(),
        signing: who.device.signing().clone(),
        root: Some(who.person.clone()),
        certificate: who.person.certify(&certificate),
        label: format!("node{i}"),
        household,
        lends: 1 << 30,
        addrs: vec![port],
    };
    let signed = me.certificate.clone();
    let roster = Roster::open(&world, &places.state, &who.device.local(), me).await.unwrap();
    let holder = Holder::open(&world, &places, who.options()).await.unwrap();
    let server = Arc::new(Server { roster: roster.clone(), holder, hung: AtomicBool::new(false) });
    let config =
        Config { bind: port, device: who.device.clone(), certificate: signed, label: format!("node{i}") };
    let endpoint = Endpoint::bind(&world, config, roster.clone(), server.clone()).unwrap();
    Node { who, world, roster, endpoint, server, _dir: dir }
}

async fn join(guest: &Node, ticket: &Ticket) -> Result<Joined, GridError> {
    let joined = guest.roster.join(&guest.endpoint, ticket, 1 << 30, Vec::new()).await?;
    guest.endpoint.set_addrs(joined.inviter.node, joined.inviter.addrs.clone());
    Ok(joined)
}

async fn invite(host: &Node) -> Ticket {
    let invitation = Invitation { bytes: 1 << 30, valid: Duration::from_secs(60), drives: Vec::new() };
    host.roster.invite(invitation, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_makes_friends_once() {
    let (host, guest, late) = (node(1).await, node(2).await, node(3).await);
    let ticket = invite(&host).await;
    let joined = join(&guest, &ticket).await.unwrap();
    assert_eq!(joined.inviter.person, host.who.id());
    assert_eq!(guest.roster.allowed_at(&host.who.node()), 1 << 30);
    assert_eq!(guest.roster.given_to(&host.who.id()).unwrap().bytes, 1 << 30);
    assert_eq!(host.roster.members().len(), 1);
    // Used, altered, forged: refused in words.
    let used = join(&late, &ticket).await.unwrap_err().to_string();
    assert!(
        used.contains("used before") || used.contains("reached") || used.contains("take calls"),
        "{used}"
    );
    let fresh = invite(&host).await;
    let forged = Ticket { secret: [1; 16], ..fresh.clone() };
    let error = join(&late, &forged).await.unwrap_err().to_string();
    assert!(error.contains("no such ticket"), "{error}");
    join(&late, &fresh).await.unwrap();
    assert_eq!(host.roster.members().len(), 2);
    let own = join(&host, &invite(&host).await).await.unwrap_err().to_string();
    assert!(own.contains("own"), "{own}");
}

/// You and `n` friends who joined you, with a drive of yours.
async fn friends(n: u8) -> (Node, Vec<Node>, Arc<Grid>, Arc<Pack>) {
    let you = node(1).await;
    let mut all = Vec::new();
    for i in 0..n {
        let friend = node(10 + i).await;
        // Here the friend invites, so that the grant is at once in your hands.
        join(&you, &invite(&friend).await).await.unwrap();
        all.push(friend);
    }
    for friend in &all {
        you.endpoint.set_addrs(friend.who.node(), friend.roster.me().addrs.clone());
        you.endpoint.peer(friend.who.node()).connect(DEADLINE).await.unwrap();
    }
    let drive = Arc::new(drive(&you.who));
    let access = Arc::new(Access {
        drive: drive.clone(),
        entries: Mutex::default(),
        admin: Mutex::default(),
        leased: Mutex::new(Ok(Vec::new())),
        lost: Mutex::default(),
    });
    let endpoint = Arc::new(you.endpoint.clone());
    let grid = Grid::with(&you.world, you.roster.clone(), endpoint, None, check_entry);
    grid.open_drive(access);
    let data = crate::holder::tests::common::bytes(7, 3_000_000);
    let encoder = crate::content::PackEncoder::new(&drive.id(), crate::keys::Epoch::FIRST, 2, data).unwrap();
    (you, all, grid, Arc::new(Pack { encoder, drive }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_get_kill_holders_get_again() {
    let (_you, all, grid, pack) = friends(5).await;
    let drive = pack.drive.id();
    let coding = Coding { k: 2, n: 5 };
    let mut events = grid.upload(drive, pack.clone(), coding, Vec::new());
    let mut placed = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            UploadEvent::Placed { place, .. } => placed.push(place),
            UploadEvent::Finished { missing, .. } => assert!(missing.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    let record = pack.record(placed);
    let whole = [PackRange { offset: 0, len: 3_000_000 }];
    let read = async || grid.fetch(&drive, &record, &whole, DEADLINE).await;
    assert_eq!(read().await.unwrap()[0][..], pack.encoder.bytes()[..]);
    // One hangs: others answer in its place, soon.
    all[0].server.hung.store(true, Ordering::Relaxed);
    all[1].server.hung.store(true, Ordering::Relaxed);
    let start = Instant::now();
    assert_eq!(read().await.unwrap()[0][..], pack.encoder.bytes()[..]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // Three are gone for good.
    for friend in &all[..3] {
        friend.endpoint.close().await;
    }
    assert_eq!(read().await.unwrap()[0][..], pack.encoder.bytes()[..]);
    all[3].endpoint.close().await;
    let short = grid.fetch(&drive, &record, &whole, Duration::from_secs(2)).await.unwrap_err().to_string();
    for friend in [10, 11, 12, 13] {
        assert!(short.contains(&format!("node{friend}")), "{short}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_friend_does_not_hold_an_upload_up() {
    let (_you, all, grid, pack) = friends(6).await;
    all[2].server.hung.store(true, Ordering::Relaxed);
    let start = Instant::now();
    let coding = Coding { k: 2, n: 5 };
    let mut events = grid.upload(pack.drive.id(), pack.clone(), coding, Vec::new());
    let mut households = BTreeSet::new();
    while let Some(event) = events.recv().await {
        if let UploadEvent::Placed { place, level, .. } = event {
            households.insert(place.household);
            if level == Level::Full {
                break;
            }
        }
    }
    assert_eq!(households.len(), 5);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

/// Waits until something holds, within [`DEADLINE`].
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_may_use_a_friend_who_joins_after_it() {
    let (host, guest, late) = (node(1).await, node(2).await, node(3).await);
    for node in [&host, &guest, &late] {
        tokio::spawn(gossip(node.roster.clone(), node.endpoint.clone()));
    }
    join(&guest, &invite(&host).await).await.unwrap();
    // The guest writes in a drive of the host; then the third comes.
    host.roster.set_guests([guest.who.id()].into());
    join(&late, &invite(&host).await).await.unwrap();
    let at = late.who.node();
    until("the grant is passed on", || guest.roster.allowed_at(&at) == 1 << 30).await;
    let lease = crate::holder::tests::common::lease(guest.who.id(), &[7; 1000]);
    let offer = Request::Offer { lease: lease.clone(), grants: guest.roster.chain_for(&at) };
    let answer = guest.endpoint.peer(at).request(&offer, crate::net::Priority::Upload, DEADLINE).await;
    assert!(matches!(answer, Ok(Response::Accept { .. })), "{answer:?}");
    // Who has more to give gives it to the guest as well.
    late.roster.give(host.who.id(), 1 << 31).await.unwrap();
    until("the raised grant is passed on", || guest.roster.allowed_at(&at) == 1 << 31).await;
    // Somebody else's chain is not taken from one who did not make it.
    let stolen = Request::GrantChain { grants: guest.roster.chain_for(&at) };
    let answer = guest.endpoint.peer(at).request(&stolen, crate::net::Priority::Log, DEADLINE).await;
    let Ok(Response::Refusal { refusal }) = answer else { panic!("{answer:?}") };
    let refusal: Refusal = refusal.open(&late.who.device.signing().public()).unwrap();
    assert_eq!(refusal.reason, Reason::NoGrant);
}
