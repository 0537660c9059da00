//! Padme (Nikitin et al., PURBs, 2019): lengths that tell little.

/// The padded length for `len`: at most 12 % more, telling O(log log len) bits of it. Lengths
/// of 0 and 1 stay.
pub const fn padme(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1u64 << exponent.saturating_sub(kept)) - 1;
    // Near 2^64 there is nothing to round up to.
    match len.checked_add(mask) {
        Some(sum) => sum & !mask,
        None => len,
    }
}

#[cfg(test)]
mod tests {
    use super::padme;

    #[test]
    fn never_less_at_most_twelve_per_cent_more_and_settled() {
        for len in (0..70_000).chain((0..63).flat_map(|b| [(1u64 << b) - 1, 1 << b, (1 << b) + 1])) {
            let padded = padme(len);
            assert!(padded >= len, "{len}");
            assert!((padded - len) as u128 * 100 <= len as u128 * 12, "{len} -> {padded}");
            assert_eq!(padme(padded), padded, "{len}");
        }
        assert_eq!(padme(9), 10);
        assert_eq!(padme(1_000_000), 1_015_808);
        assert_eq!(padme(u64::MAX), u64::MAX);
    }

    #[test]
    fn few_lengths_between_a_megabyte_and_two() {
        let lengths: std::collections::BTreeSet<u64> = (1 << 20..2 << 20).step_by(97).map(padme).collect();
        assert!(lengths.len() <= 33, "{}", lengths.len());
    }
}
