//! What one friend can take of a holder's places, memory and time.

use super::common::*;
use super::logs::{TestDrive, drive};
use crate::holder::{Body, Holder, Reply};
use crate::keys::{EntryHash, Signed};
use crate::net::{BoxFuture, NetError};
use crate::wire::{Lease, Reason, Request, Response};
use crate::world::SimDisk;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Two bytes, and then nothing, for ever.
struct Stuck(Option<Bytes>);

impl Body for Stuck {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, NetError>> {
        match self.0.take() {
            Some(bytes) => Box::pin(std::future::ready(Ok(Some(bytes)))),
            None => Box::pin(std::future::pending()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_two_bytes_of_many_shares_keeps_no_other_from_sending() {
    let (ann, bob, eve) = (Someone::new(1), Someone::new(2), Arc::new(Someone::new(3)));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    holder.give(&ann.grant(eve.id(), 1 << 30, 1)).await.unwrap();
    let stuck: Vec<_> = (0..60u64)
        .map(|i| {
            let (holder, eve) = (holder.clone(), eve.clone());
            tokio::spawn(async move {
                let lease = lease(eve.id(), &bytes(i, 3000));
                let request = Request::Put { lease, grants: Vec::new(), reservation: None };
                let mut body = Stuck(Some(Bytes::from_static(b"ab")));
                holder.serve(&eve.caller(), request, &mut body).await.response
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = timeout(Duration::from_secs(1), put(&holder, &bob, &bytes(100, 3000))).await;
    receipt(sent.expect("the places are all taken"), &ann);
    for stuck in stuck {
        let answer = timeout(Duration::from_secs(300), stuck).await.expect("a place for ever").unwrap();
        assert_eq!(refusal(answer, &ann).0, Reason::Busy);
    }
    assert_eq!(holder.status().reserved, 0);
}

#[tokio::test(start_paused = true)]
async fn answers_count_until_they_are_gone_and_one_reader_leaves_room_for_others() {
    let (ann, bob, cat) = (Someone::new(1), Someone::new(2), Someone::new(3));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let len = 16 << 20;
    let data = bytes(1, len);
    let share = receipt(put(&holder, &bob, &data).await, &ann).share;
    let read = async |who: &Someone| {
        let request = get(bob.id(), share, &[(0, len as u32)], TOKEN);
        timeout(Duration::from_secs(1), call(&holder, &who.caller(), request)).await
    };
    let held: Vec<Reply> = vec![read(&bob).await.unwrap(), read(&bob).await.unwrap()];
    assert!(held.iter().all(|r| r.body.is_some()));
    assert!(read(&bob).await.is_err(), "a third answer in memory");
    assert!(read(&cat).await.unwrap().body.is_some());
    drop(held);
    assert!(read(&bob).await.unwrap().body.is_some());
}

fn open(drive: &TestDrive, who: &Someone, admin: Vec<Signed>, grants: Vec<Signed>) -> Request {
    let read_token_hash = crate::keys::read_token_hash(&TOKEN);
    Request::LogOpen { drive: drive.id(), account: who.id(), admin, grants, bytes: 0, read_token_hash }
}

fn append(drive: &TestDrive, who: &Someone, entries: Vec<Vec<u8>>) -> Request {
    Request::LogAppend { drive: drive.id(), account: who.id(), entries }
}

async fn ask(holder: &Arc<Holder>, who: &Someone, request: Request) -> Response {
    call(holder, &who.caller(), request).await.response
}

fn admin_bytes(drive: &TestDrive) -> u64 {
    drive.log.records(0).iter().map(|r| 33 + crate::keys::encode(r).len() as u64).sum()
}

#[tokio::test(start_paused = true)]
async fn an_admin_log_is_admitted_and_billed() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = SimDisk::new();
    let (world, _) = world(&disk);
    let holder = ann.holder(&world).await;
    let drive = drive(&bob);
    let request = || open(&drive, &bob, drive.log.records(0).to_vec(), Vec::new());
    let size = admin_bytes(&drive);
    holder.give(&ann.grant(bob.id(), size - 1, 1)).await.unwrap();
    assert_eq!(refusal(ask(&holder, &bob, request()).await, &ann), (Reason::OverLimit, size - 1, 0));
    assert!(!disk.paths().iter().any(|p| p.to_string_lossy().contains("/logs/")));
    holder.give(&ann.grant(bob.id(), 1 << 30, 2)).await.unwrap();
    disk.set_capacity(disk.used() + (1 << 20) + size - 1);
    assert_eq!(refusal(ask(&holder, &bob, request()).await, &ann).0, Reason::DiskFull);
    disk.set_capacity(disk.used() + (4 << 20));
    assert!(matches!(ask(&holder, &bob, request()).await, Response::LogAck { .. }));
    assert!(matches!(ask(&holder, &bob, request()).await, Response::LogAck { .. }));
    assert_eq!((holder.status().lent, holder.status().reserved), (size, 0));
    drop(holder);
    let holder = ann.holder(&world).await;
    assert_eq!(holder.status().lent, size);
    // A grant that was lowered below what is used: nothing new, so nothing to refuse.
    holder.give(&ann.grant(bob.id(), 1, 3)).await.unwrap();
    assert!(matches!(ask(&holder, &bob, request()).await, Response::LogAck { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_drives_of_a_friend_are_bounded() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let drive = drive(&bob);
    let request = || open(&drive, &bob, drive.log.records(0).to_vec(), Vec::new());
    let opener = crate::holder::state::Opener {
        payers: vec![bob.id()],
        read_token_hash: crate::keys::read_token_hash(&TOKEN),
    };
    for i in 0..512u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&i.to_le_bytes());
        holder.state.lock().openers.insert((crate::keys::DriveId(id), bob.id()), opener.clone());
    }
    assert_eq!(refusal(ask(&holder, &bob, request()).await, &ann), (Reason::OverLimit, 512, 512));
    holder.state.lock().openers.pop_first();
    assert!(matches!(ask(&holder, &bob, request()).await, Response::LogAck { .. }));
}

#[tokio::test(start_paused = true)]
async fn appends_at_once_do_not_overshoot_a_grant() {
    let (ann, bob) = (Someone::new(1), Arc::new(Someone::new(2)));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    let drive = drive(&bob);
    let entries = drive.entries((0, EntryHash([0; 32])), 6, 10_000);
    let granted = admin_bytes(&drive) + 2 * (entries[0].len() as u64 + 40);
    holder.give(&ann.grant(bob.id(), granted, 1)).await.unwrap();
    ask(&holder, &bob, open(&drive, &bob, drive.log.records(0).to_vec(), Vec::new())).await;
    let sent: Vec<_> = entries
        .into_iter()
        .map(|entry| {
            let (holder, bob, request) = (holder.clone(), bob.clone(), append(&drive, &bob, vec![entry]));
            tokio::spawn(async move { ask(&holder, &bob, request).await })
        })
        .collect();
    for sent in sent {
        sent.await.unwrap();
    }
    assert!(holder.status().lent <= granted, "{} of {granted}", holder.status().lent);
}

#[tokio::test(start_paused = true)]
async fn logs_are_bound_by_every_link_of_the_grants() {
    let (ann, bob, cat) = (Someone::new(1), Someone::new(2), Someone::new(3));
    let disk = SimDisk::new();
    let (world, _) = world(&disk);
    let holder = ann.holder(&world).await;
    let root = ann.grant(bob.id(), 1 << 30, 1);
    holder.give(&root).await.unwrap();
    let drive = drive(&cat);
    let limit = admin_bytes(&drive) + 15_000;
    let mut sub: crate::wire::Grant = bob.grant(cat.id(), limit, 1).peek().unwrap();
    sub.parent = Some(root.hash());
    let grants = vec![root, Signed::record(bob.person.signing(), &sub)];
    let opened = ask(&holder, &cat, open(&drive, &cat, drive.log.records(0).to_vec(), grants)).await;
    assert!(matches!(opened, Response::LogAck { .. }), "{}", tell(opened));
    let entries = drive.entries((0, EntryHash([0; 32])), 2, 10_000);
    let first = ask(&holder, &cat, append(&drive, &cat, entries[..1].to_vec())).await;
    assert!(matches!(first, Response::LogAck { .. }), "{}", tell(first));
    for _ in 0..2 {
        let holder = ann.holder(&world).await;
        let second = ask(&holder, &cat, append(&drive, &cat, entries[1..].to_vec())).await;
        let (reason, at, _) = refusal(second, &ann);
        assert_eq!((reason, at), (Reason::OverLimit, limit));
    }
}

/// What an offer reserved for one byte, a put of many does not get.
#[tokio::test(start_paused = true)]
async fn a_put_takes_no_more_than_its_offer_said() {
    let (ann, eve) = (Someone::new(1), Someone::new(3));
    let holder = ann.holder(&world(&SimDisk::new()).0).await;
    holder.give(&ann.grant(eve.id(), 1000, 1)).await.unwrap();
    let data = bytes(1, 3000);
    let small = Lease { len: 1, ..lease(eve.id(), &data) };
    let offer = Request::Offer { lease: small, grants: Vec::new() };
    let accept = call(&holder, &eve.caller(), offer).await.response;
    let Response::Accept { reservation, .. } = accept else { panic!("{accept:?}") };
    let lease = lease(eve.id(), &data);
    let request = Request::Put { lease, grants: Vec::new(), reservation: Some(reservation) };
    let answer = holder.serve(&eve.caller(), request, &mut body(&data)).await.response;
    assert_eq!(refusal(answer, &ann).0, Reason::OverLimit);
}
