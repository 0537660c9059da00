use super::samples::signed;
use crate::keys::{DriveId, Kind, OpenError, Position, Purpose, Seal, SealKey, Signed, derive_array};
use crate::wire::*;

fn answer() -> JoinAnswer {
    let drive = DriveId([3; 32]);
    JoinAnswer {
        certificate: signed(1),
        roster: vec![signed(2)],
        certificates: vec![signed(3)],
        grants: vec![signed(4)],
        drives: vec![JoinedDrive {
            drive,
            label: "family".into(),
            admin: vec![signed(5)],
            capability: "kith:write:secret".into(),
        }],
    }
}

#[test]
fn the_mac_depends_on_secret_connection_and_body() {
    let mac = join_mac(&[1; 16], &[2; 32], b"body");
    assert!(check_join_mac(&[1; 16], &[2; 32], b"body", &mac));
    assert!(!check_join_mac(&[0; 16], &[2; 32], b"body", &mac), "another ticket's secret");
    assert!(!check_join_mac(&[1; 16], &[3; 32], b"body", &mac), "replayed on another connection");
    assert!(!check_join_mac(&[1; 16], &[2; 32], b"bodz", &mac), "another body");
}

#[test]
fn the_ticket_id_does_not_give_the_mac_away() {
    assert_ne!(ticket_id(&[1; 16]), [1; 16]);
    assert_ne!(&join_mac(&[1; 16], &[2; 32], b"")[..16], &ticket_id(&[1; 16]));
}

#[test]
fn the_answer_opens_only_for_this_ticket_on_this_connection() {
    let sealed = answer().seal(&[1; 16], &[2; 32]);
    assert_eq!(JoinAnswer::open(&sealed, &[1; 16], &[2; 32]), Ok(answer()));
    let shut = Err(JoinError::Seal(OpenError::Forged));
    assert_eq!(JoinAnswer::open(&sealed, &[0; 16], &[2; 32]), shut);
    assert_eq!(JoinAnswer::open(&sealed, &[1; 16], &[0; 32]), shut);
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(JoinAnswer::open(&changed, &[1; 16], &[2; 32]), shut);
    assert!(!sealed.windows(8).any(|w| w == b"kith:wri"), "the capability is not in the clear");
}

#[test]
fn a_request_with_a_real_certificate_fits_an_unknown_keys_frame() {
    let certificate = Signed { bytes: vec![0; 260], signature: vec![0; 64] };
    let member = Signed { bytes: vec![0; 300], signature: vec![0; 64] };
    let grant = Signed { bytes: vec![0; 140], signature: vec![0; 64] };
    let enrol =
        Enrol { drive: DriveId([0; 32]), writer: [0; 32], exchange_key: [0; 32], consent: vec![0; 64] };
    let request =
        JoinRequest { certificate, member, grants: vec![grant], enrol: vec![enrol; TICKET_DRIVES_MAX] };
    assert!(request.to_bytes().len() <= JOIN_MAX - JOIN_HEAD);
    assert_eq!(JoinRequest::from_bytes(&request.to_bytes()), Ok(request));
}

fn request() -> JoinRequest {
    let enrol =
        Enrol { drive: DriveId([3; 32]), writer: [4; 32], exchange_key: [5; 32], consent: vec![6; 64] };
    JoinRequest { certificate: signed(1), member: signed(2), grants: vec![signed(3)], enrol: vec![enrol] }
}

/// Every flaw of an encoding, and what is said of it.
fn flaws(good: &[u8]) -> Vec<(&'static str, Vec<u8>, WireError)> {
    assert_eq!(good[0], 5, "the length of the certificate's bytes");
    vec![
        ("nothing", Vec::new(), WireError::Malformed),
        ("cut short", good[..good.len() - 1].to_vec(), WireError::Malformed),
        ("a byte after its end", [good, &[0]].concat(), WireError::TrailingBytes),
        ("a varint longer than needed", [&[0x85, 0], &good[1..]].concat(), WireError::NotCanonical),
        ("a length it does not have", vec![0xff, 0xff, 0xff, 0xff, 0x0f], WireError::Malformed),
    ]
}

#[test]
fn rejects_flawed_join_requests() {
    for (flaw, bytes, error) in flaws(&request().to_bytes()) {
        assert_eq!(JoinRequest::from_bytes(&bytes), Err(error), "{flaw}");
    }
}

#[test]
fn rejects_flawed_join_answers_though_rightly_sealed() {
    let base = derive_array(Purpose::JoinSeal, &[1; 16], &[&[2; 32]]);
    let seal = |kind, bytes: &[u8]| SealKey::derive(&base, &[], kind, &[]).seal(Position::WHOLE, bytes);
    let open = |sealed: &[u8]| JoinAnswer::open(sealed, &[1; 16], &[2; 32]);
    let good = encode(&answer());
    assert_eq!(open(&seal(Kind::JoinAnswer, &good)), Ok(answer()));
    for (flaw, bytes, error) in flaws(&good) {
        assert_eq!(open(&seal(Kind::JoinAnswer, &bytes)), Err(JoinError::Wire(error)), "{flaw}");
    }
    let shut = Err(JoinError::Seal(OpenError::Forged));
    assert_eq!(open(&seal(Kind::StateFile, &good)), shut, "sealed as another kind");
    let sealed = seal(Kind::JoinAnswer, &good);
    assert!(matches!(open(&sealed[..20]), Err(JoinError::Seal(_))), "shorter than a seal");
    assert_eq!(open(&sealed[..sealed.len() - 1]), shut, "cut short");
}
