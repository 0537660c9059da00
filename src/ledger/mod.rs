//! Grants, leases, admission, statements, placement caps: facts and policy.
//!
//! Pure: time comes in as days or milliseconds, signatures are checked by a function the
//! caller gives. The protocol carries facts; what they allow is decided here, by one
//! function for every regime.
#![forbid(unsafe_code)]

mod book;
mod grant;
mod policy;
mod statement;

pub use book::*;
pub use grant::*;
pub use policy::*;
pub use statement::*;

use crate::wire::Day;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// The UTC day of a time in milliseconds since 1970.
pub fn day_of(now_ms: u64) -> Day {
    Day::try_from(now_ms / DAY_MS).unwrap_or(Day::MAX)
}

#[cfg(test)]
mod tests;
