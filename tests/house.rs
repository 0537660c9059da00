//! The house rules: arrows point down, and the pure rooms stay pure.
//!
//! Reads the source as text, so that a broken rule is a failing test with a line number
//! and not a matter of review.

use std::path::{Path, PathBuf};

/// Rooms from bottom to top. A room may name itself and the rooms before it.
const ROOMS: [&str; 14] = [
    "keys", "wire", "content", "ledger", "tree", "world", "store", "net", "holder", "grid", "drive", "mount",
    "daemon", "sim",
];
/// `cli` stands beside the top: it may use all rooms, nothing uses it but main.
const TOP: &str = "cli";
const PURE: [&str; 5] = ["keys", "wire", "content", "ledger", "tree"];
/// What a pure room must not name: I/O crates, clocks, sources of randomness.
const IMPURE: [&str; 23] = [
    "tokio",
    "fuser",
    "quinn",
    "sled",
    "rustls",
    "rustix",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "std::thread",
    "std::process",
    "Instant",
    "SystemTime",
    "OsRng",
    "thread_rng",
    "getrandom",
    "std::env",
];

/// Lines of code of a file, without comments and without the inline `mod tests`.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut out = Vec::new();
    let mut after_cfg_test = false;
    for (i, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or("").to_string();
        if code.trim() == "#[cfg(test)]" {
            after_cfg_test = true;
            continue;
        }
        // An inline test module is the last item of a file by convention.
        if after_cfg_test && code.trim_start().starts_with("mod ") && code.contains('{') {
            break;
        }
        after_cfg_test = false;
        out.push((i + 1, code));
    }
    out
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test_file(&path) {
            out.push(path);
        }
    }
}

/// Test files stand apart (`tests.rs`, `*_tests.rs`, a folder `tests`); they may use more.
fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    stem == "tests"
        || stem.ends_with("_tests")
        || stem.ends_with("_test")
        || path.components().any(|c| c.as_os_str() == "tests")
}

fn room_files(room: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut out);
    assert!(!out.is_empty(), "room {room} has no files");
    out.sort();
    out
}

/// A word stands in a line, not as part of a longer word.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        edge(line[..at].chars().next_back()) && edge(line[at + word.len()..].chars().next())
    })
}

/// The impure things that a line of code names, in a path or in braces after `std::`.
fn impurities(line: &str) -> Vec<&'static str> {
    let braced = |word: &str| {
        let inner = line.split("std::{").nth(1);
        word.strip_prefix("std::").is_some_and(|module| inner.is_some_and(|list| names(list, module)))
    };
    IMPURE.into_iter().filter(|w| names(line, w) || braced(w)).collect()
}

fn uses_room(line: &str, room: &str) -> bool {
    names(line, &format!("crate::{room}"))
        || (line.contains("crate::{") && line.split("crate::{").nth(1).is_some_and(|list| names(list, room)))
}

#[test]
fn arrows_point_down_only() {
    let mut broken = Vec::new();
    for (level, room) in ROOMS.iter().enumerate() {
        for file in room_files(room) {
            for (n, line) in code(&file) {
                for above in ROOMS[level + 1..].iter().chain([&TOP]) {
                    if uses_room(&line, above) {
                        broken
                            .push(format!("{}:{n}: {room} uses {above}, which is above it", file.display()));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_rooms_do_no_io_and_read_no_clock() {
    let mut broken = Vec::new();
    for room in PURE {
        for file in room_files(room) {
            for (n, line) in code(&file) {
                for word in impurities(&line) {
                    broken.push(format!("{}:{n}: pure room {room} names {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn planted_impurities_are_found() {
    for (line, word) in [
        ("use std::{fs, io};", "std::fs"),
        ("use std::{collections::BTreeMap, thread};", "std::thread"),
        ("let s = std::net::UdpSocket::bind(a)?;", "UdpSocket"),
        ("use std::net::{IpAddr, TcpStream};", "TcpStream"),
        ("let now = std::time::Instant::now();", "Instant"),
        ("tokio::spawn(async {});", "tokio"),
    ] {
        assert!(impurities(line).contains(&word), "{line}: {:?}", impurities(line));
    }
    for line in ["use std::net::SocketAddr;", "let instantly = Profile::of(offsets);", "use std::{fmt, mem};"]
    {
        assert!(impurities(line).is_empty(), "{line}: {:?}", impurities(line));
    }
}

#[test]
fn only_one_room_names_each_engine() {
    for (engine, allowed) in [("sled", &["store"][..]), ("fuser", &["mount"][..])] {
        for room in ROOMS.iter().chain([&TOP]).filter(|r| !allowed.contains(r)) {
            for file in room_files(room) {
                for (n, line) in code(&file) {
                    let named = line.contains(&format!("{engine}::")) && names(&line, engine);
                    assert!(!named, "{}:{n}: {room} names {engine}", file.display());
                }
            }
        }
    }
}

#[test]
fn the_guard_sees_what_it_should() {
    assert!(uses_room("use crate::mount::Session;", "mount"));
    assert!(uses_room("use crate::{keys::NodeId, mount};", "mount"));
    assert!(!uses_room("use crate::mounting::X;", "mount"));
    assert!(names("let t = std::time::Instant::now();", "Instant"));
    assert!(!names("struct InstantNoodles;", "Instant"));
}
