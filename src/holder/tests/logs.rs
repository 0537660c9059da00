use super::common::*;
use crate::holder::{Caller, Holder};
use crate::keys::{
    AdminLog, DriveId, DriveKeys, EntryHash, Epoch, ExchangeKey, LogId, Member, Parameters, Power, ReadKey,
    Seed, Signed, Writer, WriterKey, encode, found_drive, read_token_hash,
};
use crate::wire::{Head, LogReceipt, Reason, Request, Response};
use crate::world::SimDisk;
use std::sync::Arc;
use std::time::Duration;

/// A drive of one person with one writer.
pub(crate) struct TestDrive {
    pub log: AdminLog,
    pub keys: DriveKeys,
    pub writer: WriterKey,
}

const PARAMETERS: Parameters =
    Parameters { sealed_name: Vec::new(), retention_days: 30, release_delay_days: 7, park_after_days: 90 };

pub(crate) fn drive(owner: &Someone) -> TestDrive {
    let admin = owner.person.signing();
    let read = ReadKey::from_bytes([3; 32]);
    let (mut log, keys) = found_drive(admin, "family", PARAMETERS, [1; 32], read).unwrap();
    let exchange = owner.person.sharing(0);
    let member = Member { person: owner.id(), exchange_key: exchange.public(), power: Power::Admin };
    let one_time = ExchangeKey::from_seed(Seed::from_bytes([8; 32]));
    log.add_member(admin, member, &keys, &one_time).unwrap();
    let writer = WriterKey::new(&Seed::from_bytes([9; 32]), [1; 16]);
    let enrolled = Writer {
        key: writer.public(),
        person: owner.id(),
        node: owner.node(),
        power: Power::Write,
        from: Epoch::FIRST,
        ticket: None,
    };
    log.enrol_writer(admin, enrolled).unwrap();
    TestDrive { log, keys, writer }
}

impl TestDrive {
    pub fn id(&self) -> DriveId {
        self.log.drive()
    }
    pub fn open(&self, who: &Someone) -> Request {
        Request::LogOpen {
            drive: self.id(),
            account: who.id(),
            admin: self.log.records(0).to_vec(),
            grants: Vec::new(),
            bytes: 1 << 30,
            read_token_hash: read_token_hash(&TOKEN),
        }
    }
    /// `n` entries after a head, each of about `size` bytes.
    pub fn entries(&self, after: (u64, EntryHash), n: u64, size: usize) -> Vec<Vec<u8>> {
        let mut previous = after.1;
        (1..=n)
            .map(|i| {
                let (bytes, hash) = self.entry(self.writer.log(), after.0 + i, previous, size);
                previous = hash;
                bytes
            })
            .collect()
    }
    fn entry(&self, log: LogId, seq: u64, previous: EntryHash, size: usize) -> (Vec<u8>, EntryHash) {
        let writer = self.writer.public();
        let entry =
            TestEntry { drive: self.id(), writer, log, seq, previous, filling: vec![seq as u8; size] };
        let signed = Signed::record(self.writer.signing(), &entry);
        (encode(&signed), EntryHash(signed.hash().0))
    }
    pub fn append(&self, who: &Someone, entries: Vec<Vec<u8>>) -> Request {
        Request::LogAppend { drive: self.id(), account: who.id(), entries }
    }
    pub fn fetch(&self, vector: Vec<Head>, admin_len: u32) -> Request {
        Request::LogFetch { drive: self.id(), token: TOKEN, vector, admin_len }
    }
}

const START: (u64, EntryHash) = (0, EntryHash([0; 32]));

fn heads(response: Response, from: &Someone) -> Vec<Head> {
    match response {
        Response::LogAck { receipt } => {
            receipt.open::<LogReceipt>(&from.device.signing().public()).unwrap().heads
        }
        other => panic!("no acknowledgement but {}", tell(other)),
    }
}

async fn ask(holder: &Arc<Holder>, caller: &Caller, request: Request) -> Response {
    call(holder, caller, request).await.response
}

fn entries(response: Response) -> (Vec<Signed>, Vec<Vec<u8>>, bool) {
    match response {
        Response::LogEntries { admin, entries, more } => (admin, entries, more),
        other => panic!("no entries but {}", tell(other)),
    }
}

async fn opened(disk: &SimDisk) -> (Someone, Someone, TestDrive, Arc<Holder>) {
    let (ann, bob) = (Someone::new(1), Someone::new(2));
    let holder = ann.holder(&world(disk).0).await;
    holder.give(&ann.grant(bob.id(), 1 << 30, 1)).await.unwrap();
    let drive = drive(&bob);
    assert!(heads(ask(&holder, &bob.caller(), drive.open(&bob)).await, &ann).is_empty());
    (ann, bob, drive, holder)
}

#[tokio::test(start_paused = true)]
async fn entries_are_kept_in_order_and_come_back_in_pages() {
    let disk = SimDisk::new();
    let (ann, bob, drive, holder) = opened(&disk).await;
    let all = drive.entries(START, 40, 60_000);
    let head = heads(ask(&holder, &bob.caller(), drive.append(&bob, all[..25].to_vec())).await, &ann);
    assert_eq!((head.len(), head[0].seq), (1, 25));
    // Known ones are passed over, a gap is refused.
    let gap = ask(&holder, &bob.caller(), drive.append(&bob, all[27..].to_vec())).await;
    assert_eq!(refusal(gap, &ann).0, Reason::Gap);
    let head = heads(ask(&holder, &bob.caller(), drive.append(&bob, all[20..].to_vec())).await, &ann);
    assert_eq!(head[0].seq, 40);
    drop(holder);
    let holder = ann.holder(&world(&disk).0).await;
    let admin = drive.log.records(0).iter().map(|r| encode(r).len() as u64 + 33).sum::<u64>();
    assert_eq!(holder.status().lent, admin + all.iter().map(|e| e.len() as u64 + 33).sum::<u64>());
    let (mut got, mut vector, mut pages) = (Vec::new(), Vec::new(), 0);
    loop {
        let (admin, page, more) = entries(ask(&holder, &bob.caller(), drive.fetch(vector.clone(), 0)).await);
        assert_eq!(admin.len() as u32, drive.log.len());
        assert!(page.iter().map(Vec::len).sum::<usize>() <= 1 << 20);
        got.extend(page);
        vector = vec![Head { log: drive.writer.log(), seq: got.len() as u64, hash: EntryHash([0; 32]) }];
        pages += 1;
        if !more {
            break;
        }
    }
    assert_eq!(got, all);
    assert!(pages >= 3);
}

#[tokio::test(start_paused = true)]
async fn what_no_writer_wrote_is_refused() {
    let (ann, bob, mut drive, holder) = opened(&SimDisk::new()).await;
    let eve = Someone::new(3);
    let good = drive.entries(START, 2, 10);
    let mut flipped = good[0].clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let say = async |entry: Vec<u8>| {
        let answer = ask(&holder, &bob.caller(), drive.append(&bob, vec![entry])).await;
        refusal(answer, &ann).0
    };
    assert_eq!(say(flipped).await, Reason::BadEntry);
    assert_eq!(say(good[1].clone()).await, Reason::Gap);
    let (second, _) = drive.entry(drive.writer.log(), 2, EntryHash([1; 32]), 1);
    ask(&holder, &bob.caller(), drive.append(&bob, vec![good[0].clone()])).await;
    assert_eq!(say(second).await, Reason::BadEntry);
    let (fork, _) = drive.entry(drive.writer.log(), 1, EntryHash([0; 32]), 7);
    assert_eq!(say(fork).await, Reason::BadEntry);
    // Another's account, no token, somebody who is no member.
    let answer = ask(&holder, &eve.caller(), drive.append(&bob, good.clone())).await;
    assert_eq!(refusal(answer, &ann).0, Reason::NotYours);
    let request = Request::LogFetch { drive: drive.id(), token: [0; 32], vector: vec![], admin_len: 0 };
    assert_eq!(refusal(ask(&holder, &bob.caller(), request).await, &ann).0, Reason::NotFound);
    holder.give(&ann.grant(eve.id(), 1 << 30, 1)).await.unwrap();
    let answer = ask(&holder, &eve.caller(), drive.open(&eve)).await;
    assert_eq!(refusal(answer, &ann).0, Reason::NotYours);
    // A writer that was never enrolled.
    drive.writer = WriterKey::new(&Seed::from_bytes([77; 32]), [1; 16]);
    let stranger = drive.entries(START, 1, 10);
    let answer = ask(&holder, &bob.caller(), drive.append(&bob, stranger)).await;
    assert_eq!(refusal(answer, &ann).0, Reason::BadEntry);
}

#[tokio::test(start_paused = true)]
async fn a_watch_answers_as_soon_as_something_comes() {
    let (_, bob, drive, holder) = opened(&SimDisk::new()).await;
    let bob = Arc::new(bob);
    let request = Request::LogWatch {
        drive: drive.id(),
        token: TOKEN,
        vector: Vec::new(),
        admin_len: drive.log.len(),
        wait_ms: 60_000,
    };
    let (waiting, who) = (holder.clone(), bob.clone());
    let start = tokio::time::Instant::now();
    let watch = tokio::spawn(async move { ask(&waiting, &who.caller(), request).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    ask(&holder, &bob.caller(), drive.append(&bob, drive.entries(START, 1, 10))).await;
    let (_, got, _) = entries(watch.await.unwrap());
    assert_eq!(got.len(), 1);
    assert!(start.elapsed() < Duration::from_secs(6));
    // Without news it answers empty when the time is over.
    let head = Head { log: drive.writer.log(), seq: 1, hash: EntryHash([0; 32]) };
    let request = Request::LogWatch {
        drive: drive.id(),
        token: TOKEN,
        vector: vec![head],
        admin_len: drive.log.len(),
        wait_ms: 10_000,
    };
    let start = tokio::time::Instant::now();
    assert_eq!(entries(ask(&holder, &bob.caller(), request).await), (vec![], vec![], false));
    assert_eq!(start.elapsed().as_secs(), 10);
}
