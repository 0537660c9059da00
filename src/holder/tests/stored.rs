//! A holder's disk as an earlier kith left it: today's must open it.

use super::common::*;
use super::logs::drive;
use crate::content::{Leaf, decode_ranges};
use crate::keys::{EntryHash, ShareId, Signed};
use crate::wire::{Head, Request, Response, Statement};
use crate::world::SimDisk;
use crate::world::stored::{pack, sample, unpack};
use std::sync::Arc;

const LENS: [usize; 3] = [1000, 16_384, 20_000];

fn statement(bob: &Someone, ann: &Someone) -> Request {
    let said = crate::ledger::form_statement(
        bob.id(),
        ann.node(),
        None,
        &Default::default(),
        crate::keys::Hash([0; 32]),
        Default::default(),
        100,
    );
    Request::Statement { statement: Signed::record(bob.device.signing(), &said) }
}

/// Shares, one of them let go, a drive's log, counters and a statement.
#[tokio::test(start_paused = true)]
#[ignore = "writes the sample anew"]
async fn write_the_sample() {
    let (ann, bob, disk) = (Someone::new(1), Someone::new(2), SimDisk::new());
    let holder = ann.holder(&world(&disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    for len in LENS {
        receipt(put(&holder, &bob, &bytes(len as u64, len)).await, &ann);
    }
    let (account, first) = (bob.id(), lease(bob.id(), &bytes(1000, 1000)).share);
    let renew = Request::LeaseRenew { account, shares: vec![first], term_days: 90 };
    let Response::Leases { done } = call(&holder, &bob.caller(), renew).await.response else { panic!() };
    let release = Request::LeaseRelease { account, shares: done };
    call(&holder, &bob.caller(), release).await;
    let drive = drive(&bob);
    let open = drive.open(&bob);
    call(&holder, &bob.caller(), open).await;
    let append = drive.append(&bob, drive.entries((0, EntryHash([0; 32])), 3, 200));
    call(&holder, &bob.caller(), append).await;
    call(&holder, &bob.caller(), statement(&bob, &ann)).await;
    holder.maintain().await;
    holder.close().await;
    std::fs::write(sample("holder.disk"), pack(&disk)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stored_disk_opens() {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let disk = unpack(&std::fs::read(sample("holder.disk")).unwrap());
    let holder = ann.holder(&world(&disk).0).await;
    let status = holder.status();
    assert_eq!((status.leases, status.drives, status.damaged), (3, 1, 0));
    let logs =
        3 * 33 + drive(&bob).entries((0, EntryHash([0; 32])), 3, 200).iter().map(Vec::len).sum::<usize>();
    assert_eq!(status.accounts, [(bob.id(), 1 << 30, (LENS.iter().sum::<usize>() + logs) as u64)]);
    for len in LENS {
        let data = bytes(len as u64, len);
        let share = ShareId(*blake3::hash(&data).as_bytes());
        let reply = call(&holder, &bob.caller(), get(bob.id(), share, &[(0, len as u32)], TOKEN)).await;
        let proof = reply.body.unwrap_or_else(|| panic!("{}", tell(reply.response)));
        let whole = [0..len as u64];
        assert_eq!(decode_ranges(share, len as u64, &whole, Leaf::SMALL, &proof, None).unwrap(), [data]);
    }
    check_log(&holder, &bob).await;
    // The tally goes on from the statement that is there, and nothing counted goes back.
    let head = holder.ledger_head(&bob.id());
    let answer = call(&holder, &bob.caller(), statement(&bob, &ann)).await.response;
    let Response::Statement { statement } = answer else { panic!("{}", tell(answer)) };
    let said: Statement = statement.open(&ann.device.signing().public()).unwrap();
    let written = LENS.iter().sum::<usize>() as u64;
    assert_eq!((said.seq, said.previous, said.bytes_written), (2, head, written));
}

async fn check_log(holder: &Arc<crate::holder::Holder>, bob: &Someone) {
    let drive = drive(bob);
    let all = drive.entries((0, EntryHash([0; 32])), 3, 200);
    let answer = call(holder, &bob.caller(), drive.fetch(Vec::<Head>::new(), 0)).await.response;
    let Response::LogEntries { admin, entries, more } = answer else { panic!("{}", tell(answer)) };
    assert_eq!((entries, admin.len() as u32, more), (all, drive.log.len(), false));
}
