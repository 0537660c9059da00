//! Rejection of a drive's first record, each case named after the flaw.

use super::*;

#[test]
fn genesis_of_another_drive() {
    let log = found().log;
    let other = DriveId([1; 32]);
    let error = AdminLog::load(&other, log.records(0)).unwrap_err();
    let flaw = GenesisError::OtherDrive { found: log.drive(), expected: other };
    assert_eq!(error, AdminError::Genesis(flaw));
}

#[test]
fn genesis_with_any_flipped_bit() {
    let log = found().log;
    let genesis = &log.records(0)[0];
    for bytes in flips(&genesis.bytes) {
        let changed = Signed { bytes, signature: genesis.signature.clone() };
        assert!(Genesis::verify(&changed, &log.drive()).is_err());
        // Not even as the drive that the changed bytes would name.
        assert!(Genesis::verify(&changed, &Genesis::drive_id(&changed)).is_err());
    }
    for signature in flips(&genesis.signature) {
        let changed = Signed { bytes: genesis.bytes.clone(), signature };
        assert!(Genesis::verify(&changed, &log.drive()).is_err());
    }
}

fn genesis_refused(change: impl FnOnce(&mut Vec<u8>)) -> GenesisError {
    let Founded { admin, log, .. } = found();
    let mut bytes = log.records(0)[0].bytes.clone();
    change(&mut bytes);
    let changed = Signed::sign(Domain::Genesis, &admin, bytes);
    Genesis::verify(&changed, &Genesis::drive_id(&changed)).unwrap_err()
}

#[test]
fn genesis_malformed_though_signed() {
    let malformed = |error| GenesisError::Signed(SignedError::Malformed(Domain::Genesis, error));
    let len = found().log.records(0)[0].bytes.len();
    for cut in 0..len {
        let error = genesis_refused(|bytes| bytes.truncate(cut));
        assert_eq!(error, malformed(DecodeError::Malformed), "cut to {cut}");
    }
    assert_eq!(genesis_refused(|bytes| bytes.push(0)), malformed(DecodeError::Trailing));
    assert_eq!(genesis_refused(|bytes| bytes[0] = 2), malformed(DecodeError::UnknownVersion(2)));
    // The length of the sealed name, 105, as two bytes.
    let overlong = genesis_refused(|bytes| {
        assert_eq!(bytes[33], 105);
        bytes.splice(33..34, [0x80 | 105, 0]);
    });
    assert_eq!(overlong, malformed(DecodeError::NotCanonical));
    let long = genesis_refused(|bytes| bytes.resize(513, 0));
    assert_eq!(long, malformed(DecodeError::TooLong { len: 513, max: 512 }));
}

#[test]
fn genesis_in_the_wrong_domain() {
    let Founded { admin, log, .. } = found();
    let changed = Signed::sign(Domain::AdminRecord, &admin, log.records(0)[0].bytes.clone());
    let error = Genesis::verify(&changed, &log.drive()).unwrap_err();
    assert_eq!(error, GenesisError::Signed(SignedError::Forged(Domain::Genesis)));
}

#[test]
fn genesis_with_a_small_order_admin_key() {
    let error = genesis_refused(|bytes| bytes[1..33].copy_from_slice(&[0; 32]));
    assert_eq!(error, GenesisError::Signed(SignedError::BadKey));
}

#[test]
fn genesis_whose_name_shows_its_length() {
    let error = genesis_refused(|bytes| {
        bytes[33] = 104;
        bytes.remove(34);
    });
    assert!(matches!(error, GenesisError::Name(_)));
}
