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

/// A day for people, as 2026-11-24 (the proleptic Gregorian calendar).
pub fn date_of(day: Day) -> String {
    // Counted from 1 March of year 0, so that a leap day is the last of its year.
    let z = u64::from(day) + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let y = yoe + era * 400 + u64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}")
}

#[cfg(test)]
mod tests;
