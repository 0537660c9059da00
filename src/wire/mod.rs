//! Messages, frames, limits: bytes <-> types.
//!
//! Pure. Encoding is postcard; signatures and hashes are checked over the bytes received,
//! and bytes that are not canonical (re-encoding gives others) are refused.
#![forbid(unsafe_code)]

mod check;
mod frame;
mod join;
mod limits;
mod message;
mod records;
mod ticket;

pub use frame::*;
pub use join::*;
pub use limits::*;
pub use message::*;
pub use ticket::*;

#[cfg(test)]
mod tests;
