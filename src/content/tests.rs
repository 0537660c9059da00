//! Whole ways: chunks, packs and shares, hale and damaged.

use super::testing::{Dice, keys, noise, stream, text};
use super::*;
use crate::keys::{DriveId, DriveKeys, Epoch, Hash, LevelKey, NodeId, PersonId, Position, Power, Seal};
use std::collections::BTreeMap;

const DRIVE: DriveId = DriveId([7; 32]);

fn encoder(k: u8, len: usize, seed: u64) -> PackEncoder {
    PackEncoder::new(&DRIVE, Epoch::FIRST, k, noise(len, seed)).unwrap()
}

/// A length for a pack of k: tiny, ragged, or of whole rows.
fn pack_len(dice: &mut Dice, k: u8) -> usize {
    match dice.below(4) {
        0 => 1 + dice.below(100) as usize,
        1 => 1 + dice.below(UNIT_LEN as u64 * 2) as usize,
        2 => k as usize * UNIT_LEN * (1 + dice.below(2) as usize),
        _ => 1 + dice.below(900_000) as usize,
    }
}

mod chunks {
    use super::*;

    #[test]
    fn any_chunk_comes_back_whole_and_page_by_page() {
        let (keys, mut dice) = (keys(), Dice::new(1));
        let lens = [1, 2, 40, 8191, 8192, PAGE_LEN - 1, PAGE_LEN, PAGE_LEN + 1, CHUNK_LEN - 1, CHUNK_LEN];
        for case in 0..40 {
            let len = lens.get(case).copied().unwrap_or(1 + dice.below(CHUNK_LEN as u64) as usize);
            for plain in [noise(len, case as u64), text(len), vec![0; len]] {
                let mut sealed = b"something before".to_vec();
                let reference = seal_chunk_into(&keys, Epoch::FIRST, &plain, &mut sealed).unwrap();
                let sealed = &sealed[16..];
                assert_eq!(chunk_problem(&reference), None);
                assert_eq!(sealed.len(), reference.sealed_len());
                assert_eq!(open_chunk(&keys, &reference, sealed).unwrap(), plain);
                for (page, bytes) in plain.chunks(PAGE_LEN).enumerate() {
                    let place = reference.page_place(page).unwrap();
                    assert_eq!(open_page(&keys, &reference, page, &sealed[place]).unwrap(), bytes);
                }
                assert_eq!(reference.page_place(reference.pages.len()), None);
                assert_eq!(seal_chunk(&keys, Epoch::FIRST, &plain).unwrap(), (reference, sealed.to_vec()));
            }
        }
        let (reference, sealed) = seal_chunk(&keys, Epoch::FIRST, &noise(CHUNK_LEN, 1)).unwrap();
        assert!(reference.is_full_raw());
        assert_eq!(sealed.len(), 16 * UNIT_LEN);
        assert_eq!(reference.pages_of(65_535..65_537), 0..2);
        assert_eq!(reference.pages_of(CHUNK_LEN - 1..usize::MAX), 15..16);
        assert!(reference.pages_of(CHUNK_LEN..CHUNK_LEN + 1).is_empty());
    }

    #[test]
    fn wrong_lengths_and_missing_keys_are_refused() {
        let mut out = vec![1];
        for len in [0, CHUNK_LEN + 1] {
            let refused = seal_chunk_into(&keys(), Epoch::FIRST, &vec![0; len], &mut out);
            assert_eq!(refused, Err(ChunkError::Length(len)));
        }
        assert!(matches!(seal_chunk_into(&keys(), Epoch(2), &[1], &mut out), Err(ChunkError::NoKey(_))));
        let mender = keys().diminish(Power::Repair).unwrap();
        assert!(seal_chunk_into(&mender, Epoch::FIRST, &[1], &mut out).is_err());
        let (reference, sealed) = seal_chunk(&keys(), Epoch::FIRST, b"secret").unwrap();
        assert!(matches!(open_chunk(&mender, &reference, &sealed), Err(ChunkError::NoKey(_))));
        assert_eq!(out, [1], "untouched on error");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_told_from_where_it_is() {
        let keys = keys();
        let plain = [text(PAGE_LEN), noise(300, 2)].concat();
        let (reference, sealed) = seal_chunk(&keys, Epoch::FIRST, &plain).unwrap();
        let id = reference.id;
        let second = reference.page_place(1).unwrap().start;
        for at in (0..sealed.len()).step_by(7).chain([second - 1, second, sealed.len() - 1]) {
            let mut bad = sealed.clone();
            bad[at] ^= 1 << (at % 8);
            let page = usize::from(at >= second);
            assert_eq!(open_chunk(&keys, &reference, &bad), Err(ChunkError::PageHash { id, page }));
        }
        let want = sealed.len();
        for got in [0, 1, second, want - 1] {
            let cut = open_chunk(&keys, &reference, &sealed[..got]);
            assert_eq!(cut, Err(ChunkError::ChunkLength { id, got, want }));
        }
        let swapped = open_page(&keys, &reference, 1, &sealed[reference.page_place(0).unwrap()]);
        assert!(matches!(swapped, Err(ChunkError::PageLength { page: 1, .. })));
        assert_eq!(open_page(&keys, &reference, 2, &sealed), Err(ChunkError::NoSuchPage { id, page: 2 }));
    }

    #[test]
    fn malformed_references_are_refused_before_anything_is_believed() {
        let (good, sealed) = seal_chunk(&keys(), Epoch::FIRST, &text(100_000)).unwrap();
        let mut cases: Vec<(&str, ChunkRef)> = Vec::new();
        let mut case = |flaw, change: &dyn Fn(&mut ChunkRef)| {
            let mut bad = good.clone();
            change(&mut bad);
            cases.push((flaw, bad));
        };
        case("no length", &|r| r.len = 0);
        case("a length beyond a chunk", &|r| r.len = CHUNK_LEN as u32 + 1);
        case("the greatest length", &|r| r.len = u32::MAX);
        case("a page too few", &|r| r.pages.truncate(1));
        case("a page too many", &|r| r.pages.push(r.pages[0]));
        case("an unknown codec", &|r| r.pages[0].codec = 2);
        case("a raw page of another length", &|r| r.pages[0].codec = CODEC_RAW);
        case("a page without text", &|r| r.pages[0].sealed_len = SEAL_OVERHEAD as u32);
        case("a page that compression made longer", &|r| r.pages[0].sealed_len = UNIT_LEN as u32);
        case("a page of four gigabytes", &|r| r.pages[0].sealed_len = u32::MAX);
        for (flaw, bad) in cases {
            assert!(chunk_problem(&bad).is_some(), "{flaw}");
            assert!(matches!(open_chunk(&keys(), &bad, &sealed), Err(ChunkError::BadRef { .. })), "{flaw}");
            assert!(matches!(open_page(&keys(), &bad, 0, &sealed), Err(ChunkError::BadRef { .. })), "{flaw}");
        }
    }

    /// Pages made by a writer who has the keys and means ill, or has a fault.
    #[test]
    fn what_a_writer_did_wrong_is_the_writers() {
        let keys = keys();
        let plain = noise(1000, 3);
        let honest = seal_chunk(&keys, Epoch::FIRST, &plain).unwrap().0;
        let id = honest.id;
        let make = |at: Position, text: &[u8], len: u32| {
            let sealed = keys.page_seal(Epoch::FIRST, &id).unwrap().seal(at, text);
            let hash = Hash(*blake3::hash(&sealed).as_bytes());
            let page = PageRef { codec: at.codec, sealed_len: sealed.len() as u32, hash };
            (ChunkRef { id, epoch: Epoch::FIRST, len, pages: vec![page] }, sealed)
        };
        let at = |index, total, codec| Position { index, total, codec };
        let open = |(reference, sealed): (ChunkRef, Vec<u8>)| open_chunk(&keys, &reference, &sealed);
        assert_eq!(open(make(at(0, 1, 0), &plain, 1000)), Ok(plain.clone()));
        assert_eq!(open(make(at(1, 1, 0), &plain, 1000)), Err(ChunkError::Seal { id, page: 0 }), "misplaced");
        assert_eq!(open(make(at(0, 2, 0), &plain, 1000)), Err(ChunkError::Seal { id, page: 0 }), "of two");
        let other = noise(1000, 4);
        assert_eq!(
            open(make(at(0, 1, 0), &other, 1000)),
            Err(ChunkError::WrongId { id }),
            "another plaintext"
        );
        let expands = lz4_flex::block::compress(&[7; 5000]);
        assert!(expands.len() < 1000);
        let bomb = Err(ChunkError::Compression { id, page: 0 });
        assert_eq!(open(make(at(0, 1, 1), &expands, 1000)), bomb, "expands to more than it says");
        assert_eq!(open(make(at(0, 1, 1), &expands, 6000)), bomb, "expands to less than it says");
        assert_eq!(open(make(at(0, 1, 1), &noise(500, 5), 1000)), bomb, "not compressed at all");
        let (mut reference, sealed) = make(at(0, 1, 1), &expands, 5000);
        reference.pages[0].codec = CODEC_RAW;
        assert!(open((reference, sealed)).is_err(), "codec changed in the reference");
    }

    #[test]
    fn chunks_of_another_drive_or_epoch_do_not_open() {
        let plain = noise(5000, 6);
        let (reference, sealed) = seal_chunk(&keys(), Epoch::FIRST, &plain).unwrap();
        let other = DriveKeys::new(DriveId([8; 32]), Epoch::FIRST, LevelKey::new(Power::Read, [9; 32]));
        let refused = Err(ChunkError::Seal { id: reference.id, page: 0 });
        assert_eq!(open_chunk(&other, &reference, &sealed), refused);
        let other = DriveKeys::new(DRIVE, Epoch::FIRST, LevelKey::new(Power::Read, [10; 32]));
        assert_eq!(open_chunk(&other, &reference, &sealed), refused);
        assert_ne!(seal_chunk(&other, Epoch::FIRST, &plain).unwrap().0.id, reference.id);
    }
}

mod shares {
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
}

mod repair {
    use super::*;

    fn record(pack: &PackEncoder) -> CatalogueRecord {
        CatalogueRecord {
            pack: pack.id(),
            epoch: Epoch::FIRST,
            k: pack.layout().k(),
            len: pack.layout().len(),
            data_roots: pack.data_roots().to_vec(),
            shares: (0..5)
                .map(|number| SharePlace {
                    number,
                    id: pack.share(number, &stream(&pack.id(), number, 1)).unwrap().id,
                    holder: NodeId([1; 32]),
                    household: Hash([0; 32]),
                    minter: PersonId([0; 32]),
                    seal_epoch: Epoch::FIRST,
                })
                .collect(),
        }
    }

    #[test]
    fn a_lost_share_is_made_again_for_another_holder() {
        let pack = encoder(2, 250_000, 1);
        let record = record(&pack);
        assert_eq!(check_record(&DRIVE, &record), Ok(pack.layout()));
        let three = pack.unsealed_range(3, 0..u64::MAX).unwrap();
        let four = pack.unsealed_range(4, 0..u64::MAX).unwrap();
        let seal = stream(&pack.id(), 0, 9);
        for number in [0, 2, 77] {
            let made = rebuild_share(&DRIVE, &record, &[(3, &three), (4, &four)], number, &seal).unwrap();
            assert_eq!(made.id, pack.share(number, &seal).unwrap().id);
        }
        let refused = rebuild_share(&DRIVE, &record, &[(3, &four), (4, &three)], 0, &seal);
        assert!(matches!(refused, Err(RecoverError::GarbageAmong(_))), "swapped shares");
    }

    #[test]
    fn records_that_contradict_themselves_are_refused() {
        let pack = encoder(2, 250_000, 2);
        let good = record(&pack);
        let case = |flaw: &str, change: &dyn Fn(&mut CatalogueRecord)| {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(check_record(&DRIVE, &bad).is_err(), "{flaw}");
        };
        case("another epoch", &|r| r.epoch = Epoch(2));
        case("another k", &|r| r.k = 3);
        case("k of nothing", &|r| r.k = 0);
        case("another length", &|r| r.len += 1);
        case("a length beyond a pack", &|r| r.len = u64::MAX);
        case("no length", &|r| r.len = 0);
        case("another root", &|r| r.data_roots[1].0[5] ^= 1);
        case("swapped roots", &|r| r.data_roots.swap(0, 1));
        case("a root too few", &|r| r.data_roots.truncate(1));
        case("another name", &|r| r.pack.0[0] ^= 1);
        case("a number beyond all", &|r| r.shares[0].number = 256);
        assert!(check_record(&DriveId([8; 32]), &good).is_err(), "another drive");
    }
}

/// These bytes are the format: a change here makes every pack out there unreadable.
mod golden {
    use super::*;
    use std::fmt::Write;

    fn line(out: &mut String, name: &str, bytes: &[u8]) {
        writeln!(out, "{name} {}", data_encoding::HEXLOWER.encode(bytes)).unwrap();
    }

    /// 3,000 times `k`, compressed by hand: a literal, a match of 2,994 at distance 1, five literals.
    fn block() -> Vec<u8> {
        [&[0x1f, b'k', 1, 0][..], &[0xff; 11], &[170], b"\x50kkkkk"].concat()
    }

    #[test]
    fn vectors() {
        let mut out = String::new();
        let plain = [noise(PAGE_LEN, 1), vec![b'k'; 3000]].concat();
        let (mut reference, sealed) = seal_chunk(&keys(), Epoch::FIRST, &plain).unwrap();
        assert_eq!((reference.pages[0].codec, reference.pages[1].codec), (CODEC_RAW, CODEC_LZ4));
        line(&mut out, "chunk-id", &reference.id.0);
        line(&mut out, "raw-page-head", &sealed[..64]);
        line(&mut out, "raw-page-hash", &reference.pages[0].hash.0);

        // How well a compressor does is its own affair, so a block made by hand is sealed here.
        let at = Position { index: 1, total: 2, codec: CODEC_LZ4 };
        let page = keys().page_seal(Epoch::FIRST, &reference.id).unwrap().seal(at, &block());
        line(&mut out, "lz4-page", &page);
        let hash = Hash(*blake3::hash(&page).as_bytes());
        reference.pages[1] = PageRef { codec: CODEC_LZ4, sealed_len: page.len() as u32, hash };
        line(&mut out, "node", &crate::keys::encode(&vec![Ref::Hole, Ref::Chunk(reference.clone())]));

        let mut builder = PackBuilder::new();
        let sealed = [&sealed[..UNIT_LEN], &page].concat();
        assert_eq!(open_chunk(&keys(), &reference, &sealed).unwrap(), plain);
        builder.append(&reference, &sealed).unwrap();
        for seed in 0..3 {
            let (reference, sealed) =
                seal_chunk(&keys(), Epoch::FIRST, &noise(CHUNK_LEN - seed as usize, seed)).unwrap();
            builder.append(&reference, &sealed).unwrap();
        }
        let closed = builder.close(&keys(), Epoch::FIRST).unwrap().unwrap();
        line(&mut out, "pack-len", &(closed.bytes.len() as u32).to_be_bytes());
        line(&mut out, "pack-end", &closed.bytes[closed.bytes.len() - 16..]);
        line(&mut out, "pack-hash", blake3::hash(&closed.bytes).as_bytes());
        let pack = PackEncoder::new(&DRIVE, Epoch::FIRST, 3, closed.bytes).unwrap();
        line(&mut out, "pack-id", &pack.id().0);
        for number in [0, 1, 2, 3, 9, 255] {
            let share = pack.share(number, &stream(&pack.id(), number, 1)).unwrap();
            line(&mut out, &format!("share-{number}"), &share.id.0);
            let range = std::slice::from_ref(&(1500..1501));
            let proof = encode_ranges(&share.bytes, &share.tree, range, Leaf::SMALL).unwrap();
            line(&mut out, &format!("proof-hash-{number}"), blake3::hash(&proof).as_bytes());
        }
        assert_eq!(out, include_str!("../../tests/vectors/content.txt"));
    }
}
