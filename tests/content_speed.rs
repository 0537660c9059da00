//! Speed of the stages of the way up; run with
//! `cargo test --release --test content_speed -- --ignored --nocapture`.

use kithfs::content::{
    CHUNK_LEN, HolderStream, Leaf, PACK_LEN, PackBuilder, PackEncoder, ProofDecoder, ShareTree, check_cpu,
    encode_ranges, recover_pack, seal_chunk_into, stages,
};
use kithfs::keys::{DriveId, DriveKeys, Epoch, LevelKey, NodeId, Power};
use std::time::Instant;

fn noise(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

/// Best of some batches: MB/s.
fn speed(bytes: u64, mut run: impl FnMut()) -> f64 {
    let runs = (64_000_000 / bytes).max(1);
    let batch = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..runs).for_each(|_| run());
        start.elapsed().as_secs_f64()
    };
    let best = (0..7).map(|_| batch(&mut run)).fold(f64::MAX, f64::min);
    (bytes * runs) as f64 / best / 1e6
}

fn keys() -> DriveKeys {
    DriveKeys::new(DriveId([7; 32]), Epoch::FIRST, LevelKey::new(Power::Read, [9; 32]))
}

#[test]
#[ignore = "measures"]
fn stages_alone() {
    println!("fast erasure coding: {:?}", check_cpu());
    let keys = keys();
    let text: Vec<u8> =
        (0..).flat_map(|i: u32| format!("line {i} of a letter; ").into_bytes()).take(CHUNK_LEN).collect();
    for (what, sample) in [("noise", noise(CHUNK_LEN)), ("text", text)] {
        for (k, n) in [(2, 5), (3, 10)] {
            for mut stage in stages::stages(&keys, &sample, k, n).expect("read power") {
                let (name, bytes) = (stage.name, stage.bytes);
                let speed = speed(bytes, || stage.run());
                println!("{what:6} {k}/{n:<3} {name:22} {speed:8.0} MB/s");
            }
        }
    }
}

#[test]
#[ignore = "measures"]
fn whole_packs() {
    let keys = keys();
    let plain = noise(CHUNK_LEN);
    for (k, n) in [(2u16, 5u16), (3, 10)] {
        let sealing = speed(PACK_LEN as u64, || {
            let mut builder = PackBuilder::with_capacity(PACK_LEN);
            let mut buffer = Vec::new();
            for _ in 0..stages::PACK_CHUNKS {
                buffer.clear();
                let reference = seal_chunk_into(&keys, Epoch::FIRST, &plain, &mut buffer).expect("a chunk");
                builder.append(&reference, &buffer).expect("room");
            }
            std::hint::black_box(builder.close(&keys, Epoch::FIRST).expect("read power"));
        });
        let pack = noise(PACK_LEN);
        let roots = speed(PACK_LEN as u64, || {
            std::hint::black_box(
                PackEncoder::new(&keys.drive(), Epoch::FIRST, k as u8, pack.clone()).expect("k"),
            );
        });
        let encoder = PackEncoder::new(&keys.drive(), Epoch::FIRST, k as u8, pack.clone()).expect("k");
        let streams: Vec<_> = (0..n)
            .map(|number| {
                HolderStream::derive(&keys, Epoch::FIRST, &encoder.id(), number, &NodeId([1; 32]))
                    .expect("power")
            })
            .collect();
        let numbers: Vec<u16> = (0..n).collect();
        let mut pool = Vec::new();
        let shares = speed(PACK_LEN as u64, || {
            for batch in numbers.chunks(k as usize) {
                let wanted: Vec<_> = batch.iter().map(|&n| (n, &streams[n as usize])).collect();
                let made = encoder.shares_with(&wanted, &mut pool).expect("numbers");
                pool.extend(made.into_iter().map(|share| share.bytes));
            }
        });
        let parity: Vec<_> =
            (n - k..n).map(|n| (n, encoder.unsealed_range(n, 0..u64::MAX).expect("number"))).collect();
        let parity: Vec<_> = parity.iter().map(|(n, bytes)| (*n, &bytes[..])).collect();
        let recover = speed(PACK_LEN as u64, || {
            std::hint::black_box(
                recover_pack(encoder.layout(), encoder.data_roots(), &parity).expect("k shares"),
            );
        });
        println!(
            "{k}/{n}: seal {sealing:.0}, roots (and a copy) {roots:.0}, all shares {shares:.0}, recover from parity {recover:.0} MB/s of pack"
        );
    }
}

#[test]
#[ignore = "measures"]
fn proofs() {
    let share = noise(8 << 20);
    let tree = ShareTree::of(&share);
    let len = share.len() as u64;
    println!("tree {:.0} MB/s", speed(len, || drop(std::hint::black_box(ShareTree::of(&share)))));
    let whole = [0..len];
    for leaf in [Leaf::BULK, Leaf::SMALL] {
        let all = &whole[..];
        let proof = encode_ranges(&share, &tree, all, leaf).expect("a range");
        let encode = speed(len, || drop(std::hint::black_box(encode_ranges(&share, &tree, all, leaf))));
        let decode = speed(len, || {
            let mut decoder = ProofDecoder::new(tree.id(), len, all, leaf).expect("a range");
            for part in proof.chunks(65_536) {
                decoder
                    .push(part, &mut |_, bytes| {
                        std::hint::black_box(bytes.len());
                    })
                    .expect("right");
            }
        });
        println!("{} B leaves: encode {encode:.0}, decode {decode:.0} MB/s", leaf.bytes());
    }
    let kept = tree.to_bytes();
    let start = Instant::now();
    for i in 0..1000u64 {
        let tree = ShareTree::from_bytes(tree.id(), len, &kept).expect("undamaged");
        let at = i * 8000;
        drop(encode_ranges(&share, &tree, std::slice::from_ref(&(at..at + 4096)), Leaf::SMALL));
    }
    println!("4 KiB read, tree loaded anew: {:.1} us", start.elapsed().as_secs_f64() * 1e3);
}
