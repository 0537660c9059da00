//! What an admin device writes into the admin log, and how members get keys out of it.

use super::admin_error::AdminError;
use super::admin_log::{AdminLog, handover_message};
use super::admin_record::{AdminChange, AdminRecord, EpochRecord, LastEntry, Member, Wrap, Writer};
use super::derive::{Purpose, derive};
use super::drive_keys::{DriveKeys, LevelKey, NoKey};
use super::genesis::{Genesis, NameError, Parameters, seal_name};
use super::identity::ExchangeKey;
use super::seal::{Kind, Position, Seal};
use super::secret::{ReadKey, ct_eq};
use super::signed::{Domain, Signed, SigningKey};
use super::wrap::{WrapContext, level_tag, previous_seal, unwrap, wrap};
use super::{DriveId, Epoch, Hash, PersonId, Power};

/// Levels with a key of their own, in the order of commitments.
const LEVELS: [Power; 3] = [Power::Verify, Power::Repair, Power::Read];

/// Why a record was not written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthorError {
    #[error("this is not the admin key of drive {}", .0.short())]
    NotAdmin(DriveId),
    #[error("{0}")]
    Admin(#[from] AdminError),
    #[error("{0}")]
    NoKey(#[from] NoKey),
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("the X25519 key of person {} is not sound", .0.short())]
    MemberKey(PersonId),
}

/// Why a key does not open a drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnlockError {
    #[error("the admin log of drive {} knows no epoch {}", .0.short(), .1.0)]
    NoEpoch(DriveId, Epoch),
    #[error("this is not the {level} key of epoch {} of drive {}", .epoch.0, .drive.short())]
    WrongKey { drive: DriveId, epoch: Epoch, level: Power },
    #[error("the admin log of drive {} gives a key of epoch {} that does not open", .0.short(), .1.0)]
    Damaged(DriveId, Epoch),
    #[error("person {} is not a member of drive {}", .1.short(), .0.short())]
    NotMember(DriveId, PersonId),
}

/// A new drive's admin log and its keys. `random`: 32 random bytes; `read`: a random key.
/// The log holds the genesis record and epoch 1; the founder is still to be added.
pub fn found_drive(
    admin: &SigningKey,
    name: &str,
    mut parameters: Parameters,
    random: [u8; 32],
    read: ReadKey,
) -> Result<(AdminLog, DriveKeys), AuthorError> {
    parameters.sealed_name = seal_name(&read.entry_key(), &random, name)?;
    let genesis = Genesis { admin: admin.public(), parameters, random }.sign(admin);
    let drive = Genesis::drive_id(&genesis);
    let mut log = AdminLog::begin(genesis, &drive)?;
    let keys = DriveKeys::new(drive, Epoch::FIRST, LevelKey::Read(read));
    let commitments = commitments(&keys, Epoch::FIRST)?;
    let (wraps, previous) = (Vec::new(), Vec::new());
    let first = EpochRecord { epoch: Epoch::FIRST, commitments, wraps, previous };
    log.author(admin, AdminChange::NewEpoch(first))?;
    Ok((log, keys))
}

impl AdminLog {
    /// Write, sign and fold the next record; it is also handed back, to be sent on.
    pub fn author(&mut self, admin: &SigningKey, change: AdminChange) -> Result<Signed, AuthorError> {
        if admin.public() != *self.admin() {
            return Err(AuthorError::NotAdmin(self.drive()));
        }
        let head = self.head();
        let record = AdminRecord { drive: self.drive(), seq: head.len, previous: head.hash, change };
        let signed = Signed::record(admin, &record);
        self.append(signed.clone())?;
        Ok(signed)
    }
    /// Make a person a member, or change its power or X25519 key. `keys` at read power;
    /// `one_time` is a fresh random key.
    pub fn add_member(
        &mut self,
        admin: &SigningKey,
        member: Member,
        keys: &DriveKeys,
        one_time: &ExchangeKey,
    ) -> Result<Signed, AuthorError> {
        let wrap = self.wrap_level(self.epoch(), &member, keys, one_time)?;
        self.author(admin, AdminChange::AddMember { member, wrap, ticket: None })
    }
    /// Let a device write.
    pub fn enrol_writer(&mut self, admin: &SigningKey, writer: Writer) -> Result<Signed, AuthorError> {
        self.author(admin, AdminChange::EnrolWriter(writer))
    }
    /// Cut a writer off after these entries; logs of it not named are void.
    pub fn cut_off_writer(
        &mut self,
        admin: &SigningKey,
        writer: [u8; 32],
        mut last: Vec<LastEntry>,
    ) -> Result<Signed, AuthorError> {
        last.sort_by_key(|entry| entry.log);
        self.author(admin, AdminChange::CutWriter { writer, last })
    }
    /// Remove a member. Begin a new epoch after this.
    pub fn remove_member(&mut self, admin: &SigningKey, person: PersonId) -> Result<Signed, AuthorError> {
        self.author(admin, AdminChange::RemoveMember { person })
    }
    /// Begin a new epoch under a fresh random read key, given to every member at its power.
    /// `keys` (read power) gains it.
    pub fn begin_epoch(
        &mut self,
        admin: &SigningKey,
        keys: &mut DriveKeys,
        read: ReadKey,
        one_time: &ExchangeKey,
    ) -> Result<Signed, AuthorError> {
        let (old, epoch) = (self.epoch(), Epoch(self.epoch().0 + 1));
        let mut with_new = keys.clone();
        with_new.insert(epoch, LevelKey::Read(read));
        let members: Vec<Member> = self.members().copied().collect();
        let wraps = members
            .iter()
            .map(|member| self.wrap_level(epoch, member, &with_new, one_time))
            .collect::<Result<_, _>>()?;
        let mut previous = Vec::new();
        for power in LEVELS {
            let new = with_new.level_at(epoch, power)?;
            let seal = previous_seal(&self.drive(), epoch, power, new.expose());
            previous.push(seal.seal(Position::WHOLE, keys.level_at(old, power)?.expose()));
        }
        let commitments = commitments(&with_new, epoch)?;
        let record = EpochRecord { epoch, commitments, wraps, previous };
        let signed = self.author(admin, AdminChange::NewEpoch(record))?;
        *keys = with_new;
        Ok(signed)
    }
    /// Let another admin key rule; every member with admin power is given it.
    pub fn hand_over(
        &mut self,
        admin: &SigningKey,
        new: &SigningKey,
        one_time: &ExchangeKey,
    ) -> Result<Signed, AuthorError> {
        let head = self.head();
        let message = handover_message(&self.drive(), head.len, &head.hash);
        let consent = new.sign(Domain::AdminHandover, &message).to_vec();
        let context = self.wrap_context(Kind::AdminKey, self.epoch(), Power::Admin);
        let wraps = self
            .members()
            .filter(|member| member.power == Power::Admin)
            .map(|member| {
                wrap(context, member, one_time, new.seed().expose())
                    .ok_or(AuthorError::MemberKey(member.person))
            })
            .collect::<Result<_, _>>()?;
        self.author(admin, AdminChange::ChangeAdmin { admin: new.public(), consent, wraps })
    }

    /// Check a key against the epoch's commitment and open the keys of all earlier epochs.
    pub fn unlock(&self, epoch: Epoch, key: LevelKey) -> Result<DriveKeys, UnlockError> {
        let (drive, level) = (self.drive(), key.power());
        self.check_key(epoch, &key)?;
        let mut keys = DriveKeys::new(drive, epoch, key.clone());
        let (mut later, mut later_key) = (epoch, key);
        while later > Epoch::FIRST {
            let earlier = Epoch(later.0 - 1);
            let damaged = UnlockError::Damaged(drive, earlier);
            let record = self.epoch_record(later).ok_or(UnlockError::NoEpoch(drive, later))?;
            let sealed = record.previous.get(usize::from(level_tag(level))).ok_or(damaged)?;
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            previous_seal(&drive, later, level, later_key.expose())
                .open_to(Position::WHOLE, sealed, &mut bytes[..])
                .map_err(|_| damaged)?;
            later_key = LevelKey::new(level, *bytes);
            self.check_key(earlier, &later_key).map_err(|_| damaged)?;
            keys.insert(earlier, later_key.clone());
            later = earlier;
        }
        Ok(keys)
    }
    /// The keys a member has, with its X25519 secret.
    pub fn unlock_member(&self, person: &PersonId, secret: &ExchangeKey) -> Result<DriveKeys, UnlockError> {
        let drive = self.drive();
        let none = UnlockError::NotMember(drive, *person);
        let member = self.member(person).ok_or(none)?;
        let (epoch, wrapped) = self.wrapped(person).ok_or(none)?;
        let context = self.wrap_context(Kind::MemberKey, epoch, member.power);
        let key = unwrap(context, wrapped, secret).ok_or(UnlockError::Damaged(drive, epoch))?;
        self.unlock(epoch, LevelKey::new(member.power, *key))
    }
    /// The admin key that a change of admin gave to this member, if `wraps` holds one.
    pub fn unlock_admin(&self, epoch: Epoch, wrapped: &Wrap, secret: &ExchangeKey) -> Option<SigningKey> {
        let context = self.wrap_context(Kind::AdminKey, epoch, Power::Admin);
        let seed = unwrap(context, wrapped, secret)?;
        Some(SigningKey::from_seed(&super::Seed::from_bytes(*seed)))
    }

    fn check_key(&self, epoch: Epoch, key: &LevelKey) -> Result<(), UnlockError> {
        let (drive, level) = (self.drive(), key.power());
        let record = self.epoch_record(epoch).ok_or(UnlockError::NoEpoch(drive, epoch))?;
        let committed = &record.commitments[usize::from(level_tag(level))];
        match ct_eq(&committed.0, &commitment(&drive, epoch, key).0) {
            true => Ok(()),
            false => Err(UnlockError::WrongKey { drive, epoch, level }),
        }
    }
    pub(super) fn wrap_level(
        &self,
        epoch: Epoch,
        member: &Member,
        keys: &DriveKeys,
        one_time: &ExchangeKey,
    ) -> Result<Wrap, AuthorError> {
        let context = self.wrap_context(Kind::MemberKey, epoch, member.power);
        let key = keys.level_at(epoch, member.power)?;
        wrap(context, member, one_time, key.expose()).ok_or(AuthorError::MemberKey(member.person))
    }
    fn wrap_context(&self, kind: Kind, epoch: Epoch, power: Power) -> WrapContext {
        WrapContext { drive: self.drive(), kind, epoch, power }
    }
}

fn commitments(keys: &DriveKeys, epoch: Epoch) -> Result<[Hash; 3], NoKey> {
    let of = |power| Ok(commitment(&keys.drive(), epoch, &keys.level_at(epoch, power)?));
    Ok([of(LEVELS[0])?, of(LEVELS[1])?, of(LEVELS[2])?])
}

/// What an epoch record publishes of a key: one way, and bound to drive, epoch and level.
fn commitment(drive: &DriveId, epoch: Epoch, key: &LevelKey) -> Hash {
    let parts: [&[u8]; 3] = [&drive.0, &epoch.0.to_le_bytes(), &[level_tag(key.power())]];
    Hash(*derive(Purpose::KeyCommitment, key.expose(), &parts))
}
