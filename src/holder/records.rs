//! An append-only file of checksummed records, synced in groups.
//!
//! A record is `magic (4) | length (u32) | checksum (16) | payload`, little endian; the
//! checksum is the first half of a BLAKE3 over length and payload. What was not synced when
//! the power went may be there, lost or torn, and is cut or skipped at opening; whatever
//! else is damaged is skipped too, counted, and reported.

use crate::keys::{Purpose, hash};
use crate::world::{DiskFile, Open, World};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Begins every record.
pub const RECORD_MAGIC: [u8; 4] = *b"kRc1";
/// Bytes before a payload.
pub const RECORD_HEAD: usize = 24;
/// Longest payload.
pub const RECORD_MAX: usize = (1 << 20) + 8192;
/// Bytes read at once while scanning.
const SCAN_BUFFER: usize = 1 << 20;

/// Where a payload lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub offset: u64,
    pub len: u32,
}

/// The disk did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {what}: {why}", .file.display())]
pub struct RecordError {
    pub file: PathBuf,
    pub what: &'static str,
    pub why: String,
}

struct Waiting {
    framed: Vec<u8>,
    done: oneshot::Sender<Result<u64, RecordError>>,
}

struct Writing {
    end: u64,
    /// A sync failed: what the file holds is not known any more.
    failed: Option<RecordError>,
}

struct Inner {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    queue: Mutex<Vec<Waiting>>,
    writing: Mutex<Writing>,
}

/// An open record file. Clones are the same file.
#[derive(Clone)]
pub struct RecordFile {
    world: World,
    inner: Arc<Inner>,
    lead: Arc<tokio::sync::Mutex<()>>,
}

/// What a scan found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    pub records: u64,
    /// Bytes at the end that were no whole record: the mark of a crash.
    pub torn: u64,
    /// Stretches in the middle that were no records: the mark of a bad disk (or of an
    /// unsynced record that was lost while a later one was kept).
    pub damaged: u64,
}

impl RecordFile {
    /// Open or make the file and give every record to `replay`, in order. Blocking.
    pub fn open(
        world: &World,
        path: &Path,
        mut replay: impl FnMut(Place, &[u8]),
    ) -> Result<(RecordFile, Scan), RecordError> {
        let error = |what| {
            let file = path.to_path_buf();
            move |e: io::Error| RecordError { file, what, why: e.to_string() }
        };
        let dir = path.parent().unwrap_or(Path::new("."));
        world.disk.create_dir_all(dir).map_err(error("make directory"))?;
        let file = world.disk.open(path, Open::OrCreate).map_err(error("open"))?;
        let (scan, end) = scan(file.as_ref(), &mut replay).map_err(error("read"))?;
        file.set_len(end).map_err(error("cut the torn end"))?;
        file.sync().map_err(error("sync"))?;
        world.disk.sync_dir(dir).map_err(error("sync directory"))?;
        let inner = Inner {
            path: path.to_path_buf(),
            file,
            queue: Mutex::new(Vec::new()),
            writing: Mutex::new(Writing { end, failed: None }),
        };
        let lead = Arc::new(tokio::sync::Mutex::new(()));
        Ok((RecordFile { world: world.clone(), inner: Arc::new(inner), lead }, scan))
    }

    /// Put a record in line. Records reach the disk in the order in which this is called;
    /// the ticket says when, and where.
    pub fn enqueue(&self, payload: &[u8]) -> Ticket {
        let (done, result) = oneshot::channel();
        self.inner.queue.lock().push(Waiting { framed: frame(payload), done });
        Ticket { log: self.clone(), result, len: payload.len() as u32 }
    }

    /// Append a record; it is on the medium when this returns.
    pub async fn append(&self, payload: &[u8]) -> Result<Place, RecordError> {
        self.enqueue(payload).durable().await
    }

    /// Append many records with one sync. Blocking.
    pub fn append_all_blocking(
        &self,
        payloads: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<(), RecordError> {
        let mut last = None;
        for payload in payloads {
            last = Some(self.enqueue(&payload));
        }
        self.inner.flush();
        let Some(mut ticket) = last else { return Ok(()) };
        let lost = |_| RecordError {
            file: self.inner.path.clone(),
            what: "write",
            why: "the writer went away".into(),
        };
        ticket.result.try_recv().map_err(lost)?.map(|_| ())
    }

    /// The payload at a place, if it is as it was written. Blocking.
    pub fn read(&self, place: Place) -> Result<Vec<u8>, RecordError> {
        let error = |why: String| RecordError { file: self.inner.path.clone(), what: "read", why };
        let mut framed = vec![0; RECORD_HEAD + place.len as usize];
        let start = place.offset - RECORD_HEAD as u64;
        let got = self.inner.file.read_at(&mut framed, start).map_err(|e| error(e.to_string()))?;
        match parse(&framed[..got]) {
            Some(payload) if payload.len() == place.len as usize => {
                framed.drain(..RECORD_HEAD);
                Ok(framed)
            }
            _ => Err(error(format!("the record at {start} is damaged"))),
        }
    }

    /// Bytes of the file that hold records.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.inner.writing.lock().end
    }
}

/// A record in line.
pub struct Ticket {
    log: RecordFile,
    result: oneshot::Receiver<Result<u64, RecordError>>,
    len: u32,
}

impl Ticket {
    /// Wait until the record is on the medium. One sync serves all who wait.
    pub async fn durable(self) -> Result<Place, RecordError> {
        let Ticket { log, mut result, len } = self;
        let lost = |why: String| RecordError { file: log.inner.path.clone(), what: "write", why };
        {
            // Whoever leads writes for all in line; the others find their result here.
            let _lead = log.lead.lock().await;
            if let Ok(done) = result.try_recv() {
                return done.map(|offset| Place { offset, len });
            }
            // Let those who are about to come into line do so.
            tokio::task::yield_now().await;
            let inner = log.inner.clone();
            log.world.blocking(move || inner.flush()).await.map_err(|e| lost(e.to_string()))?;
        }
        let done = result.await.map_err(|_| lost("the writer went away".into()))?;
        done.map(|offset| Place { offset, len })
    }
}

impl Inner {
    /// Write and sync all that waits, and tell those who wait. Blocking. Nothing is lost when
    /// the one who called it goes away meanwhile.
    fn flush(&self) {
        let mut writing = self.writing.lock();
        let batch = std::mem::take(&mut *self.queue.lock());
        if batch.is_empty() {
            return;
        }
        let start = writing.end;
        let mut result = self.write(&mut writing, &batch);
        let mut offset = start;
        for waiting in batch {
            let answer = match &mut result {
                Ok(()) => Ok(offset + RECORD_HEAD as u64),
                Err(e) => Err(e.clone()),
            };
            offset += waiting.framed.len() as u64;
            // Nobody may be waiting any more; the record stands all the same.
            let _ = waiting.done.send(answer);
        }
    }

    fn write(&self, writing: &mut Writing, batch: &[Waiting]) -> Result<(), RecordError> {
        if let Some(failed) = &writing.failed {
            return Err(failed.clone());
        }
        let error = |what, e: io::Error| RecordError { file: self.path.clone(), what, why: e.to_string() };
        let bytes = batch.iter().map(|w| w.framed.as_slice()).collect::<Vec<_>>().concat();
        // A write that failed leaves the end where it was: the next one goes over it.
        self.file.write_at(&bytes, writing.end).map_err(|e| error("write", e))?;
        if let Err(e) = self.file.sync() {
            let failed = error("sync", e);
            writing.failed = Some(failed.clone());
            return Err(failed);
        }
        writing.end += bytes.len() as u64;
        Ok(())
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(RECORD_HEAD + payload.len());
    framed.extend_from_slice(&RECORD_MAGIC);
    framed.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    framed.extend_from_slice(&checksum(payload));
    framed.extend_from_slice(payload);
    framed
}

fn checksum(payload: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash(Purpose::DiskChecksum, &[b"record", payload]).0[..16]);
    half
}

/// The payload of the record that begins `bytes`, if there is a whole one.
fn parse(bytes: &[u8]) -> Option<&[u8]> {
    let len = payload_len(bytes)?;
    let payload = bytes.get(RECORD_HEAD..RECORD_HEAD + len)?;
    (bytes[8..RECORD_HEAD] == checksum(payload)).then_some(payload)
}

fn payload_len(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..RECORD_HEAD)?;
    let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    (head[..4] == RECORD_MAGIC && len <= RECORD_MAX).then_some(len)
}

/// Read all records; the end of the last whole one.
fn scan(file: &dyn DiskFile, replay: &mut impl FnMut(Place, &[u8])) -> io::Result<(Scan, u64)> {
    let total = file.len()?;
    let (mut found, mut end, mut skipped) = (Scan::default(), 0, 0u64);
    let (mut buffer, mut start, mut at) = (Vec::new(), 0u64, 0usize);
    loop {
        // At least one whole record, if there is one, lies in the buffer behind `at`.
        if buffer.len() - at < RECORD_HEAD + RECORD_MAX && start + (buffer.len() as u64) < total {
            buffer.drain(..at);
            start += at as u64;
            at = 0;
            fill(file, &mut buffer, start, RECORD_HEAD + RECORD_MAX + SCAN_BUFFER)?;
        }
        if at >= buffer.len() {
            break;
        }
        match parse(&buffer[at..]) {
            Some(payload) => {
                let offset = start + (at + RECORD_HEAD) as u64;
                replay(Place { offset, len: payload.len() as u32 }, payload);
                at += RECORD_HEAD + payload.len();
                end = start + at as u64;
                found.records += 1;
                found.damaged += u64::from(skipped > 0);
                skipped = 0;
            }
            None => {
                // Look for the next record, byte by byte.
                let next = buffer[at + 1..].windows(4).position(|w| w == RECORD_MAGIC);
                let step = next.map_or(buffer.len() - at, |n| n + 1);
                // A magic cut by the end of the buffer is met again after refilling.
                let whole = start + (buffer.len() as u64) >= total;
                let step = if next.is_none() && !whole { step.saturating_sub(3).max(1) } else { step };
                skipped += step as u64;
                at += step;
            }
        }
    }
    found.torn = total - end;
    Ok((found, end))
}

fn fill(file: &dyn DiskFile, buffer: &mut Vec<u8>, start: u64, want: usize) -> io::Result<()> {
    let mut have = buffer.len();
    buffer.resize(want.max(have), 0);
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], start + have as u64)? {
            0 => break,
            n => have += n,
        }
    }
    buffer.truncate(have);
    Ok(())
}
