//! Every promise of docs/semantics.md is quoted by a test, and every quotation is a promise.

#[path = "../src/promises.rs"]
mod promises;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests/promises.rs") {
            out.push(path);
        }
    }
}

/// The sentences that a source quotes: what stands between the quotation marks of `promise("...")`,
/// outside comments and inside a function that is marked as a test.
fn quoted(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (at, call) in text.match_indices("promise(") {
        // rustfmt puts a long sentence on a line of its own.
        let Some(sentence) = text[at + call.len()..].trim_start().strip_prefix('"') else { continue };
        let line = text[..at].rsplit('\n').next().unwrap_or("");
        // rustfmt lays functions out with their `fn` at the begin of a line, or inside a module.
        let before = &text[..at];
        let function = before.rmatch_indices("fn ").find(|(f, _)| is_item(before, *f)).map_or(0, |(f, _)| f);
        let attributes = before[..function].rsplit("\n\n").next().unwrap_or("");
        let is_test = ["#[test]", "#[tokio::test"].iter().any(|mark| attributes.contains(mark));
        if !line.contains("//") && is_test {
            out.push(sentence.split('"').next().unwrap_or("").to_string());
        }
    }
    out
}

fn is_item(text: &str, at: usize) -> bool {
    let line = text[..at].rsplit('\n').next().unwrap_or("");
    line.trim().split(' ').all(|word| ["", "pub", "async"].contains(&word))
}

#[test]
fn every_promise_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "tests", "mount-tests"].iter().for_each(|dir| sources(&root.join(dir), &mut files));
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let quotes: BTreeSet<String> = texts.flat_map(|text| quoted(&text)).collect();
    let promised: BTreeSet<String> = promises::all().map(str::to_string).collect();
    assert!(promised.len() > 20, "the section of promises was not found");
    let untested: Vec<_> = promised.difference(&quotes).collect();
    assert!(untested.is_empty(), "no test quotes: {untested:#?}");
    let unknown: Vec<_> = quotes.difference(&promised).collect();
    assert!(unknown.is_empty(), "tests quote what is not promised: {unknown:#?}");
}

#[test]
fn the_guard_sees_what_it_should() {
    let call = ["promise", "(\"A.\");"].concat();
    let test = format!("/// Why.\n#[test]\nfn a() {{\n    {call}\n}}\n");
    assert_eq!(quoted(&test), ["A."]);
    assert_eq!(quoted(&test.replace("#[test]", "#[tokio::test(start_paused = true)]")), ["A."]);
    assert!(quoted(&test.replace("#[test]\n", "")).is_empty(), "no test");
    assert!(quoted(&test.replace("    promise", "    // promise")).is_empty(), "a comment");
    assert_eq!(quoted(&test.replace("(\"A", "(\n        \"A")), ["A."]);
    let helper = format!("#[test]\nfn a() {{}}\n\nfn b() {{\n    {call}\n}}\n");
    assert!(quoted(&helper).is_empty(), "a helper that perhaps nobody calls");
    promises::promise("Times are kept to the nanosecond.");
    assert!(std::panic::catch_unwind(|| promises::promise("It is always sunny.")).is_err());
}
