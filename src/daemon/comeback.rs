//! Drives that a recovery record names, brought back from friends: the admin log first, then, where
//! this person rules the drive, a writer key of this device.

use super::api::{Outcome, Trouble};
use super::node::{Node, NodeDrive};
use crate::keys::{
    AdminHead, AdminLog, DriveId, DriveKeys, DriveSecrets, Enrolment, Keystore, NodeId, Power,
    RecoveryContent, Seed, Sensitive, Signed, WriterKey, WriterSecrets, decode_canonical, encode,
};
use crate::wire::Member;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Name of the content of a recovery record in the keystore, until it was taken in.
pub(super) const RECOVERED: &str = "recovered";
/// ... and that the machine it was made on, and any other of this person, is to be given up.
pub(super) const GONE: &str = "gone";
/// Begins the name of a drive that has not been open here since it was recovered: its admin log,
/// empty until friends gave it.
const BACK: &str = "back:";
/// Longest admin log kept there (a keystore may have 16 MiB).
const BACK_MAX: usize = 8 << 20;

fn back_name(drive: &DriveId) -> String {
    format!("{BACK}{drive}")
}

impl Node {
    /// Take in what `kith recover` brought, once.
    pub(super) async fn adopt_recovered(&self) {
        let stored = self.keyring.read(|k| k.other.get(RECOVERED).cloned());
        let Some(stored) = stored else { return };
        let adopted = match decode_canonical::<RecoveryContent>(&stored.0, crate::keys::RECOVERY_SEALED_MAX) {
            Ok(content) => self.adopt(&content).await.map(|()| self.former_devices(&content)),
            Err(e) => return tracing::error!("what was recovered cannot be read: {e}"),
        };
        let adopted = match adopted {
            Ok(former) if self.keyring.read(|k| k.other.contains_key(GONE)) => self.give_up(&former).await,
            other => other.map(|_| ()),
        };
        let forget = |k: &mut Keystore| [RECOVERED, GONE].map(|name| k.other.remove(name));
        let done = match adopted {
            Ok(()) => self.keyring.change(forget).await.map(|_| ()),
            Err(t) => Err(t),
        };
        if let Err(t) = done {
            tracing::error!("what was recovered is taken in at the next start: {t}");
        }
    }

    /// This person's devices in a record, but for this one.
    fn former_devices(&self, content: &RecoveryContent) -> Vec<NodeId> {
        let members = content.members.iter().filter_map(|signed| signed.peek::<Member>().ok());
        let former = members.filter(|m| m.person == self.person() && m.node != self.id());
        former.map(|m| m.node).collect()
    }

    /// Give up devices, for ever: friends refuse them, and make again what they held.
    async fn give_up(&self, devices: &[NodeId]) -> Outcome<()> {
        for node in devices.iter().filter(|node| !self.roster.is_revoked(node)) {
            self.roster.revoke(*node).await.map_err(|e| {
                let fix = "it is tried again at the next start";
                Trouble::new(format!("the former machine {} was not given up", node.short()), e, fix)
            })?;
        }
        Ok(())
    }

    /// Friends and drives that are not known here.
    pub(super) async fn adopt(&self, content: &RecoveryContent) -> Outcome<()> {
        let failed = |e: crate::grid::GridError| {
            Trouble::new("the recovery record was not taken in", e, "make room on the disk and try again")
        };
        self.roster.recall(content).await.map_err(failed)?;
        for drive in &content.drives {
            if self.keyring.read(|k| k.drives.contains_key(&drive.drive)) {
                continue;
            }
            let power = Node::power_back(drive);
            let secrets = DriveSecrets {
                label: self.free_name(&drive.label),
                power,
                epoch: drive.epoch,
                key: drive.key.clone(),
                head: drive.head,
                admin: drive.admin.clone().filter(|_| power == Power::Admin),
                writer: None,
            };
            let (id, kept) = (drive.drive, secrets.clone());
            let none: Vec<Signed> = Vec::new();
            self.keyring
                .change(|k| {
                    k.drives.insert(id, kept);
                    if power >= Power::Read {
                        k.other.insert(back_name(&id), Sensitive(encode(&none)));
                    }
                })
                .await?;
            match power >= Power::Read {
                true => self.keep_shut(id, &secrets, still_away(&secrets.label)),
                false => self.keep_nameless(id, &secrets),
            }
        }
        Ok(())
    }

    /// The admin log with which a recovered drive is to be opened the first time; empty where
    /// friends have not been asked yet. None: it is no such drive, or has been open since.
    pub(super) fn coming_back(&self, drive: &DriveId) -> Option<Vec<Signed>> {
        let stored = self.keyring.read(|k| k.other.get(&back_name(drive)).cloned())?;
        Some(decode_canonical(&stored.0, BACK_MAX).unwrap_or_default())
    }

    /// Open a recovered drive for the first time.
    pub(super) async fn bring_back(
        &self,
        id: DriveId,
        secrets: DriveSecrets,
        sources: &[NodeId],
    ) -> Outcome<NodeDrive> {
        let (secrets, records) = match self.coming_back(&id) {
            Some(records) if !records.is_empty() => (secrets, records),
            _ => self.fetch_back(id, secrets, sources).await?,
        };
        let opened = self.open_from(id, secrets, records, sources).await?;
        self.keyring.change(|k| k.other.remove(&back_name(&id))).await?;
        Ok(opened)
    }

    /// Keys and admin log of a drive as friends have them, with this device enrolled where this
    /// person rules it; on disk when this returns.
    async fn fetch_back(
        &self,
        id: DriveId,
        mut secrets: DriveSecrets,
        sources: &[NodeId],
    ) -> Outcome<(DriveSecrets, Vec<Signed>)> {
        let label = secrets.label.clone();
        let failed = |e: String| {
            Trouble::new(format!("drive '{label}' does not come back"), e, "see the log; it is tried again")
        };
        let old = DriveKeys::new(id, secrets.epoch, secrets.level_key());
        let mut log = self.longest_admin_log(&old, &secrets.head, sources).await?;
        let (person, sharing) = self.keyring.read(|k| (k.person.id, k.sharing_key()));
        // A member has the newest key in the log; who has a capability only, the one it came with.
        let keys = match log.member(&person).is_some() {
            true => log.unlock_member(&person, &sharing),
            false => log.unlock(secrets.epoch, secrets.level_key()),
        };
        let keys = keys.map_err(|e| failed(e.to_string()))?;
        let key = keys.level(keys.epoch()).map_err(|e| failed(e.to_string()))?;
        (secrets.epoch, secrets.key) = (keys.epoch(), Seed::from_bytes(*key.expose()));
        if secrets.admin_key().is_some_and(|admin| admin.public() == *log.admin()) {
            secrets.writer = Some(self.enrol_self(&mut log, &secrets, &keys).map_err(failed)?);
        } else {
            (secrets.power, secrets.admin) = (secrets.power.min(Power::Read), None);
        }
        secrets.head = log.head();
        let records = log.records(0).to_vec();
        let (kept, stored) = (secrets.clone(), Sensitive(encode(&records)));
        if stored.0.len() <= BACK_MAX {
            self.keyring
                .change(|k| {
                    k.drives.insert(id, kept);
                    k.other.insert(back_name(&id), stored);
                })
                .await?;
            return Ok((secrets, records));
        }
        Err(failed(format!("its admin log takes {} bytes, more than {BACK_MAX}", stored.0.len())))
    }

    /// Write this device into the admin log, with a new writer key.
    fn enrol_self(
        &self,
        log: &mut AdminLog,
        secrets: &DriveSecrets,
        keys: &DriveKeys,
    ) -> Result<WriterSecrets, String> {
        let admin = secrets.admin_key().ok_or("the admin key is not here")?;
        let writer =
            WriterSecrets { seed: Seed::from_bytes(self.world.random()), incarnation: self.world.random() };
        let key = WriterKey::new(&writer.seed, writer.incarnation);
        let consent = key.consent(&log.drive(), &self.id());
        let certificate = self.own_certificate().map_err(|t| t.to_string())?;
        let sharing = self.keyring.read(|k| k.sharing_key().public());
        let wish = Some((key.public(), &consent[..]));
        let own = Enrolment::of_device(log, Power::Admin, &certificate, sharing, wish, None)
            .map_err(|e| e.to_string())?;
        log.admit(&admin, &own, keys, &self.one_time_key()).map_err(|e| e.to_string())?;
        Ok(writer)
    }

    /// The longest admin log that any of these nodes has, not older than `head`. All are asked:
    /// what is written onto an older one would be a fork.
    async fn longest_admin_log(
        &self,
        keys: &DriveKeys,
        head: &AdminHead,
        sources: &[NodeId],
    ) -> Outcome<AdminLog> {
        let (id, mut asked) = (keys.drive(), JoinSet::new());
        for node in sources {
            let token = keys.read_token(keys.epoch(), node).map_err(|e| {
                Trouble::new("the drive's keys cannot be used", e, "see the log; it is tried again")
            })?;
            let (grid, node, head): (Arc<_>, _, _) = (self.grid.clone(), *node, *head);
            asked.spawn(async move {
                let found = grid.admin_of(node, id, token).await.and_then(|records| {
                    let log = AdminLog::load(&id, &records).map_err(|e| e.to_string())?;
                    log.require(&head).map(|()| log).map_err(|e| e.to_string())
                });
                (node, found)
            });
        }
        let (mut best, mut said) = (None::<AdminLog>, Vec::new());
        while let Some(done) = asked.join_next().await {
            match done {
                Ok((_, Ok(log))) if best.as_ref().is_none_or(|b| b.len() < log.len()) => best = Some(log),
                Ok((node, Err(why))) if node != self.id() => {
                    said.push(format!("{}: {why}", self.name_of(&node)));
                }
                _ => {}
            }
        }
        said.sort();
        best.ok_or_else(|| {
            let why = if said.is_empty() { "there are no friends to ask".into() } else { said.join("; ") };
            Trouble::new(
                "no friend gives the drive's admin log",
                why,
                "it is tried again by itself, and by kith mount; wait until more friends are on",
            )
        })
    }
}

/// What is said of a drive that was recovered and not asked for yet.
pub(super) fn still_away(label: &str) -> Trouble {
    Trouble::new(
        format!("drive '{label}' is not back yet"),
        "its admin log is still to be fetched from friends",
        "it comes by itself when enough friends are on; kith mount tries at once",
    )
}
