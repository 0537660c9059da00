use super::super::testing::{Dice, noise};
use super::*;
use crate::keys::Hash;

fn ranges_of(dice: &mut Dice, len: u64) -> Vec<Range<u64>> {
    let mut cuts: Vec<u64> = (0..2 * (1 + dice.below(6))).map(|_| dice.below(len + 1)).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let ranges: Vec<_> = cuts.chunks_exact(2).map(|two| two[0]..two[1]).collect();
    if ranges.is_empty() { vec![dice.range(len)] } else { ranges }
}

const LENS: &[u64] =
    &[1, 1023, 1024, 1025, 16_383, 16_384, 16_385, 32_768, 32_769, 65_576, 100_000, 131_152, 786_912];

#[test]
fn the_root_is_blake3_however_the_share_comes_in() {
    let mut dice = Dice::new(1);
    for &len in LENS {
        let share = noise(len as usize, len);
        let whole = ShareTree::of(&share);
        assert_eq!(whole.id().0, *blake3::hash(&share).as_bytes(), "len {len}");
        let mut hasher = ShareHasher::new();
        let mut rest = &share[..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at((1 + dice.below(40_000) as usize).min(rest.len()));
            hasher.update(part);
            rest = after;
        }
        assert_eq!(hasher.taken(), len);
        assert_eq!(hasher.finish(), whole);
        let kept = whole.to_bytes();
        assert_eq!(ShareTree::from_bytes(whole.id(), len, &kept).unwrap(), whole);
    }
    assert_eq!(ShareTree::of(b"").id().0, *blake3::hash(b"").as_bytes());
    let mut zeros = ShareHasher::new();
    zeros.update_zeros(70_001);
    assert_eq!(zeros.finish(), ShareTree::of(&[0; 70_001]));
}

#[test]
fn a_damaged_tree_is_refused() {
    let tree = ShareTree::of(&noise(100_000, 1));
    let good = tree.to_bytes();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        assert_eq!(ShareTree::from_bytes(tree.id(), 100_000, &bad), Err(ProofError::BadTree(tree.id())));
    }
    for bad in [&good[..good.len() - 32], &good[..good.len() - 1], &[]] {
        assert!(ShareTree::from_bytes(tree.id(), 100_000, bad).is_err());
    }
    assert!(ShareTree::from_bytes(tree.id(), 100_000 + 16_384, &good).is_err());
}

#[test]
fn any_ranges_are_proved_at_any_fineness() {
    let mut dice = Dice::new(2);
    for case in 0..150 {
        let len = LENS[case % LENS.len()];
        let share = noise(len as usize, len);
        let tree = ShareTree::of(&share);
        let ranges = ranges_of(&mut dice, len);
        for log in 0..=4 {
            let leaf = Leaf::new(log).unwrap();
            let proof = encode_ranges(&share, &tree, &ranges, leaf).unwrap();
            assert_eq!(proof.len() as u64, proof_len(len, &ranges, leaf).unwrap());
            let got = decode_ranges(tree.id(), len, &ranges, leaf, &proof, None).unwrap();
            for (range, bytes) in ranges.iter().zip(&got) {
                assert_eq!(bytes, &share[range.start as usize..range.end as usize], "{range:?} of {len}");
            }
        }
    }
}

#[test]
fn a_proof_may_be_made_and_taken_in_small_pieces() {
    let mut dice = Dice::new(3);
    let share = noise(400_000, 3);
    let tree = ShareTree::of(&share);
    let ranges = [10..20, 16_000..17_000, 200_000..399_999];
    for leaf in [Leaf::SMALL, Leaf::BULK] {
        let whole = encode_ranges(&share, &tree, &ranges, leaf).unwrap();
        let mut encoder = ProofEncoder::new(&tree, &ranges, leaf).unwrap();
        let mut read = |offset: u64, buffer: &mut [u8]| {
            buffer.copy_from_slice(&share[offset as usize..][..buffer.len()]);
            Ok::<(), String>(())
        };
        let mut pieces = Vec::new();
        loop {
            let mut piece = Vec::new();
            let more = encoder.fill(20_000, &mut read, &mut piece).unwrap();
            assert!(piece.len() < 20_000 + 17 * 1024);
            pieces.push(piece);
            if !more {
                break;
            }
        }
        assert!(pieces.len() > 5);
        assert_eq!(pieces.concat(), whole);
        let mut decoder = ProofDecoder::new(tree.id(), 400_000, &ranges, leaf).unwrap();
        let mut got = vec![0; 400_000];
        let mut rest = &whole[..];
        while !rest.is_empty() {
            assert_eq!(decoder.remaining(), rest.len() as u64);
            let (part, after) = rest.split_at((1 + dice.below(5000) as usize).min(rest.len()));
            decoder
                .push(part, &mut |at, bytes| got[at as usize..][..bytes.len()].copy_from_slice(bytes))
                .unwrap();
            rest = after;
        }
        decoder.finish().unwrap();
        for (at, byte) in got.iter().enumerate() {
            let asked = ranges.iter().any(|range| range.contains(&(at as u64)));
            assert_eq!(*byte, if asked { share[at] } else { 0 }, "at {at}: only what was asked for");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_proof_is_caught_and_attributed() {
    let len = 40_000;
    let share = noise(len, 4);
    let tree = ShareTree::of(&share);
    for (ranges, leaf) in [(vec![5000..5004, 33_000..33_100], Leaf::SMALL), (vec![100..200], Leaf::BULK)] {
        let good = encode_ranges(&share, &tree, &ranges, leaf).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            match decode_ranges(tree.id(), len as u64, &ranges, leaf, &bad, None) {
                Err(ProofError::WrongBytes { share, offset } | ProofError::WrongHashes { share, offset }) => {
                    assert_eq!(share, tree.id());
                    assert!(offset < len as u64);
                }
                other => panic!("bit {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn wrong_bytes_are_named_by_offset() {
    let share = noise(100_000, 5);
    let tree = ShareTree::of(&share);
    let mut bad = share.clone();
    bad[70_000] ^= 1;
    let proof = encode_ranges(&share, &tree, std::slice::from_ref(&(60_000..90_000)), Leaf::BULK).unwrap();
    let at = proof.windows(32).position(|w| w == &share[69_990..70_022]).unwrap() + 10;
    let mut wrong = proof.clone();
    wrong[at] ^= 1;
    let result = decode_ranges(tree.id(), 100_000, &[60_000..90_000], Leaf::BULK, &wrong, None);
    assert_eq!(result, Err(ProofError::WrongBytes { share: tree.id(), offset: 65_536 }));
    // A holder whose disk rots finds out before it serves.
    let damaged = ProofError::Damaged { share: tree.id(), offset: 65_536 };
    for leaf in [Leaf::SMALL, Leaf::BULK] {
        let ranges = std::slice::from_ref(&(66_000..67_000));
        assert_eq!(encode_ranges(&bad, &tree, ranges, leaf), Err(damaged.clone()));
        assert_eq!(encode_ranges(&bad[..66_000], &tree, ranges, leaf).map_err(|e| e.to_string()), {
            Err(format!("share {} could not be read at offset 65536: it is cut short", tree.id()))
        });
    }
}

#[test]
fn cut_lengthened_and_swapped_proofs_are_refused() {
    let (share, other) = (noise(100_000, 6), noise(100_000, 7));
    let (tree, other_tree) = (ShareTree::of(&share), ShareTree::of(&other));
    let ranges = [10..50_000];
    let proof = encode_ranges(&share, &tree, &ranges, Leaf::BULK).unwrap();
    let decode = |proof: &[u8], id, len, ranges: &[Range<u64>], leaf| {
        decode_ranges(id, len, ranges, leaf, proof, None)
    };
    for cut in [0, 1, 63, 64, 65, proof.len() / 2, proof.len() - 1] {
        let result = decode(&proof[..cut], tree.id(), 100_000, &ranges, Leaf::BULK);
        assert!(matches!(result, Err(ProofError::Truncated { .. })), "{cut}: {result:?}");
    }
    let long = [&proof[..], &[0]].concat();
    let too_long = Err(ProofError::TooLong { share: tree.id() });
    assert_eq!(decode(&long, tree.id(), 100_000, &ranges, Leaf::BULK), too_long);
    assert!(decode(&proof, other_tree.id(), 100_000, &ranges, Leaf::BULK).is_err(), "another share");
    assert!(decode(&proof, tree.id(), 140_000, &ranges, Leaf::BULK).is_err(), "a longer length");
    assert!(decode(&proof, tree.id(), 60_000, &ranges, Leaf::BULK).is_err(), "a shorter length");
    assert!(decode(&proof, tree.id(), 100_000, &ranges, Leaf::SMALL).is_err(), "another fineness");
    let elsewhere = [60_000..90_000];
    assert!(decode(&proof, tree.id(), 100_000, &elsewhere, Leaf::BULK).is_err(), "another range");
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let tree = ShareTree::of(&noise(1000, 8));
    let many: Vec<Range<u64>> = (0..257).map(|i| i * 2..i * 2 + 1).collect();
    #[allow(clippy::reversed_empty_ranges)]
    let bad: [&[Range<u64>]; 7] = [&[], &[5..5], &[6..5], &[0..1001], &[5..10, 0..3], &[0..10, 9..12], &many];
    for ranges in bad {
        assert_eq!(proof_len(1000, ranges, Leaf::SMALL), Err(ProofError::Ranges), "{ranges:?}");
        assert!(ProofEncoder::new(&tree, ranges, Leaf::SMALL).is_err());
        assert!(ProofDecoder::new(tree.id(), 1000, ranges, Leaf::SMALL).is_err());
    }
    assert!(proof_len(1000, &many[..256], Leaf::SMALL).is_ok());
    assert!(proof_len(1000, &[0..5, 5..9], Leaf::SMALL).is_ok());
    assert!(Leaf::new(5).is_none());
    // Lengths that no share has must not loop or overflow.
    assert!(proof_len(u64::MAX / 2, &[0..1], Leaf::SMALL).unwrap() < 10_000);
}

/// The crate `bao-tree` makes and reads the same bytes.
#[test]
fn equal_to_bao_tree() {
    use bao_tree::io::outboard::PreOrderOutboard;
    use bao_tree::io::sync::{CreateOutboard, encode_ranges_validated};
    use bao_tree::{BlockSize, ChunkNum, ChunkRanges};
    let mut dice = Dice::new(9);
    for case in 0..60 {
        let len = LENS[case % LENS.len()];
        let share = noise(len as usize, len);
        let tree = ShareTree::of(&share);
        for leaf in [Leaf::SMALL, Leaf::BULK] {
            let range = dice.range(len);
            // The crate goes finer inside a group where a range covers it in part: round up.
            let first = range.start / leaf.bytes() * leaf.bytes() / 1024;
            let last = range.end.next_multiple_of(leaf.bytes()).min(len).div_ceil(1024);
            let chunks = ChunkRanges::from(ChunkNum(first)..ChunkNum(last));
            let outboard = PreOrderOutboard::<Vec<u8>>::create(
                std::io::Cursor::new(&share),
                BlockSize::from_chunk_log(leaf.log()),
            )
            .unwrap();
            assert_eq!(outboard.root.as_bytes(), &tree.id().0);
            let mut theirs = Vec::new();
            encode_ranges_validated(&share[..], &outboard, &chunks, &mut theirs).unwrap();
            let ours = encode_ranges(&share, &tree, std::slice::from_ref(&range), leaf).unwrap();
            assert_eq!(
                Hash(*blake3::hash(&ours).as_bytes()),
                Hash(*blake3::hash(&theirs).as_bytes()),
                "{range:?} of {len}, {leaf:?}"
            );
        }
    }
}
