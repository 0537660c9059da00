use super::samples::signed;
use crate::keys::{DriveId, OpenError, Signed};
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
