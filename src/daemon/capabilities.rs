//! Capabilities: showing one of a drive here, and opening a drive by one.

use super::api::{Line, Outcome, Trouble};
use super::drives::power_of;
use super::node::Node;
use crate::keys::{self, AdminHead, AdminLog, Capability, DriveKeys, DriveSecrets, NodeId, Power, Seed};
use std::sync::Arc;

impl Node {
    /// `kith drive show`.
    pub async fn capability(&self, name: &str, role: &str) -> Outcome<Line> {
        let power = power_of(role)?;
        let d = self.find_drive(Some(name))?;
        let refused = |why: String, fix: &str| Trouble::new(format!("no capability for '{name}'"), why, fix);
        if power >= Power::Write {
            return Err(refused(
                "whoever writes does so with a key of her own, which an admin enrols".into(),
                "invite instead: kith invite GUEST --drive NAME --as writer",
            ));
        }
        let secrets = self.keyring.read(|k| k.drives.get(&d.drive.id()).cloned());
        let secrets = secrets.ok_or_else(|| refused("it is not in the keyring".into(), "open it again"))?;
        let log = AdminLog::load(&d.drive.id(), &d.drive.admin_records())
            .map_err(|e| refused(e.to_string(), "see the log"))?;
        let capability = Capability::reader(d.drive.id(), secrets.epoch, log.head(), secrets.level_key())
            .diminish(power)
            .map_err(|e| refused(e.to_string(), "ask somebody with more power"))?;
        Ok(Line::Capability { capability: capability.to_text().to_string() })
    }

    /// `kith drive open`: the admin log comes from friends that hold the drive.
    pub async fn open_capability(self: &Arc<Self>, text: &str, name: Option<String>) -> Outcome<Line> {
        let _one_at_a_time = self.changing.lock().await;
        let capability: Capability = text
            .parse()
            .map_err(|e| Trouble::new("the capability cannot be used", e, "copy it again, whole"))?;
        let id = capability.drive();
        if let Some(known) = self.keyring.read(|k| k.drives.get(&id).map(|d| d.label.clone())) {
            return Err(Trouble::new(
                "nothing was opened",
                format!("that drive is here already, as '{known}'"),
                "mount it: kith mount --drive NAME",
            ));
        }
        let drive_keys = DriveKeys::new(id, capability.epoch(), capability.key().clone());
        let friends: Vec<NodeId> = self.roster.members().iter().map(|m| m.node).collect();
        let log = self.fetch_admin_log(&drive_keys, &capability.head(), &friends).await?;
        let bad = |e: String| Trouble::new("the capability cannot be used", e, "ask for a new one");
        let unlocked =
            log.unlock(capability.epoch(), capability.key().clone()).map_err(|e| bad(e.to_string()))?;
        let sealed_name = unlocked
            .entry_key(keys::Epoch::FIRST)
            .ok()
            .and_then(|key| keys::Genesis::verify(&log.records(0)[0], &id).ok()?.name(key).ok());
        let label = match name {
            Some(name) => {
                self.check_new_name(&name)?;
                name
            }
            None => self.free_name(sealed_name.as_deref().unwrap_or("drive")),
        };
        let secrets = DriveSecrets {
            label: label.clone(),
            power: capability.power().min(Power::Read),
            epoch: capability.epoch(),
            key: Seed::from_bytes(*capability.key().expose()),
            head: log.head(),
            admin: None,
            writer: None,
        };
        self.keyring.change(|k| k.drives.insert(id, secrets.clone())).await?;
        let mountable = self.begin_drive(id, secrets, log.records(0).to_vec()).await?;
        let (drives, nameless) = if mountable { (vec![label], vec![]) } else { (vec![], vec![label]) };
        Ok(Line::Joined { friend: String::new(), drives, nameless })
    }

    /// The admin log of a drive, not older than `head`, from the first of these nodes that has it.
    pub(super) async fn fetch_admin_log(
        &self,
        keys: &DriveKeys,
        head: &AdminHead,
        nodes: &[NodeId],
    ) -> Outcome<AdminLog> {
        let (id, mut said) = (keys.drive(), Vec::new());
        for node in nodes {
            let token = keys.read_token(keys.epoch(), node).map_err(|e| {
                Trouble::new("the drive's keys cannot be used", e, "ask for a new capability")
            })?;
            let found = self.grid.admin_of(*node, id, token).await.and_then(|admin| {
                let log = AdminLog::load(&id, &admin).map_err(|e| e.to_string())?;
                log.require(head).map(|()| log).map_err(|e| e.to_string())
            });
            match found {
                Ok(log) => return Ok(log),
                Err(why) => said.push(format!("{}: {why}", self.roster.name_of(node))),
            }
        }
        Err(Trouble::new(
            "the drive was not found",
            if said.is_empty() { "there are no friends to ask".into() } else { said.join("; ") },
            "join a friend who holds it, or try again when they are on",
        ))
    }
}
