//! Capability strings: `kith:<power>:<base32 with checksum>`.
//!
//! The payload is a version byte (1) and postcard of {drive id, epoch, key at that power, head
//! of the admin log, enrolment secret (write and admin), admin seed (admin)}.

use super::admin_log::AdminHead;
use super::derive::Purpose;
use super::drive_keys::LevelKey;
use super::secret::{EnrolmentSecret, ReadKey, Seed};
use super::signed::{DecodeError, SigningKey, decode_canonical, encode_secret};
use super::text::{TextError, decode_text, encode_text};
use super::{DriveId, Epoch, Power};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use zeroize::Zeroizing;

/// Longest base32 part of a capability string, in characters.
pub const CAPABILITY_MAX: usize = 400;
/// What every capability string begins with.
pub const CAPABILITY_SCHEME: &str = "kith";
const VERSION: u8 = 1;

/// A power over a drive that can be handed on as text. Whoever has the text has the power.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capability {
    drive: DriveId,
    epoch: Epoch,
    head: AdminHead,
    power: Power,
    key: LevelKey,
    secret: Option<EnrolmentSecret>,
    admin: Option<Seed>,
}

/// Why a text is not a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CapabilityError {
    #[error("this is not a capability: kith:<power>:<letters> is expected")]
    NotCapability,
    #[error("this is not a capability: the power must be admin, write, read, repair or verify")]
    Power,
    #[error("the capability is damaged: {0}")]
    Text(#[from] TextError),
    #[error("the capability cannot be read: {0}")]
    Decode(DecodeError),
    #[error("the capability says {0} but holds what belongs to another power")]
    WrongPower(Power),
    #[error("a capability for {have} cannot give the power to {wanted}")]
    Upwards { have: Power, wanted: Power },
}

#[derive(Serialize, Deserialize)]
struct Body {
    drive: DriveId,
    epoch: Epoch,
    key: Seed,
    head: AdminHead,
    secret: Option<EnrolmentSecret>,
    admin: Option<Seed>,
}

impl Capability {
    /// Verify, repair or read power, by the key given.
    pub const fn reader(drive: DriveId, epoch: Epoch, head: AdminHead, key: LevelKey) -> Capability {
        let power = key.power();
        Capability { drive, epoch, head, power, key, secret: None, admin: None }
    }
    /// Write power: reads, and may ask once for a device to be enrolled.
    pub fn writer(
        drive: DriveId,
        epoch: Epoch,
        head: AdminHead,
        key: ReadKey,
        secret: EnrolmentSecret,
    ) -> Capability {
        let (power, key) = (Power::Write, LevelKey::Read(key));
        Capability { drive, epoch, head, power, key, secret: Some(secret), admin: None }
    }
    /// Admin power: also carries the admin signing key.
    pub fn admin(
        drive: DriveId,
        epoch: Epoch,
        head: AdminHead,
        key: ReadKey,
        secret: EnrolmentSecret,
        admin: &SigningKey,
    ) -> Capability {
        let writer = Capability::writer(drive, epoch, head, key, secret);
        Capability { power: Power::Admin, admin: Some(admin.seed()), ..writer }
    }
    /// Which drive.
    pub const fn drive(&self) -> DriveId {
        self.drive
    }
    /// The epoch of the key.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
    /// The admin log must reach at least this far (`AdminLog::require`).
    pub const fn head(&self) -> AdminHead {
        self.head
    }
    /// What it gives.
    pub const fn power(&self) -> Power {
        self.power
    }
    /// The key, to be checked by `AdminLog::unlock`, or used unchecked to fetch the log.
    pub const fn key(&self) -> &LevelKey {
        &self.key
    }
    /// The single-use enrolment secret, of write and admin.
    pub const fn secret(&self) -> Option<&EnrolmentSecret> {
        self.secret.as_ref()
    }
    /// The admin key, of admin.
    pub fn admin_key(&self) -> Option<SigningKey> {
        self.admin.as_ref().map(SigningKey::from_seed)
    }
    /// The same drive with less power; needs nobody.
    pub fn diminish(&self, to: Power) -> Result<Capability, CapabilityError> {
        let upwards = CapabilityError::Upwards { have: self.power, wanted: to };
        if to > self.power {
            return Err(upwards);
        }
        let secret = match (self.power, to) {
            (Power::Admin, Power::Write) => self.secret.as_ref().map(EnrolmentSecret::diminish),
            (_, Power::Write | Power::Admin) => self.secret.clone(),
            _ => None,
        };
        Ok(Capability {
            power: to,
            key: self.key.diminish(to).ok_or(upwards)?,
            secret,
            admin: if to == Power::Admin { self.admin.clone() } else { None },
            ..self.clone()
        })
    }
    /// The string. It is the secret: show it only to whom it is meant for.
    pub fn to_text(&self) -> Zeroizing<String> {
        let body = Body {
            drive: self.drive,
            epoch: self.epoch,
            key: Seed::from_bytes(*self.key.expose()),
            head: self.head,
            secret: self.secret.clone(),
            admin: self.admin.clone(),
        };
        let payload = encode_secret(&(VERSION, &body));
        let word = self.power.to_string();
        let text = encode_text(Purpose::CapabilityChecksum, &word, &payload);
        Zeroizing::new(format!("{CAPABILITY_SCHEME}:{word}:{}", text.as_str()))
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    /// Parse exactly what [`Capability::to_text`] writes; white space around it is allowed.
    fn from_str(text: &str) -> Result<Capability, CapabilityError> {
        let rest = text
            .trim_ascii()
            .strip_prefix(CAPABILITY_SCHEME)
            .and_then(|rest| rest.strip_prefix(':'))
            .ok_or(CapabilityError::NotCapability)?;
        let (word, letters) = rest.split_once(':').ok_or(CapabilityError::NotCapability)?;
        let power: Power = word.parse().map_err(|_| CapabilityError::Power)?;
        let payload = decode_text(Purpose::CapabilityChecksum, word, letters, CAPABILITY_MAX)?;
        let decode = CapabilityError::Decode;
        let (&version, body) = payload.split_first().ok_or(decode(DecodeError::Malformed))?;
        if version != VERSION {
            return Err(decode(DecodeError::UnknownVersion(version)));
        }
        let body: Body = decode_canonical(body, CAPABILITY_MAX).map_err(decode)?;
        let fits = body.secret.is_some() == (power >= Power::Write)
            && body.admin.is_some() == (power == Power::Admin);
        if !fits {
            return Err(CapabilityError::WrongPower(power));
        }
        Ok(Capability {
            drive: body.drive,
            epoch: body.epoch,
            head: body.head,
            power,
            key: LevelKey::new(power, *body.key.expose()),
            secret: body.secret,
            admin: body.admin,
        })
    }
}
