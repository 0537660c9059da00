//! These bytes are the format: a change here makes every pack out there unreadable.

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
    assert_eq!(out, include_str!("../../../tests/vectors/content.txt"));
}
