//! Chunks and their references.

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
    assert_eq!(open(make(at(0, 1, 0), &other, 1000)), Err(ChunkError::WrongId { id }), "another plaintext");
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
