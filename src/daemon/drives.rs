//! The drives of a node: making and opening them.

use super::api::{Outcome, Trouble};
use super::comeback::still_away;
use super::node::{Node, NodeDrive, Unopened};
use super::setup::check_label;
use crate::drive::{Drive, DriveOptions, DriveSetup, OpenError, RealGrid};
use crate::keys::{
    self, Certificate, DriveId, DriveKeys, DriveSecrets, Enrolment, ExchangeKey, NodeId, Parameters, Power,
    ReadKey, Seed, Signed, SigningKey, WriterKey, WriterSecrets,
};
use crate::world::Places;
use std::sync::Arc;

/// History of a new drive, and the delays in its genesis record (days).
const RETENTION_DAYS: u32 = 30;
const RELEASE_DELAY_DAYS: u16 = 7;
const PARK_AFTER_DAYS: u16 = 90;

/// The power that a role's name gives.
pub(super) fn power_of(role: &str) -> Outcome<Power> {
    match role {
        "admin" => Ok(Power::Admin),
        "writer" => Ok(Power::Write),
        "reader" => Ok(Power::Read),
        "helper" => Ok(Power::Repair),
        "auditor" => Ok(Power::Verify),
        other => Err(Trouble::new(
            format!("'{other}' is not a role"),
            "unknown word",
            "one of: admin, writer, reader, helper, auditor",
        )),
    }
}

impl Node {
    fn drive_places(&self, id: &DriveId) -> Places {
        let name = &id.to_string()[..16];
        let places = self.home.places();
        Places {
            state: places.state.join("drives").join(name),
            cache: places.cache.join("drives").join(name),
            lent: places.lent,
        }
    }

    /// Open every drive in the keyring. One that does not open is said, and does not keep
    /// the others, nor lending, from starting.
    pub(super) async fn open_known_drives(self: &Arc<Self>) {
        let known: Vec<(DriveId, DriveSecrets)> =
            self.keyring.read(|k| k.drives.iter().map(|(id, s)| (*id, s.clone())).collect());
        for (id, secrets) in known {
            let back = self.coming_back(&id);
            if secrets.power < Power::Read {
                self.keep_nameless(id, &secrets);
            } else if back.as_ref().is_some_and(Vec::is_empty) {
                // Nothing waits for friends here.
                self.keep_shut(id, &secrets, still_away(&secrets.label));
            } else if let Err(t) = self.open_drive(id, secrets.clone(), back.unwrap_or_default()).await {
                self.keep_shut(id, &secrets, t);
            }
        }
    }

    /// Know a drive that did not open, to be tried again.
    pub(super) fn keep_shut(&self, id: DriveId, secrets: &DriveSecrets, why: Trouble) {
        tracing::error!("drive '{}' does not open: {why}", secrets.label);
        let unopened = Unopened { name: secrets.label.clone(), power: secrets.power, why };
        self.unopened.lock().insert(id, unopened);
    }

    /// Know a drive that this node has no power to read.
    pub(super) fn keep_nameless(&self, id: DriveId, secrets: &DriveSecrets) {
        let why = Trouble::new(
            format!("drive '{}' cannot be opened here", secrets.label),
            format!("the power to {} it shows no names and no content", secrets.power),
            "ask for an invitation or a capability as reader",
        );
        let unopened = Unopened { name: secrets.label.clone(), power: secrets.power, why };
        self.unopened.lock().insert(id, unopened);
    }

    /// Open a drive that has just come into the keyring, or keep it without opening. Whether
    /// it can be mounted.
    pub(super) async fn begin_drive(
        &self,
        id: DriveId,
        secrets: DriveSecrets,
        admin: Vec<Signed>,
    ) -> Outcome<bool> {
        if secrets.power < Power::Read {
            self.keep_nameless(id, &secrets);
            return Ok(false);
        }
        let opened = self.open_drive(id, secrets.clone(), admin).await;
        opened.map(|_| true).inspect_err(|t| self.keep_shut(id, &secrets, t.clone()))
    }

    pub(super) async fn open_drive(
        &self,
        id: DriveId,
        secrets: DriveSecrets,
        admin: Vec<Signed>,
    ) -> Outcome<NodeDrive> {
        // Nothing waits for friends here.
        self.open_from(id, secrets, admin, &[self.id()]).await
    }

    /// Open a drive; an admin log that cannot be read here comes from one of `sources`.
    pub(super) async fn open_from(
        &self,
        id: DriveId,
        secrets: DriveSecrets,
        admin: Vec<Signed>,
        sources: &[NodeId],
    ) -> Outcome<NodeDrive> {
        let what = || format!("drive '{}' does not open", secrets.label);
        let mut setup = DriveSetup {
            world: self.world.clone(),
            places: self.drive_places(&id),
            keys: DriveKeys::new(id, secrets.epoch, secrets.level_key()),
            writer: secrets.writer_key(),
            local: self.keyring.read(|k| k.device_keys().local()),
            admin,
            account: self.roster.me().person,
            label: self.config.label.clone(),
            grid: Arc::new(RealGrid(self.grid.clone())),
            options: DriveOptions::default(),
        };
        let mut opened = Drive::open(setup.clone()).await;
        if let Err(OpenError::AdminLost(why)) = &opened {
            tracing::warn!("drive '{}': its admin log is fetched again: {why}", secrets.label);
            match self.fetch_admin_log(&setup.keys, &secrets.head, sources).await {
                Ok(log) => {
                    setup.admin = log.records(0).to_vec();
                    opened = Drive::open(setup).await;
                }
                Err(t) => tracing::warn!("drive '{}': no admin log: {t}", secrets.label),
            }
        }
        let drive = opened.map_err(|e| Trouble::new(what(), e, "see the log; nothing was thrown away"))?;
        let opened = NodeDrive { name: secrets.label.clone(), power: secrets.power, drive };
        self.open.lock().insert(id, opened.clone());
        self.unopened.lock().remove(&id);
        self.know_guests();
        Ok(opened)
    }

    pub(super) fn check_new_name(&self, name: &str) -> Outcome<()> {
        check_label(name)?;
        // A name stands in paths and in `--mount NAME=DIR`.
        if name.contains(['/', '=']) || name.starts_with(['.', '-']) {
            return Err(Trouble::new(
                format!("drive '{name}' was not made"),
                "a drive's name has no '/' or '=' in it and begins with neither '.' nor '-'",
                "choose another name",
            ));
        }
        if self.keyring.read(|k| k.drives.values().any(|d| d.label == name)) {
            return Err(Trouble::new(
                format!("drive '{name}' was not made"),
                "there is one of that name here",
                "choose another name",
            ));
        }
        Ok(())
    }

    /// A new drive: its genesis, its first epoch, and this device as admin and writer.
    pub async fn create_drive(self: &Arc<Self>, name: &str) -> Outcome<NodeDrive> {
        let _one_at_a_time = self.changing.lock().await;
        self.check_new_name(name)?;
        let failed = |e: String| Trouble::new(format!("drive '{name}' was not made"), e, "see the log");
        let admin = SigningKey::from_seed(&Seed::from_bytes(self.world.random()));
        let parameters = Parameters {
            sealed_name: Vec::new(),
            retention_days: RETENTION_DAYS,
            release_delay_days: RELEASE_DELAY_DAYS,
            park_after_days: PARK_AFTER_DAYS,
        };
        let read = ReadKey::from_bytes(self.world.random());
        let key = Seed::from_bytes(*read.expose());
        let (mut log, drive_keys) = keys::found_drive(&admin, name, parameters, self.world.random(), read)
            .map_err(|e| failed(e.to_string()))?;
        let (seed, incarnation) = (Seed::from_bytes(self.world.random()), self.world.random());
        let writer = WriterKey::new(&seed, incarnation);
        let certificate = self.own_certificate()?;
        let consent = writer.consent(&log.drive(), &self.id());
        let sharing = self.keyring.read(|k| k.sharing_key().public());
        let own = Enrolment::of_device(
            &log,
            Power::Admin,
            &certificate,
            sharing,
            Some((writer.public(), &consent)),
            None,
        )
        .map_err(|e| failed(e.to_string()))?;
        let one_time = self.one_time_key();
        log.admit(&admin, &own, &drive_keys, &one_time).map_err(|e| failed(e.to_string()))?;
        let secrets = DriveSecrets {
            label: name.into(),
            power: Power::Admin,
            epoch: log.epoch(),
            key,
            head: log.head(),
            admin: Some(admin.seed()),
            writer: Some(WriterSecrets { seed, incarnation }),
        };
        let id = log.drive();
        self.keyring.change(|k| k.drives.insert(id, secrets.clone())).await?;
        let opened = self.open_drive(id, secrets.clone(), log.records(0).to_vec()).await;
        opened.inspect_err(|t| self.keep_shut(id, &secrets, t.clone()))
    }

    pub(super) fn one_time_key(&self) -> ExchangeKey {
        ExchangeKey::from_seed(Seed::from_bytes(self.world.random()))
    }

    pub(super) fn own_certificate(&self) -> Outcome<Certificate> {
        Certificate::verify_undated(&self.roster.me().certificate).map_err(|e| {
            Trouble::new("this device's certificate is not sound", e, "restore the keys from a backup")
        })
    }

    /// A name no other drive has here.
    pub(super) fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.keyring.read(|k| k.drives.values().any(|d| d.label == name));
        let wanted = if check_label(wanted).is_ok() { wanted } else { "drive" };
        let mut name = wanted.to_string();
        for n in 2.. {
            if !taken(&name) {
                break;
            }
            name = format!("{wanted} {n}");
        }
        name
    }
}
