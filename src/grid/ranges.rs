//! Sets of byte ranges.

use std::ops::Range;

/// Ascending, apart.
pub(super) type Ranges = Vec<Range<u64>>;

/// Sorted, and those that touch made one.
pub(super) fn join(mut ranges: Ranges) -> Ranges {
    ranges.sort_by_key(|r| r.start);
    let mut out: Ranges = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// What of `ranges` lies outside `without` (both joined).
pub(super) fn subtract(ranges: &[Range<u64>], without: &[Range<u64>]) -> Ranges {
    let mut out = Vec::new();
    for range in ranges {
        let mut start = range.start;
        for gap in without.iter().filter(|w| w.end > range.start && w.start < range.end) {
            if gap.start > start {
                out.push(start..gap.start);
            }
            start = start.max(gap.end);
        }
        if start < range.end {
            out.push(start..range.end);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_taken_apart() {
        assert_eq!(join(vec![5..9, 0..2, 2..3, 8..10]), [0..3, 5..10]);
        let one = |start, end| vec![Range { start, end }];
        assert_eq!(subtract(&one(0, 10), &[]), one(0, 10));
        assert_eq!(subtract(&one(0, 10), &[0..2, 4..5, 9..20]), [2..4, 5..9]);
        assert_eq!(subtract(&one(3, 4), &one(0, 9)), []);
    }
}
