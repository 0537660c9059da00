//! Names: which are allowed, and the written rule for conflict names.

use super::TimeNs;

/// Longest name in bytes.
pub const NAME_MAX: usize = 255;
/// Longest extension that stays at the end of a conflict name, without its dot.
const EXTENSION_MAX: usize = 16;
const MARK: &[u8] = b" (conflict, ";

/// 1..=255 bytes, neither `/` nor NUL, not `.` or `..`.
pub fn is_name(name: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.iter().any(|b| matches!(b, 0 | b'/'))
        && name != b"."
        && name != b".."
}

/// Whose change takes a conflict name, and when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    pub label: &'a str,
    pub time: TimeNs,
    pub utc_offset_min: i16,
}

/// The `number`-th (from 1) conflict name for `name`: `Plan (conflict, laptop, 2026-11-23
/// 14.05).odt`, then `Plan (conflict, laptop, 2026-11-23 14.05 2).odt`.
///
/// The extension is what follows the last dot, if that is not the first byte and 1..=16
/// bytes follow it; directories have none. A conflict mark that the stem ends with is
/// replaced. The stem is cut so that the whole fits in 255 bytes, not inside a UTF-8 sequence.
pub fn conflict_name(name: &[u8], is_dir: bool, stamp: Stamp<'_>, number: u64) -> Vec<u8> {
    let (stem, extension) = if is_dir { (name, &name[name.len()..]) } else { split(name) };
    let stem = unmarked(stem);
    let mut tail = MARK.to_vec();
    tail.extend(clean_label(stamp.label));
    tail.extend_from_slice(format!(", {}", local_minute(stamp.time, stamp.utc_offset_min)).as_bytes());
    if number > 1 {
        tail.extend_from_slice(format!(" {number}").as_bytes());
    }
    tail.push(b')');
    tail.extend_from_slice(extension);
    let mut out = cut(stem, NAME_MAX.saturating_sub(tail.len())).to_vec();
    out.extend(tail);
    out
}

/// Stem, and extension with its dot.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|b| *b == b'.') {
        Some(dot) if dot > 0 && (1..=EXTENSION_MAX).contains(&(name.len() - dot - 1)) => name.split_at(dot),
        _ => (name, &name[name.len()..]),
    }
}

/// The stem without the conflict mark it ends with.
fn unmarked(stem: &[u8]) -> &[u8] {
    if stem.last() != Some(&b')') {
        return stem;
    }
    match stem.windows(MARK.len()).rposition(|w| w == MARK) {
        Some(at) if at > 0 => &stem[..at],
        _ => stem,
    }
}

/// At most `room` bytes of a stem; up to three bytes less where that splits a UTF-8 sequence.
fn cut(stem: &[u8], room: usize) -> &[u8] {
    if stem.len() <= room {
        return stem;
    }
    let inside = |at: usize| stem[at] & 0b1100_0000 == 0b1000_0000;
    let mut at = room;
    while at > 0 && room - at < 3 && inside(at) {
        at -= 1;
    }
    if inside(at) { &stem[..room] } else { &stem[..at] }
}

/// A label fit for a name: at most 64 bytes, `/` and control characters as `_`.
fn clean_label(label: &str) -> Vec<u8> {
    let clean: String = label.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
    cut(clean.as_bytes(), crate::wire::LABEL_MAX).to_vec()
}

/// `2026-11-23 14.05`, by the author's clock and offset.
fn local_minute(time: TimeNs, utc_offset_min: i16) -> String {
    let minutes = time.div_euclid(60_000_000_000) + i64::from(utc_offset_min);
    let (days, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}.{:02}", minute / 60, minute % 60)
}

/// Year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`).
pub fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}
