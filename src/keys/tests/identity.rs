use super::*;

fn body() -> Certificate {
    let Someone { person, device, .. } = someone(2);
    device.certificate(person.id(), "laptop", household(b"home"), 100, 1)
}

/// Signed by the person it names, whatever it says.
fn certify(change: impl FnOnce(&mut Certificate)) -> Signed {
    let mut certificate = body();
    change(&mut certificate);
    someone(2).person.certify(&certificate)
}

#[test]
fn a_certificate_holds_from_its_first_day_to_the_last() {
    let Someone { certificate, device, person } = someone(2);
    let certificate = Certificate::verify_for(&certificate, &device.node(), TODAY).unwrap();
    assert_eq!(certificate.person, person.id());
    let node = certificate.node;
    for (day, sound) in [(99, false), (100, true), (189, true), (190, false), (u32::MAX, false)] {
        assert_eq!(certificate.valid_on(day).is_ok(), sound, "day {day}");
    }
    assert_eq!(certificate.valid_on(99), Err(CertificateError::NotYet { node, from: 100 }));
    assert_eq!(certificate.valid_on(190), Err(CertificateError::Expired { node, on: 190 }));
}

#[test]
fn all_keys_of_a_device_differ() {
    let Someone { person, device, .. } = someone(2);
    let keys = [
        person.id().0,
        person.sharing(0).public(),
        person.sharing(1).public(),
        device.node().0,
        device.signing().public(),
        device.exchange().public(),
        *device.local().expose(),
        *device.seed().expose(),
    ];
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn certificate_of_another_node() {
    let Someone { certificate, device, .. } = someone(2);
    let expected = someone(3).device.node();
    let error = Certificate::verify_for(&certificate, &expected, TODAY).unwrap_err();
    assert_eq!(error, CertificateError::OtherNode { found: device.node(), expected });
}

#[test]
fn certificate_with_any_flipped_bit() {
    let Signed { bytes, signature } = someone(2).certificate;
    for changed in flips(&bytes) {
        let signed = Signed { bytes: changed, signature: signature.clone() };
        assert!(Certificate::verify(&signed, TODAY).is_err());
    }
    for changed in flips(&signature) {
        let signed = Signed { bytes: bytes.clone(), signature: changed };
        assert!(Certificate::verify(&signed, TODAY).is_err());
    }
}

#[test]
fn certificate_signed_by_somebody_else() {
    let signed = someone(3).person.certify(&body());
    let error = Certificate::verify(&signed, TODAY).unwrap_err();
    assert_eq!(error, CertificateError::Signed(SignedError::Forged(Domain::Certificate)));
}

#[test]
fn certificate_in_the_wrong_domain() {
    let bytes = someone(2).certificate.bytes;
    let signed = Signed::sign(Domain::Revocation, someone(2).person.signing(), bytes);
    let error = Certificate::verify(&signed, TODAY).unwrap_err();
    assert_eq!(error, CertificateError::Signed(SignedError::Forged(Domain::Certificate)));
}

#[test]
fn certificate_malformed_though_signed() {
    let good = someone(2).certificate.bytes;
    let refuse = |bytes: Vec<u8>, error| {
        let signed = Signed::sign(Domain::Certificate, someone(2).person.signing(), bytes);
        let error = SignedError::Malformed(Domain::Certificate, error);
        let found = Certificate::verify(&signed, TODAY).unwrap_err();
        assert_eq!(found, CertificateError::Signed(error));
    };
    for cut in 0..good.len() {
        refuse(good[..cut].to_vec(), DecodeError::Malformed);
    }
    refuse([&good[..], &[0]].concat(), DecodeError::Trailing);
    refuse([&[2], &good[1..]].concat(), DecodeError::UnknownVersion(2));
    // The length of the label, 6, as two bytes; a label that is not UTF-8.
    assert_eq!(good[129], 6);
    refuse([&good[..129], &[0x86, 0], &good[130..]].concat(), DecodeError::NotCanonical);
    refuse([&good[..130], &[0xff], &good[131..]].concat(), DecodeError::Malformed);
    let (len, max) = (CERTIFICATE_MAX + 1, CERTIFICATE_MAX);
    refuse(vec![1; len], DecodeError::TooLong { len, max });
}

#[test]
fn certificate_with_unsound_keys() {
    let bad = Err(CertificateError::Signed(SignedError::BadKey));
    let small_order = [0; 32];
    assert_eq!(Certificate::verify(&certify(|c| c.node = NodeId(small_order)), TODAY), bad);
    assert_eq!(Certificate::verify(&certify(|c| c.signing_key = small_order), TODAY), bad);
    assert_eq!(Certificate::verify(&certify(|c| c.exchange_key = small_order), TODAY), bad);
    assert_eq!(Certificate::verify(&certify(|c| c.exchange_key[31] |= 0x80), TODAY), bad);
    assert_eq!(Certificate::verify(&certify(|c| c.person = PersonId(small_order)), TODAY), bad);
}

#[test]
fn certificate_that_uses_one_key_twice() {
    let node = body().node;
    let shared = Err(CertificateError::SharedKey(node));
    assert_eq!(Certificate::verify(&certify(|c| c.signing_key = c.node.0), TODAY), shared);
    assert_eq!(Certificate::verify(&certify(|c| c.signing_key = c.person.0), TODAY), shared);
}

#[test]
fn certificate_with_a_label_that_is_too_long_or_not_for_a_screen() {
    let node = body().node;
    for label in ["x".repeat(LABEL_MAX + 1), "a\nb".into(), "\u{1b}[2J".into()] {
        let signed = certify(|c| c.label = label);
        assert_eq!(Certificate::verify(&signed, TODAY), Err(CertificateError::Label(node)));
    }
    Certificate::verify(&certify(|c| c.label = "é".repeat(LABEL_MAX / 2)), TODAY).unwrap();
}

#[test]
fn a_revoked_device() {
    let Someone { person, device, certificate } = someone(2);
    let certificate = Certificate::verify(&certificate, TODAY).unwrap();
    let mut revocations = Revocations::default();
    revocations.check(&certificate).unwrap();
    // Another person cannot revoke it.
    assert!(revocations.insert(someone(3).person.revoke(device.node(), 110)).unwrap());
    revocations.check(&certificate).unwrap();
    let record = person.revoke(device.node(), 110);
    assert!(revocations.insert(record.clone()).unwrap());
    assert!(!revocations.insert(record).unwrap(), "no news");
    let error = revocations.check(&certificate).unwrap_err();
    assert_eq!(error, CertificateError::Revoked(device.node()));
    assert_eq!(revocations.iter().count(), 2);
}

#[test]
fn revocation_forged_or_malformed() {
    let Someone { person, device, .. } = someone(2);
    let Signed { bytes, signature } = person.revoke(device.node(), 110);
    let mut revocations = Revocations::default();
    for changed in flips(&bytes) {
        let signed = Signed { bytes: changed, signature: signature.clone() };
        assert!(revocations.insert(signed).is_err());
    }
    let longer = Signed::sign(Domain::Revocation, person.signing(), [&bytes[..], &[0]].concat());
    let error = SignedError::Malformed(Domain::Revocation, DecodeError::Trailing);
    assert_eq!(revocations.insert(longer), Err(error));
    assert_eq!(revocations.iter().count(), 0);
}

#[test]
fn the_tls_key_in_the_forms_of_rfc_8410() {
    // The example of RFC 8410, section 10.3 (the key) and 10.1 (the public half).
    let seed = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
    let seed = data_encoding::HEXLOWER.decode(seed.as_bytes()).unwrap();
    let key = SigningKey::from_seed(&Seed::from_bytes(seed.try_into().unwrap()));
    let public = concat!(
        "302a300506032b6570032100",
        "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
    );
    assert_eq!(data_encoding::HEXLOWER.encode(&spki(&NodeId(key.public()))), public);
    let device = someone(2).device;
    // A second implementation reads the private key and writes the public one.
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(device.tls_pkcs8().to_vec());
    let theirs = rustls::crypto::ring::sign::any_eddsa_type(&der).unwrap();
    assert_eq!(theirs.public_key().unwrap().as_ref(), spki(&device.node()));
    let signer = theirs.choose_scheme(&[rustls::SignatureScheme::ED25519]).unwrap();
    let mut signature = signer.sign(b"handshake").unwrap();
    verify_tls(&device.node(), b"handshake", &signature).unwrap();
    assert_eq!(verify_tls(&device.node(), b"other", &signature), Err(SignedError::BadSignature));
    signature[0] ^= 1;
    assert!(verify_tls(&device.node(), b"handshake", &signature).is_err());
    assert_eq!(node_of_spki(&spki(&device.node())), Ok(device.node()));
}

#[test]
fn spki_in_any_other_form() {
    let node = someone(2).device.node();
    let good = spki(&node);
    for cut in 0..good.len() {
        assert_eq!(node_of_spki(&good[..cut]), Err(SignedError::BadKey));
    }
    assert_eq!(node_of_spki(&[&good[..], &[0]].concat()), Err(SignedError::BadKey));
    for changed in flips(&good) {
        assert_ne!(node_of_spki(&changed), Ok(node));
    }
    for changed in flips(&good[..12]) {
        let other = [&changed[..], &good[12..]].concat();
        assert_eq!(node_of_spki(&other), Err(SignedError::BadKey));
    }
    assert_eq!(node_of_spki(&spki(&NodeId([0; 32]))), Err(SignedError::BadKey));
}

#[test]
fn exchange_with_a_key_of_small_order() {
    // Every x-coordinate of small order, canonical or not (RFC 7748 section 6.1, libsodium).
    for text in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let key = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap();
        assert_eq!(exchange(1).agree(&key), None, "{text}");
        assert_eq!(check_exchange_key(&key), Err(SignedError::BadKey));
    }
}

#[test]
fn exchange_keys_that_are_not_canonical() {
    for low in 0xed..=0xff {
        let mut key = [0xff; 32];
        (key[0], key[31]) = (low, 0x7f);
        assert_eq!(check_exchange_key(&key), Err(SignedError::BadKey));
    }
    let mut largest = [0xff; 32];
    (largest[0], largest[31]) = (0xeb, 0x7f);
    check_exchange_key(&largest).unwrap();
}

#[test]
fn both_sides_agree() {
    let (a, b) = (exchange(1), exchange(2));
    assert_eq!(a.agree(&b.public()), b.agree(&a.public()));
    assert!(a.agree(&b.public()).is_some());
}
