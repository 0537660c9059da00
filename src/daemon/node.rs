//! A node: one endpoint, one holder, one grid, and the drives that are open on it.
//!
//! It is made of a [`World`] and keys alone, so the village runs it as it is.

use super::api::{FriendStatus, Outcome, Stated, Trouble};
use super::config::Config;
use super::home::Home;
use super::keyring::Keyring;
use super::recovery::RecoveryNote;
use super::service::{Gate, NodeService};
use crate::drive::Drive;
use crate::grid::{self, Grid, Me, Roster};
use crate::holder::{CheckedEntry, Holder, HolderOptions};
use crate::keys::{self, DriveId, NodeId, PersonId, Power};
use crate::ledger;
use crate::net::{self, Endpoint};
use crate::tree;
use crate::wire::FREE_DISK_FLOOR;
use crate::world::World;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What a node is made of.
pub struct NodeSetup {
    pub world: World,
    pub home: Home,
    pub config: Config,
    pub keyring: Keyring,
}

/// A drive that is open here.
#[derive(Clone)]
pub struct NodeDrive {
    pub name: String,
    pub power: Power,
    pub drive: Arc<Drive>,
}

/// A running node.
pub struct Node {
    pub(super) world: World,
    pub(super) home: Home,
    pub(super) config: Config,
    pub(super) keyring: Keyring,
    pub(super) roster: Arc<Roster>,
    pub(super) endpoint: Endpoint,
    pub(super) grid: Arc<Grid>,
    pub(super) holder: Arc<Holder>,
    pub(super) open: Mutex<BTreeMap<DriveId, NodeDrive>>,
    /// Drives in the keyring that are not open.
    pub(super) unopened: Mutex<BTreeMap<DriveId, Unopened>>,
    pub(super) recovery: Mutex<RecoveryNote>,
    /// One change of the set of drives at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// They end with the node, closed or dropped.
    tasks: Mutex<JoinSet<()>>,
}

/// A drive of this node that is not open, and why: it failed to open, or this node has no
/// power to read it.
#[derive(Clone)]
pub struct Unopened {
    pub name: String,
    pub power: Power,
    pub why: Trouble,
}

impl Unopened {
    /// A drive that this node may repair or verify, not read: nothing is wrong with it.
    pub fn nameless(&self) -> bool {
        self.power < Power::Read
    }
}

/// A trouble of starting.
fn starting(why: impl ToString) -> Trouble {
    Trouble::new("the node does not start", why, "see the log; nothing on disk was changed")
}

impl Node {
    /// Start everything: what is lent, the endpoint, the grid, and every drive this node has.
    /// Never waits for friends.
    pub async fn open(setup: NodeSetup) -> Outcome<Arc<Node>> {
        let NodeSetup { world, home, config, keyring } = setup;
        let places = home.places();
        for dir in [&places.state, &places.cache, &places.lent] {
            world.disk.create_dir_all(dir).map_err(|e| starting(format!("{}: {e}", dir.display())))?;
        }
        let device = keyring.read(keys::Keystore::device_keys);
        let roster = Roster::open(&world, &places.state, &device.local(), me(&world, &config, &keyring)?)
            .await
            .map_err(starting)?;
        let holder = Holder::open(&world, &places, lending(&config, &roster)).await.map_err(starting)?;
        let service = Arc::new(NodeService::new(roster.clone(), holder.clone()));
        let gate = Gate::new(roster.clone(), holder.clone());
        let endpoint = bind(&world, &home, &config, &roster, gate, &device, service.clone())?;
        let grid = Grid::start(&world, roster.clone(), endpoint.clone(), Some(holder.clone()));
        grid.set_coding(config.coding());
        let node = Arc::new(Node {
            world,
            home,
            config,
            keyring,
            roster,
            endpoint,
            grid,
            holder,
            open: Mutex::new(BTreeMap::new()),
            unopened: Mutex::default(),
            recovery: Mutex::default(),
            changing: tokio::sync::Mutex::new(()),
            tasks: Mutex::default(),
        });
        service.attach(&node);
        node.adopt_recovered().await;
        node.know_friends();
        node.tasks.lock().spawn(grid::gossip(node.roster.clone(), node.endpoint.clone()));
        node.open_known_drives().await;
        node.tasks.lock().spawn(super::reopen::retry(Arc::downgrade(&node)));
        node.tasks.lock().spawn(super::recovery::keep(Arc::downgrade(&node)));
        Ok(node)
    }

    /// Where friends are, and that connections to them are to be kept.
    fn know_friends(&self) {
        for member in self.roster.members() {
            self.endpoint.set_addrs(member.node, member.addrs.clone());
            self.endpoint.keep(member.node);
        }
    }

    /// Stop in order: drives first, so that what they journal is whole, the network last. No
    /// task is left and the port is free when this returns.
    pub async fn close(&self) {
        // Before the drives: one of these tasks opens drives.
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        let open: Vec<NodeDrive> = std::mem::take(&mut *self.open.lock()).into_values().collect();
        for d in open {
            d.drive.close().await;
        }
        self.endpoint.close().await;
        self.grid.close().await;
        self.holder.close().await;
    }

    pub fn id(&self) -> NodeId {
        self.roster.me().node
    }
    /// Whose node it is.
    pub fn person(&self) -> PersonId {
        self.roster.me().person
    }
    /// What this person may show at a holder to use space there.
    pub fn grants_at(&self, holder: &NodeId) -> Vec<keys::Signed> {
        self.roster.chain_for(holder)
    }
    /// A friend, to be asked by hand.
    pub fn peer(&self, node: NodeId) -> net::Peer {
        self.endpoint.peer(node)
    }
    pub fn label(&self) -> String {
        self.config.label.clone()
    }
    pub fn lends(&self) -> u64 {
        self.config.lends
    }
    /// Bytes of others kept here.
    pub fn lent_used(&self) -> u64 {
        self.holder.status().lent
    }
    pub fn addrs(&self) -> Vec<String> {
        self.roster.me().addrs.iter().map(ToString::to_string).collect()
    }
    /// Bytes sent and received since this start.
    pub fn traffic(&self) -> (u64, u64) {
        self.endpoint.traffic()
    }
    /// Room for a drive's data at friends.
    pub fn room(&self, drive: &DriveId) -> grid::Room {
        self.grid.room(drive)
    }
    /// What this node calls a node.
    pub fn name_of(&self, node: &NodeId) -> String {
        self.roster.name_of(node)
    }

    /// What a person should know of this machine's disk.
    pub fn problems(&self) -> Vec<String> {
        self.keyring.problem().into_iter().chain(self.roster.problems()).collect()
    }

    /// All friends, by name.
    pub fn friends(&self) -> Vec<FriendStatus> {
        let now = self.world.now_ms();
        let accounts = self.holder.status().accounts;
        let used_here = |person| accounts.iter().find(|(p, ..)| *p == person).map_or(0, |(.., used)| *used);
        let mut out: Vec<FriendStatus> = self
            .grid
            .status()
            .into_iter()
            .map(|f| FriendStatus {
                name: self.roster.name_of(&f.node),
                node: f.node.to_string(),
                online: f.online,
                last_seen_s: f.last_seen_ms.map(|ms| now.saturating_sub(ms) / 1000),
                rtt_ms: f.rtt.map(|rtt| rtt.as_millis() as u64),
                allows: self.roster.allowed_at(&f.node),
                holds_for_us: f.used,
                we_allow: self.roster.given_to(&f.person).map_or(0, |g| g.bytes),
                we_hold: used_here(f.person),
                trouble: trouble_with(&f),
                statement: f.said.as_ref().map(stated),
                notice: f.notice,
                away_until: f.away_until,
                verified_s: f.verified_ms.map(|ms| now.saturating_sub(ms) / 1000),
                audits_passed: f.audits.0,
                audits_failed: f.audits.1,
            })
            .collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    /// Change what a friend may use on this node's disk.
    pub async fn limit_friend(&self, name: &str, bytes: u64) -> Outcome<()> {
        let what = || format!("the limit of '{name}' was not changed");
        let member = self.roster.members().into_iter().find(|m| self.roster.name_of(&m.node) == name);
        let member = member
            .ok_or_else(|| Trouble::new(what(), "no friend has that name", "kith friend list shows them"))?;
        // What the lent space knows may be later than the roster, if that was lost.
        let given = self.holder.given().into_iter().map(|(_, grant)| grant);
        let shown = given.filter(|g| g.subject == member.person).map(|g| g.serial).max();
        let grant = self
            .roster
            .give_after(member.person, bytes, shown)
            .await
            .map_err(|e| Trouble::new(what(), e, "make room on the disk and try again"))?;
        self.holder.give(&grant).await.map(|_| ()).map_err(|e| Trouble::new(what(), e, "see the log"))
    }

    /// Who else writes in the drives of which this node is an admin may use this person's
    /// friends: the roster passes their grants on.
    pub(super) fn know_guests(&self) {
        let own = self.roster.me().person;
        let drives = self.drives().into_iter().filter(|d| d.power == Power::Admin);
        let members = drives.flat_map(|d| d.drive.members());
        let guests = members.filter(|(person, power)| *person != own && *power >= Power::Write);
        self.roster.set_guests(guests.map(|(person, _)| person).collect());
    }

    /// The drives that are open, by id.
    pub fn drives(&self) -> Vec<NodeDrive> {
        self.open.lock().values().cloned().collect()
    }
    pub fn drive(&self, id: &DriveId) -> Option<NodeDrive> {
        self.open.lock().get(id).cloned()
    }
    /// A drive by name; without one the only drive there is.
    pub fn find_drive(&self, name: Option<&str>) -> Outcome<NodeDrive> {
        let drives = self.drives();
        let unopened = self.unopened.lock();
        let mut shut = unopened.values().filter(|u| name.is_none_or(|n| u.name == n));
        if (name.is_some() || drives.is_empty())
            && let Some(shut) = shut.next()
        {
            return Err(shut.why.clone());
        }
        let names = || drives.iter().map(|d| d.name.clone()).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => drives.iter().find(|d| d.name == name).cloned().ok_or_else(|| {
                Trouble::new(
                    format!("no drive called '{name}' here"),
                    format!("there are: {}", names()),
                    "kith drive create NAME makes one",
                )
            }),
            None if drives.len() == 1 => Ok(drives[0].clone()),
            None if drives.is_empty() => Err(Trouble::new(
                "there is no drive here",
                "none was created or opened",
                "kith drive create NAME makes one",
            )),
            None => Err(Trouble::new(
                "which drive?",
                format!("there are several: {}", names()),
                "say which: --drive NAME",
            )),
        }
    }
}

fn me(world: &World, config: &Config, keyring: &Keyring) -> Outcome<Me> {
    let addrs = world.net.reachable(config.listen);
    keyring.read(|k| {
        let device = k.device_keys();
        Ok(Me {
            node: device.node(),
            person: k.person.id,
            signing: device.signing().clone(),
            root: k.person_key(),
            certificate: k.certificate.clone().ok_or_else(|| starting("the device has no certificate"))?,
            label: config.label.clone(),
            household: keys::household(config.household.as_bytes()),
            lends: config.lends,
            addrs,
        })
    })
}

fn lending(config: &Config, roster: &Roster) -> HolderOptions {
    let me = roster.me();
    HolderOptions {
        node: me.node,
        owner: me.person,
        signing: me.signing.clone(),
        lends: config.lends,
        floor: FREE_DISK_FLOOR,
        policy: ledger::Policy::default(),
        check_entry,
        replay_entry,
    }
}

/// What a holder checks of an entry: all that can be checked without a key.
fn check_entry(drive: &DriveId, bytes: &[u8]) -> Result<CheckedEntry, String> {
    tree::Checked::parse(bytes, drive).map(seen_by_holder).map_err(|e| e.to_string())
}

/// What it reads of one it has checked before.
fn replay_entry(drive: &DriveId, bytes: &[u8]) -> Result<CheckedEntry, String> {
    tree::Checked::claimed(bytes, drive).map(seen_by_holder).map_err(|e| e.to_string())
}

fn seen_by_holder(entry: tree::Checked) -> CheckedEntry {
    CheckedEntry {
        log: entry.log,
        seq: entry.header.seq,
        previous: entry.header.previous,
        hash: entry.hash,
        epoch: entry.header.epoch,
        writer: entry.header.writer,
    }
}

fn bind(
    world: &World,
    home: &Home,
    config: &Config,
    roster: &Arc<Roster>,
    gate: Gate,
    device: &keys::DeviceKeys,
    service: Arc<NodeService>,
) -> Outcome<Endpoint> {
    let net_config = net::Config {
        bind: config.listen,
        device: device.clone(),
        certificate: roster.me().certificate.clone(),
        label: config.label.clone(),
    };
    Endpoint::bind(world, net_config, Arc::new(gate), service).map_err(|e| {
        Trouble::new(
            "the daemon does not start",
            e,
            format!(
                "free the port, or change 'listen' in {} (0.0.0.0:PORT is every address of this machine)",
                home.config().display()
            ),
        )
    })
}

fn stated(said: &crate::wire::Statement) -> Stated {
    Stated {
        day: ledger::date_of(said.day),
        number: said.seq,
        limit: said.limit,
        used: said.used,
        leases: said.leases,
        written: said.bytes_written,
        read: said.bytes_read,
    }
}

/// What a person should know of a friend.
fn trouble_with(f: &grid::FriendStatus) -> Option<String> {
    if f.wrong_bytes > 0 {
        return Some(format!("served wrong bytes {} times; they were not believed", f.wrong_bytes));
    }
    f.last_error.clone()
}
