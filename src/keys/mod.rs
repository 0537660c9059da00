//! Identities, capabilities, key derivation; one primitive per function.
//!
//! Pure: no I/O, no clock; randomness comes in as bytes.
#![forbid(unsafe_code)]

mod ids;
mod signed;

pub use ids::*;
pub use signed::*;
