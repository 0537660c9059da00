//! Names of moments: what people type for a time, and what is shown for one.

use crate::tree::TimeNs;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY_SECONDS: i64 = 86_400;

/// A time as it is typed: `2026-11-26` (its beginning), `2026-11-26T14.05`, `2026-11-26 14:05:09`, with `Z`
/// or `+01:00` behind it in that zone, else in this machine's (`utc_offset_min`); or `@` and seconds
/// since 1970. None: it is none of these.
pub fn parse(text: &[u8], utc_offset_min: i16) -> Option<TimeNs> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(unix) = text.strip_prefix('@') {
        let (seconds, fraction) = unix.split_once('.').unwrap_or((unix, ""));
        return seconds.parse::<i64>().ok()?.checked_mul(SECOND)?.checked_add(nanoseconds(fraction)?);
    }
    let mut rest = Rest(text);
    let (year, month, day) = (rest.number(4)?, rest.after('-')?.number(2)?, rest.after('-')?.number(2)?);
    let days = days(year, month, day)?;
    let (mut seconds, mut zone) = (0, i64::from(utc_offset_min));
    if rest.skip(&['T', ' ', '_']) {
        let hour = rest.number(2)?;
        rest.skip(&[':', '.']);
        let minute = rest.number(2)?;
        let second = if rest.skip(&[':', '.']) { rest.number(2)? } else { 0 };
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        seconds = hour * 3600 + minute * 60 + second;
        zone = rest.zone(zone)?;
    }
    let seconds = days * DAY_SECONDS + seconds - zone * 60;
    rest.0.is_empty().then(|| seconds.checked_mul(SECOND))?
}

/// `2026-11-26T14.05`, as [`parse`] reads it on this machine.
pub fn name(time: TimeNs, utc_offset_min: i16) -> String {
    let minutes = time.div_euclid(MINUTE) + i64::from(utc_offset_min);
    let (days, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let (year, month, day) = crate::tree::civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}.{:02}", minute / 60, minute % 60)
}

/// `2026-11-26T14:05:09`, the first full second that is not before a time.
pub fn second_name(time: TimeNs, utc_offset_min: i16) -> String {
    let seconds = time.saturating_add(SECOND - 1).div_euclid(SECOND) + i64::from(utc_offset_min) * 60;
    let (days, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let (year, month, day) = crate::tree::civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}", second % 60)
}

/// Beginnings of the latest `most` days (in local time) after `first`, and of the last 24 hours.
pub fn landmarks(first: TimeNs, now: TimeNs, utc_offset_min: i16, most: i64) -> Vec<TimeNs> {
    let offset = i64::from(utc_offset_min) * MINUTE;
    let back = |unit: i64, count: i64| {
        let latest = (now + offset).div_euclid(unit);
        (0..count).map(move |n| (latest - n) * unit - offset).take_while(move |time| *time > first)
    };
    let mut all: Vec<TimeNs> = back(DAY_SECONDS * SECOND, most).chain(back(60 * MINUTE, 24)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

struct Rest<'t>(&'t str);

impl Rest<'_> {
    /// Exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        if head.bytes().all(|b| b.is_ascii_digit()) { head.parse().ok() } else { None }
    }
    fn after(&mut self, mark: char) -> Option<&mut Self> {
        self.skip(&[mark]).then_some(self)
    }
    fn skip(&mut self, marks: &[char]) -> bool {
        match self.0.strip_prefix(marks) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }
    /// Minutes ahead of UTC; `local` if nothing is said.
    fn zone(&mut self, local: i64) -> Option<i64> {
        if self.skip(&['Z']) {
            return Some(0);
        }
        let sign = match self.0.chars().next() {
            Some('+') => 1,
            Some('-') => -1,
            _ => return Some(local),
        };
        self.skip(&['+', '-']);
        let hours = self.number(2)?;
        self.skip(&[':']);
        Some(sign * (hours * 60 + self.number(2)?))
    }
}

fn nanoseconds(fraction: &str) -> Option<i64> {
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<9}").parse().ok()
}

/// Days since 1970 of a date; None: there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) {
        return None;
    }
    // Howard Hinnant's `days_from_civil`.
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let found = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    (crate::tree::civil(found) == (year, month, day)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-26 14:05:00 UTC.
    const THEN: TimeNs = 1_795_701_900 * SECOND;

    #[test]
    fn what_people_type_is_understood() {
        for text in [
            "2026-11-26T14.05Z",
            "2026-11-26 14:05:00Z",
            "2026-11-26T1405Z",
            "2026-11-26T15:05+01:00",
            "2026-11-26T08:35-0530",
            "@1795701900",
        ] {
            assert_eq!(parse(text.as_bytes(), 120), Some(THEN), "{text}");
        }
        assert_eq!(parse(b"2026-11-26T16.05", 120), Some(THEN));
        assert_eq!(parse(b"@1795701900.25", 0), Some(THEN + SECOND / 4));
        assert_eq!(parse(b"2026-11-26", 60), parse(b"2026-11-26T00.00", 60));
        assert_eq!(parse(name(THEN, -90).as_bytes(), -90), Some(THEN));
        assert_eq!(second_name(THEN, 60), "2026-11-26T15:05:00");
        assert_eq!(parse(second_name(THEN + 1, 60).as_bytes(), 60), Some(THEN + SECOND));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "@",
            "@x",
            "@1.1234567890",
            "2026",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-11-26T",
            "2026-11-26T24.00",
            "2026-11-26T14.05X",
            "2026-11-26T14.05+1",
            "2026-11-26x",
            "+026-11-26",
            "@9223372036854775807",
            "\u{e9}026-1-1",
        ] {
            assert_eq!(parse(text.as_bytes(), 0), None, "{text}");
        }
        assert_eq!(parse(b"\xff026-11-26", 0), None);
    }

    #[test]
    fn landmarks_are_days_and_the_last_hours() {
        let day = DAY_SECONDS * SECOND;
        let all = landmarks(THEN - 3 * day, THEN, 60, 366);
        assert_eq!(all.len(), 3 + 24 - 1);
        assert!(all.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(name(all[0], 60), "2026-11-24T00.00");
        assert_eq!(name(*all.last().unwrap(), 60), "2026-11-26T15.00");
        assert!(landmarks(THEN, THEN, 60, 366).is_empty());
    }
}
