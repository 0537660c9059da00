//! File bytes -> chunks -> sealed pages -> packs -> shares, and back.
//!
//! Pure: no I/O, no clock, no randomness (every nonce is derived from what it seals).
#![forbid(unsafe_code)]

mod types;

pub use types::*;
