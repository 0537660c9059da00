//! The bytes of one simulated file, and what a crash makes of them.

use super::Crash;
use std::collections::BTreeMap;
use std::sync::Arc;

const BLOCK: u64 = 4096;
/// The part of a write that reaches the medium whole or not at all.
const SECTOR: usize = 512;
/// Beyond this many pending bytes the oldest are written back, as a kernel would.
const WRITEBACK: usize = 32 << 20;

type Blocks = BTreeMap<u64, Arc<[u8; BLOCK as usize]>>;

/// A sparse file: blocks that are not there are zeros. Copies share them until one changes.
#[derive(Clone, Default)]
struct Image {
    len: u64,
    blocks: Arc<Blocks>,
}

/// A change not yet on the medium.
#[derive(Clone)]
pub(super) enum Pending {
    Write {
        offset: u64,
        data: Arc<[u8]>,
    },
    SetLen(u64),
    /// Grow to at least this.
    Extend(u64),
}

/// A file's two images and the changes between them.
#[derive(Clone, Default)]
pub(super) struct FileState {
    live: Image,
    durable: Image,
    pub(super) pending: std::collections::VecDeque<Pending>,
    pending_bytes: usize,
    reserved: u64,
    pub(super) handles: u32,
}

impl Image {
    fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let n = (self.len.saturating_sub(offset)).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < n {
            let at = offset + done as u64;
            let (block, inside) = (at / BLOCK, (at % BLOCK) as usize);
            let part = (BLOCK as usize - inside).min(n - done);
            match self.blocks.get(&block) {
                Some(b) => buf[done..done + part].copy_from_slice(&b[inside..inside + part]),
                None => buf[done..done + part].fill(0),
            }
            done += part;
        }
        n
    }

    fn write(&mut self, data: &[u8], offset: u64) {
        let blocks = Arc::make_mut(&mut self.blocks);
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (block, inside) = (at / BLOCK, (at % BLOCK) as usize);
            let part = (BLOCK as usize - inside).min(data.len() - done);
            let bytes = &data[done..done + part];
            if blocks.contains_key(&block) || bytes.iter().any(|b| *b != 0) {
                let b = blocks.entry(block).or_insert_with(|| Arc::new([0; BLOCK as usize]));
                Arc::make_mut(b)[inside..inside + part].copy_from_slice(bytes);
            }
            done += part;
        }
        self.len = self.len.max(offset + data.len() as u64);
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            let blocks = Arc::make_mut(&mut self.blocks);
            blocks.retain(|block, _| block * BLOCK < len);
            let inside = (len % BLOCK) as usize;
            if inside != 0
                && let Some(b) = blocks.get_mut(&(len / BLOCK))
            {
                Arc::make_mut(b)[inside..].fill(0);
            }
        }
        self.len = len;
    }

    fn apply(&mut self, op: &Pending) {
        match op {
            Pending::Write { offset, data } => self.write(data, *offset),
            Pending::SetLen(len) => self.set_len(*len),
            Pending::Extend(len) => self.set_len(self.len.max(*len)),
        }
    }
}

impl FileState {
    pub(super) fn round(len: u64) -> u64 {
        len.div_ceil(BLOCK) * BLOCK
    }
    pub(super) fn len(&self) -> u64 {
        self.live.len
    }
    /// Bytes it takes on the disk.
    pub(super) fn allocated(&self) -> u64 {
        self.reserved
    }
    pub(super) fn reserve(&mut self, bytes: u64) {
        self.reserved = self.reserved.max(bytes);
    }
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        self.live.read(buf, offset)
    }
    pub(super) fn change(&mut self, op: Pending) {
        self.live.apply(&op);
        if let Pending::Write { data, .. } = &op {
            self.pending_bytes += data.len();
        }
        self.pending.push_back(op);
        while self.pending_bytes > WRITEBACK {
            let Some(old) = self.pending.pop_front() else { break };
            if let Pending::Write { data, .. } = &old {
                self.pending_bytes -= data.len();
            }
            self.durable.apply(&old);
        }
    }
    pub(super) fn sync(&mut self) {
        for op in self.pending.drain(..) {
            self.durable.apply(&op);
        }
        self.pending_bytes = 0;
    }
    /// Pending changes are thought to be on the medium, and are not.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
        self.pending_bytes = 0;
    }
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; self.live.len as usize];
        self.live.read(&mut out, 0);
        out
    }
    /// Both images become these bytes.
    pub(super) fn replace(&mut self, bytes: &[u8]) {
        let mut image = Image::default();
        image.write(bytes, 0);
        image.set_len(bytes.len() as u64);
        (self.live, self.durable) = (image.clone(), image);
        self.pending.clear();
        self.pending_bytes = 0;
    }
    pub(super) fn flip(&mut self, bit: u64) -> bool {
        let at = bit / 8;
        if at >= self.live.len {
            return false;
        }
        for image in [&mut self.live, &mut self.durable] {
            let mut byte = [0];
            if image.read(&mut byte, at) == 1 {
                image.write(&[byte[0] ^ (1 << (bit % 8))], at);
            }
        }
        true
    }
    /// The same file, pending changes included, which nobody has open.
    pub(super) fn unopened(&self) -> FileState {
        FileState { handles: 0, ..self.clone() }
    }
    /// The live bytes, as far as they are not zeros, and the length.
    pub(super) fn hash(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&self.live.len.to_le_bytes());
        for (block, bytes) in self.live.blocks.iter().filter(|(_, bytes)| bytes.iter().any(|b| *b != 0)) {
            hasher.update(&block.to_le_bytes()).update(&bytes[..]);
        }
    }
    /// The same file with nothing pending.
    pub(super) fn settled(&self) -> FileState {
        FileState {
            live: self.live.clone(),
            durable: self.live.clone(),
            reserved: self.reserved,
            ..FileState::default()
        }
    }
    /// What a power cut leaves of it.
    pub(super) fn crashed(&self, choice: &mut Choice) -> FileState {
        let mut image = self.durable.clone();
        for op in &self.pending {
            match op {
                Pending::Write { offset, data } => match choice.fate() {
                    Fate::Kept => image.write(data, *offset),
                    Fate::Lost => {}
                    Fate::Torn => tear(&mut image, data, *offset, choice),
                },
                other if choice.keep() => image.apply(other),
                _ => {}
            }
        }
        let reserved = self.reserved.min(Self::round(image.len)).max(Self::round(image.len));
        FileState { live: image.clone(), durable: image, reserved, ..FileState::default() }
    }
}

/// Writes some of the sectors; the length may have been recorded before the data.
fn tear(image: &mut Image, data: &[u8], offset: u64, choice: &mut Choice) {
    let mut at = 0;
    while at < data.len() {
        let inside = ((offset + at as u64) % SECTOR as u64) as usize;
        let part = (SECTOR - inside).min(data.len() - at);
        if choice.coin() {
            image.write(&data[at..at + part], offset + at as u64);
        }
        at += part;
    }
    if choice.coin() {
        image.set_len(image.len.max(offset + data.len() as u64));
    }
}

enum Fate {
    Kept,
    Lost,
    Torn,
}

/// Decides what a crash keeps.
pub(super) struct Choice {
    how: Crash,
    state: u64,
    /// Out of 8: how likely a pending operation is kept whole. A crash has a character of its
    /// own (early, late), else nearly all of them would look alike.
    kept: u64,
    index: u32,
}

impl Choice {
    pub(super) fn new(how: Crash) -> Choice {
        let mut choice = Choice { how, state: 0, kept: 0, index: 0 };
        if let Crash::Seeded(seed) = how {
            choice.state = seed;
            choice.kept = choice.random() % 9;
        }
        choice
    }
    /// splitmix64
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn coin(&mut self) -> bool {
        self.random() & 1 == 1
    }
    pub(super) fn keep(&mut self) -> bool {
        match self.how {
            Crash::Seeded(_) => self.random() % 8 < self.kept,
            Crash::Kill => true,
            Crash::Keep(mask) => {
                let index = self.index;
                self.index += 1;
                index < 64 && mask >> index & 1 == 1
            }
        }
    }
    fn fate(&mut self) -> Fate {
        if self.keep() {
            Fate::Kept
        } else if matches!(self.how, Crash::Seeded(_)) && self.coin() {
            Fate::Torn
        } else {
            Fate::Lost
        }
    }
}
