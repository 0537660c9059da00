//! What one friend can take of a holder's places, memory and time.

use super::common::*;
use crate::holder::{Body, Reply};
use crate::net::{BoxFuture, NetError};
use crate::wire::{Reason, Request};
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
