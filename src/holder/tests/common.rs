//! Worlds and people for tests.

use crate::holder::{Caller, CheckedEntry, Holder, HolderOptions, Reply};
use crate::keys::{
    DeviceKeys, DriveId, EntryHash, Epoch, LogId, NodeId, PersonId, PersonKey, Record, Seed, ShareId, Signed,
    read_token_hash,
};
use crate::ledger::Policy;
use crate::wire::{Grant, Lease, Reason, Receipt, Refusal, Regime, Request, Response};
use crate::world::{Blocking, Clock, MemIndexes, Places, RealNet, Rng, SimDisk, World};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock on tokio's (paused) time, whose wall can be moved.
pub(crate) struct TestClock {
    start: tokio::time::Instant,
    pub wall_ms: AtomicU64,
}

impl Clock for TestClock {
    fn now_ns(&self) -> i64 {
        let ms = self.wall_ms.load(Ordering::Relaxed) + self.start.elapsed().as_millis() as u64;
        ms as i64 * 1_000_000
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

pub(crate) struct TestRng(pub Mutex<u64>);

impl Rng for TestRng {
    fn fill(&self, out: &mut [u8]) {
        let mut n = self.0.lock();
        *n += 1;
        blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(out);
    }
}

/// Day 100 of 1970.
pub(crate) const START_MS: u64 = 100 * crate::ledger::DAY_MS;

pub(crate) fn world(disk: &SimDisk) -> (World, Arc<TestClock>) {
    let clock = Arc::new(TestClock { start: tokio::time::Instant::now(), wall_ms: AtomicU64::new(START_MS) });
    let world = World {
        clock: clock.clone(),
        rng: Arc::new(TestRng(Mutex::new(0))),
        disk: Arc::new(disk.clone()),
        net: Arc::new(RealNet),
        indexes: Arc::new(MemIndexes),
        blocking: Blocking::Inline,
    };
    (world, clock)
}

pub(crate) fn places() -> Places {
    Places { state: "/n/state".into(), cache: "/n/cache".into(), lent: "/n/lent".into() }
}

/// A person with one device.
pub(crate) struct Someone {
    pub person: PersonKey,
    pub device: DeviceKeys,
}

impl Someone {
    pub fn new(i: u8) -> Someone {
        Someone {
            person: PersonKey::from_seed(&Seed::from_bytes([i; 32])),
            device: DeviceKeys::from_seed(Seed::from_bytes([i + 100; 32])),
        }
    }
    pub fn id(&self) -> PersonId {
        self.person.id()
    }
    pub fn node(&self) -> NodeId {
        self.device.node()
    }
    pub fn caller(&self) -> Caller {
        let household = crate::keys::Hash([1; 32]);
        let certificate = self.device.certificate(self.id(), "device", household, 100, 1);
        let certificate = Some(Arc::new(self.person.certify(&certificate)));
        Caller { node: self.node(), person: Some(self.id()), certificate }
    }
    pub fn grant(&self, to: PersonId, bytes: u64, serial: u64) -> Signed {
        let grant = Grant {
            issuer: self.id(),
            subject: to,
            holder: None,
            regime: Regime::Friends,
            bytes,
            egress_bytes_per_day: u64::MAX,
            not_before: 0,
            expires: None,
            retention_days: 30,
            rank: 0,
            obligation_bytes: 0,
            delegable: true,
            parent: None,
            serial,
        };
        Signed::record(self.person.signing(), &grant)
    }
    pub fn options(&self) -> HolderOptions {
        HolderOptions {
            node: self.node(),
            owner: self.id(),
            signing: self.device.signing().clone(),
            lends: 1 << 40,
            floor: 1 << 20,
            policy: Policy::default(),
            check_entry,
            replay_entry: check_entry,
        }
    }
    pub async fn holder(&self, world: &World) -> Arc<Holder> {
        Holder::open(world, &places(), self.options()).await.unwrap()
    }
}

pub(crate) const DRIVE: DriveId = DriveId([7; 32]);
pub(crate) const TOKEN: [u8; 32] = [5; 32];

/// `len` bytes that depend on `seed`.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

pub(crate) fn lease(account: PersonId, bytes: &[u8]) -> Lease {
    Lease {
        account,
        share: ShareId(*blake3::hash(bytes).as_bytes()),
        drive: DRIVE,
        len: bytes.len() as u64,
        term_days: 90,
        priority: 0,
        lock_until: None,
        sponsor: false,
        read_token_hash: read_token_hash(&TOKEN),
    }
}

pub(crate) fn body(bytes: &[u8]) -> VecDeque<Bytes> {
    bytes.chunks(100_000).map(Bytes::copy_from_slice).collect()
}

pub(crate) async fn call(holder: &Arc<Holder>, caller: &Caller, request: Request) -> Reply {
    holder.serve(caller, request, &mut VecDeque::new()).await
}

pub(crate) async fn put(holder: &Arc<Holder>, who: &Someone, data: &[u8]) -> Response {
    let lease = lease(who.id(), data);
    let request = Request::Put { lease, grants: Vec::new(), reservation: None };
    holder.serve(&who.caller(), request, &mut body(data)).await.response
}

pub(crate) fn receipt(response: Response, from: &Someone) -> Receipt {
    match response {
        Response::Receipt { receipt } => receipt.open(&from.device.signing().public()).unwrap(),
        other => panic!("no receipt but {}", tell(other)),
    }
}

pub(crate) fn tell(response: Response) -> String {
    match response {
        Response::Refusal { refusal } => format!("{:?}", refusal.peek::<Refusal>().unwrap()),
        other => format!("{other:?}"),
    }
}

pub(crate) fn refusal(response: Response, from: &Someone) -> (Reason, u64, u64) {
    match response {
        Response::Refusal { refusal } => {
            let refusal: Refusal = refusal.open(&from.device.signing().public()).unwrap();
            (refusal.reason, refusal.limit, refusal.used)
        }
        other => panic!("no refusal but {other:?}"),
    }
}

pub(crate) fn get(account: PersonId, share: ShareId, ranges: &[(u64, u32)], token: [u8; 32]) -> Request {
    let ranges =
        ranges.iter().map(|(offset, len)| crate::wire::Range { offset: *offset, len: *len }).collect();
    Request::Get { share, account, token, ranges, leaf: crate::wire::LEAF_SMALL, nonce: [9; 16] }
}

/// Entries of the tests: postcard of these fields, signed as an entry header.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct TestEntry {
    pub drive: DriveId,
    pub writer: [u8; 32],
    pub log: LogId,
    pub seq: u64,
    pub previous: EntryHash,
    pub filling: Vec<u8>,
}

impl Record for TestEntry {
    const DOMAIN: crate::keys::Domain = crate::keys::Domain::EntryHeader;
    const MAX: usize = 1 << 20;
}

pub(crate) fn check_entry(drive: &DriveId, bytes: &[u8]) -> Result<CheckedEntry, String> {
    let signed: Signed = crate::wire::decode(bytes).map_err(|e| e.to_string())?;
    let entry: TestEntry = signed.peek().map_err(|e| e.to_string())?;
    signed.open::<TestEntry>(&entry.writer).map_err(|e| e.to_string())?;
    if entry.drive != *drive {
        return Err("of another drive".into());
    }
    let hash = EntryHash(signed.hash().0);
    let TestEntry { log, seq, previous, writer, .. } = entry;
    Ok(CheckedEntry { log, seq, previous, hash, epoch: Epoch::FIRST, writer })
}
