//! Reed-Solomon over GF(2^8), the code of the `reed-solomon-erasure` crate (polynomial 0x11d;
//! tested equal): share `x` of k is the value at `x` of the polynomial of degree below k that
//! goes through the data (0, d0) ... (k-1, dk-1). So share `x` depends on k and `x` alone, any
//! number below [`SHARES_MAX`] can be minted later, and any k shares give any other.
//!
//! The multipliers are worked out here (Lagrange); the crate multiplies the bytes.

use reed_solomon_erasure::galois_8;

/// Share numbers are below this.
pub const SHARES_MAX: u16 = 256;

/// Bytes worked on at a time, so that k inputs and an output stay in the cache.
const COLUMN: usize = 64 << 10;

/// A coding request that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    #[error("k = 0 makes no code")]
    NoK,
    #[error("{k} shares are needed, {have} are there")]
    TooFew { k: u8, have: usize },
    #[error("share {0} is given twice")]
    Twice(u16),
    #[error("there is no share {0}: numbers end at 255")]
    Number(u16),
    #[error("share {number} is {got} bytes, not {want}")]
    Length { number: u16, got: usize, want: usize },
}

/// The fast multiplication is compiled in and this processor cannot do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this processor has no AVX2: erasure coding takes the portable path, about ten times slower")]
pub struct NoAvx2;

/// Whether the fast multiplication is usable. The error is for the log, not a reason to stop:
/// without it the portable one is taken. Always Ok in builds without `simd`, and on other
/// processors than x86-64.
pub fn check_cpu() -> Result<(), NoAvx2> {
    if fast() { Ok(()) } else { Err(NoAvx2) }
}

/// The crate's C is compiled for Haswell with no check of its own: everything that the
/// compiler may have used must be there.
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
fn fast() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("bmi1") && has!("bmi2") && has!("fma") && has!("lzcnt") && has!("movbe")
}

#[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
fn fast() -> bool {
    true
}

/// The multipliers that turn k shares into another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coefficients(Vec<u8>);

impl Coefficients {
    /// Share `target` out of the shares numbered `sources` (k of them, in the order in which
    /// their bytes will come).
    pub fn new(sources: &[u16], target: u16) -> Result<Self, CodingError> {
        if sources.is_empty() {
            return Err(CodingError::NoK);
        }
        for (i, &number) in sources.iter().chain([&target]).enumerate() {
            if number >= SHARES_MAX {
                return Err(CodingError::Number(number));
            }
            if i < sources.len() && sources[..i].contains(&number) {
                return Err(CodingError::Twice(number));
            }
        }
        // Subtraction is XOR. No divisor is zero: the sources differ.
        let of = |source: u16| {
            sources.iter().filter(|&&other| other != source).fold(1, |product, &other| {
                let factor = galois_8::div((target ^ other) as u8, (source ^ other) as u8);
                galois_8::mul(product, factor)
            })
        };
        Ok(Self(sources.iter().map(|&source| of(source)).collect()))
    }

    /// Share `number` out of the k data shares.
    pub fn of_data(k: u8, number: u16) -> Result<Self, CodingError> {
        Self::new(&(0..k as u16).collect::<Vec<_>>(), number)
    }

    /// `out` = sum of multiplier times source. A source shorter than `out` is taken to go on
    /// with zeros; sources beyond the multipliers are not looked at.
    pub fn apply(&self, sources: &[&[u8]], out: &mut [u8]) {
        self.apply_with(fast(), sources, out);
    }

    fn apply_with(&self, fast: bool, sources: &[&[u8]], out: &mut [u8]) {
        for (index, column) in out.chunks_mut(COLUMN).enumerate() {
            let start = index * COLUMN;
            let mut filled = false;
            for (&factor, source) in self.0.iter().zip(sources) {
                let end = source.len().min(start + column.len());
                let input = &source[start.min(end)..end];
                if factor == 0 || input.is_empty() {
                    continue;
                }
                let (head, tail) = column.split_at_mut(input.len());
                if !filled {
                    tail.fill(0);
                }
                multiply(fast, factor, input, head, filled);
                filled = true;
            }
            if !filled {
                column.fill(0);
            }
        }
    }
}

/// `out` = factor * input, or with `add` the sum of that and `out`. Same length, not empty.
fn multiply(fast: bool, factor: u8, input: &[u8], out: &mut [u8], add: bool) {
    match (fast, factor, add) {
        (_, 1, false) => out.copy_from_slice(input),
        (true, _, false) => galois_8::mul_slice(factor, input, out),
        (true, _, true) => galois_8::mul_slice_xor(factor, input, out),
        (false, ..) => {
            let table: [u8; 256] = std::array::from_fn(|value| galois_8::mul(factor, value as u8));
            for (out, &value) in out.iter_mut().zip(input) {
                *out = table[value as usize] ^ if add { *out } else { 0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Dice, noise};
    use super::*;
    use reed_solomon_erasure::galois_8::ReedSolomon;

    fn data(k: u8, len: usize, seed: u64) -> Vec<Vec<u8>> {
        (0..k).map(|i| noise(len, seed * 1000 + i as u64)).collect()
    }

    fn slices(shares: &[Vec<u8>]) -> Vec<&[u8]> {
        shares.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn equal_to_the_crates_own_encoding_whatever_n() {
        for (k, n) in [(1, 3), (2, 5), (3, 7), (3, 10), (6, 14), (10, 30), (100, 255)] {
            let shares = data(k, 1003, k as u64);
            let mut parity = vec![vec![0; 1003]; n - k as usize];
            ReedSolomon::new(k as usize, n - k as usize).unwrap().encode_sep(&shares, &mut parity).unwrap();
            for (i, expected) in parity.iter().enumerate() {
                let code = Coefficients::of_data(k, k as u16 + i as u16).unwrap();
                for fast in [fast(), false] {
                    let mut out = vec![0xaa; 1003];
                    code.apply_with(fast, &slices(&shares), &mut out);
                    assert_eq!(&out, expected, "{k}/{n} row {i} fast {fast}");
                }
            }
        }
    }

    #[test]
    fn any_k_give_any_other() {
        let mut dice = Dice::new(3);
        for case in 0..200 {
            let k = 1 + dice.below(12) as u8;
            let shares = data(k, 200, case);
            let numbers = dice.pick(k as usize + 1, 256);
            let make = |number| {
                let mut out = vec![0; 200];
                Coefficients::of_data(k, number).unwrap().apply(&slices(&shares), &mut out);
                out
            };
            let sources: Vec<Vec<u8>> = numbers[..k as usize].iter().map(|&n| make(n)).collect();
            let mut out = vec![0; 200];
            Coefficients::new(&numbers[..k as usize], numbers[k as usize])
                .unwrap()
                .apply(&slices(&sources), &mut out);
            assert_eq!(out, make(numbers[k as usize]), "case {case}: {numbers:?}");
        }
    }

    #[test]
    fn short_sources_go_on_with_zeros_over_many_columns() {
        let code = Coefficients::of_data(3, 7).unwrap();
        for lens in [[200_000, 200_000, 70_000], [1, 150_000, 0], [0, 0, 0], [0, 65_536, 200_000]] {
            let short: Vec<Vec<u8>> = lens.iter().map(|&len| noise(len, len as u64)).collect();
            let full: Vec<Vec<u8>> = short
                .iter()
                .map(|s| s.iter().copied().chain(std::iter::repeat(0)).take(200_000).collect())
                .collect();
            let (mut a, mut b) = (vec![1; 200_000], vec![2; 200_000]);
            code.apply(&slices(&short), &mut a);
            code.apply(&slices(&full), &mut b);
            assert_eq!(a, b, "{lens:?}");
        }
    }

    #[test]
    fn refused() {
        assert_eq!(Coefficients::new(&[], 1), Err(CodingError::NoK));
        assert_eq!(Coefficients::new(&[1, 1], 2), Err(CodingError::Twice(1)));
        assert_eq!(Coefficients::new(&[1, 256], 2), Err(CodingError::Number(256)));
        assert_eq!(Coefficients::new(&[1, 2], 256), Err(CodingError::Number(256)));
        assert_eq!(Coefficients::new(&[4, 2], 2).unwrap(), Coefficients(vec![0, 1]));
    }
}
