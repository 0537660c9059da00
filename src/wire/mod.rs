//! Messages, frames, limits: bytes <-> types.
//!
//! Pure. Encoding is postcard; signatures and hashes are checked over the bytes received,
//! and bytes that are not canonical (re-encoding gives others) are refused.
#![forbid(unsafe_code)]

mod limits;
mod message;

pub use limits::*;
pub use message::*;
