//! One fixed sample of every kind of message.

use crate::keys::*;
use crate::wire::*;

pub fn signed(n: u8) -> Signed {
    Signed { bytes: vec![n; 5], signature: vec![n; 64] }
}

pub fn lease() -> Lease {
    Lease {
        account: PersonId([1; 32]),
        share: ShareId([2; 32]),
        drive: DriveId([3; 32]),
        len: 1 << 20,
        term_days: 30,
        priority: 1,
        lock_until: Some(20_000),
        sponsor: false,
        read_token_hash: Hash([4; 32]),
    }
}

pub fn head() -> Head {
    Head { log: LogId([5; 32]), seq: 300, hash: EntryHash([6; 32]) }
}

pub fn requests() -> Vec<Request> {
    let (account, drive, share) = (PersonId([1; 32]), DriveId([3; 32]), ShareId([2; 32]));
    vec![
        Request::Hello { certificate: signed(1), label: "anna".into(), version: 1 },
        Request::Offer { lease: lease(), grants: vec![signed(2)] },
        Request::Put { lease: lease(), grants: vec![], reservation: Some([7; 16]) },
        Request::Get {
            share,
            account,
            token: [8; 32],
            ranges: vec![Range { offset: 65_576, len: 1024 }],
            leaf: LEAF_BULK,
            nonce: [9; 16],
        },
        Request::LeaseRenew { account, shares: vec![share], term_days: 30 },
        Request::LeaseRelease { account, shares: vec![(share, 1)] },
        Request::LeaseCancelRelease { account, shares: vec![(share, 2)] },
        Request::LeaseAdopt { leases: vec![lease()], grants: vec![signed(3)] },
        Request::LogOpen {
            drive,
            account,
            admin: vec![signed(4)],
            grants: vec![signed(5)],
            bytes: 1 << 30,
            read_token_hash: Hash([9; 32]),
        },
        Request::LogAppend { drive, account, entries: vec![vec![1, 2, 3], vec![4]] },
        Request::LogFetch { drive, token: [8; 32], vector: vec![head()], admin_len: 2 },
        Request::LogWatch { drive, token: [8; 32], vector: vec![head()], admin_len: 2, wait_ms: 30_000 },
        Request::Statement { statement: signed(6) },
        Request::GrantGive { grant: signed(7) },
        Request::Roster { records: vec![signed(8)], revocations: vec![signed(21)] },
        Request::Join { ticket: [10; 16], mac: [11; 32], body: vec![12; 40] },
        Request::Notice { reason: "moving house".into(), bytes: 1 << 40, evict_after: 20_100 },
        Request::Away { until: 20_200 },
        Request::LossDeclaration { shares: vec![share] },
        Request::Punch {
            with: NodeId([13; 32]),
            addrs: vec!["192.0.2.1:4433".parse().unwrap(), "[2001:db8::1]:4433".parse().unwrap()],
        },
        Request::Relay { to: NodeId([13; 32]) },
        Request::Transfer { bytes: vec![14; 3] },
        Request::GrantChain { grants: vec![signed(19), signed(20)] },
        Request::RecoveryPut { record: signed(22), grants: vec![signed(23)] },
        Request::Recover { certificate: signed(24), member: signed(25) },
    ]
}

pub fn responses() -> Vec<Response> {
    vec![
        Response::Hello { certificate: signed(1), label: "ben".into(), version: 1 },
        Response::Accept { reservation: [7; 16], bytes: 1 << 20, expires_ms: 60_000 },
        Response::Refusal { refusal: signed(9) },
        Response::Receipt { receipt: signed(10) },
        Response::Data { len: 70_000, nonce: [9; 16], ledger_head: Hash([15; 32]) },
        Response::Leases { done: vec![(ShareId([2; 32]), 1)] },
        Response::LogAck { receipt: signed(11) },
        Response::LogEntries { admin: vec![signed(4)], entries: vec![vec![1, 2, 3]], more: true },
        Response::Statement { statement: signed(6) },
        Response::Roster { records: vec![signed(8)], revocations: vec![signed(21)] },
        Response::Joined { body: vec![16; 20] },
        Response::Done,
        Response::Recovery { record: signed(26) },
    ]
}

pub fn ticket() -> Ticket {
    Ticket {
        version: TICKET_VERSION,
        inviter: NodeId([17; 32]),
        addrs: vec!["192.0.2.7:4433".parse().unwrap(), "[2001:db8::7]:4433".parse().unwrap()],
        secret: [18; 16],
        expires: 1_800_000_000,
        lends: 100 << 30,
        asks: 100 << 30,
        drives: vec![Invited { drive: DriveId([3; 32]), power: Power::Write, label: "family".into() }],
    }
}
