//! Admin logs and genesis records that must be refused.

use super::*;

fn signed(log: &AdminLog, key: &SigningKey, change: AdminChange) -> Signed {
    let AdminHead { len: seq, hash: previous } = log.head();
    Signed::record(key, &AdminRecord { drive: log.drive(), seq, previous, change })
}

fn refused(founded: &Founded, change: AdminChange, rule: AdminRule) {
    let mut log = founded.log.clone();
    let error = log.append(signed(&log, &founded.admin, change)).unwrap_err();
    assert_eq!(error, AdminError::Rule { seq: 3, rule });
    assert_eq!(log.head(), founded.log.head(), "a refused record left a trace");
}

fn remove(founded: &Founded) -> AdminChange {
    AdminChange::RemoveMember { person: founded.founder.person.id() }
}

fn wrap_for(someone: &Someone) -> Wrap {
    Wrap { person: someone.person.id(), one_time: exchange(6).public(), sealed: vec![0; 72] }
}

fn enrol(someone: &Someone, power: Power) -> Writer {
    writer_of(someone, &WriterKey::new(&seed(40), [0; 16]), power, Epoch(1))
}

#[test]
fn no_records() {
    let log = found().log;
    assert_eq!(AdminLog::load(&log.drive(), &[]).unwrap_err(), AdminError::Empty);
}

#[test]
fn a_gap() {
    let log = found().log;
    let records = [log.records(0)[0].clone(), log.records(0)[2].clone()];
    let error = AdminLog::load(&log.drive(), &records).unwrap_err();
    assert_eq!(error, AdminError::Gap { expected: 1, found: 2 });
    let mut short = AdminLog::begin(log.records(0)[0].clone(), &log.drive()).unwrap();
    let error = short.extend(2, log.records(2)).unwrap_err();
    assert_eq!(error, AdminError::Gap { expected: 1, found: 2 });
}

#[test]
fn a_record_twice() {
    let mut log = found().log;
    let error = log.append(log.records(0)[2].clone()).unwrap_err();
    assert_eq!(error, AdminError::Fork { seq: 2 });
}

#[test]
fn a_fork() {
    let founded = found();
    let mut branch = AdminLog::load(&founded.log.drive(), &founded.log.records(0)[..2]).unwrap();
    let member = member_of(&someone(20), Power::Read);
    branch.add_member(&founded.admin, member, &founded.keys, &exchange(51)).unwrap();
    let mut log = founded.log.clone();
    assert_eq!(log.extend(0, branch.records(0)), Err(AdminError::Fork { seq: 2 }));
    assert_eq!(log.require(&branch.head()), Err(AdminError::Fork { seq: 2 }));
    // A record that follows the other branch does not follow this one.
    let next = signed(&branch, &founded.admin, AdminChange::RemoveMember { person: member.person });
    assert_eq!(log.append(next), Err(AdminError::Fork { seq: 3 }));
}

#[test]
fn an_old_log() {
    let log = found().log;
    let old = AdminLog::load(&log.drive(), &log.records(0)[..2]).unwrap();
    let error = old.require(&log.head()).unwrap_err();
    assert_eq!(error, AdminError::Stale { have: 2, expected: 3 });
    log.require(&old.head()).expect("a longer log satisfies an older head");
    let none = AdminHead { len: 0, hash: Hash([0; 32]) };
    assert_eq!(log.require(&none), Err(AdminError::Empty));
}

#[test]
fn another_signer() {
    let founded = found();
    let mut log = founded.log.clone();
    let record = signed(&log, &SigningKey::from_seed(&seed(99)), remove(&founded));
    let error = SignedError::Forged(Domain::AdminRecord);
    assert_eq!(log.append(record), Err(AdminError::Signed { seq: 3, error }));
}

#[test]
fn the_wrong_domain() {
    let founded = found();
    let mut log = founded.log.clone();
    let record = signed(&log, &founded.admin, remove(&founded));
    let record = Signed::sign(Domain::Genesis, &founded.admin, record.bytes);
    let error = SignedError::Forged(Domain::AdminRecord);
    assert_eq!(log.append(record), Err(AdminError::Signed { seq: 3, error }));
}

#[test]
fn a_record_of_another_drive() {
    let founded = found();
    let mut log = founded.log.clone();
    let AdminHead { len: seq, hash: previous } = log.head();
    let (drive, change) = (DriveId([1; 32]), remove(&founded));
    let record = AdminRecord { drive, seq, previous, change };
    let error = log.append(Signed::record(&founded.admin, &record)).unwrap_err();
    assert_eq!(error, AdminError::OtherDrive { seq: 3, found: drive, expected: log.drive() });
}

#[test]
fn any_flipped_bit() {
    let log = found().log;
    let mut prefix = AdminLog::load(&log.drive(), &log.records(0)[..2]).unwrap();
    let Signed { bytes, signature } = log.records(0)[2].clone();
    for changed in flips(&bytes) {
        let record = Signed { bytes: changed, signature: signature.clone() };
        assert!(prefix.append(record).is_err());
    }
    for changed in flips(&signature) {
        let record = Signed { bytes: bytes.clone(), signature: changed };
        assert!(prefix.append(record).is_err());
    }
    prefix.append(Signed { bytes, signature }).unwrap();
}

#[test]
fn malformed_though_signed() {
    let founded = found();
    let good = signed(&founded.log, &founded.admin, remove(&founded)).bytes;
    let refuse = |bytes: Vec<u8>, error| {
        let mut log = founded.log.clone();
        let record = Signed::sign(Domain::AdminRecord, &founded.admin, bytes);
        let error = SignedError::Malformed(Domain::AdminRecord, error);
        assert_eq!(log.append(record), Err(AdminError::Signed { seq: 3, error }));
    };
    for cut in 0..good.len() {
        refuse(good[..cut].to_vec(), DecodeError::Malformed);
    }
    refuse([&good[..], &[0]].concat(), DecodeError::Trailing);
    refuse([&[2], &good[1..]].concat(), DecodeError::UnknownVersion(2));
    // The sequence, 3, as two bytes.
    assert_eq!(good[33], 3);
    refuse([&good[..33], &[0x83, 0], &good[34..]].concat(), DecodeError::NotCanonical);
    // A change this version does not have.
    assert_eq!(good[66], 2);
    refuse([&good[..66], &[9], &good[67..]].concat(), DecodeError::Malformed);
    let (len, max) = (ADMIN_RECORD_MAX + 1, ADMIN_RECORD_MAX);
    refuse(vec![1; len], DecodeError::TooLong { len, max });
}

#[test]
fn a_member_before_the_first_epoch() {
    let founded = found();
    let log = &founded.log;
    let mut begun = AdminLog::begin(log.records(0)[0].clone(), &log.drive()).unwrap();
    let record = signed(&begun, &founded.admin, remove(&founded));
    let rule = AdminRule::NoEpoch;
    assert_eq!(begun.append(record), Err(AdminError::Rule { seq: 1, rule }));
}

fn next_epoch(founded: &Founded) -> EpochRecord {
    let (mut log, mut keys) = (founded.log.clone(), founded.keys.clone());
    let read = ReadKey::from_bytes([60; 32]);
    let record = log.begin_epoch(&founded.admin, &mut keys, read, &exchange(61)).unwrap();
    match record.peek::<AdminRecord>().unwrap().change {
        AdminChange::NewEpoch(epoch) => epoch,
        other => panic!("an epoch was asked for, not {other:?}"),
    }
}

#[test]
fn an_epoch_out_of_order() {
    let founded = found();
    for epoch in [0, 1, 3, u32::MAX] {
        let record = EpochRecord { epoch: Epoch(epoch), ..next_epoch(&founded) };
        refused(&founded, AdminChange::NewEpoch(record), AdminRule::EpochOrder);
    }
}

#[test]
fn an_epoch_that_leaves_a_member_out_or_lets_a_stranger_in() {
    let founded = found();
    let good = next_epoch(&founded);
    let none = EpochRecord { wraps: vec![], ..good.clone() };
    refused(&founded, AdminChange::NewEpoch(none), AdminRule::EpochWraps);
    let twice = EpochRecord { wraps: vec![good.wraps[0].clone(); 2], ..good.clone() };
    refused(&founded, AdminChange::NewEpoch(twice), AdminRule::EpochWraps);
    let mut more = good.clone();
    more.wraps.push(wrap_for(&someone(20)));
    more.wraps.sort_by_key(|wrap| wrap.person);
    refused(&founded, AdminChange::NewEpoch(more), AdminRule::EpochWraps);
    let mut short = good;
    short.wraps[0].sealed.pop();
    refused(&founded, AdminChange::NewEpoch(short), AdminRule::BadWrap);
}

#[test]
fn an_epoch_without_the_keys_before_it() {
    let founded = found();
    let mut record = next_epoch(&founded);
    record.previous[1].pop();
    refused(&founded, AdminChange::NewEpoch(record.clone()), AdminRule::EpochPrevious);
    record.previous.pop();
    refused(&founded, AdminChange::NewEpoch(record), AdminRule::EpochPrevious);
}

#[test]
fn a_member_with_unsound_keys_or_somebody_elses_wrap() {
    let founded = found();
    let friend = someone(20);
    let (good, wrap, ticket) = (member_of(&friend, Power::Read), wrap_for(&friend), None);
    let add = |member, wrap| AdminChange::AddMember { member, wrap, ticket };
    let mut small = good;
    small.exchange_key = [0; 32];
    refused(&founded, add(small, wrap.clone()), AdminRule::MemberKey);
    let mut second_form = good;
    second_form.exchange_key[31] |= 0x80;
    refused(&founded, add(second_form, wrap.clone()), AdminRule::MemberKey);
    let mut nobody = good;
    nobody.person = PersonId([0; 32]);
    refused(&founded, add(nobody, wrap.clone()), AdminRule::MemberKey);
    refused(&founded, add(good, wrap_for(&someone(21))), AdminRule::BadWrap);
    let sealed = vec![0; 71];
    refused(&founded, add(good, Wrap { sealed, ..wrap }), AdminRule::BadWrap);
}

#[test]
fn removal_of_a_stranger() {
    let person = someone(20).person.id();
    refused(&found(), AdminChange::RemoveMember { person }, AdminRule::NotMember);
}

#[test]
fn a_writer_who_is_no_member() {
    let writer = enrol(&someone(20), Power::Write);
    refused(&found(), AdminChange::EnrolWriter(writer), AdminRule::NotMember);
}

#[test]
fn a_writer_with_more_power_than_its_person_or_a_power_that_does_not_write() {
    let Founded { admin, founder, mut log, keys } = found();
    let friend = someone(20);
    log.add_member(&admin, member_of(&friend, Power::Read), &keys, &exchange(51)).unwrap();
    for writer in [
        enrol(&friend, Power::Write),
        enrol(&friend, Power::Admin),
        enrol(&founder, Power::Read),
        enrol(&founder, Power::Verify),
    ] {
        let error = log.enrol_writer(&admin, writer).unwrap_err();
        let rule = AdminRule::WriterPower;
        assert_eq!(error, AuthorError::Admin(AdminError::Rule { seq: 4, rule }));
    }
}

#[test]
fn a_writer_with_unsound_keys() {
    let founded = found();
    let good = enrol(&founded.founder, Power::Write);
    let key = Writer { key: [0; 32], ..good.clone() };
    refused(&founded, AdminChange::EnrolWriter(key), AdminRule::WriterKey);
    let node = Writer { node: NodeId([0; 32]), ..good };
    refused(&founded, AdminChange::EnrolWriter(node), AdminRule::WriterKey);
}

#[test]
fn a_writer_of_another_time() {
    let founded = found();
    for from in [0, 3] {
        let writer = Writer { from: Epoch(from), ..enrol(&founded.founder, Power::Write) };
        refused(&founded, AdminChange::EnrolWriter(writer), AdminRule::WriterEpoch);
    }
}

#[test]
fn a_writer_or_an_invitation_twice() {
    let Founded { admin, founder, mut log, keys } = found();
    let writer = Writer { ticket: Some(Hash([1; 32])), ..enrol(&founder, Power::Write) };
    log.enrol_writer(&admin, writer.clone()).unwrap();
    let founded = Founded { admin, founder, log, keys };
    let twice = |change, rule| {
        let mut log = founded.log.clone();
        let error = log.append(signed(&log, &founded.admin, change)).unwrap_err();
        assert_eq!(error, AdminError::Rule { seq: 4, rule });
    };
    twice(AdminChange::EnrolWriter(writer.clone()), AdminRule::WriterTwice);
    let key = WriterKey::new(&seed(41), [0; 16]).public();
    let ticket = writer.ticket;
    twice(AdminChange::EnrolWriter(Writer { key, ..writer }), AdminRule::TicketUsed);
    let friend = someone(20);
    let (member, wrap) = (member_of(&friend, Power::Read), wrap_for(&friend));
    twice(AdminChange::AddMember { member, wrap, ticket }, AdminRule::TicketUsed);
}

#[test]
fn a_cut_of_a_stranger_twice_or_out_of_order() {
    let founded = found();
    let writer = enrol(&founded.founder, Power::Write);
    let cut = |last| AdminChange::CutWriter { writer: writer.key, last };
    refused(&founded, cut(vec![]), AdminRule::NoWriter);
    let mut log = founded.log.clone();
    log.enrol_writer(&founded.admin, writer.clone()).unwrap();
    let last = LastEntry { log: LogId([1; 32]), seq: 1, hash: EntryHash([0; 32]) };
    let error = log.append(signed(&log, &founded.admin, cut(vec![last; 2]))).unwrap_err();
    assert_eq!(error, AdminError::Rule { seq: 4, rule: AdminRule::CutOrder });
    log.cut_off_writer(&founded.admin, writer.key, vec![last]).unwrap();
    let error = log.append(signed(&log, &founded.admin, cut(vec![]))).unwrap_err();
    assert_eq!(error, AdminError::Rule { seq: 5, rule: AdminRule::CutTwice });
}

fn handover(founded: &Founded, new: &SigningKey) -> AdminChange {
    let mut log = founded.log.clone();
    let record = log.hand_over(&founded.admin, new, &exchange(71)).unwrap();
    record.peek::<AdminRecord>().unwrap().change
}

#[test]
fn a_new_admin_who_did_not_consent() {
    let founded = found();
    let new = SigningKey::from_seed(&seed(70));
    let AdminChange::ChangeAdmin { admin, consent, wraps } = handover(&founded, &new) else {
        panic!("a change of admin was asked for");
    };
    let other = SigningKey::from_seed(&seed(72)).public();
    let taken = AdminChange::ChangeAdmin { admin: other, consent: consent.clone(), wraps: wraps.clone() };
    refused(&founded, taken, AdminRule::AdminConsent);
    let none = AdminChange::ChangeAdmin { admin, consent: vec![], wraps };
    refused(&founded, none, AdminRule::AdminConsent);
    let alone = AdminChange::ChangeAdmin { admin, consent, wraps: vec![] };
    refused(&founded, alone, AdminRule::EpochWraps);
}

#[test]
fn an_admin_key_that_has_ruled_before() {
    let mut founded = found();
    let (old, new) = (founded.admin.clone(), SigningKey::from_seed(&seed(70)));
    let same = founded.log.hand_over(&old, &old, &exchange(71)).unwrap_err();
    let rule = AdminRule::AdminKey;
    assert_eq!(same, AuthorError::Admin(AdminError::Rule { seq: 3, rule }));
    founded.log.hand_over(&old, &new, &exchange(71)).unwrap();
    let back = founded.log.hand_over(&new, &old, &exchange(72)).unwrap_err();
    assert_eq!(back, AuthorError::Admin(AdminError::Rule { seq: 4, rule }));
}

#[test]
fn keys_that_are_not_the_drives() {
    let Founded { log, keys, .. } = found();
    let (drive, epoch) = (log.drive(), Epoch::FIRST);
    for level in [Power::Verify, Power::Repair, Power::Read] {
        let wrong = LevelKey::new(level, [99; 32]);
        let error = log.unlock(epoch, wrong).unwrap_err();
        assert_eq!(error, UnlockError::WrongKey { drive, epoch, level });
    }
    let read = keys.level(epoch).unwrap();
    // The right bytes under the name of another level.
    assert!(log.unlock(epoch, LevelKey::new(Power::Repair, *read.expose())).is_err());
    let error = log.unlock(Epoch(2), read.clone()).unwrap_err();
    assert_eq!(error, UnlockError::NoEpoch(drive, Epoch(2)));
}

#[test]
fn an_admin_who_gives_a_false_key() {
    let mut founded = found();
    let friend = someone(20);
    let member = member_of(&friend, Power::Read);
    // Wrapped soundly, but not the key that the epoch committed to.
    let read = LevelKey::Read(ReadKey::from_bytes([99; 32]));
    let false_keys = DriveKeys::new(founded.log.drive(), Epoch::FIRST, read);
    founded.log.add_member(&founded.admin, member, &false_keys, &exchange(51)).unwrap();
    let error = founded.log.unlock_member(&member.person, &friend.person.sharing(0)).unwrap_err();
    let (drive, epoch, level) = (founded.log.drive(), Epoch::FIRST, Power::Read);
    assert_eq!(error, UnlockError::WrongKey { drive, epoch, level });
}
