//! The rule for conflict names.

use crate::tree::*;

const AT: Stamp<'_> = Stamp { label: "laptop", time: 1_795_439_100_000_000_000, utc_offset_min: 60 };

fn named(name: &str) -> String {
    String::from_utf8(conflict_name(name.as_bytes(), false, AT, 1)).unwrap()
}

#[test]
fn the_mark_stands_before_the_extension() {
    assert_eq!(named("Plan.odt"), "Plan (conflict, laptop, 2026-11-23 14.05).odt");
    assert_eq!(named("a.tar.gz"), "a.tar (conflict, laptop, 2026-11-23 14.05).gz");
    assert_eq!(named("Makefile"), "Makefile (conflict, laptop, 2026-11-23 14.05)");
    assert_eq!(named(".bashrc"), ".bashrc (conflict, laptop, 2026-11-23 14.05)");
    assert_eq!(named("x."), "x. (conflict, laptop, 2026-11-23 14.05)");
    assert_eq!(
        named("1. a rather long title"),
        "1. a rather long title (conflict, laptop, 2026-11-23 14.05)"
    );
    let dir = conflict_name(b"v1.2", true, AT, 3);
    assert_eq!(dir, b"v1.2 (conflict, laptop, 2026-11-23 14.05 3)");
}

#[test]
fn a_mark_is_replaced_not_repeated() {
    assert_eq!(named("Plan (conflict, phone, 2020-01-01 00.00 7).odt"), named("Plan.odt"));
}

#[test]
fn names_fit_in_255_bytes_and_split_no_letter() {
    for len in 200..=255 {
        for unit in ["a", "é", "漢", "🦀"] {
            for label in ["x", "ein sehr langer Name für ein Gerät, das niemand so nennen würde, oder doch"]
            {
                let name: String = unit.repeat(len / unit.len());
                let stamp = Stamp { label, ..AT };
                for number in [1, u64::MAX] {
                    let out = conflict_name(format!("{name}.jpeg").as_bytes(), false, stamp, number);
                    assert!(out.len() <= NAME_MAX && is_name(&out));
                    assert!(String::from_utf8(out).unwrap().ends_with(").jpeg"));
                }
            }
        }
    }
    let junk = conflict_name(&[0x80; 255], false, AT, 1);
    assert!(is_name(&junk));
}

#[test]
fn labels_are_cleaned() {
    let stamp = Stamp { label: "a/b\nc\0", ..AT };
    assert_eq!(conflict_name(b"f", false, stamp, 1), b"f (conflict, a_b_c_, 2026-11-23 14.05)");
}

#[test]
fn times_of_all_sorts() {
    for (time, offset, want) in [
        (0, 0, "1970-01-01 00.00"),
        (-1, 0, "1969-12-31 23.59"),
        (951_782_400_000_000_000, 0, "2000-02-29 00.00"),
        (951_782_400_000_000_000, -60, "2000-02-28 23.00"),
        (i64::MIN, i16::MIN, "1677-08-29 06.04"),
        (i64::MAX, i16::MAX, "2262-05-04 17.54"),
    ] {
        let stamp = Stamp { label: "x", time, utc_offset_min: offset };
        let name = String::from_utf8(conflict_name(b"f", false, stamp, 1)).unwrap();
        assert_eq!(name, format!("f (conflict, x, {want})"));
    }
}
