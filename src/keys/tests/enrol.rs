use super::*;

const EXPIRES: Day = 130;

struct Asked {
    founded: Founded,
    friend: Someone,
    key: WriterKey,
    invitation: Invitation,
}

fn asked(power: Power) -> Asked {
    let founded = found();
    let secret = EnrolmentSecret::from_bytes([30; 16]);
    let drive = founded.log.drive();
    let invitation = Invitation { drive, power, secret, expires: EXPIRES, person: None };
    let key = WriterKey::new(&seed(40), [0; 16]);
    Asked { founded, friend: someone(20), key, invitation }
}

impl Asked {
    fn request(&self, power: Power) -> Signed {
        self.request_with(power, &self.invitation.secret)
    }
    fn request_with(&self, power: Power, secret: &EnrolmentSecret) -> Signed {
        EnrolmentRequest::sign(
            self.invitation.drive,
            power,
            secret,
            &self.friend.device,
            self.friend.certificate.clone(),
            self.friend.person.sharing(0).public(),
            (power >= Power::Write).then_some(&self.key),
        )
    }
    fn check(&self, request: &Signed) -> Result<Enrolment, EnrolmentError> {
        let known = [self.invitation.clone()];
        let revoked = Revocations::default();
        EnrolmentRequest::check(request, &known, &self.founded.log, &revoked, TODAY)
    }
    /// A request changed and signed again, its MAC as it was.
    fn changed(&self, change: impl FnOnce(&mut EnrolmentRequest)) -> Signed {
        let mut request: EnrolmentRequest = self.request(Power::Write).peek().unwrap();
        change(&mut request);
        Signed::record(self.friend.device.signing(), &request)
    }
}

#[test]
fn a_writer_is_enrolled_and_gets_its_keys() {
    let mut asked = asked(Power::Write);
    let enrolment = asked.check(&asked.request(Power::Write)).unwrap();
    let Founded { admin, log, keys, .. } = &mut asked.founded;
    let reply = log.admit(admin, &enrolment, keys, &exchange(51)).unwrap();
    assert_eq!((reply.start, reply.records.len()), (3, 2));
    assert_eq!(log.may_append(&asked.key.public(), Epoch(1)), Ok(Power::Write));
    let person = &asked.friend.person;
    let theirs = log.unlock_member(&person.id(), &person.sharing(0)).unwrap();
    assert_eq!(theirs.power(), Power::Read);
    // The invited device takes in the answer the same way.
    let mut remote = AdminLog::load(&log.drive(), &log.records(0)[..3]).unwrap();
    assert_eq!(remote.extend(reply.start, &reply.records).unwrap(), 2);
    assert_eq!(remote.head(), log.head());
}

#[test]
fn a_reader_is_enrolled_without_a_writer_key() {
    let mut asked = asked(Power::Read);
    let enrolment = asked.check(&asked.request(Power::Read)).unwrap();
    let Founded { admin, log, keys, .. } = &mut asked.founded;
    let reply = log.admit(admin, &enrolment, keys, &exchange(51)).unwrap();
    assert_eq!(reply.records.len(), 1);
    assert_eq!(log.member(&asked.friend.person.id()).unwrap().power, Power::Read);
    let again = asked.check(&asked.request(Power::Read));
    assert_eq!(again, Err(EnrolmentError::Used(asked.invitation.drive)));
}

#[test]
fn a_second_device_of_a_member_adds_only_its_writer() {
    let mut asked = asked(Power::Write);
    let member = member_of(&asked.friend, Power::Admin);
    let Founded { admin, log, keys, .. } = &mut asked.founded;
    log.add_member(admin, member, keys, &exchange(51)).unwrap();
    let enrolment = asked.check(&asked.request(Power::Write)).unwrap();
    let Founded { admin, log, keys, .. } = &mut asked.founded;
    let reply = log.admit(admin, &enrolment, keys, &exchange(52)).unwrap();
    assert_eq!(reply.records.len(), 1);
    let power = log.member(&member.person).unwrap().power;
    assert_eq!(power, Power::Admin, "an invitation took power away");
}

#[test]
fn a_used_invitation() {
    let mut asked = asked(Power::Write);
    let enrolment = asked.check(&asked.request(Power::Write)).unwrap();
    let Founded { admin, log, keys, .. } = &mut asked.founded;
    log.admit(admin, &enrolment, keys, &exchange(51)).unwrap();
    asked.key = WriterKey::new(&seed(41), [0; 16]);
    let again = asked.check(&asked.request(Power::Write));
    assert_eq!(again, Err(EnrolmentError::Used(asked.invitation.drive)));
    // Nor does the fold let an admin who did not look use it twice.
    assert!(asked.founded.log.ticket_used(&asked.invitation.ticket()));
}

#[test]
fn an_unknown_secret() {
    let asked = asked(Power::Write);
    let secret = EnrolmentSecret::from_bytes([31; 16]);
    let error = asked.check(&asked.request_with(Power::Write, &secret));
    assert_eq!(error, Err(EnrolmentError::UnknownTicket(asked.invitation.drive)));
}

#[test]
fn a_request_made_by_who_knows_only_the_ticket() {
    let asked = asked(Power::Write);
    let name = asked.invitation.ticket();
    let secret = EnrolmentSecret::from_bytes([31; 16]);
    let mut request: EnrolmentRequest = asked.request_with(Power::Write, &secret).peek().unwrap();
    request.ticket = name;
    let signed = Signed::record(asked.friend.device.signing(), &request);
    assert_eq!(asked.check(&signed), Err(EnrolmentError::Mac));
}

#[test]
fn an_expired_invitation() {
    let mut asked = asked(Power::Write);
    asked.invitation.expires = TODAY;
    let error = asked.check(&asked.request(Power::Write));
    assert_eq!(error, Err(EnrolmentError::Expired(asked.invitation.drive, TODAY)));
}

#[test]
fn an_invitation_for_somebody_else() {
    let mut asked = asked(Power::Write);
    asked.invitation.person = Some(someone(3).person.id());
    let error = asked.check(&asked.request(Power::Write));
    assert_eq!(error, Err(EnrolmentError::OtherPerson(asked.invitation.drive)));
}

#[test]
fn more_power_than_was_offered() {
    let asked = asked(Power::Write);
    let (asks, given) = (Power::Admin, Power::Write);
    let error = asked.check(&asked.request(Power::Admin));
    assert_eq!(error, Err(EnrolmentError::Power { asked: asks, given }));
}

#[test]
fn a_writer_without_a_key_or_a_reader_with_one() {
    let asked = asked(Power::Write);
    for (power, key) in [(Power::Write, None), (Power::Read, Some(&asked.key))] {
        let request = EnrolmentRequest::sign(
            asked.invitation.drive,
            power,
            &asked.invitation.secret,
            &asked.friend.device,
            asked.friend.certificate.clone(),
            asked.friend.person.sharing(0).public(),
            key,
        );
        assert_eq!(asked.check(&request), Err(EnrolmentError::WriterPart(power)));
    }
}

#[test]
fn somebody_elses_writer_key() {
    let asked = asked(Power::Write);
    let device = someone(3).device;
    // The MAC is right, the consent was given for another node.
    let mut request: EnrolmentRequest = EnrolmentRequest::sign(
        asked.invitation.drive,
        Power::Write,
        &asked.invitation.secret,
        &device,
        someone(3).certificate,
        someone(3).person.sharing(0).public(),
        Some(&asked.key),
    )
    .peek()
    .unwrap();
    request.certificate = asked.friend.certificate.clone();
    let request = asked.invitation.secret.sign_again(request, &asked.friend.device);
    assert_eq!(asked.check(&request), Err(EnrolmentError::Consent));
}

#[test]
fn any_field_changed_after_the_mac() {
    let asked = asked(Power::Write);
    let mac = Err(EnrolmentError::Mac);
    assert_eq!(asked.check(&asked.changed(|r| r.mac[0] ^= 1)), mac);
    assert_eq!(asked.check(&asked.changed(|r| r.power = Power::Read)), mac);
    let other = someone(3).person.sharing(0).public();
    assert_eq!(asked.check(&asked.changed(|r| r.exchange_key = other)), mac);
    assert_eq!(asked.check(&asked.changed(|r| r.writer = None)), mac);
}

#[test]
fn a_request_for_another_drive() {
    let asked = asked(Power::Write);
    let (found, expected) = (DriveId([1; 32]), asked.invitation.drive);
    let error = asked.check(&asked.changed(|r| r.drive = found));
    assert_eq!(error, Err(EnrolmentError::OtherDrive { found, expected }));
}

#[test]
fn a_request_signed_by_another_device() {
    let asked = asked(Power::Write);
    let request: EnrolmentRequest = asked.request(Power::Write).peek().unwrap();
    for key in [someone(3).device.signing(), asked.friend.person.signing(), asked.key.signing()] {
        let error = asked.check(&Signed::record(key, &request));
        let forged = SignedError::Forged(Domain::Enrolment);
        assert_eq!(error, Err(EnrolmentError::Signed(forged)));
    }
}

#[test]
fn a_device_that_expired_or_was_revoked() {
    let asked = asked(Power::Write);
    let (request, known) = (asked.request(Power::Write), [asked.invitation.clone()]);
    let mut revoked = Revocations::default();
    let node = asked.friend.device.node();
    let late = EnrolmentRequest::check(&request, &known, &asked.founded.log, &revoked, 190);
    let expired = CertificateError::Expired { node, on: 190 };
    assert_eq!(late, Err(EnrolmentError::Certificate(expired)));
    revoked.insert(asked.friend.person.revoke(node, 110)).unwrap();
    let gone = EnrolmentRequest::check(&request, &known, &asked.founded.log, &revoked, TODAY);
    assert_eq!(gone, Err(EnrolmentError::Certificate(CertificateError::Revoked(node))));
}

#[test]
fn a_request_with_any_flipped_bit() {
    let asked = asked(Power::Write);
    let Signed { bytes, signature } = asked.request(Power::Write);
    for changed in flips(&bytes) {
        assert!(asked.check(&Signed { bytes: changed, signature: signature.clone() }).is_err());
    }
    for changed in flips(&signature) {
        assert!(asked.check(&Signed { bytes: bytes.clone(), signature: changed }).is_err());
    }
}

#[test]
fn a_request_malformed_though_signed() {
    let asked = asked(Power::Write);
    let good = asked.request(Power::Write).bytes;
    let refuse = |bytes: Vec<u8>, error| {
        let signed = Signed::sign(Domain::Enrolment, asked.friend.device.signing(), bytes);
        let error = SignedError::Malformed(Domain::Enrolment, error);
        assert_eq!(asked.check(&signed), Err(EnrolmentError::Signed(error)));
    };
    for cut in 0..good.len() {
        refuse(good[..cut].to_vec(), DecodeError::Malformed);
    }
    refuse([&good[..], &[0]].concat(), DecodeError::Trailing);
    refuse([&[2], &good[1..]].concat(), DecodeError::UnknownVersion(2));
    // The power, 3, as two bytes.
    assert_eq!(good[33], 3);
    refuse([&good[..33], &[0x83, 0], &good[34..]].concat(), DecodeError::NotCanonical);
    let (len, max) = (ENROLMENT_MAX + 1, ENROLMENT_MAX);
    refuse(vec![1; len], DecodeError::TooLong { len, max });
}

#[test]
fn a_person_with_an_unsound_exchange_key() {
    let asked = asked(Power::Write);
    let request = EnrolmentRequest::sign(
        asked.invitation.drive,
        Power::Write,
        &asked.invitation.secret,
        &asked.friend.device,
        asked.friend.certificate.clone(),
        [0; 32],
        Some(&asked.key),
    );
    assert_eq!(asked.check(&request), Err(EnrolmentError::Signed(SignedError::BadKey)));
}

#[test]
fn a_diminished_admin_invitation_is_one_of_its_own() {
    let asked = asked(Power::Admin);
    let write = asked.invitation.diminished().unwrap();
    assert_eq!(write.power, Power::Write);
    assert_ne!(write.ticket(), asked.invitation.ticket());
    assert_eq!(write.diminished(), None);
    let request = asked.request_with(Power::Write, &write.secret);
    let known = [asked.invitation.clone(), write];
    let log = &asked.founded.log;
    EnrolmentRequest::check(&request, &known, log, &Revocations::default(), TODAY).unwrap();
}
