//! A key for one member: X25519 with a one-time key, then the one seal.
//!
//! ```text
//! shared = X25519(one-time secret, member's public key)
//! base   = derive("kith v1 wrap key", shared, [one-time public key, member's public key])
//! sealed = seal(base, drive, kind, epoch u32 LE || level u8 || person; key)       72 bytes
//! ```

use super::admin_record::{Member, Wrap};
use super::derive::{Purpose, derive};
use super::identity::ExchangeKey;
use super::seal::{Kind, Position, SEAL_HEAD, Seal, SealKey};
use super::{DriveId, Epoch, PersonId, Power};
use zeroize::Zeroizing;

/// Bytes of a sealed 32-byte key.
pub(super) const SEALED_KEY_LEN: usize = 32 + SEAL_HEAD;

/// What a wrapped key is: bound into its seal.
#[derive(Clone, Copy)]
pub(super) struct WrapContext {
    pub drive: DriveId,
    pub kind: Kind,
    pub epoch: Epoch,
    pub power: Power,
}

/// Wrap a key to a member; None when the member's public key is of small order.
pub(super) fn wrap(
    context: WrapContext,
    member: &Member,
    one_time: &ExchangeKey,
    key: &[u8; 32],
) -> Option<Wrap> {
    let shared = one_time.agree(&member.exchange_key)?;
    let public = one_time.public();
    let seal = wrap_seal(context, &shared, &member.person, &public, &member.exchange_key);
    let sealed = seal.seal(Position::WHOLE, key);
    Some(Wrap { person: member.person, one_time: public, sealed })
}

/// Open a wrapped key with the member's secret; None when it is not for it or was changed.
pub(super) fn unwrap(context: WrapContext, wrap: &Wrap, secret: &ExchangeKey) -> Option<Zeroizing<[u8; 32]>> {
    let shared = secret.agree(&wrap.one_time)?;
    let seal = wrap_seal(context, &shared, &wrap.person, &wrap.one_time, &secret.public());
    let mut key = Zeroizing::new([0; 32]);
    seal.open_to(Position::WHOLE, &wrap.sealed, &mut key[..]).ok()?;
    Some(key)
}

fn wrap_seal(
    context: WrapContext,
    shared: &[u8; 32],
    person: &PersonId,
    one_time: &[u8; 32],
    member: &[u8; 32],
) -> SealKey {
    let base = derive(Purpose::WrapKey, shared, &[one_time, member]);
    let object = key_object(context.epoch, context.power, &person.0);
    SealKey::derive(&base, &context.drive.0, context.kind, &object)
}

/// The seal of the previous epoch's key of a level, under this epoch's of the same level.
pub(super) fn previous_seal(drive: &DriveId, epoch: Epoch, power: Power, key: &[u8; 32]) -> SealKey {
    SealKey::derive(key, &drive.0, Kind::PreviousKey, &key_object(epoch, power, &[]))
}

fn key_object(epoch: Epoch, power: Power, rest: &[u8]) -> Vec<u8> {
    [&epoch.0.to_le_bytes()[..], &[level_tag(power)], rest].concat()
}

/// The tag of a level in seals and commitments: verify 0, repair 1, read (and above) 2.
pub(super) const fn level_tag(power: Power) -> u8 {
    match power {
        Power::Verify => 0,
        Power::Repair => 1,
        Power::Read | Power::Write | Power::Admin => 2,
    }
}
