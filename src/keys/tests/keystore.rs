use super::*;
use std::collections::BTreeMap;

const SALT: [u8; 16] = [77; 16];

pub(super) fn sample() -> Keystore {
    let Founded { founder, log, keys, admin } = found();
    let drive = DriveSecrets {
        label: "family".into(),
        power: Power::Admin,
        epoch: Epoch(1),
        key: Seed::from_bytes(*keys.level(Epoch(1)).unwrap().expose()),
        head: log.head(),
        admin: Some(admin.seed()),
        writer: Some(WriterSecrets { seed: seed(40), incarnation: [41; 16] }),
    };
    let invitation = Invitation {
        drive: log.drive(),
        power: Power::Write,
        secret: EnrolmentSecret::from_bytes([30; 16]),
        expires: 130,
        person: None,
    };
    Keystore {
        person: PersonSecrets::new(&founder.person),
        device: founder.device.seed().clone(),
        certificate: Some(founder.certificate),
        drives: BTreeMap::from([(log.drive(), drive)]),
        invitations: vec![invitation],
        other: BTreeMap::from([("tickets".into(), Sensitive(vec![55; 40]))]),
    }
}

fn file_key() -> FileKey {
    FileKey::from_bytes([66; 32])
}

pub(super) fn with_passphrase() -> Vec<u8> {
    sample().seal(Unlock::Passphrase("correct horse"), Argon2Cost::TEST, SALT).unwrap()
}

pub(super) fn with_file_key() -> Vec<u8> {
    sample().seal(Unlock::FileKey(&file_key()), Argon2Cost::DEFAULT, SALT).unwrap()
}

#[test]
fn a_keystore_opens_with_what_sealed_it() {
    let opened = Keystore::open(&with_passphrase(), Unlock::Passphrase("correct horse")).unwrap();
    assert_eq!(opened, sample());
    assert_eq!(Keystore::open(&with_file_key(), Unlock::FileKey(&file_key())).unwrap(), sample());
    assert_eq!(Keystore::lock(&with_passphrase()), Ok(Lock::Passphrase(Argon2Cost::TEST)));
    assert_eq!(Keystore::lock(&with_file_key()), Ok(Lock::FileKey));
}

#[test]
fn what_is_in_it_makes_the_same_keys() {
    let (keystore, Founded { founder, log, keys, admin }) = (sample(), found());
    assert_eq!(keystore.device_keys().node(), founder.device.node());
    assert_eq!(keystore.person_key().unwrap().id(), founder.person.id());
    assert_eq!(keystore.sharing_key().public(), founder.person.sharing(0).public());
    let drive = &keystore.drives[&log.drive()];
    assert_eq!(drive.admin_key().unwrap().public(), admin.public());
    assert_eq!(drive.writer_key().unwrap().incarnation(), &[41; 16]);
    let unlocked = log.unlock(drive.epoch, drive.level_key()).unwrap();
    assert_eq!(unlocked.chunk_id(Epoch(1), b"x"), keys.chunk_id(Epoch(1), b"x"));
}

#[test]
fn the_default_cost_is_64_mib_and_three_passes() {
    let cost = Argon2Cost::DEFAULT;
    assert_eq!((cost.memory_kib, cost.passes, cost.lanes), (65536, 3, 1));
    let file = sample().seal(Unlock::Passphrase("x"), cost, SALT).unwrap();
    assert_eq!(Keystore::lock(&file), Ok(Lock::Passphrase(cost)));
    assert_eq!(Keystore::open(&file, Unlock::Passphrase("x")).unwrap(), sample());
}

#[test]
fn a_wrong_passphrase() {
    for wrong in ["", "Correct horse", "correct horse "] {
        let error = Keystore::open(&with_passphrase(), Unlock::Passphrase(wrong)).unwrap_err();
        assert_eq!(error, KeystoreError::WrongPassphrase);
    }
    assert_eq!(KeystoreError::WrongPassphrase.to_string(), "the passphrase is wrong");
}

#[test]
fn another_key_file_or_another_kind_of_lock() {
    let other = FileKey::from_bytes([67; 32]);
    let error = Keystore::open(&with_file_key(), Unlock::FileKey(&other)).unwrap_err();
    assert_eq!(error, KeystoreError::WrongFileKey);
    let error = Keystore::open(&with_file_key(), Unlock::Passphrase("x")).unwrap_err();
    assert_eq!(error, KeystoreError::NeedsFileKey);
    let error = Keystore::open(&with_passphrase(), Unlock::FileKey(&file_key())).unwrap_err();
    assert_eq!(error, KeystoreError::NeedsPassphrase);
}

#[test]
fn any_flipped_bit() {
    let file = with_passphrase();
    for (bit, changed) in flips(&file).enumerate() {
        let error = Keystore::open(&changed, Unlock::Passphrase("correct horse")).unwrap_err();
        let expected = match bit / 8 {
            0..8 => KeystoreError::NotKeystore,
            8 => KeystoreError::UnknownVersion(changed[8]),
            _ => KeystoreError::Damaged,
        };
        assert_eq!(error, expected, "bit {bit}");
    }
}

#[test]
fn truncated_or_lengthened() {
    let mut file = with_file_key();
    for len in 0..file.len() {
        let error = Keystore::open(&file[..len], Unlock::FileKey(&file_key())).unwrap_err();
        let expected = if len < 8 { KeystoreError::NotKeystore } else { KeystoreError::Damaged };
        assert_eq!(error, expected, "cut to {len}");
    }
    file.push(0);
    let error = Keystore::open(&file, Unlock::FileKey(&file_key())).unwrap_err();
    assert_eq!(error, KeystoreError::Damaged);
}

/// A header with the right checksum, whatever it says.
fn forged(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut file = with_passphrase();
    change(&mut file[..54]);
    let sum = hash(Purpose::KeystoreHeader, &[&file[..54]]);
    file[54..62].copy_from_slice(&sum.0[..8]);
    file
}

#[test]
fn a_header_that_asks_for_too_much_or_too_little_work() {
    for (at, value) in [(10, (1 << 20) + 1), (14, 17), (18, 5), (10, 0), (14, 0), (18, 0)] {
        let file = forged(|header| header[at..at + 4].copy_from_slice(&u32::to_le_bytes(value)));
        let error = Keystore::open(&file, Unlock::Passphrase("correct horse")).unwrap_err();
        assert_eq!(error, KeystoreError::Cost);
    }
}

#[test]
fn a_header_whose_cost_was_lowered() {
    // The passphrase cannot be made cheaper to guess in an existing file.
    let file = sample()
        .seal(Unlock::Passphrase("p"), Argon2Cost { memory_kib: 16, ..Argon2Cost::TEST }, SALT)
        .unwrap();
    let mut cheaper = file.clone();
    cheaper[10..14].copy_from_slice(&8u32.to_le_bytes());
    let sum = hash(Purpose::KeystoreHeader, &[&cheaper[..54]]);
    cheaper[54..62].copy_from_slice(&sum.0[..8]);
    let error = Keystore::open(&cheaper, Unlock::Passphrase("p")).unwrap_err();
    assert_eq!(error, KeystoreError::WrongPassphrase);
}

#[test]
fn an_unknown_lock() {
    let file = forged(|header| header[9] = 2);
    assert_eq!(Keystore::lock(&file), Err(KeystoreError::Damaged));
}

#[test]
fn the_body_of_another_keystore() {
    let other = sample().seal(Unlock::Passphrase("correct horse"), Argon2Cost::TEST, [78; 16]).unwrap();
    let mixed = [&with_passphrase()[..62], &other[62..]].concat();
    let error = Keystore::open(&mixed, Unlock::Passphrase("correct horse")).unwrap_err();
    assert_eq!(error, KeystoreError::Damaged);
}

/// Sealed soundly with the file key, whatever it holds.
fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut file = with_file_key()[..62].to_vec();
    let seal = SealKey::derive(file_key().expose(), &file, Kind::Keystore, b"");
    seal.seal_into(Position::WHOLE, plain, &mut file);
    file
}

#[test]
fn malformed_though_sealed() {
    let good = encode_secret(&sample());
    let refuse = |plain: &[u8], error| {
        let found = Keystore::open(&sealed(plain), Unlock::FileKey(&file_key())).unwrap_err();
        assert_eq!(found, KeystoreError::Malformed(error));
    };
    assert_eq!(Keystore::open(&sealed(&good), Unlock::FileKey(&file_key())).unwrap(), sample());
    for cut in 0..good.len() {
        refuse(&good[..cut], DecodeError::Malformed);
    }
    refuse(&[&good[..], &[0]].concat(), DecodeError::Trailing);
    // The generation, 0, as two bytes.
    assert_eq!(good[97], 0);
    refuse(&[&good[..97], &[0x80, 0], &good[98..]].concat(), DecodeError::NotCanonical);
}

#[test]
fn no_secret_is_readable_in_the_file_or_in_debug() {
    let (file, shown) = (with_passphrase(), format!("{:?}", sample()));
    for byte in [1u8, 2, 3, 30, 40, 55, 102] {
        assert!(!file.windows(16).any(|part| part == [byte; 16]));
        let text = vec![byte.to_string(); 8].join(", ");
        assert!(!shown.contains(&text), "{shown}");
    }
}
