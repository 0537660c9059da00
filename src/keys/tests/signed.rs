use super::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Sample {
    number: u64,
    text: Vec<u8>,
}

impl Record for Sample {
    const DOMAIN: Domain = Domain::Test;
    const MAX: usize = 64;
}

fn key() -> SigningKey {
    SigningKey::from_seed(&seed(7))
}

fn sample() -> Signed {
    Signed::record(&key(), &Sample { number: 5, text: b"abc".to_vec() })
}

/// Points of small order, in every encoding that decodes (RFC 8032 and libsodium's list).
const SMALL_ORDER: [&str; 8] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
];

fn small_order() -> impl Iterator<Item = [u8; 32]> {
    SMALL_ORDER
        .iter()
        .map(|text| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap())
}

#[test]
fn what_was_signed_opens() {
    let value: Sample = sample().open(&key().public()).unwrap();
    assert_eq!(value, Sample { number: 5, text: b"abc".to_vec() });
}

#[test]
fn the_signature_is_plain_ed25519_over_domain_zero_bytes() {
    let dalek = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let message = b"kith v1 test signature\0\x01\x05\x03abc";
    let expected = ed25519_dalek::Signer::sign(&dalek, message).to_bytes();
    assert_eq!(sample().bytes, b"\x01\x05\x03abc");
    assert_eq!(sample().signature, expected);
}

#[test]
fn wrong_domain() {
    for &domain in DOMAINS {
        let sound = domain == Domain::Test;
        assert_eq!(sample().verify(domain, &key().public()).is_ok(), sound, "{domain:?}");
    }
}

#[test]
fn another_signer() {
    let other = SigningKey::from_seed(&seed(8)).public();
    assert_eq!(sample().open::<Sample>(&other), Err(SignedError::Forged(Domain::Test)));
}

#[test]
fn any_flipped_bit() {
    let Signed { bytes, signature } = sample();
    for changed in flips(&bytes) {
        let signed = Signed { bytes: changed, signature: signature.clone() };
        assert!(signed.open::<Sample>(&key().public()).is_err());
    }
    for changed in flips(&signature) {
        let signed = Signed { bytes: bytes.clone(), signature: changed };
        assert!(signed.open::<Sample>(&key().public()).is_err());
    }
    for changed in flips(&key().public()) {
        assert!(sample().open::<Sample>(&changed.try_into().unwrap()).is_err());
    }
}

#[test]
fn truncated_or_lengthened_signature() {
    let Signed { bytes, signature } = sample();
    for len in 0..signature.len() {
        let signed = Signed { bytes: bytes.clone(), signature: signature[..len].to_vec() };
        assert_eq!(signed.open::<Sample>(&key().public()), Err(SignedError::Forged(Domain::Test)));
    }
    let longer = [&signature[..], &[0]].concat();
    let signed = Signed { bytes, signature: longer };
    assert_eq!(signed.open::<Sample>(&key().public()), Err(SignedError::Forged(Domain::Test)));
}

#[test]
fn a_second_form_of_the_signature() {
    // S + L, L the order of the group: the same scalar, not reduced.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let order = data_encoding::HEXLOWER.decode(order.as_bytes()).unwrap();
    let Signed { bytes, mut signature } = sample();
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    let signed = Signed { bytes, signature };
    assert_eq!(signed.open::<Sample>(&key().public()), Err(SignedError::Forged(Domain::Test)));
}

#[test]
fn small_order_keys() {
    for point in small_order() {
        assert_eq!(check_public_key(&point), Err(SignedError::BadKey));
        assert_eq!(sample().open::<Sample>(&point), Err(SignedError::BadKey));
    }
}

#[test]
fn a_signature_that_fits_every_message_under_a_small_order_key() {
    // Key and R the neutral element, S = 0: lax verifiers accept it over anything.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let signature = [&neutral[..], &[0; 32]].concat();
    let lax = ed25519_dalek::VerifyingKey::from_bytes(&neutral).unwrap();
    let form = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    ed25519_dalek::Verifier::verify(&lax, b"kith v1 test signature\0x", &form).unwrap();
    let signed = Signed { bytes: b"x".to_vec(), signature };
    assert_eq!(signed.verify(Domain::Test, &neutral), Err(SignedError::BadKey));
}

#[test]
fn keys_that_are_not_canonical() {
    // y = p + k encodes the same point as y = k.
    let mut of_full_order = 0;
    for k in 0..19 {
        let mut key = [0xff; 32];
        (key[0], key[31]) = (0xed + k, 0x7f);
        let lax = ed25519_dalek::VerifyingKey::from_bytes(&key);
        of_full_order += usize::from(lax.is_ok_and(|point| !point.is_weak()));
        assert_eq!(check_public_key(&key), Err(SignedError::BadKey));
    }
    assert!(of_full_order > 0, "some of them are refused for nothing but their encoding");
}

#[test]
fn keys_that_are_no_point() {
    let mut key = [0; 32];
    key[0] = 2;
    assert_eq!(check_public_key(&key), Err(SignedError::BadKey));
}

fn refuse(bytes: &[u8], error: DecodeError) {
    assert_eq!(decode_record::<Sample>(bytes), Err(error));
    let signed = Signed::sign(Domain::Test, &key(), bytes.to_vec());
    let expected = SignedError::Malformed(Domain::Test, error);
    assert_eq!(signed.open::<Sample>(&key().public()), Err(expected));
}

#[test]
fn malformed_though_signed() {
    refuse(b"", DecodeError::Malformed);
    refuse(b"\x01", DecodeError::Malformed);
    refuse(b"\x01\x05\x03ab", DecodeError::Malformed);
    refuse(b"\x01\x05\x03abcd", DecodeError::Trailing);
    refuse(b"\x02\x05\x03abc", DecodeError::UnknownVersion(2));
    refuse(b"\x00\x05\x03abc", DecodeError::UnknownVersion(0));
    refuse(b"\x01\x85\x00\x03abc", DecodeError::NotCanonical);
    refuse(b"\x01\x05\x83\x00abc", DecodeError::NotCanonical);
    refuse(&[1; 65], DecodeError::TooLong { len: 65, max: 64 });
}

#[test]
fn a_length_that_is_not_there() {
    // Announces 2^62 bytes; nothing of that size may be allocated.
    refuse(b"\x01\x05\x80\x80\x80\x80\x80\x80\x80\x80\x40", DecodeError::Malformed);
}

#[test]
fn the_hash_is_over_the_bytes_not_the_signature() {
    let mut other = sample();
    other.signature[0] ^= 1;
    assert_eq!(other.hash(), sample().hash());
    other.bytes[1] ^= 1;
    assert_ne!(other.hash(), sample().hash());
}

#[test]
fn errors_name_the_object() {
    let error = SignedError::Forged(Domain::Certificate);
    assert_eq!(error.to_string(), "the signature of the device certificate does not fit");
}
