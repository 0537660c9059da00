//! The grid the tests run on.

use super::double::{Double, Friend, Net};
use crate::content::{CatalogueRecord, Coding, HolderStream, PackEncoder, SharePlace};
use crate::grid::{DriveAccess, Grid, LeasedShare, Me, PackSource, Roster, SealedShare, UploadEvent};
use crate::holder::Holder;
use crate::holder::tests::common::*;
use crate::holder::tests::logs::{TestDrive, drive};
use crate::keys::{DriveId, Epoch, Hash, LogId, NodeId, PackId, Signed};
use crate::net::Event;
use crate::wire::{Grant, Head, Member};
use crate::world::SimDisk;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

pub use super::double::Mood;

/// You, your friends, and a drive of yours.
pub struct Village {
    pub net: Arc<Net>,
    pub grid: Arc<Grid>,
    pub drive: Arc<TestDrive>,
    pub access: Arc<Access>,
    pub nodes: Vec<NodeId>,
}

/// The drive as the grid sees it: entries in memory.
pub struct Access {
    pub drive: Arc<TestDrive>,
    pub entries: Mutex<BTreeMap<LogId, Vec<Vec<u8>>>>,
    /// The admin log, when it is longer than the drive's own.
    pub admin: Mutex<Vec<Signed>>,
    pub leased: Mutex<Result<Vec<LeasedShare>, String>>,
    /// What reads found lost.
    pub lost: Mutex<Vec<SharePlace>>,
}

impl Access {
    pub fn add(&self, drive: DriveId, entries: &[Vec<u8>]) {
        let mut all = self.entries.lock();
        for entry in entries {
            let log = check_entry(&drive, entry).unwrap().log;
            all.entry(log).or_default().push(entry.clone());
        }
    }
}

impl DriveAccess for Access {
    fn drive(&self) -> DriveId {
        self.drive.id()
    }
    fn epoch(&self) -> Epoch {
        Epoch::FIRST
    }
    fn read_token(&self, epoch: Epoch, holder: &NodeId) -> Result<[u8; 32], String> {
        self.drive.keys.read_token(epoch, holder).map_err(|e| e.to_string())
    }
    fn unseal(&self, pack: &PackId, place: &SharePlace, offset: u64, bytes: &mut [u8]) -> Result<(), String> {
        let keys = &self.drive.keys;
        let stream = HolderStream::derive(keys, place.seal_epoch, pack, place.number, &place.holder).unwrap();
        stream.apply(offset, bytes);
        Ok(())
    }
    fn admin(&self) -> Vec<Signed> {
        let later = self.admin.lock();
        if later.is_empty() { self.drive.log.records(0).to_vec() } else { later.clone() }
    }
    fn share_lost(&self, _pack: &PackId, place: &SharePlace) {
        self.lost.lock().push(place.clone());
    }
    fn leased(&self) -> Result<Vec<LeasedShare>, String> {
        self.leased.lock().clone()
    }
    fn vector(&self) -> Vec<Head> {
        let all = self.entries.lock();
        let last = all.iter().map(|(log, e)| (log, e.len(), e.last().unwrap()));
        last.map(|(log, seq, entry)| Head {
            log: *log,
            seq: seq as u64,
            hash: check_entry(&self.drive.id(), entry).unwrap().hash,
        })
        .collect()
    }
    fn entries(&self, log: &LogId, after: u64, max_bytes: usize) -> Vec<Vec<u8>> {
        let mut bytes = 0;
        let all = self.entries.lock();
        let rest = all.get(log).map_or(&[][..], |e| &e[(after as usize).min(e.len())..]);
        let fits = rest.iter().enumerate().take_while(|(i, e)| {
            bytes += e.len();
            *i == 0 || bytes <= max_bytes
        });
        fits.map(|(_, e)| e.clone()).collect()
    }
}

pub fn member(who: &Someone, i: u8) -> Signed {
    let member = Member {
        person: who.id(),
        node: who.node(),
        signing_key: who.device.signing().public(),
        label: format!("friend{i}"),
        household: Hash([i; 32]),
        site: Hash([i; 32]),
        operator: None,
        addrs: Vec::new(),
        lends: 1 << 40,
        introducer: None,
        serial: 1,
        removed: false,
    };
    Signed::record(who.person.signing(), &member)
}

impl Village {
    /// `n` friends who each grant `bytes`.
    pub async fn new(n: u8, bytes: u64) -> Village {
        let you = Someone::new(1);
        let mut friends = Vec::new();
        for i in 0..n {
            let who = Someone::new(i + 10);
            let disk = SimDisk::new();
            let holder = who.holder(&world_of(&disk)).await;
            friends.push(Friend { holder, disk, mood: Mood::On, asked: 0, who });
        }
        let drive = Arc::new(drive(&you));
        Village::among(you, friends, drive, bytes).await
    }
    /// The same friends and the same drive, as somebody else sees them.
    pub async fn of(you: Someone, other: &Village, bytes: u64) -> Village {
        let mut friends = Vec::new();
        for (i, node) in (0u8..).zip(&other.nodes) {
            let (holder, disk) = (other.holder(i.into()), other.net.friends.lock()[node].disk.clone());
            friends.push(Friend { holder, disk, mood: Mood::On, asked: 0, who: Someone::new(i + 10) });
        }
        Village::among(you, friends, other.drive.clone(), bytes).await
    }
    async fn among(you: Someone, friends: Vec<Friend>, drive: Arc<TestDrive>, bytes: u64) -> Village {
        let net = Arc::new(Net {
            friends: Mutex::new(BTreeMap::new()),
            you: you.caller(),
            events: broadcast::channel(64).0,
        });
        let (world, _) = world(&SimDisk::new());
        let own = member(&you, 0);
        let me = Me {
            node: you.node(),
            person: you.id(),
            signing: you.device.signing().clone(),
            root: Some(you.person.clone()),
            certificate: own.clone(),
            label: "you".into(),
            household: Hash([0; 32]),
            lends: 1 << 30,
            addrs: Vec::new(),
        };
        let roster = Roster::open(&world, &places().state, &you.device.local(), me).await.unwrap();
        let mut nodes = Vec::new();
        for (i, friend) in (1..).zip(friends) {
            let who = &friend.who;
            let mut grant: Grant = who.grant(you.id(), bytes, 1).peek().unwrap();
            grant.holder = Some(who.node());
            let grant = Signed::record(who.person.signing(), &grant);
            roster.merge(&[member(who, i)]).await.unwrap();
            roster.keep_chain(who.node(), vec![grant]).await.unwrap();
            nodes.push(who.node());
            net.friends.lock().insert(who.node(), friend);
        }
        let grid = Grid::with(&world, roster, Arc::new(Double(net.clone())), None, check_entry);
        let access = Arc::new(Access {
            drive: drive.clone(),
            entries: Mutex::default(),
            admin: Mutex::default(),
            leased: Mutex::new(Ok(Vec::new())),
            lost: Mutex::default(),
        });
        grid.open_drive(access.clone());
        Village { net, grid, drive, access, nodes }
    }
    pub fn set(&self, friend: usize, mood: Mood) {
        let node = self.nodes[friend];
        let before = {
            let mut friends = self.net.friends.lock();
            std::mem::replace(&mut friends.get_mut(&node).unwrap().mood, mood)
        };
        let event = match (before, mood) {
            (Mood::Off, Mood::Off) => return,
            (Mood::Off, _) => Event::Connected(node),
            (_, Mood::Off) => Event::Disconnected(node),
            _ => return,
        };
        self.net.events.send(event).unwrap();
    }
    /// A friend says that its node is one no more.
    pub async fn remove(&self, friend: usize) {
        let node = self.nodes[friend];
        let signed = {
            let friends = self.net.friends.lock();
            let who = &friends[&node].who;
            let mut gone: Member = member(who, 1).peek().unwrap();
            (gone.serial, gone.removed) = (2, true);
            Signed::record(who.person.signing(), &gone)
        };
        self.grid.roster.merge(&[signed]).await.unwrap();
    }
    /// Which friend a node is.
    pub fn index(&self, node: &NodeId) -> usize {
        self.nodes.iter().position(|n| n == node).unwrap()
    }
    pub fn holder(&self, friend: usize) -> Arc<Holder> {
        self.net.friends.lock()[&self.nodes[friend]].holder.clone()
    }
    pub fn disk(&self, friend: usize) -> SimDisk {
        self.net.friends.lock()[&self.nodes[friend]].disk.clone()
    }
    pub fn asked(&self) -> u64 {
        self.net.friends.lock().values().map(|f| f.asked).sum()
    }
    /// The key with which a friend signs.
    pub fn signing_key(&self, node: &NodeId) -> [u8; 32] {
        self.net.friends.lock()[node].who.device.signing().public()
    }
    pub fn pack(&self, k: u8, len: usize) -> Arc<Pack> {
        let encoder = PackEncoder::new(&self.drive.id(), Epoch::FIRST, k, bytes(len as u64, len)).unwrap();
        Arc::new(Pack { encoder, drive: self.drive.clone() })
    }
    /// Upload to the end; all events, with the time of each.
    pub async fn upload(
        &self,
        pack: &Arc<Pack>,
        coding: Coding,
        placed: Vec<SharePlace>,
    ) -> Vec<(Duration, UploadEvent)> {
        let start = tokio::time::Instant::now();
        let mut events = self.grid.upload(self.drive.id(), pack.clone(), coding, placed);
        let mut all = Vec::new();
        while let Some(event) = events.recv().await {
            all.push((start.elapsed(), event));
        }
        all
    }
}

pub fn world_of(disk: &SimDisk) -> crate::world::World {
    world(disk).0
}

/// A pack of the test drive.
pub struct Pack {
    pub encoder: PackEncoder,
    pub drive: Arc<TestDrive>,
}

impl Pack {
    pub fn record(&self, shares: Vec<SharePlace>) -> CatalogueRecord {
        CatalogueRecord {
            pack: self.encoder.id(),
            epoch: Epoch::FIRST,
            k: self.encoder.layout().k(),
            len: self.encoder.layout().len(),
            data_roots: self.encoder.data_roots().to_vec(),
            shares,
        }
    }
}

impl PackSource for Pack {
    fn pack(&self) -> PackId {
        self.encoder.id()
    }
    fn seal_epoch(&self) -> Epoch {
        Epoch::FIRST
    }
    fn share_len(&self) -> u64 {
        self.encoder.layout().share_len()
    }
    fn seal(&self, number: u16, holder: &NodeId) -> Result<SealedShare, String> {
        let stream = HolderStream::derive(&self.drive.keys, Epoch::FIRST, &self.encoder.id(), number, holder);
        let share = self.encoder.share(number, &stream.unwrap()).map_err(|e| e.to_string())?;
        Ok(SealedShare { id: share.id, bytes: share.bytes.into() })
    }
}

/// The places in the last event.
pub fn finished(events: &[(Duration, UploadEvent)]) -> (Vec<SharePlace>, Vec<u16>) {
    match events.last() {
        Some((_, UploadEvent::Finished { placed, missing })) => (placed.clone(), missing.clone()),
        other => panic!("the upload did not finish: {other:?}"),
    }
}
