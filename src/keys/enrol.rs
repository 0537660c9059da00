//! Enrolment: how a device with a single-use secret becomes a member's writer.
//!
//! The device sends a request signed by its certified signing key, with its writer key's
//! consent and a MAC by the secret; an admin device checks all of it against the admin log and
//! writes the records.

use super::admin_author::AuthorError;
use super::admin_log::AdminLog;
use super::admin_record::{AdminChange, Member, Writer};
use super::derive::{Purpose, derive_array, hash};
use super::drive_keys::DriveKeys;
use super::identity::{
    Certificate, CertificateError, Day, DeviceKeys, ExchangeKey, Revocations, check_exchange_key,
};
use super::secret::{EnrolmentSecret, ct_eq};
use super::signed::{Domain, Record, Signed, SignedError, SigningKey, encode};
use super::writer::{WriterKey, check_consent};
use super::{DriveId, Hash, PersonId, Power};
use serde::{Deserialize, Serialize};

/// Longest enrolment request, encoded.
pub const ENROLMENT_MAX: usize = 2048;
/// Longest answer to one, encoded.
pub const ENROLMENT_REPLY_MAX: usize = 1 << 20;

/// What an admin device remembers of a power it offered: who shows the secret gets it, once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invitation {
    pub drive: DriveId,
    pub power: Power,
    pub secret: EnrolmentSecret,
    /// First day on which it is void.
    pub expires: Day,
    /// The only person who may use it, when known.
    pub person: Option<PersonId>,
}

/// A device's wish to be a writer, or (without a writer key) a person's to be a member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EnrolmentRequest {
    pub drive: DriveId,
    pub power: Power,
    /// Names the invitation without giving the secret away.
    pub ticket: Hash,
    /// The device's certificate; the request is signed by the signing key in it.
    pub certificate: Signed,
    /// The person's X25519 key, to which keys are to be wrapped.
    pub exchange_key: [u8; 32],
    /// Needed for write and above.
    pub writer: Option<WriterPart>,
    /// Keyed by the secret, over all fields above.
    pub mac: [u8; 32],
}

/// The writer key and its consent ([`WriterKey::consent`]).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WriterPart {
    pub key: [u8; 32],
    pub consent: Vec<u8>,
}

impl Record for EnrolmentRequest {
    const DOMAIN: Domain = Domain::Enrolment;
    const MAX: usize = ENROLMENT_MAX;
}

/// The records an admin device wrote. They prove themselves, so the answer is not signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EnrolmentReply {
    /// Place of the first record in the admin log.
    pub start: u32,
    pub records: Vec<Signed>,
}

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EnrolmentError {
    #[error("{0}")]
    Signed(#[from] SignedError),
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error("the request is for drive {}, the invitation for {}", .found.short(), .expected.short())]
    OtherDrive { found: DriveId, expected: DriveId },
    #[error("no such invitation to drive {}", .0.short())]
    UnknownTicket(DriveId),
    #[error("the invitation to drive {} was used before", .0.short())]
    Used(DriveId),
    #[error("the invitation to drive {} expired on day {}", .0.short(), .1)]
    Expired(DriveId, Day),
    #[error("the invitation to drive {} is for another person", .0.short())]
    OtherPerson(DriveId),
    #[error("the request asks for the power to {asked}, the invitation gives {given}")]
    Power { asked: Power, given: Power },
    #[error("the request was not made with the invitation's secret")]
    Mac,
    #[error("a request for the power to {0} must name a writer key, and only such a request")]
    WriterPart(Power),
    #[error("the writer key did not consent")]
    Consent,
}

/// A request found good: what is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Enrolment {
    pub member: Member,
    pub writer: Option<Writer>,
    /// The invitation that is used up by it.
    pub ticket: Option<Hash>,
}

impl EnrolmentSecret {
    /// The public name of the invitation for `drive`.
    pub fn ticket(&self, drive: &DriveId) -> Hash {
        let name = derive_array::<32>(Purpose::EnrolmentTicket, self.expose(), &[&drive.0]);
        Hash(*name)
    }
    /// The secret that an admin capability, diminished offline, gives to a writer.
    pub fn diminish(&self) -> EnrolmentSecret {
        EnrolmentSecret::from_bytes(*derive_array(Purpose::EnrolmentDiminish, self.expose(), &[]))
    }
    #[cfg(test)]
    pub(super) fn sign_again(&self, mut request: EnrolmentRequest, device: &DeviceKeys) -> Signed {
        request.mac = self.mac(&request);
        Signed::record(device.signing(), &request)
    }
    fn mac(&self, request: &EnrolmentRequest) -> [u8; 32] {
        let mut blank = request.clone();
        blank.mac = [0; 32];
        *derive_array(Purpose::EnrolmentMac, self.expose(), &[&encode(&blank)])
    }
}

impl Invitation {
    /// The name by which a request refers to it.
    pub fn ticket(&self) -> Hash {
        self.secret.ticket(&self.drive)
    }
    /// For an admin invitation also the write invitation that its capability diminishes to.
    pub fn diminished(&self) -> Option<Invitation> {
        let secret = self.secret.diminish();
        (self.power == Power::Admin).then(|| Invitation { power: Power::Write, secret, ..self.clone() })
    }
}

impl EnrolmentRequest {
    /// Ask for `power` with the secret. `exchange_key`: the person's public X25519 key;
    /// `writer` is needed for write and above.
    pub fn sign(
        drive: DriveId,
        power: Power,
        secret: &EnrolmentSecret,
        device: &DeviceKeys,
        certificate: Signed,
        exchange_key: [u8; 32],
        writer: Option<&WriterKey>,
    ) -> Signed {
        let writer = writer.map(|key| WriterPart {
            key: key.public(),
            consent: key.consent(&drive, &device.node()).to_vec(),
        });
        let ticket = secret.ticket(&drive);
        let mut request =
            EnrolmentRequest { drive, power, ticket, certificate, exchange_key, writer, mac: [0; 32] };
        request.mac = secret.mac(&request);
        Signed::record(device.signing(), &request)
    }
    /// What an admin device checks. `invitations`: those it knows (see
    /// [`Invitation::diminished`]); nothing is granted yet and nothing burned.
    pub fn check(
        signed: &Signed,
        invitations: &[Invitation],
        log: &AdminLog,
        revocations: &Revocations,
        today: Day,
    ) -> Result<Enrolment, EnrolmentError> {
        let request: EnrolmentRequest = signed.peek()?;
        let certificate = Certificate::verify(&request.certificate, today)?;
        revocations.check(&certificate)?;
        signed.verify(Domain::Enrolment, &certificate.signing_key)?;
        let drive = log.drive();
        if request.drive != drive {
            return Err(EnrolmentError::OtherDrive { found: request.drive, expected: drive });
        }
        let invitation = invitations
            .iter()
            .find(|known| known.drive == drive && known.ticket() == request.ticket)
            .ok_or(EnrolmentError::UnknownTicket(drive))?;
        invitation.admits(&request, &certificate, log, today)?;
        let writer = request.writer.as_ref().map(|part| (part.key, &part.consent[..]));
        let (power, ticket) = (request.power, Some(request.ticket));
        Enrolment::of_device(log, power, &certificate, request.exchange_key, writer, ticket)
    }
}

impl Enrolment {
    /// What is to be written for a device whose right to ask was proved (by a request, or in
    /// a Join by the ticket). `writer`: its key and consent, needed for write and above.
    pub fn of_device(
        log: &AdminLog,
        power: Power,
        certificate: &Certificate,
        exchange_key: [u8; 32],
        writer: Option<([u8; 32], &[u8])>,
        ticket: Option<Hash>,
    ) -> Result<Enrolment, EnrolmentError> {
        check_exchange_key(&exchange_key)?;
        if writer.is_some() != (power >= Power::Write) {
            return Err(EnrolmentError::WriterPart(power));
        }
        let (person, node) = (certificate.person, certificate.node);
        if let Some((key, consent)) = writer {
            check_consent(&log.drive(), &node, &key, consent).map_err(|_| EnrolmentError::Consent)?;
        }
        let from = log.epoch();
        let writer = writer.map(|(key, _)| Writer { key, person, node, power, from, ticket });
        Ok(Enrolment { member: Member { person, exchange_key, power }, writer, ticket })
    }
}

impl Invitation {
    fn admits(
        &self,
        request: &EnrolmentRequest,
        certificate: &Certificate,
        log: &AdminLog,
        today: Day,
    ) -> Result<(), EnrolmentError> {
        if !ct_eq(&self.secret.mac(request), &request.mac) {
            return Err(EnrolmentError::Mac);
        }
        if log.ticket_used(&request.ticket) {
            return Err(EnrolmentError::Used(self.drive));
        }
        if today >= self.expires {
            return Err(EnrolmentError::Expired(self.drive, self.expires));
        }
        if self.person.is_some_and(|person| person != certificate.person) {
            return Err(EnrolmentError::OtherPerson(self.drive));
        }
        if request.power > self.power {
            return Err(EnrolmentError::Power { asked: request.power, given: self.power });
        }
        Ok(())
    }
}

impl AdminLog {
    /// Write what a good request asks for: the member (unless it is one with that power and
    /// key already) and the writer. `keys` at read power, `one_time` a fresh random key.
    pub fn admit(
        &mut self,
        admin: &SigningKey,
        enrolment: &Enrolment,
        keys: &DriveKeys,
        one_time: &ExchangeKey,
    ) -> Result<EnrolmentReply, AuthorError> {
        let start = self.len();
        let mut records = Vec::new();
        let mut member = enrolment.member;
        let known = self.member(&member.person).copied();
        // An invitation never takes power away.
        member.power = member.power.max(known.map_or(Power::Verify, |known| known.power));
        if known != Some(member) {
            let ticket = enrolment.writer.is_none().then_some(enrolment.ticket).flatten();
            let wrap = self.wrap_level(self.epoch(), &member, keys, one_time)?;
            records.push(self.author(admin, AdminChange::AddMember { member, wrap, ticket })?);
        }
        if let Some(writer) = &enrolment.writer {
            records.push(self.enrol_writer(admin, writer.clone())?);
        }
        Ok(EnrolmentReply { start, records })
    }
}

/// The hash of a household's random name.
pub fn household(name: &[u8]) -> Hash {
    hash(Purpose::Household, &[name])
}

/// The short name of something holders may fail with; `kind` keeps those of different sorts apart.
pub fn failure_domain(kind: &str, what: &[u8]) -> [u8; 8] {
    let mut name = [0; 8];
    name.copy_from_slice(&hash(Purpose::FailureDomain, &[kind.as_bytes(), what]).0[..8]);
    name
}
