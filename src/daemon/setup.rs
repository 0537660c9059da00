//! Making a node: identity, keystore, settings. No network, no daemon.

use super::api::{Outcome, SCHEMA, Trouble};
use super::config::Config;
use super::home::Home;
use super::keyring::{self, Keyring};
use crate::keys::{self, DeviceKeys, Keystore, PersonKey, PersonSecrets, Seed};
use crate::store::SledIndexes;
use crate::world::World;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a new node is told.
pub struct NewNode {
    pub label: String,
    pub lends: u64,
    pub grant: u64,
    pub household: Option<String>,
    pub listen: SocketAddr,
    pub passphrase: Option<String>,
}

/// This machine's own world.
pub fn real_world() -> World {
    World::real(Arc::new(SledIndexes::default()))
}

/// Run something async to its end on this thread.
pub fn block_on<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Trouble::new("cannot start", e, "check memory and process limits"))?
        .block_on(work)
}

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// Today by this machine's clock, as a UTC day number.
pub fn today(world: &World) -> u32 {
    (world.clock.now_ns() / 1_000_000_000 / DAY_S).clamp(0, u32::MAX as i64) as u32
}

/// A new person with one certified device.
pub fn new_identity(world: &World, label: &str, household: &str) -> Keystore {
    let person = PersonKey::from_seed(&Seed::from_bytes(world.random()));
    let seed = Seed::from_bytes(world.random());
    let device = DeviceKeys::from_seed(seed.clone());
    let certificate =
        device.certificate(person.id(), label, keys::household(household.as_bytes()), today(world), 1);
    Keystore {
        person: PersonSecrets::new(&person),
        device: seed,
        certificate: Some(person.certify(&certificate)),
        drives: BTreeMap::new(),
        invitations: Vec::new(),
        other: BTreeMap::new(),
    }
}

/// `kith init`.
pub fn init(home: &Home, new: &NewNode) -> Outcome<Config> {
    check_label(&new.label)?;
    let world = real_world();
    block_on(async {
        let fail = |e: std::io::Error| {
            Trouble::new(
                format!("cannot make {}", home.state.display()),
                e,
                "check its owner and room, or use --home DIR",
            )
        };
        world.disk.create_dir_all(&home.state).map_err(fail)?;
        check_new(&world, home).await?;
        let random: [u8; 16] = world.random();
        let household = new.household.clone().unwrap_or_else(|| data_encoding::HEXLOWER.encode(&random));
        let config = Config {
            schema: SCHEMA,
            label: new.label.clone(),
            lends: new.lends,
            grant: new.grant,
            household,
            listen: new.listen,
            coding: None,
        };
        let store = new_identity(&world, &config.label, &config.household);
        Keyring::create(&world, home, store, new.passphrase.as_deref()).await?;
        // Last: with the settings the node is complete.
        config.store(home)?;
        Ok(config)
    })
}

/// Refuse a place where there is a node.
pub async fn check_new(world: &World, home: &Home) -> Outcome<()> {
    if home.config().exists() || keyring::exists(world, home).await? {
        return Err(Trouble::new(
            "this machine is a node already",
            format!("there are keys in {}", home.state.display()),
            "use it as it is, or choose another --home DIR; deleting the keys deletes the way to your files",
        ));
    }
    Ok(())
}

/// A name friends can read on a screen.
pub fn check_label(label: &str) -> Outcome<()> {
    let bad = if label.is_empty() {
        "it is empty"
    } else if label.len() > keys::LABEL_MAX {
        "it is longer than 64 bytes"
    } else if label.chars().any(char::is_control) {
        "it has control characters in it"
    } else {
        return Ok(());
    };
    Err(Trouble::new(format!("'{label}' is not a name"), bad, "choose a short plain one"))
}

/// Whether the keys of this node ask for a passphrase.
pub fn needs_passphrase(home: &Home) -> Outcome<bool> {
    let world = real_world();
    block_on(async { keyring::needs_passphrase(&world, home).await })
}
