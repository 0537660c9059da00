//! The cryptographic rules of the house, each a test. Those with longer tests of their own
//! are listed here with the test that holds them:
//!
//! * one derivation, unique contexts: `derive`
//! * every signature covers a domain; strict Ed25519; one encoding: `signed`
//! * TLS, signing, X25519 and drive keys all differ: `identity::all_keys_of_a_device_differ`
//! * powers go down one way: `drive_keys`, `capability`
//! * the power to verify is enough for a holder: `admin::an_enrolled_writer_may_append...`
//! * never two passphrase keys against one ciphertext: `keystore::a_wrong_passphrase` (the
//!   check value decides before anything is opened)

use super::poly_collision::two_key_ciphertext;
use super::seal_internals::secretbox_open;
use super::*;
use std::collections::BTreeSet;
use zeroize::ZeroizeOnDrop;

const AT: fn(u64) -> Position = |index| Position::part(index, 4);

/// secretbox has no associated data: swapping two sound blocks must fail all the same.
#[test]
fn two_sound_blocks_swapped() {
    let key = SealKey::derive(&[1; 32], &[2; 32], Kind::Page, &[3; 32]);
    let (first, second) = (key.seal(AT(0), b"first"), key.seal(AT(1), b"other"));
    assert_eq!(key.open(AT(0), &first).unwrap(), b"first");
    assert_eq!(key.open(AT(0), &second), Err(OpenError::Misplaced));
    assert_eq!(key.open(AT(1), &first), Err(OpenError::Misplaced));
}

/// A shorter object is not a longer one's beginning.
#[test]
fn blocks_of_an_object_cut_short() {
    let key = SealKey::derive(&[1; 32], &[2; 32], Kind::Page, &[3; 32]);
    let sealed = key.seal(Position::part(0, 4), b"first");
    assert_eq!(key.open(Position::part(0, 1), &sealed), Err(OpenError::Misplaced));
}

/// secretbox does not commit to its key: here is a box that opens under two. The seal does,
/// and refuses it under both.
#[test]
fn one_ciphertext_under_two_keys() {
    let seals = [4u8, 5].map(|byte| SealKey::derive(&[byte; 32], &[], Kind::Test, b""));
    let nonce = [6; 24];
    let keys = [4u8, 5].map(|byte| {
        let both = derive_array::<64>(Purpose::Seal, &[byte; 32], &[&[], &[255], &[]]);
        let key: [u8; 32] = both[..32].try_into().unwrap();
        key
    });
    let (tag, text) = two_key_ciphertext(&keys, &nonce);
    for (key, seal) in keys.iter().zip(&seals) {
        secretbox_open(key, &nonce, &tag, &mut text.to_vec()).expect("the attack works on NaCl");
        let sealed = [&nonce[..], &tag, &text].concat();
        assert_eq!(seal.open(Position::WHOLE, &sealed), Err(OpenError::Misplaced));
    }
}

/// Two clones of one machine, with the same random state, write different things at the same
/// place: the nonces differ. The same thing twice gives the same bytes and shows only that.
#[test]
fn cloned_machines_never_meet_in_one_nonce() {
    let key = SealKey::derive(&[1; 32], &[2; 32], Kind::Journal, b"record 7");
    let mut nonces = BTreeSet::new();
    for text in 0..1000u32 {
        let sealed = key.seal(Position::WHOLE, &text.to_le_bytes());
        assert!(nonces.insert(sealed[..NONCE_LEN].to_vec()));
        assert_eq!(sealed, key.seal(Position::WHOLE, &text.to_le_bytes()));
    }
}

/// No convergent encryption across drives or epochs: nobody can test whether a drive holds a
/// known file without its chunk-id key, and one file looks different in two drives.
#[test]
fn one_file_in_two_drives() {
    let keys = [1u8, 2].map(|byte| {
        let read = LevelKey::Read(ReadKey::from_bytes([byte; 32]));
        DriveKeys::new(DriveId([byte; 32]), Epoch::FIRST, read)
    });
    let [one, two] = keys.each_ref().map(|keys| keys.chunk_id(Epoch::FIRST, b"photo").unwrap());
    assert_ne!(one, two);
    let sealed = [(0, one), (1, two)]
        .map(|(drive, id)| keys[drive].page_seal(Epoch::FIRST, &id).unwrap().seal(Position::WHOLE, b"photo"));
    assert_ne!(sealed[0], sealed[1]);
    let repair = keys[0].diminish(Power::Repair).unwrap();
    assert!(repair.chunk_id(Epoch::FIRST, b"photo").is_err(), "a mender can test for files");
}

/// The short form is for screens and never accepted as an identity.
#[test]
fn eight_characters_are_no_identity() {
    let node = someone(2).device.node();
    assert_eq!(node.short().len(), 8);
    assert_eq!(node.short().parse::<NodeId>(), Err(BadId));
    assert_eq!(node.to_string().parse::<NodeId>(), Ok(node));
    for len in 0..52 {
        assert_eq!(node.to_string()[..len].parse::<NodeId>(), Err(BadId));
    }
}

/// Secrets are zeroed on drop (a type without it does not compile here) and never print.
#[test]
fn secrets_have_types_that_forget_and_do_not_print() {
    fn check<T: ZeroizeOnDrop + std::fmt::Debug>(secret: &T) {
        let shown = format!("{secret:?}");
        assert!(shown.ends_with("(..)"), "{shown}");
        assert!(!shown.contains('7'), "{shown}");
    }
    let read = ReadKey::from_bytes([7; 32]);
    check(&read.content_key());
    check(&read.chunk_id_key());
    check(&read.entry_key());
    check(&read.repair_key());
    check(&read.repair_key().verify_key());
    check(&read);
    check(&LocalKey::from_bytes([7; 32]));
    check(&FileKey::from_bytes([7; 32]));
    check(&EnrolmentSecret::from_bytes([7; 16]));
    check(&seed(7));
    check(&Sensitive(vec![7; 9]));
    check(&SealKey::derive(&[7; 32], &[], Kind::Test, b""));
    for shown in [
        format!("{:?}", SigningKey::from_seed(&seed(7))),
        format!("{:?}", exchange(7)),
        format!("{:?}", DeviceKeys::from_seed(seed(7))),
        format!("{:?}", PersonKey::from_seed(&seed(7))),
        format!("{:?}", LevelKey::Read(read)),
    ] {
        assert!(!shown.contains('7'), "{shown}");
    }
}

/// Secrets compare by value, in constant time (`subtle`), never by early exit.
#[test]
fn secrets_compare_by_value() {
    assert_eq!(seed(7), seed(7));
    for at in 0..32 {
        let mut other = [7; 32];
        other[at] ^= 1;
        assert_ne!(seed(7), Seed::from_bytes(other));
    }
    assert!(ct_eq(b"same", b"same"));
    assert!(!ct_eq(b"same", b"some") && !ct_eq(b"same", b"sam"));
}

/// Read, repair and verify keys and what hangs below them are all different, and the siblings
/// of repair cannot be had from it.
#[test]
fn every_derived_key_differs() {
    let read = ReadKey::from_bytes([7; 32]);
    let repair = read.repair_key();
    let keys = [
        *read.expose(),
        *read.content_key().expose(),
        *read.chunk_id_key().expose(),
        *read.entry_key().expose(),
        *repair.expose(),
        *repair.verify_key().expose(),
    ];
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    // What a mender could compute with the same functions is none of the siblings.
    let tried = ReadKey::from_bytes(*repair.expose());
    for got in [tried.content_key().expose(), tried.chunk_id_key().expose(), tried.entry_key().expose()] {
        assert!(!keys.contains(got));
    }
}
