//! The stages of the way up, each alone, for measuring. There is no clock here: the caller
//! times [`Stage::run`].

use super::{
    CHUNK_LEN, Coefficients, HolderStream, PACK_LEN, PAGE_LEN, ShareTree, compress, open_chunk, seal_chunk,
};
use crate::keys::{ChunkId, DriveKeys, Epoch, NoKey, NodeId, PackId, Position, Seal};

/// Something to be timed.
pub struct Stage<'a> {
    /// What it is.
    pub name: &'static str,
    /// Bytes that one run takes in.
    pub bytes: u64,
    /// Bytes that one run stands for, of a pack: parity and share stages work on n/k as much.
    pub user_bytes: u64,
    run: Box<dyn FnMut() + Send + 'a>,
}

impl Stage<'_> {
    /// Do it once.
    pub fn run(&mut self) {
        (self.run)();
    }
}

/// The stages for chunks like `sample` (1 MiB, e.g. of a photo) at `k` of `n`.
pub fn stages<'a>(keys: &'a DriveKeys, sample: &'a [u8], k: u8, n: u8) -> Result<Vec<Stage<'a>>, NoKey> {
    let epoch = keys.epoch();
    let seal = keys.page_seal(epoch, &ChunkId([0; 32]))?;
    let stream = HolderStream::derive(keys, epoch, &PackId([0; 32]), 0, &NodeId([0; 32]))?;
    let len = sample.len() as u64;
    let mut stages = vec![
        stage("probe", len, len, move || {
            let tries = sample.chunks(PAGE_LEN).filter(|page| compress::worth_trying(page)).count();
            std::hint::black_box(tries);
        }),
        stage("chunk id", len, len, move || {
            std::hint::black_box(keys.chunk_id(epoch, sample).ok());
        }),
    ];
    let mut out = Vec::new();
    stages.push(stage("compress or copy", len, len, move || {
        out.clear();
        sample.chunks(PAGE_LEN).for_each(|page| {
            compress::append(page, &mut out);
        });
    }));
    let mut text = sample.to_vec();
    stages.push(stage("page seal", len, len, move || {
        for (index, page) in text.chunks_mut(PAGE_LEN).enumerate() {
            std::hint::black_box(seal.seal_detached(Position::part(index as u64, 16), page));
        }
    }));
    stages.push(stage("page hash", len, len, move || {
        sample.chunks(PAGE_LEN).for_each(|page| {
            std::hint::black_box(blake3::hash(page));
        });
    }));
    stages.extend(share_stages(sample, stream, k, n));
    stages.extend(chunk_stages(keys, epoch, sample));
    Ok(stages)
}

fn share_stages<'a>(sample: &'a [u8], stream: HolderStream, k: u8, n: u8) -> Vec<Stage<'a>> {
    let len = sample.len() as u64;
    let user = len * k as u64 / n.max(1) as u64;
    let codes: Vec<Coefficients> =
        (k as u16..n as u16).filter_map(|number| Coefficients::of_data(k, number).ok()).collect();
    let unit = sample.len() / k.max(1) as usize;
    let mut parity = vec![0; unit];
    let mut sealed = sample.to_vec();
    vec![
        stage("erasure code", len, len, move || {
            let units: Vec<&[u8]> = sample.chunks_exact(unit.max(1)).take(k as usize).collect();
            codes.iter().for_each(|code| code.apply(&units, &mut parity));
        }),
        stage("holder seal", len, user, move || stream.apply(0, &mut sealed)),
        stage("share hash tree", len, user, move || {
            std::hint::black_box(ShareTree::of(sample).id());
        }),
    ]
}

fn chunk_stages<'a>(keys: &'a DriveKeys, epoch: Epoch, sample: &'a [u8]) -> Vec<Stage<'a>> {
    let len = sample.len() as u64;
    let mut stages = vec![stage("whole chunk: seal", len, len, move || {
        std::hint::black_box(seal_chunk(keys, epoch, sample).ok());
    })];
    if let Ok((reference, sealed)) = seal_chunk(keys, epoch, sample) {
        stages.push(stage("whole chunk: open", len, len, move || {
            std::hint::black_box(open_chunk(keys, &reference, &sealed).ok());
        }));
    }
    stages
}

fn stage<'a>(name: &'static str, bytes: u64, user_bytes: u64, run: impl FnMut() + Send + 'a) -> Stage<'a> {
    Stage { name, bytes, user_bytes, run: Box::new(run) }
}

/// Full chunks in a full pack.
pub const PACK_CHUNKS: usize = PACK_LEN / (CHUNK_LEN + 16 * super::SEAL_OVERHEAD);
