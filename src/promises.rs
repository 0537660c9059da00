//! The sentences of `docs/semantics.md` that tests quote: so the document says what is tested,
//! and the tests say what for.

// Each target that quotes has its own copy, and not all use all of it.
#![allow(dead_code)]

const DOCUMENT: &str = include_str!("../docs/semantics.md");

/// Fails unless the document promises this, word for word.
#[track_caller]
pub fn promise(sentence: &str) {
    assert!(all().any(|p| p == sentence), "docs/semantics.md does not promise: {sentence}");
}

/// All that the document promises.
pub fn all() -> impl Iterator<Item = &'static str> {
    let from = DOCUMENT.split_once("\n## Promises\n").map_or("", |(_, rest)| rest);
    let section = from.split_once("\n## ").map_or(from, |(section, _)| section);
    section.lines().filter_map(|line| line.strip_prefix("* "))
}
