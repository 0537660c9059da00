//! Entry bytes: golden, round trip, and rejections named after the flaw.

use super::support::*;
use crate::content::{CatalogueRecord, SharePlace};
use crate::keys::*;
use crate::tree::{Kind, *};
use crate::wire::{ENTRY_MAX, Head};

fn keys() -> DriveKeys {
    DriveKeys::new(DRIVE, Epoch::FIRST, LevelKey::new(Power::Read, [9; 32]))
}
fn writer() -> WriterKey {
    WriterKey::new(&Seed::from_bytes([3; 32]), INCARNATION)
}
fn draft(seq: u64) -> Draft {
    let parent = ROOT;
    let change =
        Change::Create { parent, name: b"photos".to_vec(), kind: Kind::Dir, attrs: attrs(0o755, NOW) };
    let other = Head { log: log(2), seq: 4, hash: EntryHash([4; 32]) };
    Draft {
        log: writer().log(),
        seq,
        previous: EntryHash([if seq == 1 { 0 } else { 5 }; 32]),
        lamport: 9,
        vector: Vector { heads: vec![other], admin_len: 3, admin_head: [6; 32] },
        label: "laptop".into(),
        operations: vec![Operation { n: 17, time: NOW, utc_offset_min: 60, change }],
    }
}
fn catalogue() -> Vec<CatalogueRecord> {
    let share = SharePlace {
        number: 0,
        id: ShareId([1; 32]),
        holder: NodeId([2; 32]),
        household: Hash([3; 32]),
        domains: crate::content::FailureDomains {
            introducer: [5; 8],
            operator: [6; 8],
            prefix: [7; 8],
            site: [8; 8],
        },
        minter: PersonId([4; 32]),
        seal_epoch: Epoch::FIRST,
    };
    let pack = PackId([8; 32]);
    vec![CatalogueRecord {
        pack,
        epoch: Epoch::FIRST,
        k: 1,
        len: 100,
        data_roots: vec![Hash([7; 32])],
        shares: vec![share],
    }]
}
fn bytes() -> Vec<u8> {
    seal_entry(&keys(), &writer(), &draft(2), &catalogue()).unwrap().0
}

#[test]
fn what_was_sealed_opens() {
    let (bytes, made) = seal_entry(&keys(), &writer(), &draft(2), &catalogue()).unwrap();
    let checked = Checked::parse(&bytes, &DRIVE).unwrap();
    assert_eq!(checked.open(&keys()).unwrap(), made);
    assert_eq!(checked.hash, made.hash);
    assert_eq!(checked.log, writer().log());
    let verify = keys().diminish(Power::Verify).unwrap();
    let seen = checked.open_catalogue(&verify).unwrap();
    assert_eq!((seen.catalogue, seen.vector), (made.catalogue, made.vector));
    assert!(seen.operations.is_empty());
    assert!(matches!(checked.open(&verify), Err(EntryError::NoKey(_))));
}

#[test]
fn a_repairer_seals_entries_of_catalogue_only() {
    let repair = keys().diminish(Power::Repair).unwrap();
    let mut draft = draft(1);
    assert!(seal_entry(&repair, &writer(), &draft, &catalogue()).is_err());
    draft.operations.clear();
    let (bytes, _) = seal_entry(&repair, &writer(), &draft, &catalogue()).unwrap();
    let opened = Checked::parse(&bytes, &DRIVE).unwrap().open(&keys()).unwrap();
    assert_eq!(opened.catalogue, catalogue());
}

/// A stored entry: its bytes, and those of its header.
const STORED: &str = include_str!("../../../tests/vectors/entry.txt");

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[test]
fn the_bytes_of_an_entry_never_change() {
    // Sealing is deterministic: these bytes are the format.
    let header: Header = Checked::parse(&bytes(), &DRIVE).unwrap().header;
    let now = format!("entry {}\nheader {}\n", hex(&bytes()), hex(&encode_record(&header)));
    if std::env::var_os("KITH_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/entry.txt");
        return std::fs::write(path, now).unwrap();
    }
    assert!(STORED == now, "the encoding has changed; it is now:\n{now}");
}

#[test]
fn a_stored_entry_opens() {
    let stored = STORED.lines().find_map(|l| l.strip_prefix("entry ")).unwrap();
    let stored = data_encoding::HEXLOWER.decode(stored.as_bytes()).unwrap();
    let opened = Checked::parse(&stored, &DRIVE).unwrap().open(&keys()).unwrap();
    assert_eq!((opened.operations, opened.catalogue), (draft(2).operations, catalogue()));
    assert_eq!((opened.label, opened.vector), (draft(2).label, draft(2).vector));
}

#[test]
fn every_flipped_bit_is_refused() {
    let good = bytes();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(Checked::parse(&bad, &DRIVE).is_err(), "byte {at}");
    }
}

#[test]
fn every_cut_is_refused() {
    let good = bytes();
    for len in 0..good.len() {
        assert!(Checked::parse(&good[..len], &DRIVE).is_err(), "{len} bytes");
    }
}

/// A header as an attacker who is a writer could sign it.
fn resigned(change: impl FnOnce(&mut Header), bodies: [&[u8]; 3]) -> Vec<u8> {
    let mut header = Checked::parse(&bytes(), &DRIVE).unwrap().header;
    let hash = |b: &[u8]| crate::keys::hash(Purpose::EntryBody, &[b]);
    (header.vector, header.operations, header.catalogue) =
        (hash(bodies[0]), hash(bodies[1]), hash(bodies[2]));
    change(&mut header);
    let signed = Signed::record(writer().signing(), &header);
    [&[1][..], &encode(&(signed, bodies[0], bodies[1], bodies[2]))].concat()
}

#[test]
fn rejections() {
    let parse = |bytes: Vec<u8>| Checked::parse(&bytes, &DRIVE);
    let some: [&[u8]; 3] = [b"vvv", b"ooo", b"ccc"];
    assert!(parse(resigned(|_| (), some)).is_ok());
    let refused = |what: &str, bytes: Vec<u8>, why: fn(&EntryError) -> bool| {
        let error = parse(bytes).expect_err(what);
        assert!(why(&error), "{what}: {error:?}");
    };
    use EntryError as E;
    refused("empty", vec![], |e| matches!(e, E::Decode(DecodeError::Malformed)));
    refused("too_long", vec![1; ENTRY_MAX + 1], |e| matches!(e, E::TooLong(_)));
    refused("newer_version", [&[2][..], &bytes()[1..]].concat(), |e| {
        matches!(e, E::Decode(DecodeError::UnknownVersion(2)))
    });
    refused("trailing_byte", [&bytes()[..], &[0]].concat(), |e| {
        matches!(e, E::Decode(DecodeError::Trailing))
    });
    refused("length_not_canonical", long_length(), |e| matches!(e, E::Decode(DecodeError::NotCanonical)));
    refused("other_drive", resigned(|h| h.drive = DriveId([1; 32]), some), |e| matches!(e, E::OtherDrive(_)));
    refused("seq_zero", resigned(|h| h.seq = 0, some), |e| matches!(e, E::Chain { .. }));
    refused("first_with_predecessor", resigned(|h| h.seq = 1, some), |e| matches!(e, E::Chain { .. }));
    refused("later_without_predecessor", resigned(|h| h.previous = EntryHash([0; 32]), some), |e| {
        matches!(e, E::Chain { .. })
    });
    refused("counter_below_seq", resigned(|h| h.lamport = 1, some), |e| matches!(e, E::Counter { .. }));
    refused("writer_not_the_signer", resigned(|h| h.writer = writer2(), some), |e| matches!(e, E::Header(_)));
    refused("writer_of_small_order", resigned(|h| h.writer = [0; 32], some), |e| matches!(e, E::Header(_)));
    refused("vector_not_as_signed", resigned(|h| h.vector = Hash([0; 32]), some), |e| {
        matches!(e, E::Body { .. })
    });
    refused("operations_not_as_signed", resigned(|h| h.operations = Hash([0; 32]), some), |e| {
        matches!(e, E::Body { .. })
    });
    refused("catalogue_not_as_signed", resigned(|h| h.catalogue = Hash([0; 32]), some), |e| {
        matches!(e, E::Body { .. })
    });
}

fn writer2() -> [u8; 32] {
    WriterKey::new(&Seed::from_bytes([4; 32]), INCARNATION).public()
}

/// The same entry with a length of two bytes written in three.
fn long_length() -> Vec<u8> {
    let good = bytes();
    let at = good.len() - sealed_catalogue_len() - 2;
    let mut bad = good[..at].to_vec();
    bad.extend([good[at] | 0x80, good[at + 1] | 0x80, 0]);
    bad.extend(&good[at + 2..]);
    bad
}
fn sealed_catalogue_len() -> usize {
    256 + crate::content::SEAL_OVERHEAD
}

#[test]
fn rejections_of_a_reader() {
    let open = |bodies: [&[u8]; 3]| {
        Checked::parse(&resigned(|_| (), bodies), &DRIVE).unwrap().open(&keys()).unwrap_err()
    };
    let (log, seq) = (writer().log(), 2);
    let verify = keys().catalogue_seal(Epoch::FIRST, &log, seq).unwrap();
    let ops = keys().ops_seal(Epoch::FIRST, &log, seq).unwrap();
    let (v, c) = (Position::part(0, 2), Position::part(1, 2));
    let framed = |plain: &[u8], pad: usize, codec: u8| {
        let mut out = vec![codec];
        out.extend((plain.len() as u32).to_le_bytes());
        out.extend((plain.len() as u32).to_le_bytes());
        out.extend(plain);
        out.resize(pad, 0);
        out
    };
    let vector = verify.seal(v, &framed(&encode(&Vector::default()), 256, 0));
    let none = verify.seal(c, &framed(&[0], 256, 0));
    let body = |plain: &[u8]| ops.seal(Position::WHOLE, &framed(plain, 256, 0));
    use EntryError as E;
    let good = encode(&("x", Vec::<Operation>::new()));
    let fine = resigned(|_| (), [&vector, &body(&good), &none]);
    assert!(Checked::parse(&fine, &DRIVE).unwrap().open(&keys()).is_ok());
    // catalogue and vector of one entry are not each other's
    assert!(matches!(open([&none, &body(&good), &vector]), E::Open { .. }));
    // operation_unknown
    let unknown = encode(&("x", 1u8, 17u8, 0u8, 0u8, 200u8));
    assert_eq!(open([&vector, &body(&unknown), &none]), E::Operations);
    // label_too_long
    let label = encode(&("x".repeat(65), Vec::<Operation>::new()));
    assert!(matches!(open([&vector, &body(&label), &none]), E::TooMany { .. }));
    // bucket_wrong, padding_not_zero, codec_unknown, length_past_end, bomb
    let raw = |plain: Vec<u8>| ops.seal(Position::WHOLE, &plain);
    assert!(matches!(open([&vector, &raw(framed(&good, 257, 0)), &none]), E::Frame { .. }));
    let mut dirty = framed(&good, 256, 0);
    dirty[255] = 1;
    assert!(matches!(open([&vector, &raw(dirty), &none]), E::Frame { .. }));
    assert!(matches!(open([&vector, &raw(framed(&good, 256, 2)), &none]), E::Frame { .. }));
    let mut past = framed(&good, 256, 0);
    past[5..9].copy_from_slice(&250u32.to_le_bytes());
    assert!(matches!(open([&vector, &raw(past), &none]), E::Frame { .. }));
    let mut bomb = framed(&good, 256, 1);
    bomb[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(open([&vector, &raw(bomb), &none]), E::Frame { .. }));
    // sealed_in_another_place: the body of entry 3 as that of entry 2
    let moved = keys().ops_seal(Epoch::FIRST, &log, 3).unwrap().seal(Position::WHOLE, &framed(&good, 256, 0));
    assert!(matches!(open([&vector, &moved, &none]), E::Open { .. }));
}

#[test]
fn a_log_takes_only_what_follows() {
    let second = Checked::parse(&bytes(), &DRIVE).unwrap();
    let head = |seq, hash| Head { log: second.log, seq, hash: EntryHash([hash; 32]) };
    assert!(second.follows(Some(&head(1, 5))).is_ok());
    assert!(matches!(second.follows(None), Err(EntryError::Gap { .. })));
    assert!(matches!(second.follows(Some(&head(1, 6))), Err(EntryError::Fork { .. })));
    assert!(matches!(second.follows(Some(&head(2, 6))), Err(EntryError::Fork { .. })));
    let first = seal_entry(&keys(), &writer(), &draft(1), &[]).unwrap().0;
    assert!(Checked::parse(&first, &DRIVE).unwrap().follows(None).is_ok());
}

#[test]
fn a_thousand_small_operations_cost_little_each() {
    let mut site = Site::new(1);
    site.fold = Fold::open(&site.table, writer().log(), "laptop").unwrap();
    for i in 0..500 {
        let n = site.next;
        let object = OpId { log: writer().log(), n };
        site.create(ROOT, &format!("IMG_{i:04}.JPG"), Kind::File);
        let page = crate::content::PageRef {
            codec: 0,
            sealed_len: 10_040,
            hash: Hash(*blake3::hash(&[i as u8]).as_bytes()),
        };
        let id = ChunkId(*blake3::hash(&[1, i as u8]).as_bytes());
        let chunk = crate::content::ChunkRef { id, epoch: Epoch::FIRST, len: 10_000, pages: vec![page] };
        let content = crate::content::Content::Tree {
            size: 10_000,
            depth: 0,
            refs: vec![crate::content::Ref::Chunk(chunk)],
        };
        site.local(Change::SetContent { object, base: None, content, mtime: NOW });
    }
    let draft = site.fold.draft(&site.table, &site.fold.pending()).unwrap();
    assert_eq!(draft.operations.len(), 1000);
    let (bytes, _) = seal_entry(&keys(), &writer(), &draft, &[]).unwrap();
    assert!(bytes.len() / 1000 < 200, "{} bytes each", bytes.len() / 1000);
}
