//! Letting others into drives, and being let in.

use super::api::{Line, Outcome, Trouble};
use super::drives::power_of;
use super::node::Node;
use crate::grid::Invitation;
use crate::keys::{
    AdminLog, Capability, Certificate, DriveId, DriveKeys, DriveSecrets, Enrolment, EnrolmentSecret, Power,
    ReadKey, Seed, WriterKey, WriterSecrets,
};
use crate::wire::{Enrol, Invited, JoinedDrive, LABEL_MAX, Ticket};
use std::sync::Arc;
use std::time::Duration;

impl Node {
    /// Let a joiner into a drive (its ticket has been burned already).
    pub(super) async fn enrol(
        &self,
        id: DriveId,
        power: Power,
        joiner: &Certificate,
        wish: Option<&Enrol>,
    ) -> Result<JoinedDrive, String> {
        let secrets =
            self.keyring.read(|k| k.drives.get(&id).cloned()).ok_or("the drive is not here any more")?;
        let open = self.drive(&id).ok_or("the drive is not open")?;
        let admin = secrets.admin_key().ok_or("this device is not an admin of the drive")?;
        let wish = wish.ok_or("the guest did not say which writer key is its own")?;
        let drive_keys = DriveKeys::new(id, secrets.epoch, secrets.level_key());
        let one_time = self.one_time_key();
        open.drive
            .author(|log: &mut AdminLog| {
                let writer = (power >= Power::Write).then_some((wish.writer, &wish.consent[..]));
                let enrolment = Enrolment::of_device(log, power, joiner, wish.exchange_key, writer, None)
                    .map_err(|e| e.to_string())?;
                log.admit(&admin, &enrolment, &drive_keys, &one_time).map_err(|e| e.to_string())
            })
            .await?;
        self.know_guests();
        let capability = if power == Power::Admin {
            let secret = EnrolmentSecret::from_bytes(self.world.random());
            let read = ReadKey::from_bytes(*secrets.key.expose());
            Capability::admin(id, secrets.epoch, secrets.head, read, secret, &admin).to_text().to_string()
        } else {
            String::new()
        };
        Ok(JoinedDrive {
            drive: id,
            label: secrets.label.clone(),
            admin: open.drive.admin_records(),
            capability,
        })
    }

    /// `kith invite`.
    pub async fn invite(
        &self,
        name: Option<String>,
        grant: Option<u64>,
        valid_minutes: u64,
        drives: &[String],
        role: &str,
    ) -> Outcome<Line> {
        let power = power_of(role)?;
        let mut invited = Vec::new();
        for drive in drives {
            let d = self.find_drive(Some(drive))?;
            if d.power != Power::Admin {
                return Err(Trouble::new(
                    format!("nobody was invited to '{drive}'"),
                    "only an admin of the drive can let others in",
                    "ask the one who made it",
                ));
            }
            invited.push((d.drive.id(), power, d.name.chars().take(LABEL_MAX / 4).collect()));
        }
        let invitation = Invitation {
            bytes: grant.unwrap_or(self.config.grant),
            valid: Duration::from_secs(valid_minutes.clamp(1, 60 * 24 * 30) * 60),
            drives: invited,
        };
        let ticket = self
            .roster
            .invite(invitation, name)
            .await
            .map_err(|e| Trouble::new("no ticket was made", e, "see kith friend list"))?;
        Ok(Line::Ticket { expires_ms: ticket.expires * 1000, ticket: ticket.to_string() })
    }

    /// `kith join TICKET`.
    pub async fn join(self: &Arc<Self>, ticket: &str, grant: Option<u64>) -> Outcome<Line> {
        let _one_at_a_time = self.changing.lock().await;
        let ticket: Ticket = ticket.parse().map_err(|e| {
            Trouble::new("the ticket cannot be used", e, "copy it again, whole; or ask for a new one")
        })?;
        let wishes: Vec<(Invited, Seed, [u8; 16])> = ticket
            .drives
            .iter()
            .map(|d| (d.clone(), Seed::from_bytes(self.world.random()), self.world.random()))
            .collect();
        let enrol = wishes.iter().map(|(d, seed, inc)| self.wish(d, &WriterKey::new(seed, *inc))).collect();
        let joined = self
            .roster
            .join(&self.endpoint, &ticket, grant.unwrap_or(self.config.grant), enrol)
            .await
            .map_err(|e| {
                Trouble::new(
                    "you did not join",
                    e,
                    "check that your friend's machine is on; a used or expired ticket must be made anew",
                )
            })?;
        self.endpoint.set_addrs(joined.inviter.node, joined.inviter.addrs.clone());
        self.endpoint.keep(joined.inviter.node);
        let (mut drives, mut nameless, mut failed) = (Vec::new(), Vec::new(), None);
        for handed in joined.drives {
            let wish = wishes.iter().find(|(d, ..)| d.drive == handed.drive);
            let (invited, seed, incarnation) = wish.ok_or_else(|| {
                Trouble::new(
                    "a drive was not taken",
                    "it was handed over without being named in the ticket",
                    "ask your friend",
                )
            })?;
            let writer = WriterSecrets { seed: seed.clone(), incarnation: *incarnation };
            // The ticket is used up: one drive that is not taken must not cost the others.
            match self.take_drive(handed, invited.power, writer).await {
                Ok((name, true)) => drives.push(name),
                Ok((name, false)) => nameless.push(name),
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        if let Some(why) = failed {
            return Err(why);
        }
        Ok(Line::Joined { friend: self.roster.name_of(&joined.inviter.node), drives, nameless })
    }

    fn wish(&self, invited: &Invited, writer: &WriterKey) -> Enrol {
        Enrol {
            drive: invited.drive,
            writer: writer.public(),
            exchange_key: self.keyring.read(|k| k.sharing_key().public()),
            consent: writer.consent(&invited.drive, &self.id()).to_vec(),
        }
    }

    /// A drive handed over at joining: keys out of its admin log, into the keyring, open. Its
    /// name here, and whether it can be mounted.
    async fn take_drive(
        self: &Arc<Self>,
        handed: JoinedDrive,
        power: Power,
        writer: WriterSecrets,
    ) -> Outcome<(String, bool)> {
        let known = self.keyring.read(|k| k.drives.get(&handed.drive).cloned());
        let label = known.as_ref().map_or_else(|| self.free_name(&handed.label), |k| k.label.clone());
        if let Some(known) = known.as_ref().filter(|known| known.power >= power) {
            return Err(Trouble::new(
                format!("drive '{label}' was not taken again"),
                format!("it is here already, with the power to {}", known.power),
                "nothing needs to be done: kith drive list",
            ));
        }
        let bad = |e: String| {
            Trouble::new(format!("drive '{label}' was not taken"), e, "ask your friend to invite you again")
        };
        let log = AdminLog::load(&handed.drive, &handed.admin).map_err(|e| bad(e.to_string()))?;
        let (person, sharing) = self.keyring.read(|k| (k.person.id, k.sharing_key()));
        let unlocked = log.unlock_member(&person, &sharing).map_err(|e| bad(e.to_string()))?;
        let admin = match power {
            Power::Admin => {
                handed.capability.parse::<Capability>().ok().and_then(|c| c.admin_key()).map(|k| k.seed())
            }
            _ => None,
        };
        let key = unlocked.level(unlocked.epoch()).map_err(|e| bad(e.to_string()))?;
        let secrets = DriveSecrets {
            label: label.clone(),
            power,
            epoch: unlocked.epoch(),
            key: Seed::from_bytes(*key.expose()),
            head: log.head(),
            admin,
            writer: (power >= Power::Write).then_some(writer),
        };
        self.keyring.change(|k| k.drives.insert(handed.drive, secrets.clone())).await?;
        if self.drive(&handed.drive).is_some() {
            return Err(Trouble::new(
                format!("drive '{label}' goes on as it was until kith starts again"),
                format!("it is open here with less power than {power}, which it has from then on"),
                "kith stop, then mount it again",
            ));
        }
        let mountable = self.begin_drive(handed.drive, secrets, handed.admin).await?;
        Ok((label, mountable))
    }
}
