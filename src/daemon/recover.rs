//! `kith recover --from-phrase`: a new node of a person who has nothing left but the words and
//! friends' addresses. No daemon runs meanwhile; the one that is started next takes in what was found.

use super::api::{Outcome, SCHEMA, Trouble};
use super::comeback::{GONE, RECOVERED};
use super::config::Config;
use super::home::Home;
use super::keyring::Keyring;
use super::recovery::{KEPT, kept_entry};
use super::setup::{block_on, check_label, check_new, real_world, today};
use crate::keys::{
    self, DeviceKeys, Hash, Keystore, Kit, NodeId, PersonId, PersonKey, PersonSecrets, RecoveryContent,
    RecoveryRecord, Seed, Sensitive, Signed, encode_secret,
};
use crate::net::{
    self, Admission, BodyReader, BoxFuture, Endpoint, NetError, PeerInfo, Policy, Responder, Service,
};
use crate::wire::{Member, Refusal, Request, Response};
use crate::world::World;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a friend may take to answer.
const ASK_TIME: Duration = Duration::from_secs(15);
/// The member record told to friends here is older than the one that the daemon makes: by so
/// many seconds.
const BEFORE_S: u64 = 60;

/// What a machine that is to come back is told.
pub struct ComingBack {
    pub kit: Kit,
    /// In place of what the lost machine had.
    pub label: Option<String>,
    pub lends: Option<u64>,
    pub household: Option<String>,
    pub listen: SocketAddr,
    pub passphrase: Option<String>,
    /// The former machine will not return: it is given up, for ever.
    pub gone: bool,
}

/// What was found.
#[derive(Debug)]
pub struct CameBack {
    pub label: String,
    pub person: PersonId,
    pub drives: Vec<String>,
    /// Friends that the record names, and how many gave a record.
    pub friends: usize,
    pub answered: usize,
    /// Friends that gave an older record than the one taken.
    pub older: usize,
    /// Friends that did not give one, and why.
    pub silent: Vec<String>,
}

/// This machine on its way back: no friend knows it yet.
struct Wanderer {
    world: World,
    person: PersonKey,
    device: Seed,
    keys: DeviceKeys,
    label: String,
    household: String,
    lends: u64,
    addrs: Vec<SocketAddr>,
}

/// Nobody calls here.
struct Nobody;

impl Policy for Nobody {
    fn admit(&self, _: &NodeId) -> Admission {
        Admission::Refuse
    }
    fn person(&self, _: &NodeId, _: &Signed) -> Option<PersonId> {
        None
    }
}

impl Service for Nobody {
    fn handle<'a>(&'a self, _: PeerInfo, _: Request, _: BodyReader, _: Responder) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Wanderer {
    fn certificate(&self, serial: u64) -> Signed {
        let household = keys::household(self.household.as_bytes());
        let day = today(&self.world);
        let certificate = self.keys.certificate(self.person.id(), &self.label, household, day, serial);
        self.person.certify(&certificate)
    }

    fn member(&self) -> Signed {
        let household = keys::household(self.household.as_bytes());
        let member = Member {
            person: self.person.id(),
            node: self.keys.node(),
            signing_key: self.keys.signing().public(),
            label: self.label.clone(),
            household,
            site: household,
            operator: None,
            addrs: self.addrs.clone(),
            lends: self.lends,
            introducer: None,
            serial: (self.world.now_ms() / 1000).saturating_sub(BEFORE_S),
            removed: false,
        };
        Signed::record(self.person.signing(), &member)
    }

    /// An endpoint whose TLS key is the door that friends know.
    fn knock_from(&self, listen: SocketAddr) -> Outcome<Endpoint> {
        let config = net::Config {
            bind: SocketAddr::new(listen.ip(), 0),
            device: self.person.door(),
            certificate: self.certificate(1),
            label: self.label.clone(),
        };
        Endpoint::bind(&self.world, config, Arc::new(Nobody), Arc::new(Nobody))
            .map_err(|e| failed(e.to_string(), "free a UDP port, or give another address with --listen"))
    }

    /// Ask friends, all at once. What each has, or why not, in words.
    async fn ask(&self, endpoint: &Endpoint, friends: &BTreeMap<NodeId, Vec<SocketAddr>>) -> Vec<Found> {
        let mut asked = JoinSet::new();
        for (node, addrs) in friends.clone() {
            let (endpoint, certificate, member) = (endpoint.clone(), self.certificate(1), self.member());
            asked.spawn(async move {
                let make = move |_: &[u8; 32]| Request::Recover { certificate, member };
                let answer = endpoint.join(node, &addrs, make, ASK_TIME).await;
                (node, addrs, answer.map(|(response, _)| response))
            });
        }
        let mut found = Vec::new();
        while let Some(done) = asked.join_next().await {
            let Ok((node, addrs, answer)) = done else { continue };
            let at = addrs.first().map_or_else(|| node.short(), ToString::to_string);
            found.push((node, self.read(answer).map_err(|why| format!("{at}: {why}"))));
        }
        found
    }

    fn read(&self, answer: Result<Response, NetError>) -> Result<(u64, RecoveryContent), String> {
        match answer {
            Ok(Response::Recovery { record }) => {
                let record = RecoveryRecord::verify(&record).map_err(|e| e.to_string())?;
                let content = record.open(&self.person).map_err(|e| e.to_string())?;
                Ok((record.generation, content))
            }
            // Its signing key is not known here: believed no further than to be shown.
            Ok(Response::Refusal { refusal }) => {
                Err(refusal.peek::<Refusal>().map_or_else(|e| e.to_string(), |r| r.detail))
            }
            Ok(_) => Err("it answered something else".into()),
            Err(NetError::Refused(_)) => Err("it keeps no recovery record for these words".into()),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// A friend and what it gave: generation and content, or why nothing.
type Found = (NodeId, Result<(u64, RecoveryContent), String>);

fn failed(why: impl ToString, fix: &str) -> Trouble {
    Trouble::new("nothing was recovered", why, fix)
}

/// Friends' nodes and addresses in a record of this person.
fn places(content: &RecoveryContent, own: &PersonId) -> BTreeMap<NodeId, Vec<SocketAddr>> {
    let members = content.members.iter().filter_map(|signed| signed.peek::<Member>().ok());
    members.filter(|m| m.person != *own).map(|m| (m.node, m.addrs)).collect()
}

/// Why no record was found.
fn nothing(found: &[Found]) -> Trouble {
    if found.is_empty() {
        return failed(
            "no friend's address is known",
            "give the whole kit (--kit FILE), or addresses from it: --friend ADDRESS:PORT#NODE",
        );
    }
    let mut said: Vec<String> = found.iter().filter_map(|(_, f)| f.as_ref().err().cloned()).collect();
    said.sort();
    failed(
        format!("no friend gave a recovery record. {}", said.join("; ")),
        "check that the words and addresses are those of the kit, and that friends' machines are on; try again",
    )
}

/// Make this machine a node of the person whose words these are, with what friends keep for her.
pub fn recover(home: &Home, coming: &ComingBack) -> Outcome<CameBack> {
    if let Some(label) = &coming.label {
        check_label(label)?;
    }
    let world = real_world();
    block_on(async {
        check_new(&world, home).await?;
        let (came, config) = recover_in(&world, home, coming).await?;
        // Last: with the settings the node is complete.
        config.store(home)?;
        Ok(came)
    })
}

/// The same in any world, but for storing the settings.
pub async fn recover_in(world: &World, home: &Home, coming: &ComingBack) -> Outcome<(CameBack, Config)> {
    let device = Seed::from_bytes(world.random());
    let random: [u8; 16] = world.random();
    let mut wanderer = Wanderer {
        world: world.clone(),
        person: PersonKey::from_seed(&coming.kit.root),
        keys: DeviceKeys::from_seed(device.clone()),
        device,
        label: coming.label.clone().unwrap_or_else(|| "recovered".into()),
        household: coming.household.clone().unwrap_or_else(|| data_encoding::HEXLOWER.encode(&random)),
        lends: coming.lends.unwrap_or(0),
        addrs: world.net.reachable(coming.listen),
    };
    let endpoint = wanderer.knock_from(coming.listen)?;
    let found = ask_around(&wanderer, &endpoint, coming).await;
    endpoint.close().await;
    let best = found.iter().filter_map(|(_, f)| f.as_ref().ok()).max_by_key(|(generation, _)| *generation);
    let (generation, content) = best.cloned().ok_or_else(|| nothing(&found))?;
    let gave = || found.iter().filter_map(|(_, f)| f.as_ref().ok());
    let came = CameBack {
        label: coming.label.clone().unwrap_or_else(|| content.label.clone()),
        person: wanderer.person.id(),
        drives: content.drives.iter().map(|d| d.label.clone()).collect(),
        friends: places(&content, &wanderer.person.id()).len(),
        answered: gave().count(),
        older: gave().filter(|(g, _)| *g < generation).count(),
        silent: found.iter().filter_map(|(_, f)| f.as_ref().err().cloned()).collect(),
    };
    wanderer.label.clone_from(&came.label);
    wanderer.household = coming.household.clone().unwrap_or_else(|| content.household.clone());
    let config = settle(&wanderer, home, coming, generation, &content).await?;
    Ok((came, config))
}

/// The friends of the kit, then those that the newest record names as well: one of them may have
/// a newer one, and all are to know this device.
async fn ask_around(wanderer: &Wanderer, endpoint: &Endpoint, coming: &ComingBack) -> Vec<Found> {
    let mut friends: BTreeMap<NodeId, Vec<SocketAddr>> = BTreeMap::new();
    for friend in &coming.kit.friends {
        friends.entry(friend.node).or_default().push(friend.addr);
    }
    let mut found = wanderer.ask(endpoint, &friends).await;
    let best = found.iter().filter_map(|(_, f)| f.as_ref().ok()).max_by_key(|(generation, _)| *generation);
    let named = best.map(|(_, content)| places(content, &wanderer.person.id())).unwrap_or_default();
    // Who could not be reached where the kit says may have moved since.
    let gave = |node: &NodeId| found.iter().any(|(n, f)| n == node && f.is_ok());
    let more: BTreeMap<_, _> = named
        .into_iter()
        .filter(|(node, addrs)| !addrs.is_empty() && !gave(node) && friends.get(node) != Some(addrs))
        .collect();
    found.retain(|(node, f)| f.is_ok() || !more.contains_key(node));
    found.extend(wanderer.ask(endpoint, &more).await);
    found
}

/// Keys on this machine's disk; the settings.
async fn settle(
    wanderer: &Wanderer,
    home: &Home,
    coming: &ComingBack,
    generation: u64,
    content: &RecoveryContent,
) -> Outcome<Config> {
    let world = &wanderer.world;
    let config = Config {
        schema: SCHEMA,
        label: wanderer.label.clone(),
        lends: coming.lends.unwrap_or(content.lends),
        grant: content.grant,
        household: wanderer.household.clone(),
        listen: coming.listen,
        coding: None,
    };
    let person = PersonSecrets {
        id: wanderer.person.id(),
        root: Some(wanderer.person.seed()),
        sharing: wanderer.person.sharing(content.sharing).seed().clone(),
        generation: content.sharing,
    };
    let mut other = BTreeMap::from([
        (RECOVERED.to_string(), Sensitive(encode_secret(content).to_vec())),
        // What is made of it here differs, and is the next generation.
        (KEPT.to_string(), kept_entry(generation, Hash([0; 32]))),
    ]);
    if coming.gone {
        other.insert(GONE.to_string(), Sensitive(Vec::new()));
    }
    let store = Keystore {
        person,
        device: wanderer.device.clone(),
        certificate: Some(wanderer.certificate(2)),
        drives: BTreeMap::new(),
        invitations: Vec::new(),
        other,
    };
    world.disk.create_dir_all(&home.state).map_err(|e| {
        failed(format!("{}: {e}", home.state.display()), "check its owner and room, or use --home DIR")
    })?;
    Keyring::create(world, home, store, coming.passphrase.as_deref()).await?;
    Ok(config)
}
