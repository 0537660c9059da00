use super::seal_internals::{secretbox, secretbox_open};
use super::*;
use proptest::prelude::*;

fn key() -> SealKey {
    SealKey::derive(&[1; 32], &[2; 32], Kind::Test, b"object")
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The example of "Cryptography in NaCl" (Bernstein 2009), also NaCl's tests/secretbox.c.
#[test]
fn secretbox_gives_nacls_published_vector() {
    let key: [u8; 32] =
        hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389").try_into().unwrap();
    let nonce: [u8; 24] = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37").try_into().unwrap();
    let message = hex(concat!(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc",
        "e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31",
        "0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde",
        "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864",
        "5e0705"
    ));
    let boxed = hex(concat!(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce",
        "48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c972",
        "71d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae",
        "90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b3",
        "7973f622a43d14a6599b1f654cb45a74e355a5"
    ));
    let mut text = message.clone();
    let tag = secretbox(&key, &nonce, &mut text);
    assert_eq!([&tag[..], &text].concat(), boxed);
    secretbox_open(&key, &nonce, &tag, &mut text).unwrap();
    assert_eq!(text, message);
}

proptest! {
    /// `crypto_secretbox` is another implementation of the same box.
    #[test]
    fn secretbox_agrees_with_a_second_implementation(
        key: [u8; 32], nonce: [u8; 24], text in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
        let theirs = XSalsa20Poly1305::new(&key.into());
        let mut ours = text.clone();
        let tag = secretbox(&key, &nonce, &mut ours);
        let boxed = [&tag[..], &ours].concat();
        prop_assert_eq!(&theirs.encrypt(&nonce.into(), &text[..]).unwrap(), &boxed);
        prop_assert_eq!(theirs.decrypt(&nonce.into(), &boxed[..]).unwrap(), text);
    }

    /// All forms give the same bytes and open each other's.
    #[test]
    fn every_form_of_sealing_agrees(
        text in prop::collection::vec(any::<u8>(), 0..3000), index: u64, total: u64, codec: u8,
    ) {
        let (key, at) = (key(), Position { index, total, codec });
        let sealed = key.seal(at, &text);
        prop_assert_eq!(sealed.len(), text.len() + SEAL_HEAD);
        let mut appended = b"before".to_vec();
        key.seal_into(at, &text, &mut appended);
        prop_assert_eq!(&appended[6..], &sealed[..]);
        let mut in_place = [&[0; SEAL_HEAD][..], &text].concat();
        key.seal_in_place(at, &mut in_place).unwrap();
        prop_assert_eq!(&in_place, &sealed);
        prop_assert_eq!(key.open_in_place(at, &mut in_place).unwrap(), &text[..]);
        prop_assert_eq!(key.open(at, &sealed).unwrap(), text.clone());
        let mut out = vec![0; text.len()];
        key.open_to(at, &sealed, &mut out).unwrap();
        prop_assert_eq!(out, text);
    }
}

#[test]
fn the_nonce_is_a_keyed_hash_of_plaintext_and_position() {
    let both = derive_array::<64>(Purpose::Seal, &[1; 32], &[&[2; 32], &[255], b"object"]);
    let mut input = b"text".to_vec();
    input.extend_from_slice(&[5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3]);
    let nonce_key: [u8; 32] = both[32..].try_into().unwrap();
    let nonce = blake3::keyed_hash(&nonce_key, &input);
    let sealed = key().seal(Position { index: 5, total: 9, codec: 3 }, b"text");
    assert_eq!(sealed[..24], nonce.as_bytes()[..24]);
}

#[test]
fn any_flipped_bit() {
    let sealed = key().seal(Position::WHOLE, b"some text");
    for changed in flips(&sealed) {
        assert_eq!(key().open(Position::WHOLE, &changed), Err(OpenError::Forged));
    }
}

#[test]
fn truncated_or_lengthened() {
    let mut sealed = key().seal(Position::WHOLE, b"some text");
    for len in 0..sealed.len() {
        let error = if len < SEAL_HEAD { OpenError::TooShort } else { OpenError::Forged };
        assert_eq!(key().open(Position::WHOLE, &sealed[..len]), Err(error));
        assert_eq!(key().open_in_place(Position::WHOLE, &mut sealed[..len].to_vec()), Err(error));
    }
    sealed.push(0);
    assert_eq!(key().open(Position::WHOLE, &sealed), Err(OpenError::Forged));
}

#[test]
fn another_position_total_or_codec() {
    let at = Position { index: 3, total: 7, codec: 1 };
    let sealed = key().seal(at, b"some text");
    for other in [
        Position { index: 4, ..at },
        Position { total: 8, ..at },
        Position { codec: 0, ..at },
        Position { index: 7, total: 3, ..at },
    ] {
        let mut buffer = sealed.clone();
        assert_eq!(key().open_in_place(other, &mut buffer), Err(OpenError::Misplaced));
        assert!(!buffer.windows(9).any(|part| part == b"some text"), "plaintext was released");
    }
}

#[test]
fn another_key_scope_kind_or_object() {
    let sealed = key().seal(Position::WHOLE, b"some text");
    for other in [
        SealKey::derive(&[9; 32], &[2; 32], Kind::Test, b"object"),
        SealKey::derive(&[1; 32], &[9; 32], Kind::Test, b"object"),
        SealKey::derive(&[1; 32], &[2; 32], Kind::Page, b"object"),
        SealKey::derive(&[1; 32], &[2; 32], Kind::Test, b"objects"),
    ] {
        assert_eq!(other.open(Position::WHOLE, &sealed), Err(OpenError::Forged));
    }
}

#[test]
fn a_buffer_of_the_wrong_length() {
    let sealed = key().seal(Position::WHOLE, b"some text");
    let mut out = [0; 8];
    assert_eq!(key().open_to(Position::WHOLE, &sealed, &mut out), Err(OpenError::Buffer));
    assert_eq!(key().seal_in_place(Position::WHOLE, &mut [0; 39]), Err(OpenError::TooShort));
}

#[test]
fn overhead_is_that_of_the_content_format() {
    assert_eq!(SEAL_HEAD, 40);
}
