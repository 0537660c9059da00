//! Stored bytes of every format. Today's code must write exactly these and open them; a
//! change that breaks this test breaks what people have on their disks and on paper.
//!
//! `cargo test --lib keys::tests::vectors::print -- --ignored --nocapture` prints the file.

use super::keystore::{sample, with_file_key, with_passphrase};
use super::recovery::{self, sample_kit, sample_record, sample_text};
use super::*;

const STORED: &str = include_str!("../../../tests/vectors/keys.txt");

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn whole(signed: &Signed) -> Vec<u8> {
    encode(signed)
}

/// A drive with everything in its admin log: members, writer, new epoch, removal, cut,
/// change of admin.
fn long_log() -> AdminLog {
    let Founded { admin, founder, mut log, mut keys } = found();
    let friend = someone(20);
    log.add_member(&admin, member_of(&friend, Power::Repair), &keys, &exchange(50)).unwrap();
    let key = WriterKey::new(&seed(40), [41; 16]);
    let writer = writer_of(&founder, &key, Power::Write, Epoch(1));
    log.enrol_writer(&admin, Writer { ticket: Some(Hash([42; 32])), ..writer }).unwrap();
    log.remove_member(&admin, friend.person.id()).unwrap();
    let read = ReadKey::from_bytes([60; 32]);
    log.begin_epoch(&admin, &mut keys, read, &exchange(51)).unwrap();
    let last = LastEntry { log: key.log(), seq: 7, hash: EntryHash([43; 32]) };
    log.cut_off_writer(&admin, key.public(), vec![last]).unwrap();
    log.hand_over(&admin, &SigningKey::from_seed(&seed(70)), &exchange(52)).unwrap();
    log
}

fn capabilities() -> Vec<Capability> {
    let Founded { log, keys, admin, .. } = found();
    let read = ReadKey::from_bytes(*keys.level(Epoch(1)).unwrap().expose());
    let secret = EnrolmentSecret::from_bytes([30; 16]);
    let full = Capability::admin(log.drive(), log.epoch(), log.head(), read, secret, &admin);
    [Power::Admin, Power::Write, Power::Read, Power::Repair, Power::Verify]
        .map(|power| full.diminish(power).unwrap())
        .to_vec()
}

fn request() -> Signed {
    let friend = someone(20);
    EnrolmentRequest::sign(
        found().log.drive(),
        Power::Write,
        &EnrolmentSecret::from_bytes([30; 16]),
        &friend.device,
        friend.certificate.clone(),
        friend.person.sharing(0).public(),
        Some(&WriterKey::new(&seed(40), [41; 16])),
    )
}

/// Name and text of every sample, in order.
fn samples() -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut add = |name: &str, text: String| out.push((name.to_string(), text));
    let at = Position { index: 3, total: 7, codec: 1 };
    let seal = SealKey::derive(&[1; 32], &[2; 32], Kind::Page, &[3; 32]);
    add("seal", hex(&seal.seal(at, b"a page")));
    add("derive", hex(&super::super::derive(Purpose::EntryKey, &[1; 32], &[b"a", b"bc"])[..]));
    let keys = found().keys;
    let (one, node) = (Epoch(1), NodeId([5; 32]));
    add("chunk-id", hex(&keys.chunk_id(one, b"a chunk").unwrap().0));
    add("read-token", hex(&keys.read_token(one, &node).unwrap()));
    let (key, nonce) = keys.holder_stream(one, &PackId([6; 32]), 258, &node).unwrap();
    add("holder-stream", hex(&[&key[..], &nonce].concat()));
    let ops = keys.ops_seal(one, &LogId([8; 32]), 9).unwrap();
    add("ops", hex(&ops.seal(Position::WHOLE, b"operations")));
    let vector = keys.vector_seal(one, &LogId([8; 32]), 9).unwrap();
    add("vector", hex(&vector.seal(Position::WHOLE, b"heads")));
    let catalogue = keys.catalogue_seal(one, &LogId([8; 32]), 9).unwrap();
    add("catalogue", hex(&catalogue.seal(Position::WHOLE, b"packs")));
    add("log-id", hex(&log_id(&[1; 32], &[2; 16]).0));
    let Someone { person, device, certificate } = someone(2);
    add("node-id", hex(&device.node().0));
    add("certificate", hex(&whole(&certificate)));
    add("revocation", hex(&whole(&person.revoke(device.node(), 110))));
    for (seq, record) in long_log().records(0).iter().enumerate() {
        add(&format!("admin-log-{seq}"), hex(&whole(record)));
    }
    add("enrolment", hex(&whole(&request())));
    for capability in capabilities() {
        let text = capability.to_text();
        add(&format!("capability-{}", capability.power()), text.to_string());
    }
    add("keystore-passphrase", hex(&with_passphrase()));
    add("keystore-file-key", hex(&with_file_key()));
    add("phrase", phrase_of(&seed(2)).to_string());
    add("kit", sample_text().replace('\n', "|"));
    add("kit-short", sample_kit().short().replace('\n', "|"));
    add("recovery-door", hex(&person.door().node().0));
    add("recovery-record", hex(&whole(&sample_record())));
    out
}

#[test]
#[ignore = "prints tests/vectors/keys.txt"]
fn print() {
    for (name, text) in samples() {
        println!("VECTOR {name} {text}");
    }
}

fn stored(name: &str) -> String {
    let line = STORED.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no stored sample {name}")).to_string()
}

fn stored_bytes(name: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(stored(name).as_bytes()).unwrap()
}

fn stored_signed(name: &str) -> Signed {
    decode_canonical(&stored_bytes(name), 1 << 20).unwrap()
}

#[test]
fn todays_code_writes_the_stored_bytes() {
    let samples = samples();
    for (name, text) in &samples {
        assert_eq!(&stored(name), text, "{name}");
    }
    let lines = STORED.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(lines, samples.len(), "a stored sample is not compared");
}

#[test]
fn the_stored_bytes_still_open() {
    let seal = SealKey::derive(&[1; 32], &[2; 32], Kind::Page, &[3; 32]);
    let at = Position { index: 3, total: 7, codec: 1 };
    assert_eq!(seal.open(at, &stored_bytes("seal")).unwrap(), b"a page");
    Certificate::verify(&stored_signed("certificate"), TODAY).unwrap();
    Revocations::default().insert(stored_signed("revocation")).unwrap();

    let records: Vec<_> = (0..9).map(|seq| stored_signed(&format!("admin-log-{seq}"))).collect();
    let drive = Genesis::drive_id(&records[0]);
    let log = AdminLog::load(&drive, &records).unwrap();
    assert_eq!((log.len(), log.epoch()), (9, Epoch(2)));
    let founder = someone(2).person;
    let keys = log.unlock_member(&founder.id(), &founder.sharing(0)).unwrap();
    let name = log.genesis().name(keys.entry_key(Epoch(1)).unwrap()).unwrap();
    assert_eq!(name, "family");

    for capability in capabilities() {
        let text = stored(&format!("capability-{}", capability.power()));
        let parsed: Capability = text.parse().unwrap();
        assert_eq!(parsed, capability);
        log.unlock(parsed.epoch(), parsed.key().clone()).unwrap();
    }
    let invitation = sample().invitations[0].clone();
    let log = AdminLog::load(&drive, &records[..3]).unwrap();
    let request = stored_signed("enrolment");
    let revoked = Revocations::default();
    EnrolmentRequest::check(&request, &[invitation], &log, &revoked, TODAY).unwrap();

    let file = stored_bytes("keystore-passphrase");
    assert_eq!(Keystore::open(&file, Unlock::Passphrase("correct horse")).unwrap(), sample());
    let key = FileKey::from_bytes([66; 32]);
    assert_eq!(root_of_phrase(&stored("phrase")), Ok(seed(2)));
    for kit in ["kit", "kit-short"] {
        let kit = Kit::parse(&stored(kit).replace('|', "\n")).unwrap();
        assert_eq!((kit.root, kit.friends.len()), (seed(2), 2));
    }
    let record = RecoveryRecord::verify(&stored_signed("recovery-record")).unwrap();
    assert_eq!(record.open(&founder), Ok(recovery::sample()));

    let file = stored_bytes("keystore-file-key");
    assert_eq!(Keystore::open(&file, Unlock::FileKey(&key)).unwrap(), sample());
}
