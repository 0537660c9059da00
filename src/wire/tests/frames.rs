use super::samples::*;
use crate::keys::*;
use crate::wire::Member;
use crate::wire::*;
use proptest::prelude::*;

/// Bytes of every sample, by kind. They are the protocol: a change here breaks every node
/// that is out there.
const GOLDEN: &str = include_str!("golden.txt");

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn name(debug: String) -> String {
    debug.chars().take_while(|c| c.is_alphanumeric()).collect()
}

fn payload(frame: &[u8]) -> &[u8] {
    let (prefix, rest) = frame.split_first_chunk().unwrap();
    assert_eq!(frame_len(*prefix, FRAME_MAX), Ok(rest.len()));
    rest
}

#[test]
fn every_kind_has_its_golden_bytes_and_comes_back() {
    let (requests, responses) = (requests(), responses());
    assert_eq!(requests.len() as u32, Request::KINDS);
    assert_eq!(responses.len() as u32, Response::KINDS);
    let mut now = String::new();
    for (kind, request) in requests.iter().enumerate() {
        let frame = encode_request(request).unwrap();
        assert_eq!(usize::from(payload(&frame)[0]), kind, "kinds are numbered in order");
        assert_eq!(decode_request(payload(&frame)), Ok(Decoded::Known(request.clone())));
        now += &format!("request {kind} {} {}\n", name(format!("{request:?}")), hex(&frame));
    }
    for (kind, response) in responses.iter().enumerate() {
        let frame = encode_response(response).unwrap();
        assert_eq!(usize::from(payload(&frame)[0]), kind);
        assert_eq!(decode_response(payload(&frame)), Ok(Decoded::Known(response.clone())));
        now += &format!("response {kind} {} {}\n", name(format!("{response:?}")), hex(&frame));
    }
    now += &format!("ticket {}\n", ticket());
    if std::env::var_os("KITH_BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/wire/tests/golden.txt"), &now).unwrap();
        return;
    }
    assert!(GOLDEN == now, "the encoding has changed; it is now:\n{now}");
}

fn refused(request: &Request) -> &'static str {
    // What this side refuses to send, the other refuses to take.
    let bytes = encode(request);
    match (encode_request(request), decode_request(&bytes)) {
        (Err(WireError::OverLimit { what, .. }), Err(WireError::OverLimit { what: same, .. })) => {
            assert_eq!(what, same);
            what
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn limits_are_enforced_on_both_sides() {
    let (account, drive, share) = (PersonId([1; 32]), DriveId([3; 32]), ShareId([2; 32]));
    let get = |ranges: Vec<Range>, leaf| Request::Get {
        share,
        account,
        token: [0; 32],
        ranges,
        leaf,
        nonce: [0; 16],
    };
    let label = "x".repeat(LABEL_MAX + 1);
    assert_eq!(refused(&Request::Hello { certificate: signed(1), label, version: 1 }), "bytes of a label");
    let mut large = lease();
    large.len = SHARE_MAX + 1;
    let put = Request::Put { lease: large.clone(), grants: vec![], reservation: None };
    assert_eq!(refused(&put), "bytes of a share");
    assert_eq!(refused(&Request::Offer { lease: large.clone(), grants: vec![] }), "bytes of a share");
    assert_eq!(refused(&Request::LeaseAdopt { leases: vec![large], grants: vec![] }), "bytes of a share");
    let grants = vec![signed(1); GRANTS_MAX + 1];
    assert_eq!(refused(&Request::GrantChain { grants: grants.clone() }), "grants");
    assert_eq!(refused(&Request::Offer { lease: lease(), grants }), "grants");
    assert_eq!(refused(&get(vec![Range { offset: 0, len: 1 }; GET_RANGES_MAX + 1], 0)), "ranges");
    assert_eq!(refused(&get(vec![Range { offset: SHARE_MAX, len: 1 }], 0)), "end of a range");
    assert_eq!(refused(&get(vec![Range { offset: u64::MAX, len: u32::MAX }], 0)), "end of a range");
    assert_eq!(refused(&get(vec![Range { offset: 0, len: SHARE_MAX as u32 }; 2], 0)), "bytes asked for");
    assert_eq!(refused(&get(vec![], LEAF_BULK + 1)), "leaf");
    let shares = vec![share; LEASES_MAX + 1];
    assert_eq!(refused(&Request::LeaseRenew { account, shares, term_days: 1 }), "leases");
    let entries = vec![vec![]; FETCH_ENTRIES_MAX + 1];
    assert_eq!(refused(&Request::LogAppend { drive, account, entries }), "entries");
    let entries = vec![vec![0; ENTRY_MAX + 1]];
    assert_eq!(refused(&Request::LogAppend { drive, account, entries }), "bytes of an entry");
    let vector = vec![head(); VECTOR_MAX + 1];
    let fetch = Request::LogFetch { drive, token: [0; 32], vector, admin_len: 0 };
    assert_eq!(refused(&fetch), "logs in a vector");
    let wait_ms = WATCH_MAX.as_millis() as u32 + 1;
    let watch = Request::LogWatch { drive, token: [0; 32], vector: vec![], admin_len: 0, wait_ms };
    assert_eq!(refused(&watch), "wait in ms");
    let records = vec![signed(1); ROSTER_MAX + 1];
    assert_eq!(refused(&Request::Roster { records, revocations: vec![] }), "roster records");
    let revocations = vec![signed(1); ROSTER_MAX + 1];
    assert_eq!(refused(&Request::Roster { records: vec![], revocations }), "revocations");
    let body = vec![0; JOIN_MAX];
    assert_eq!(refused(&Request::Join { ticket: [0; 16], mac: [0; 32], body }), "bytes of a join");
    let long = |len| Signed { bytes: vec![0; len], signature: vec![0; 64] };
    let record = long(RECOVERY_RECORD_MAX + 1);
    assert_eq!(refused(&Request::RecoveryPut { record, grants: vec![] }), "bytes of a recovery record");
    let grants = vec![signed(1); GRANTS_MAX + 1];
    assert_eq!(refused(&Request::RecoveryPut { record: signed(1), grants }), "grants");
    let (certificate, member) = (long(CERTIFICATE_MAX + 1), long(Member::MAX + 1));
    let recover = Request::Recover { certificate, member: signed(1) };
    assert_eq!(refused(&recover), "bytes of a certificate");
    assert_eq!(refused(&Request::Recover { certificate: signed(1), member }), "bytes of a member record");
    let reason = "x".repeat(DETAIL_MAX + 1);
    assert_eq!(refused(&Request::Notice { reason, bytes: 0, evict_after: 0 }), "bytes of a reason");
    let addrs = vec!["192.0.2.1:1".parse().unwrap(); ADDRS_MAX + 1];
    assert_eq!(refused(&Request::Punch { with: NodeId([0; 32]), addrs }), "addresses");
}

#[test]
fn a_join_at_its_limit_fits_the_frame_of_an_unknown_key() {
    let body = vec![0; JOIN_MAX - JOIN_HEAD];
    let frame = encode_request(&Request::Join { ticket: [0; 16], mac: [0; 32], body }).unwrap();
    assert!(frame.len() - PREFIX_LEN <= JOIN_MAX);
}

#[test]
fn answers_have_limits_too() {
    let over = |r: Response| {
        assert!(matches!(encode_response(&r), Err(WireError::OverLimit { .. })), "{r:?}");
        assert!(matches!(decode_response(&encode(&r)), Err(WireError::OverLimit { .. })));
    };
    over(Response::Data { len: DATA_MAX + 1, nonce: [0; 16], ledger_head: Hash([0; 32]) });
    over(Response::Hello { certificate: signed(1), label: "x".repeat(65), version: 1 });
    over(Response::Leases { done: vec![(ShareId([0; 32]), 0); LEASES_MAX + 1] });
    over(Response::Roster { records: vec![signed(1); ROSTER_MAX + 1], revocations: vec![] });
    let entries = vec![vec![]; FETCH_ENTRIES_MAX + 1];
    over(Response::LogEntries { admin: vec![], entries, more: false });
}

#[test]
fn rejects_a_frame_longer_than_allowed_by_its_prefix_alone() {
    let prefix = (FRAME_MAX as u32 + 1).to_le_bytes();
    assert_eq!(
        frame_len(prefix, FRAME_MAX),
        Err(WireError::FrameTooLong { len: FRAME_MAX + 1, max: FRAME_MAX })
    );
    assert!(frame_len(u32::MAX.to_le_bytes(), FRAME_MAX).is_err());
    assert_eq!(frame_len([0; 4], FRAME_MAX), Err(WireError::FrameEmpty));
    assert_eq!(frame_len((JOIN_MAX as u32).to_le_bytes(), JOIN_MAX), Ok(JOIN_MAX));
}

#[test]
fn rejects_an_empty_payload() {
    assert_eq!(decode_request(&[]), Err(WireError::FrameEmpty));
}

#[test]
fn rejects_bytes_after_the_message() {
    let mut bytes = encode(&Request::Away { until: 1 });
    bytes.push(0);
    assert_eq!(decode_request(&bytes), Err(WireError::TrailingBytes));
}

#[test]
fn rejects_a_message_cut_short() {
    for request in requests() {
        let bytes = encode(&request);
        for len in 1..bytes.len() {
            assert!(decode_request(&bytes[..len]).is_err(), "{request:?} cut to {len} bytes");
        }
    }
}

#[test]
fn rejects_a_number_in_a_longer_form() {
    // Away { until: 1 } with the 1 in two bytes.
    assert_eq!(decode_request(&[17, 0x81, 0x00]), Err(WireError::NotCanonical));
    // Its kind in two bytes.
    assert_eq!(decode_request(&[0x91, 0x00, 1]), Err(WireError::NotCanonical));
}

#[test]
fn rejects_a_bool_that_is_neither() {
    let mut bytes = encode(&Response::LogEntries { admin: vec![], entries: vec![], more: true });
    *bytes.last_mut().unwrap() = 2;
    assert_eq!(decode_response(&bytes), Err(WireError::Malformed));
}

#[test]
fn rejects_a_label_that_is_not_text() {
    let mut bytes = encode(&Request::Notice { reason: "a".into(), bytes: 0, evict_after: 0 });
    bytes[2] = 0xff;
    assert_eq!(decode_request(&bytes), Err(WireError::Malformed));
}

#[test]
fn rejects_a_length_that_claims_more_than_there_is() {
    // LogAppend with 2^60 entries: no memory is taken for them.
    let mut bytes =
        encode(&Request::LogAppend { drive: DriveId([0; 32]), account: PersonId([0; 32]), entries: vec![] });
    bytes.pop();
    bytes.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    assert_eq!(decode_request(&bytes), Err(WireError::Malformed));
}

#[test]
fn a_kind_of_the_future_is_skipped_not_an_error() {
    let mut bytes = encode(&Request::KINDS);
    bytes.extend([1, 2, 3]);
    assert_eq!(decode_request(&bytes), Ok(Decoded::Unknown(Request::KINDS)));
    assert_eq!(decode_response(&encode(&300u32)), Ok(Decoded::Unknown(300)));
}

proptest! {
    #[test]
    fn no_decoder_panics_and_what_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(Decoded::Known(request)) = decode_request(&bytes) {
            prop_assert_eq!(encode(&request), bytes.clone());
        }
        if let Ok(Decoded::Known(response)) = decode_response(&bytes) {
            prop_assert_eq!(encode(&response), bytes.clone());
        }
        let _ = decode::<Grant>(&bytes);
        let _ = decode::<Member>(&bytes);
        let _ = decode::<Statement>(&bytes);
        let _ = JoinRequest::from_bytes(&bytes);
        let _ = decode::<JoinAnswer>(&bytes);
    }

    #[test]
    fn no_decoder_panics_on_damaged_messages(which in 0..Request::KINDS as usize, at: usize, xor in 1u8..) {
        let mut bytes = encode(&requests()[which]);
        let at = at % bytes.len();
        bytes[at] ^= xor;
        if let Ok(Decoded::Known(request)) = decode_request(&bytes) {
            prop_assert_eq!(encode(&request), bytes);
        }
    }

    #[test]
    fn entries_and_vectors_come_back(
        entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
        heads in proptest::collection::vec((any::<[u8; 32]>(), any::<u64>(), any::<[u8; 32]>()), 0..20),
        wait_ms in 0u32..300_000,
    ) {
        let (drive, account) = (DriveId([3; 32]), PersonId([1; 32]));
        let vector = heads.iter().map(|(l, s, h)| Head { log: LogId(*l), seq: *s, hash: EntryHash(*h) });
        for request in [
            Request::LogAppend { drive, account, entries },
            Request::LogWatch { drive, token: [0; 32], vector: vector.collect(), admin_len: 7, wait_ms },
        ] {
            let frame = encode_request(&request).unwrap();
            prop_assert_eq!(decode_request(payload(&frame)), Ok(Decoded::Known(request)));
        }
    }

    #[test]
    fn records_come_back(bytes: u64, expires: Option<u32>, parent: Option<[u8; 32]>, serial: u64) {
        let grant = Grant {
            issuer: PersonId([1; 32]),
            subject: PersonId([2; 32]),
            holder: None,
            regime: Regime::Friends,
            bytes,
            egress_bytes_per_day: u64::MAX,
            not_before: 1,
            expires,
            retention_days: 90,
            rank: 3,
            obligation_bytes: bytes,
            delegable: true,
            parent: parent.map(Hash),
            serial,
        };
        let encoded = encode_record(&grant);
        prop_assert!(encoded.len() <= Grant::MAX);
        prop_assert_eq!(decode_record::<Grant>(&encoded), Ok(grant));
    }
}

#[test]
fn the_largest_records_fit_their_limits() {
    let refusal = Refusal {
        reason: Reason::Internal,
        limit: u64::MAX,
        used: u64::MAX,
        detail: "x".repeat(DETAIL_MAX),
        holder: NodeId([255; 32]),
        account: PersonId([255; 32]),
        day: u32::MAX,
    };
    assert!(encode_record(&refusal).len() <= Refusal::MAX);
    let receipt = LogReceipt {
        holder: NodeId([255; 32]),
        drive: DriveId([255; 32]),
        heads: vec![Head { log: LogId([255; 32]), seq: u64::MAX, hash: EntryHash([255; 32]) }; VECTOR_MAX],
        day: u32::MAX,
    };
    assert!(encode_record(&receipt).len() <= LogReceipt::MAX);
    let member = Member {
        person: PersonId([255; 32]),
        node: NodeId([255; 32]),
        signing_key: [255; 32],
        label: "x".repeat(LABEL_MAX),
        household: Hash([255; 32]),
        site: Hash([255; 32]),
        operator: Some(PersonId([255; 32])),
        addrs: vec!["[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(); ADDRS_MAX],
        lends: u64::MAX,
        introducer: Some(PersonId([255; 32])),
        serial: u64::MAX,
        removed: true,
    };
    assert!(encode_record(&member).len() <= Member::MAX);
    let statement = Statement {
        account: PersonId([255; 32]),
        holder: NodeId([255; 32]),
        seq: u64::MAX,
        previous: Hash([255; 32]),
        day: u32::MAX,
        byte_days_verified: u128::MAX,
        bytes_read: u64::MAX,
        bytes_written: u64::MAX,
        audits: Audits {
            ok: u64::MAX,
            wrong: u64::MAX,
            offline: u64::MAX,
            contained: u64::MAX,
            unknown: u64::MAX,
        },
        lease_set: Hash([255; 32]),
        routed_in: u128::MAX,
        routed_out: u128::MAX,
        limit: u64::MAX,
        used: u64::MAX,
        leases: u64::MAX,
    };
    assert!(encode_record(&statement).len() <= Statement::MAX);
}
