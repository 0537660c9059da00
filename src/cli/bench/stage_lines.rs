//! The stages of the pipeline alone, and the pipeline against their sum.

use super::limits::noise;
use super::{Ground, Row, Target, failed};
use crate::content::{CHUNK_LEN, HolderStream, PackBuilder, PackEncoder, seal_chunk_into, stages::stages};
use crate::daemon::api::Outcome;
use crate::keys::{DriveId, DriveKeys, Epoch, LevelKey, NodeId, Power};
use std::time::{Duration, Instant};

/// How long one stage is run; the best of several batches counts, against a busy machine.
const BATCH: Duration = Duration::from_millis(60);
const BATCHES: usize = 5;
/// The coding of a grid of five friends.
const K: u8 = 2;
const N: u8 = 5;
/// Stages that make up the way from plaintext to sealed shares, each once.
const PIPELINE: [&str; 7] = [
    "chunk id",
    "compress or copy",
    "page seal",
    "page hash",
    "erasure code",
    "holder seal",
    "share hash tree",
];

fn bench_keys() -> DriveKeys {
    DriveKeys::new(DriveId([7; 32]), Epoch::FIRST, LevelKey::new(Power::Read, [9; 32]))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Seconds of one run, the best batch of several.
fn seconds(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let start = Instant::now();
        let mut runs = 0;
        while start.elapsed() < BATCH {
            run();
            runs += 1;
        }
        best = best.min(start.elapsed().as_secs_f64() / runs as f64);
    }
    best
}

/// Sealing on all cores: MB/s of plaintext.
pub fn seal_all_cores() -> f64 {
    let keys = bench_keys();
    let sample = noise(1, CHUNK_LEN);
    let mut stages = stages(&keys, &sample, K, N).unwrap_or_default();
    let seal = stages.iter_mut().find(|s| s.name == "page seal");
    seal.map_or(0.0, |s| s.bytes as f64 / 1e6 / seconds(|| s.run()) * cores() as f64)
}

/// Chunks sealed, put into one pack, coded and sealed for n holders: the bytes of user data.
fn one_pack(keys: &DriveKeys, chunks: &[Vec<u8>]) -> Option<u64> {
    let mut builder = PackBuilder::new();
    let (mut sealed, mut bytes) = (Vec::with_capacity(CHUNK_LEN + 4096), 0);
    for chunk in chunks {
        sealed.clear();
        let reference = seal_chunk_into(keys, Epoch::FIRST, chunk, &mut sealed).ok()?;
        if builder.append(&reference, &sealed).is_none() {
            break;
        }
        bytes += chunk.len() as u64;
    }
    let closed = builder.close(keys, Epoch::FIRST).ok()??;
    let encoder = PackEncoder::new(&keys.drive(), Epoch::FIRST, K, closed.bytes).ok()?;
    for number in 0..N as u16 {
        let holder = NodeId([number as u8; 32]);
        let stream = HolderStream::derive(keys, Epoch::FIRST, &encoder.id(), number, &holder).ok()?;
        std::hint::black_box(encoder.share(number, &stream).ok()?);
    }
    Some(bytes)
}

/// User bytes per second of whole packs, one at a time on every core.
fn pipeline(packs_per_core: usize) -> Option<f64> {
    let keys = bench_keys();
    let chunks: Vec<Vec<u8>> = (0..15).map(|i| noise(i, CHUNK_LEN)).collect();
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let start = Instant::now();
        let bytes: u64 = std::thread::scope(|scope| {
            let work = |_| {
                let (keys, chunks) = (&keys, &chunks);
                scope.spawn(move || (0..packs_per_core).filter_map(|_| one_pack(keys, chunks)).sum::<u64>())
            };
            let running: Vec<_> = (0..cores()).map(work).collect();
            running.into_iter().filter_map(|t| t.join().ok()).sum()
        });
        best = best.max(bytes as f64 / start.elapsed().as_secs_f64());
    }
    (best > 0.0).then_some(best)
}

pub fn run(ground: &Ground, row: &mut dyn FnMut(Row)) -> Outcome<()> {
    let keys = bench_keys();
    let sample = noise(1, CHUNK_LEN);
    let mut sum = 0.0;
    for mut stage in stages(&keys, &sample, K, N).map_err(|e| failed("stages", e))? {
        let took = seconds(|| stage.run());
        row(Row::new(
            format!("stage: {}, per core", stage.name),
            stage.bytes as f64 / 1e6 / took,
            "MB/s",
            Target::None,
        ));
        if PIPELINE.contains(&stage.name) {
            sum += took / stage.user_bytes as f64;
        }
    }
    let limit = cores() as f64 / sum;
    let packs = ground.amount(6, 2) as usize;
    let real = pipeline(packs).ok_or_else(|| failed("pipeline", "a pack could not be encoded"))?;
    row(Row::new("limit: 1 / sum of the stages, all cores", limit / 1e6, "MB/s", Target::None));
    row(Row::new(format!("encode and seal packs ({K} of {N}), all cores"), real / 1e6, "MB/s", Target::None));
    row(Row::new("  of 1 / the sum of its stages", real / limit, "x", Target::AtLeast(0.6)));
    Ok(())
}
