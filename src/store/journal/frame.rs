//! Frames: the unit that is sealed, written and synced. A frame holds records.
//!
//! ```text
//! 0    magic "kithjnl1"
//! 8    run       u64   random, new at each opening
//! 16   seq       u64   number of the frame; rises, never used twice
//! 24   first     u64   number of its first record
//! 32   durable   u64   every frame up to this one had been synced when this was written
//! 40   trimmed   u64   records up to this are no longer needed
//! 48   count     u32   records
//! 52   len       u32   bytes of the body
//! 56   prev      [16]  check of the frame before; zeros in the very first
//! 72   seal      [40]  nonce and tag of the body
//! 112  check     [16]  derive("disk checksum", local key, [name, bytes 0..112])
//! 128  body            sealed at Position { index: seq, total: count, codec: 0 }
//!      zeros up to a multiple of 4096
//! ```
//! Integers are little-endian. The body is `count` records: kind u8, length u32, payload.

use super::{Lsn, Record};
use crate::keys::{Kind, LocalKey, Position, Purpose, SEAL_HEAD, Seal, SealKey, derive};
use std::sync::Arc;

/// Frames begin at multiples of this, so that what was synced is never written again.
pub(super) const BLOCK: u64 = 4096;
pub(super) const HEADER: usize = 128;
const MAGIC: &[u8; 8] = b"kithjnl1";
const CHECKED: usize = 112;
/// Kind and length before each payload.
pub(super) const RECORD_HEAD: usize = 5;
/// The largest payload.
pub(super) const MAX_RECORD: usize = 4 << 20;
/// No body is longer.
pub(super) const MAX_BODY: usize = MAX_RECORD + (2 << 20);

pub(super) type Check = [u8; 16];

/// The keys of one journal.
pub(super) struct Keys {
    local: LocalKey,
    name: String,
    seal: SealKey,
}

impl Keys {
    pub(super) fn new(local: &LocalKey, kind: Kind, name: &str) -> Arc<Keys> {
        let seal = SealKey::derive(local.expose(), b"", kind, name.as_bytes());
        Arc::new(Keys { local: local.clone(), name: name.to_string(), seal })
    }
    fn check(&self, header: &[u8]) -> Check {
        let hash =
            derive(Purpose::DiskChecksum, self.local.expose(), &[self.name.as_bytes(), &header[..CHECKED]]);
        let mut check = [0; 16];
        check.copy_from_slice(&hash[..16]);
        check
    }
}

/// A frame's header, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub run: u64,
    pub seq: u64,
    pub first: Lsn,
    pub durable: u64,
    pub trimmed: Lsn,
    pub count: u32,
    pub len: u32,
    pub prev: Check,
    pub seal: [u8; SEAL_HEAD],
    pub check: Check,
}

impl Header {
    /// Bytes on disk, padding included.
    pub(super) fn span(&self) -> u64 {
        span(self.len as usize)
    }
    /// The number of its last record; that before its first if it has none.
    pub(super) fn last(&self) -> Lsn {
        self.first + u64::from(self.count) - 1
    }
    /// The header in these bytes, if that is what they are.
    pub(super) fn read(keys: &Keys, bytes: &[u8]) -> Option<Header> {
        let b = bytes.get(..HEADER)?;
        if &b[..8] != MAGIC || keys.check(b) != b[CHECKED..HEADER] {
            return None;
        }
        let header = Header {
            run: u64_at(b, 8),
            seq: u64_at(b, 16),
            first: u64_at(b, 24),
            durable: u64_at(b, 32),
            trimmed: u64_at(b, 40),
            count: u32_at(b, 48),
            len: u32_at(b, 52),
            prev: array(b, 56),
            seal: array(b, 72),
            check: array(b, CHECKED),
        };
        let sane = header.first > 0
            && header.len as usize <= MAX_BODY
            && header.first.checked_add(u64::from(header.count)).is_some();
        sane.then_some(header)
    }
    fn write(&mut self, keys: &Keys, out: &mut [u8]) {
        out[..8].copy_from_slice(MAGIC);
        for (at, value) in
            [(8, self.run), (16, self.seq), (24, self.first), (32, self.durable), (40, self.trimmed)]
        {
            out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        out[48..52].copy_from_slice(&self.count.to_le_bytes());
        out[52..56].copy_from_slice(&self.len.to_le_bytes());
        out[56..72].copy_from_slice(&self.prev);
        out[72..CHECKED].copy_from_slice(&self.seal);
        self.check = keys.check(out);
        out[CHECKED..HEADER].copy_from_slice(&self.check);
    }
    fn position(&self) -> Position {
        Position::part(self.seq, u64::from(self.count))
    }
    /// Opens the body in place. False: these are not the bytes that were written.
    pub(super) fn open(&self, keys: &Keys, body: &mut [u8]) -> bool {
        body.len() == self.len as usize && keys.seal.open_detached(self.position(), &self.seal, body).is_ok()
    }
    /// Calls `each` with the records of an opened body. False: it does not hold `count`.
    pub(super) fn records(&self, body: &[u8], mut each: impl FnMut(Record<'_>)) -> bool {
        let mut rest = body;
        for n in 0..u64::from(self.count) {
            let Some((head, after)) = rest.split_at_checked(RECORD_HEAD) else { return false };
            let len = u32_at(head, 1) as usize;
            let Some((payload, after)) = after.split_at_checked(len) else { return false };
            each(Record { lsn: self.first + n, kind: head[0], payload });
            rest = after;
        }
        rest.is_empty()
    }
}

/// Bytes on disk of a frame whose body has `len` bytes.
pub(super) fn span(len: usize) -> u64 {
    ((HEADER + len) as u64).next_multiple_of(BLOCK)
}

/// Records on their way to the disk: header room, body, and after [`Draft::pad`] the padding.
pub(super) struct Draft {
    /// [`HEADER`] bytes of room, then the records.
    bytes: Vec<u8>,
    pub(super) first: Lsn,
    pub(super) count: u32,
    sealed: Option<(u64, [u8; SEAL_HEAD])>,
}

impl Draft {
    pub(super) fn new(first: Lsn, capacity: usize) -> Draft {
        let mut bytes = Vec::with_capacity(HEADER + capacity + BLOCK as usize);
        bytes.resize(HEADER, 0);
        Draft { bytes, first, count: 0, sealed: None }
    }
    pub(super) fn push(&mut self, kind: u8, parts: &[&[u8]], len: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&(len as u32).to_le_bytes());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
    }
    /// Takes a whole body of `count` records (when salvaging).
    pub(super) fn fill(&mut self, body: &[u8], count: u32) {
        self.bytes.extend_from_slice(body);
        self.count += count;
    }
    /// Bytes of the body.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - HEADER
    }
    pub(super) fn span(&self) -> u64 {
        span(self.len())
    }
    pub(super) fn last(&self) -> Lsn {
        self.first + u64::from(self.count) - 1
    }
    /// Seals the body as that of frame `seq`: the costly part, which may be done for several
    /// frames at once.
    pub(super) fn seal(&mut self, keys: &Keys, seq: u64) {
        let at = Position::part(seq, u64::from(self.count));
        let head = keys.seal.seal_detached(at, &mut self.bytes[HEADER..]);
        self.sealed = Some((seq, head));
    }
    /// [`Draft::seal`], unless that was done before.
    pub(super) fn seal_once(&mut self, keys: &Keys, seq: u64) {
        match self.sealed {
            Some((done, _)) => debug_assert_eq!(done, seq, "frames are sealed in the order of writing"),
            None => self.seal(keys, seq),
        }
    }
    /// The bytes to write, and the header in them. `seal` comes first.
    pub(super) fn finish(
        mut self,
        keys: &Keys,
        run: u64,
        durable: u64,
        trimmed: Lsn,
        prev: Check,
    ) -> (Header, Vec<u8>) {
        let (seq, seal) = self.sealed.unwrap_or((0, [0; SEAL_HEAD]));
        debug_assert!(seq > 0, "sealed before it is finished");
        let mut header = Header {
            run,
            seq,
            first: self.first,
            durable,
            trimmed,
            count: self.count,
            len: self.len() as u32,
            prev,
            seal,
            check: [0; 16],
        };
        header.write(keys, &mut self.bytes);
        let span = header.span() as usize;
        self.bytes.resize(span, 0);
        (header, self.bytes)
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}
