//! Payloads of the journal and of the file of losses that are refused, by flaw.

use crate::content::{Coding, Content};
use crate::drive::lost::{LostShare, LostShares};
use crate::drive::records::{self, Commit, DataHead, PackIntent, SealedPart, Settled, UncountedCommit};
use crate::drive::replay::Replay;
use crate::keys::{Epoch, Hash, LogId, NodeId, PackId, ShareId};
use crate::store::Record;
use crate::tree::{Change, OpId, Operation, ROOT};

const FILE: OpId = OpId { log: LogId([1; 32]), n: 7 };

fn operation() -> Operation {
    let change =
        Change::SetContent { object: FILE, base: None, content: Content::Inline(vec![1, 2]), mtime: 5 };
    Operation { n: 8, time: 5, utc_offset_min: 60, change }
}

/// One sound payload of every kind but [`records::DATA`], where any bytes may follow the head.
fn sound() -> Vec<(u8, Vec<u8>)> {
    let settled = Settled { op: operation(), chunks: Vec::new(), replaces: Some(3) };
    let chunk = crate::content::ChunkRef {
        id: crate::keys::ChunkId([4; 32]),
        epoch: Epoch::FIRST,
        len: 1,
        pages: vec![],
    };
    let part = SealedPart { object: FILE, index: 0, chunk, valid: vec![(0, 1)] };
    let uncounted = UncountedCommit { object: FILE, base: None, cut: Some(9), size: 10, mtime: 5 };
    let commit = Commit { object: FILE, parts: 0, base: None, cut: Some(9), size: 10, mtime: 5 };
    let pack = PackIntent {
        pack: PackId([5; 32]),
        epoch: Epoch::FIRST,
        coding: Coding { k: 1, n: 2 },
        len: 100,
        data_roots: vec![Hash([6; 32])],
        chunks: Vec::new(),
    };
    vec![
        (records::OP, records::encode(&operation())),
        (records::SEALED, records::encode(&part)),
        (records::COMMIT_UNCOUNTED, records::encode(&uncounted)),
        (records::COMMIT, records::encode(&commit)),
        (records::SETTLED, records::encode(&settled)),
        (records::PENDING, records::encode(&settled)),
        (records::DISCARDED, records::encode(&FILE)),
        (records::PACK, records::encode(&pack)),
        (records::PACK_DONE, records::encode(&pack.pack)),
        (records::CANCELLED, records::encode(&vec![3u64, 4])),
        (records::ENTRIES_SAFE, records::encode(&300u64)),
        (records::OPS, records::encode(&vec![operation(), Operation { n: 9, ..operation() }])),
    ]
}

/// How many of these are malformed.
fn malformed(kind: u8, payload: &[u8]) -> u64 {
    let mut replay = Replay::new(|_| true);
    replay.record(Record { lsn: 1, kind, payload });
    assert!(replay.malformed == 0 || replay.ops.is_empty() && replay.packs.is_empty());
    replay.malformed
}

#[test]
fn every_sound_payload_is_taken() {
    for (kind, payload) in sound() {
        assert_eq!(malformed(kind, &payload), 0, "kind {kind}");
    }
    let head = records::encode(&DataHead { object: ROOT, offset: 9 });
    assert_eq!(malformed(records::DATA, &[&head[..], b"any bytes"].concat()), 0);
}

#[test]
fn rejects_a_payload_cut_short_anywhere() {
    for (kind, payload) in sound() {
        for len in 0..payload.len() {
            assert_eq!(malformed(kind, &payload[..len]), 1, "kind {kind} at {len}");
        }
    }
    let head = records::encode(&DataHead { object: ROOT, offset: 9 });
    assert_eq!(malformed(records::DATA, &head[..head.len() - 1]), 1);
}

#[test]
fn rejects_a_payload_with_a_byte_after_its_end() {
    for (kind, mut payload) in sound() {
        payload.push(0);
        assert_eq!(malformed(kind, &payload), 1, "kind {kind}");
    }
}

#[test]
fn rejects_kinds_and_changes_of_the_future() {
    for kind in [0, 15, 255] {
        assert_eq!(malformed(kind, &[]), 1, "kind {kind}");
    }
    // The number of the change stands behind n, time and offset.
    let mut op = records::encode(&operation());
    assert_eq!(op[3], 1, "SetContent");
    op[3] = 100;
    assert_eq!(malformed(records::OP, &op), 1);
}

#[test]
fn rejects_a_list_longer_than_its_payload() {
    assert_eq!(malformed(records::CANCELLED, &[0xff, 0xff, 0xff, 0xff, 0x0f]), 1);
}

#[test]
fn rejects_losses_that_are_not_the_one_encoding() {
    let lost = |n: u8| LostShare {
        pack: PackId([n; 32]),
        number: n.into(),
        holder: NodeId([n; 32]),
        share: ShareId([n; 32]),
    };
    let good = crate::keys::encode(&vec![lost(1), lost(2)]);
    assert_eq!(LostShares::decode(&good).unwrap().packs(), [PackId([1; 32]), PackId([2; 32])]);
    for len in 0..good.len() {
        assert!(LostShares::decode(&good[..len]).is_none(), "cut short at {len}");
    }
    assert!(LostShares::decode(&[&good[..], &[0]].concat()).is_none(), "a byte after its end");
    let long = [&[0x82, 0x00], &good[1..]].concat();
    assert!(LostShares::decode(&long).is_none(), "a varint longer than needed");
    assert!(LostShares::decode(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_none(), "a length it does not have");
    assert!(LostShares::decode(&vec![0; (32 << 20) + 1]).is_none(), "longer than the file may be");
}
