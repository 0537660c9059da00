//! Shares: any k, any range, every kind of damage.

use super::*;

fn unsealed(pack: &PackEncoder, number: u16) -> Vec<u8> {
    pack.unsealed_range(number, 0..u64::MAX).unwrap()
}

/// Fetch only what `range` takes from the shares `alive`, with proofs, and put it together.
fn fetch(pack: &PackEncoder, alive: &[u16], range: std::ops::Range<u64>) -> Vec<u8> {
    let layout = pack.layout();
    let missing: Vec<u16> = (0..layout.k() as u16).filter(|n| !alive.contains(n)).collect();
    let mut ranges: BTreeMap<u16, ShareRanges> = BTreeMap::new();
    let mut get = |number: u16, wanted: &[std::ops::Range<u64>]| {
        let seal = stream(&pack.id(), number, number as u8);
        let share = pack.share(number, &seal).unwrap();
        let proof = encode_ranges(&share.bytes, &share.tree, wanted, Leaf::SMALL).unwrap();
        let len = layout.share_len();
        let parts = decode_ranges(share.id, len, wanted, Leaf::SMALL, &proof, Some(&seal)).unwrap();
        for (range, bytes) in wanted.iter().zip(parts) {
            ranges.entry(number).or_default().insert(range.start, bytes);
        }
    };
    for (number, wanted) in layout.wanted(range.clone()).unwrap() {
        if alive.contains(&number) {
            get(number, &wanted);
        }
    }
    let instead = layout.wanted_instead(range.clone(), &missing).unwrap();
    if !instead.is_empty() {
        alive.iter().take(layout.k() as usize).for_each(|&number| get(number, &instead));
    }
    assemble(layout, range, &ranges).unwrap()
}

#[test]
fn any_k_of_n_give_back_any_range() {
    let mut dice = Dice::new(1);
    for case in 0..60 {
        let (k, n) = [(1, 1), (1, 3), (2, 5), (3, 7), (3, 10), (4, 4), (6, 14)][case % 7];
        let pack = encoder(k, pack_len(&mut dice, k), case as u64);
        let alive = dice.pick(k as usize, n);
        let range = dice.range(pack.layout().len());
        let got = fetch(&pack, &alive, range.clone());
        let want = &pack.bytes()[range.start as usize..range.end as usize];
        assert_eq!(got, want, "{k}/{n} {alive:?} {range:?}");
        let whole: Vec<_> = alive.iter().map(|&n| (n, unsealed(&pack, n))).collect();
        let whole: Vec<_> = whole.iter().map(|(n, bytes)| (*n, &bytes[..])).collect();
        assert_eq!(recover_pack(pack.layout(), pack.data_roots(), &whole).unwrap(), pack.bytes());
    }
}

#[test]
fn sealed_shares_are_what_they_say_and_ranges_of_them_fit() {
    let mut dice = Dice::new(2);
    for case in 0..20 {
        let k = 1 + dice.below(5) as u8;
        let pack = encoder(k, pack_len(&mut dice, k), case);
        let seals: Vec<_> = (0..8).map(|number| stream(&pack.id(), number, 1)).collect();
        let wanted: Vec<_> = seals.iter().enumerate().map(|(n, seal)| (n as u16, seal)).collect();
        let mut pool = vec![noise(2_000_000, case), vec![], noise(9, case)];
        for share in pack.shares_with(&wanted, &mut pool).unwrap() {
            let seal = &seals[share.number as usize];
            assert_eq!(share.bytes.len() as u64, pack.layout().share_len());
            assert_eq!(share.id.0, *blake3::hash(&share.bytes).as_bytes());
            assert_eq!(share.tree, ShareTree::of(&share.bytes));
            let plain = unsealed(&pack, share.number);
            assert_ne!(plain, share.bytes);
            if share.number < k as u16 {
                let root = pack.data_roots()[share.number as usize];
                assert_eq!(root.0, *blake3::hash(&plain).as_bytes());
            }
            let range = dice.range(share.bytes.len() as u64);
            let part = pack.sealed_range(share.number, seal, range.clone()).unwrap();
            assert_eq!(part, &share.bytes[range.start as usize..range.end as usize]);
            let mut bytes = share.bytes.clone();
            seal.apply(0, &mut bytes);
            assert_eq!(bytes, plain);
        }
    }
}

#[test]
fn numbers_minted_later_fit_the_old_shares_whatever_n_was() {
    let pack = encoder(3, 500_000, 3);
    let old: Vec<_> = [0, 4, 6].map(|n| (n, unsealed(&pack, n))).to_vec();
    let old: Vec<_> = old.iter().map(|(n, bytes)| (*n, &bytes[..])).collect();
    for number in [7, 10, 100, 255] {
        let minted = rebuild_range(3, &old, number).unwrap();
        assert_eq!(minted, unsealed(&pack, number));
        let mixed = [(number, &minted[..]), old[1], old[2]];
        assert_eq!(recover_pack(pack.layout(), pack.data_roots(), &mixed).unwrap(), pack.bytes());
    }
    assert_eq!(rebuild_range(3, &old, 256), Err(CodingError::Number(256)));
    assert_eq!(rebuild_range(3, &old[..2], 9), Err(CodingError::TooFew { k: 3, have: 2 }));
}

#[test]
fn too_little_is_said_and_more_helps() {
    let pack = encoder(2, 300_000, 4);
    let mut have = BTreeMap::new();
    let mut insert = |number, range: std::ops::Range<u64>| {
        let bytes = pack.unsealed_range(number, range.clone()).unwrap();
        have.entry(number).or_insert_with(ShareRanges::default).insert(range.start, bytes);
        assemble(pack.layout(), 70_000..70_100, &have)
    };
    // Bytes 70,000 and on are share 1's, in its first unit.
    let at = 70_000 - UNIT_LEN as u64;
    let missing = |have| AssembleError::Missing { share: 1, range: at..at + 100, have, k: 2 };
    assert_eq!(insert(0, 0..at + 50), Err(missing(0)));
    assert_eq!(insert(0, at + 50..at + 200), Err(missing(1)), "the parts are joined");
    assert_eq!(insert(7, at + 1..at + 200), Err(missing(1)), "a byte is missing");
    assert_eq!(insert(7, 0..at + 2).unwrap(), &pack.bytes()[70_000..70_100], "overlapping parts");
    let over = assemble(pack.layout(), 0..300_001, &have);
    assert_eq!(over, Err(AssembleError::Layout(LayoutError::Range)));
}

#[test]
fn every_flipped_bit_of_a_share_convicts_its_holder() {
    let pack = encoder(2, 150_000, 5);
    let seal = stream(&pack.id(), 3, 1);
    let share = pack.share(3, &seal).unwrap();
    let mut dice = Dice::new(5);
    for _ in 0..300 {
        let mut bad = share.bytes.clone();
        let at = dice.below(bad.len() as u64);
        bad[at as usize] ^= 1 << dice.below(8);
        assert_ne!(ShareTree::of(&bad).id(), share.id, "noticed when it is stored");
        // A holder that serves it anyway, with the tree of what it has or of what it should have.
        let tree = ShareTree::of(&bad);
        let range = at / 1024 * 1024..at + 1;
        let proof = encode_ranges(&bad, &tree, std::slice::from_ref(&range), Leaf::SMALL).unwrap();
        let len = bad.len() as u64;
        let got = decode_ranges(share.id, len, std::slice::from_ref(&range), Leaf::SMALL, &proof, None);
        assert_eq!(got, Err(ProofError::WrongHashes { share: share.id, offset: 0 }));
        let proof = encode_ranges(&bad, &share.tree, std::slice::from_ref(&range), Leaf::SMALL);
        let offset = at / 16_384 * 16_384;
        assert_eq!(proof, Err(ProofError::Damaged { share: share.id, offset }));
    }
}

#[test]
fn garbage_that_was_published_convicts_whoever_minted_it() {
    let pack = encoder(3, 400_000, 6);
    let shares: Vec<Vec<u8>> = (0..7).map(|n| unsealed(&pack, n)).collect();
    let recover = |numbers: &[u16], garbage: &[u16]| {
        let bytes: Vec<Vec<u8>> = numbers
            .iter()
            .map(|&n| {
                let mut share = shares[n as usize].clone();
                if garbage.contains(&n) {
                    share[100] ^= 1;
                }
                share
            })
            .collect();
        let list: Vec<_> = numbers.iter().copied().zip(bytes.iter().map(Vec::as_slice)).collect();
        recover_pack(pack.layout(), pack.data_roots(), &list)
    };
    assert_eq!(recover(&[0, 1, 2], &[1]), Err(RecoverError::Garbage(1)));
    assert_eq!(recover(&[0, 1, 4], &[4]), Err(RecoverError::GarbageAmong(vec![4])));
    assert_eq!(recover(&[0, 4, 5], &[4]), Err(RecoverError::GarbageAmong(vec![4, 5])));
    assert_eq!(recover(&[0, 4, 5, 6], &[4]).unwrap(), pack.bytes(), "one more helps");
    assert_eq!(recover(&[3, 4, 5, 6], &[3]).unwrap(), pack.bytes());
    let too_few = CodingError::TooFew { k: 3, have: 2 };
    assert_eq!(recover(&[0, 6], &[]), Err(RecoverError::Coding(too_few)));
    assert_eq!(recover(&[0, 6, 6], &[]), Err(RecoverError::Coding(CodingError::Twice(6))));
    let short = [(0u16, &shares[0][1..]), (1, &shares[1]), (2, &shares[2])];
    assert!(matches!(
        recover_pack(pack.layout(), pack.data_roots(), &short),
        Err(RecoverError::Coding(CodingError::Length { number: 0, .. }))
    ));
    let swapped = [(1u16, &shares[0][..]), (0, &shares[1]), (2, &shares[2])];
    assert_eq!(recover_pack(pack.layout(), pack.data_roots(), &swapped), Err(RecoverError::Garbage(1)));
    assert!(recover_pack(pack.layout(), &pack.data_roots()[..2], &swapped).is_err());
}

#[test]
fn a_share_of_another_pack_number_holder_or_drive_is_refused() {
    let (pack, other) = (encoder(2, 200_000, 7), encoder(2, 200_000, 8));
    let share = pack.share(1, &stream(&pack.id(), 1, 1)).unwrap();
    let range = std::slice::from_ref(&(0..100));
    let accepted = |served: &SealedShare| {
        let proof = encode_ranges(&served.bytes, &served.tree, range, Leaf::SMALL).unwrap();
        decode_ranges(share.id, served.tree.len(), range, Leaf::SMALL, &proof, None).is_ok()
    };
    assert!(accepted(&share));
    assert!(!accepted(&other.share(1, &stream(&pack.id(), 1, 1)).unwrap()), "another pack");
    assert!(!accepted(&pack.share(0, &stream(&pack.id(), 0, 1)).unwrap()), "another number");
    assert!(!accepted(&pack.share(1, &stream(&pack.id(), 1, 2)).unwrap()), "another holder's");
    // The same bytes in another drive or epoch, or cut another way, are another pack.
    let bytes = pack.bytes().to_vec();
    for (drive, epoch, k) in [(8, 1, 2), (7, 2, 2), (7, 1, 3)] {
        let twin = PackEncoder::new(&DriveId([drive; 32]), Epoch(epoch), k, bytes.clone()).unwrap();
        assert_ne!(twin.id(), pack.id());
        assert!(!accepted(&twin.share(1, &stream(&twin.id(), 1, 1)).unwrap()));
    }
}
