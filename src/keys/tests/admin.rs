use super::*;

fn writer_key(byte: u8) -> WriterKey {
    WriterKey::new(&seed(byte), [byte; 16])
}

#[test]
fn a_founded_drive_loads_from_its_records() {
    let Founded { founder, log, keys, .. } = found();
    let loaded = AdminLog::load(&log.drive(), log.records(0)).unwrap();
    assert_eq!(loaded.head(), log.head());
    assert_eq!((loaded.len(), loaded.epoch()), (3, Epoch::FIRST));
    assert_eq!(loaded.member(&founder.person.id()).unwrap().power, Power::Admin);
    assert_eq!(keys.drive(), log.drive());
    loaded.require(&log.head()).unwrap();
}

#[test]
fn readers_see_the_name_and_holders_do_not() {
    let Founded { log, keys, .. } = found();
    let entry = keys.entry_key(Epoch::FIRST).unwrap();
    assert_eq!(log.genesis().name(entry).unwrap(), "family");
    let record = &log.records(0)[0].bytes;
    assert!(!record.windows(6).any(|part| part == b"family"));
    let other = ReadKey::from_bytes([9; 32]).entry_key();
    assert!(log.genesis().name(&other).is_err());
}

#[test]
fn names_of_all_lengths_are_sealed_alike() {
    let key = ReadKey::from_bytes([3; 32]).entry_key();
    let lengths: Vec<_> =
        [1, 7, LABEL_MAX].map(|len| seal_name(&key, &[4; 32], &"x".repeat(len)).unwrap().len()).to_vec();
    assert_eq!(lengths, [105; 3]);
    for bad in ["", &"x".repeat(LABEL_MAX + 1), "two\nlines"] {
        assert_eq!(seal_name(&key, &[4; 32], bad), Err(NameError::Label));
    }
}

#[test]
fn members_get_keys_of_their_power_and_no_more() {
    let Founded { admin, mut log, keys, .. } = found();
    for (byte, power, level) in [
        (20, Power::Write, Power::Read),
        (21, Power::Read, Power::Read),
        (22, Power::Repair, Power::Repair),
        (23, Power::Verify, Power::Verify),
    ] {
        let friend = someone(byte);
        let id = friend.person.id();
        log.add_member(&admin, member_of(&friend, power), &keys, &exchange(byte)).unwrap();
        let theirs = log.unlock_member(&id, &friend.person.sharing(0)).unwrap();
        assert_eq!((theirs.power(), theirs.epoch()), (level, Epoch::FIRST));
        let stranger = log.unlock_member(&id, &exchange(99)).unwrap_err();
        assert_eq!(stranger, UnlockError::Damaged(log.drive(), Epoch::FIRST));
    }
}

#[test]
fn an_enrolled_writer_may_append_with_its_own_key() {
    let Founded { admin, founder, mut log, .. } = found();
    let key = writer_key(40);
    assert_eq!(log.may_append(&key.public(), Epoch(1)), Err(AppendError::NotEnrolled));
    let writer = writer_of(&founder, &key, Power::Write, Epoch(1));
    log.enrol_writer(&admin, writer).unwrap();
    assert_eq!(log.may_append(&key.public(), Epoch(1)), Ok(Power::Write));
    let (entry, current) = (Epoch(2), Epoch(1));
    let early = log.may_append(&key.public(), entry);
    assert_eq!(early, Err(AppendError::NewEpoch { entry, current }));
}

#[test]
fn an_old_key_opens_no_later_epoch_and_a_new_one_opens_all() {
    let Founded { admin, founder, mut log, mut keys } = found();
    let (gone, stays) = (someone(20), someone(21));
    let mut one_time = 50;
    for friend in [&gone, &stays] {
        one_time += 1;
        log.add_member(&admin, member_of(friend, Power::Repair), &keys, &exchange(one_time)).unwrap();
    }
    let before = log.unlock_member(&gone.person.id(), &gone.person.sharing(0)).unwrap();
    let key = writer_key(40);
    let writer = writer_of(&founder, &key, Power::Admin, Epoch(1));
    log.enrol_writer(&admin, writer).unwrap();
    log.remove_member(&admin, gone.person.id()).unwrap();
    let read = ReadKey::from_bytes([60; 32]);
    log.begin_epoch(&admin, &mut keys, read, &exchange(61)).unwrap();
    assert_eq!((log.epoch(), keys.epoch()), (Epoch(2), Epoch(2)));

    let none = log.unlock_member(&gone.person.id(), &gone.person.sharing(0)).unwrap_err();
    assert_eq!(none, UnlockError::NotMember(log.drive(), gone.person.id()));
    let old = before.level(Epoch(1)).unwrap().clone();
    assert!(log.unlock(Epoch(2), old.clone()).is_err(), "the old key passed for the new");
    log.unlock(Epoch(1), old).expect("what one could read one can read");

    let theirs = log.unlock_member(&stays.person.id(), &stays.person.sharing(0)).unwrap();
    assert_eq!(theirs.epochs().collect::<Vec<_>>(), [Epoch(1), Epoch(2)]);
    assert_eq!(theirs.power(), Power::Repair);
    let all = log.unlock_member(&founder.person.id(), &founder.person.sharing(0)).unwrap();
    assert_eq!(all.power(), Power::Read);
    for epoch in [Epoch(1), Epoch(2)] {
        let pack = PackId([1; 32]);
        let node = founder.device.node();
        let stream = |keys: &DriveKeys| keys.holder_stream(epoch, &pack, 0, &node).unwrap();
        assert_eq!(stream(&theirs), stream(&keys));
        assert_eq!(all.chunk_id(epoch, b"x").unwrap(), keys.chunk_id(epoch, b"x").unwrap());
    }
    let (entry, current) = (Epoch(1), Epoch(2));
    let late = log.may_append(&key.public(), entry);
    assert_eq!(late, Err(AppendError::OldEpoch { entry, current }));
    assert_eq!(log.may_append(&key.public(), Epoch(2)), Ok(Power::Admin));
    AdminLog::load(&log.drive(), log.records(0)).unwrap();
}

#[test]
fn removed_and_cut_writers_append_no_more() {
    let Founded { admin, founder, mut log, keys } = found();
    let friend = someone(20);
    log.add_member(&admin, member_of(&friend, Power::Write), &keys, &exchange(51)).unwrap();
    let (theirs, ours) = (writer_key(40), writer_key(41));
    log.enrol_writer(&admin, writer_of(&friend, &theirs, Power::Write, Epoch(1))).unwrap();
    log.enrol_writer(&admin, writer_of(&founder, &ours, Power::Write, Epoch(1))).unwrap();
    log.remove_member(&admin, friend.person.id()).unwrap();
    assert_eq!(log.may_append(&theirs.public(), Epoch(1)), Err(AppendError::NoMember));
    let last = LastEntry { log: theirs.log(), seq: 7, hash: EntryHash([1; 32]) };
    log.cut_off_writer(&admin, theirs.public(), vec![last]).unwrap();
    assert_eq!(log.may_append(&theirs.public(), Epoch(1)), Err(AppendError::Cut));
    let cut = log.writer(&theirs.public()).unwrap();
    assert_eq!(cut.end_of(&theirs.log()), LogEnd::After(last));
    assert_eq!(cut.end_of(&theirs.reincarnate([9; 16]).log()), LogEnd::Void);
    assert_eq!(log.writer(&ours.public()).unwrap().end_of(&ours.log()), LogEnd::Open);
    assert_eq!(log.may_append(&ours.public(), Epoch(1)), Ok(Power::Write));
}

#[test]
fn a_member_whose_power_is_lowered_writes_no_more() {
    let Founded { admin, mut log, keys, .. } = found();
    let friend = someone(20);
    log.add_member(&admin, member_of(&friend, Power::Write), &keys, &exchange(51)).unwrap();
    let key = writer_key(40);
    log.enrol_writer(&admin, writer_of(&friend, &key, Power::Write, Epoch(1))).unwrap();
    for (power, expected) in [
        (Power::Read, Err(AppendError::NoMember)),
        (Power::Repair, Ok(Power::Repair)),
        (Power::Admin, Ok(Power::Write)),
    ] {
        log.add_member(&admin, member_of(&friend, power), &keys, &exchange(52)).unwrap();
        assert_eq!(log.may_append(&key.public(), Epoch(1)), expected, "as {power}");
    }
}

#[test]
fn a_former_admin_rules_no_more() {
    let Founded { admin, founder, mut log, keys } = found();
    let new = SigningKey::from_seed(&seed(70));
    let record = log.hand_over(&admin, &new, &exchange(71)).unwrap();
    assert_eq!(*log.admin(), new.public());
    let member = member_of(&someone(20), Power::Read);
    let old = log.add_member(&admin, member, &keys, &exchange(51));
    assert_eq!(old, Err(AuthorError::NotAdmin(log.drive())));
    log.add_member(&new, member, &keys, &exchange(51)).unwrap();
    let AdminChange::ChangeAdmin { wraps, .. } = record.peek::<AdminRecord>().unwrap().change else {
        panic!("a change of admin was asked for");
    };
    let secret = founder.person.sharing(0);
    let given = log.unlock_admin(Epoch(1), &wraps[0], &secret).unwrap();
    assert_eq!(given.public(), new.public());
    AdminLog::load(&log.drive(), log.records(0)).unwrap();
}

#[test]
fn records_known_already_are_no_news() {
    let Founded { log, .. } = found();
    let mut other = AdminLog::begin(log.records(0)[0].clone(), &log.drive()).unwrap();
    assert_eq!(other.extend(1, log.records(1)).unwrap(), 2);
    assert_eq!(other.extend(0, log.records(0)).unwrap(), 0);
    assert_eq!(other.extend(2, log.records(2)).unwrap(), 0);
    assert_eq!(other.head(), log.head());
    assert_eq!(log.records(99), &[]);
}

#[test]
fn a_log_id_is_of_the_key_and_the_incarnation() {
    let key = writer_key(40);
    assert_eq!(key.log(), log_id(&key.public(), &[40; 16]));
    assert_ne!(key.log(), key.reincarnate([41; 16]).log());
    assert_ne!(key.log(), WriterKey::new(&seed(41), [40; 16]).log());
    assert_eq!(key.public(), key.reincarnate([41; 16]).public());
}
