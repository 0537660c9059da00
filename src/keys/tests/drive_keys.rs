use super::*;

const DRIVE: DriveId = DriveId([9; 32]);
const LOG: LogId = LogId([8; 32]);
const CHUNK: ChunkId = ChunkId([7; 32]);
const PACK: PackId = PackId([6; 32]);
const HOLDER: NodeId = NodeId([5; 32]);
const ONE: Epoch = Epoch::FIRST;

fn at(power: Power) -> DriveKeys {
    let read = LevelKey::Read(ReadKey::from_bytes([1; 32]));
    DriveKeys::new(DRIVE, ONE, read.diminish(power).unwrap())
}

/// What each power does, exactly.
#[test]
fn each_power_opens_what_it_should_and_nothing_else() {
    for (power, reads, repairs) in
        [(Power::Read, true, true), (Power::Repair, false, true), (Power::Verify, false, false)]
    {
        let keys = at(power);
        assert_eq!(keys.power(), power);
        assert_eq!(keys.chunk_id(ONE, b"text").is_ok(), reads);
        assert_eq!(keys.page_seal(ONE, &CHUNK).is_ok(), reads);
        assert_eq!(keys.ops_seal(ONE, &LOG, 1).is_ok(), reads);
        assert_eq!(keys.vector_seal(ONE, &LOG, 1).is_ok(), reads);
        assert_eq!(keys.checkpoint_seal(ONE, &Hash([0; 32])).is_ok(), reads);
        assert_eq!(keys.entry_key(ONE).is_ok(), reads);
        assert_eq!(keys.holder_stream(ONE, &PACK, 0, &HOLDER).is_ok(), repairs);
        assert!(keys.catalogue_seal(ONE, &LOG, 1).is_ok());
        assert!(keys.read_token(ONE, &HOLDER).is_ok());
    }
}

#[test]
fn the_refusal_says_what_is_needed() {
    let error = at(Power::Verify).holder_stream(ONE, &PACK, 0, &HOLDER).unwrap_err();
    let (needed, have) = (Power::Repair, Power::Verify);
    assert_eq!(error, NoKey::Power { drive: DRIVE, needed, have });
    assert!(error.to_string().contains("the power to repair"));
    assert_eq!(at(Power::Read).read_token(Epoch(2), &HOLDER), Err(NoKey::Epoch(DRIVE, Epoch(2))));
}

#[test]
fn all_powers_agree_on_what_they_share() {
    let token = at(Power::Read).read_token(ONE, &HOLDER).unwrap();
    let (key, nonce) = at(Power::Read).holder_stream(ONE, &PACK, 3, &HOLDER).unwrap();
    let sealed = at(Power::Read).catalogue_seal(ONE, &LOG, 4).unwrap().seal(Position::WHOLE, b"x");
    for power in [Power::Repair, Power::Verify] {
        assert_eq!(at(power).read_token(ONE, &HOLDER).unwrap(), token);
        let seal = at(power).catalogue_seal(ONE, &LOG, 4).unwrap();
        assert_eq!(seal.open(Position::WHOLE, &sealed).unwrap(), b"x");
    }
    assert_eq!(at(Power::Repair).holder_stream(ONE, &PACK, 3, &HOLDER).unwrap(), (key, nonce));
}

#[test]
fn powers_do_not_grow() {
    for (have, wanted) in [
        (Power::Verify, Power::Repair),
        (Power::Verify, Power::Read),
        (Power::Repair, Power::Read),
        (Power::Repair, Power::Admin),
    ] {
        assert!(at(have).diminish(wanted).is_err(), "{have} became {wanted}");
    }
    assert_eq!(at(Power::Read).diminish(Power::Verify).unwrap().power(), Power::Verify);
}

#[test]
fn every_holder_share_and_pack_has_its_own_stream() {
    let keys = at(Power::Repair);
    let (key, nonce) = keys.holder_stream(ONE, &PACK, 3, &HOLDER).unwrap();
    for (pack, number, holder) in
        [(PackId([1; 32]), 3, HOLDER), (PACK, 4, HOLDER), (PACK, 3, NodeId([1; 32]))]
    {
        let (other_key, other) = keys.holder_stream(ONE, &pack, number, &holder).unwrap();
        assert_eq!(other_key, key);
        assert_ne!(other, nonce);
    }
}

#[test]
fn a_holder_learns_nothing_of_anothers_token() {
    let keys = at(Power::Verify);
    let token = keys.read_token(ONE, &HOLDER).unwrap();
    assert_ne!(token, keys.read_token(ONE, &NodeId([1; 32])).unwrap());
    assert_eq!(read_token_hash(&token).0, *blake3::hash(&token).as_bytes());
}

#[test]
fn seals_of_an_entry_are_told_apart() {
    let keys = at(Power::Read);
    let sealed = keys.ops_seal(ONE, &LOG, 7).unwrap().seal(Position::WHOLE, b"ops");
    for other in [
        keys.vector_seal(ONE, &LOG, 7).unwrap(),
        keys.catalogue_seal(ONE, &LOG, 7).unwrap(),
        keys.ops_seal(ONE, &LOG, 8).unwrap(),
        keys.ops_seal(ONE, &LogId([1; 32]), 7).unwrap(),
    ] {
        assert_eq!(other.open(Position::WHOLE, &sealed), Err(OpenError::Forged));
    }
}

#[test]
fn a_page_of_another_drive_or_epoch() {
    let read = || LevelKey::Read(ReadKey::from_bytes([1; 32]));
    let mut keys = DriveKeys::new(DRIVE, ONE, read());
    keys.insert(Epoch(2), LevelKey::Read(ReadKey::from_bytes([2; 32])));
    assert_eq!(keys.epoch(), Epoch(2));
    let sealed = keys.page_seal(ONE, &CHUNK).unwrap().seal(Position::WHOLE, b"page");
    let other_drive = DriveKeys::new(DriveId([1; 32]), ONE, read());
    for other in [
        keys.page_seal(Epoch(2), &CHUNK).unwrap(),
        keys.page_seal(ONE, &ChunkId([1; 32])).unwrap(),
        other_drive.page_seal(ONE, &CHUNK).unwrap(),
    ] {
        assert_eq!(other.open(Position::WHOLE, &sealed), Err(OpenError::Forged));
    }
}
