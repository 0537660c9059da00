use super::*;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn context_strings_are_unique_and_say_kith_v1() {
    let texts: BTreeSet<_> = PURPOSES.iter().map(|(_, text)| text).collect();
    assert_eq!(texts.len(), PURPOSES.len());
    for (purpose, text) in PURPOSES {
        assert_eq!(purpose.context(), *text);
        assert!(text.starts_with("kith v1 "), "{text}");
    }
}

#[test]
fn domains_are_unique_and_no_context_string() {
    let contexts = PURPOSES.iter().map(|(_, text)| *text);
    let all: Vec<_> = DOMAINS.iter().map(|domain| domain.text()).chain(contexts).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(all.iter().all(|text| !text.contains('\0')));
}

#[test]
fn kinds_are_unique() {
    let tags: BTreeSet<_> = KINDS.iter().map(|kind| *kind as u8).collect();
    assert_eq!(tags.len(), KINDS.len());
}

/// Every derivation of the whole package is made in `keys/derive.rs`.
#[test]
fn nothing_else_derives_keys() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&src, &mut |path, text| {
        // The village's dice are no keys.
        let here = ["keys/derive.rs", "keys/tests/derive.rs", "sim/rng.rs"].iter().any(|p| path.ends_with(p));
        if !here && (text.contains("new_derive_key") || text.contains("blake3::derive_key")) {
            found.push(path.display().to_string());
        }
    });
    assert_eq!(found, Vec::<String>::new(), "use keys::derive with a Purpose of its own");
}

fn visit(dir: &Path, each: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, each);
        } else if path.extension().is_some_and(|e| e == "rs") {
            each(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn derive_is_blake3_derive_key_of_key_and_counted_parts() {
    let mut input = vec![7; 32];
    input.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 0]);
    let expected = blake3::derive_key("kith v1 test", &input);
    assert_eq!(*super::derive(Purpose::Test, &[7; 32], &[b"ab", b""]), expected);
}

#[test]
fn parts_that_join_alike_differ() {
    let key = [0; 32];
    let one = super::derive(Purpose::Test, &key, &[b"ab", b"c"]);
    let two = super::derive(Purpose::Test, &key, &[b"a", b"bc"]);
    assert_ne!(one, two);
}
