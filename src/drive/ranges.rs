//! Sets of byte ranges inside one chunk.

/// Sorted, disjoint, non-adjacent half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// From ranges in any order (as read from a journal).
    pub fn from_pairs(pairs: &[(u32, u32)]) -> Ranges {
        let mut r = Ranges::default();
        for &(a, b) in pairs {
            r.insert(a, b);
        }
        r
    }
    /// The ranges, in order.
    pub fn pairs(&self) -> &[(u32, u32)] {
        &self.0
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// End of the last range.
    pub fn end(&self) -> u32 {
        self.0.last().map_or(0, |r| r.1)
    }
    /// Bytes in all ranges.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|r| u64::from(r.1 - r.0)).sum()
    }
    /// Add a range; neighbours melt together.
    pub fn insert(&mut self, from: u32, to: u32) {
        if from >= to {
            return;
        }
        if let Some(last) = self.0.last_mut()
            && last.1 == from
        {
            last.1 = to; // appending, the usual case
            return;
        }
        let lo = self.0.partition_point(|r| r.1 < from);
        let hi = self.0.partition_point(|r| r.0 <= to);
        let merged = if lo < hi { (from.min(self.0[lo].0), to.max(self.0[hi - 1].1)) } else { (from, to) };
        self.0.splice(lo..hi, [merged]);
    }
    /// Add all of another set.
    pub fn union(&mut self, other: &Ranges) {
        for &(a, b) in &other.0 {
            self.insert(a, b);
        }
    }
    /// Take a range away.
    pub fn remove(&mut self, from: u32, to: u32) {
        if from >= to {
            return;
        }
        let mut out = Vec::with_capacity(self.0.len() + 1);
        for &(a, b) in &self.0 {
            if a < from.min(b) {
                out.push((a, b.min(from)));
            }
            if b > to.max(a) {
                out.push((a.max(to), b));
            }
        }
        self.0 = out;
    }
    /// Forget everything at and beyond `at`.
    pub fn truncate(&mut self, at: u32) {
        self.remove(at, u32::MAX);
    }
    /// Whether all of a range is in the set.
    pub fn covers(&self, from: u32, to: u32) -> bool {
        from >= to || self.0.iter().any(|r| r.0 <= from && to <= r.1)
    }
    /// The parts of a range that are in the set (true) and that are not (false), in order.
    pub fn split(&self, from: u32, to: u32) -> Vec<(u32, u32, bool)> {
        let mut out = Vec::new();
        let mut at = from;
        for &(a, b) in &self.0 {
            let (a, b) = (a.max(from), b.min(to));
            if a >= b {
                continue;
            }
            if at < a {
                out.push((at, a, false));
            }
            out.push((a, b, true));
            at = b;
        }
        if at < to {
            out.push((at, to, false));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_of_bits_is_the_oracle(ops in prop::collection::vec((0u32..64, 0u32..64, 0u8..3), 0..40)) {
            let mut set = Ranges::default();
            let mut bits = [false; 64];
            for (a, b, what) in ops {
                let (a, b) = (a.min(b), a.max(b));
                match what {
                    0 => { set.insert(a, b); bits[a as usize..b as usize].fill(true) }
                    1 => { set.remove(a, b); bits[a as usize..b as usize].fill(false) }
                    _ => { set.truncate(b); bits[b as usize..].fill(false) }
                }
                prop_assert!(set.pairs().windows(2).all(|w| w[0].1 < w[1].0), "{:?}", set);
                prop_assert!(set.pairs().iter().all(|r| r.0 < r.1));
                for i in 0..64u32 {
                    prop_assert_eq!(set.covers(i, i + 1), bits[i as usize]);
                }
                let mut at = a;
                for (x, y, inside) in set.split(a, b) {
                    prop_assert_eq!(x, at);
                    prop_assert!((x..y).all(|i| bits[i as usize] == inside));
                    at = y;
                }
                prop_assert!(at == b.max(a));
            }
        }
    }
}
