//! Lost shares, made again.

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
                domains: crate::content::FailureDomains::default(),
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
