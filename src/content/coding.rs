//! Reed-Solomon over GF(2^8), the code of the `reed-solomon-erasure` crate: share `x` of k is
//! the value at `x` of the polynomial of degree < k through the data (0, d0) ... (k-1, dk-1).
//! So every row depends on (k, x) alone, and any number below [`SHARES_MAX`] can be minted.

/// Share numbers are below this.
pub const SHARES_MAX: u16 = 256;

/// A coding request that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    #[error("{k} shares are needed, {have} are there")]
    TooFew { k: u8, have: usize },
    #[error("share {0} is given twice")]
    Twice(u16),
    #[error("there is no share {0}: numbers end at 255")]
    Number(u16),
    #[error("shares of different lengths")]
    Lengths,
    #[error("k = 0")]
    NoK,
}

/// This build's fast coder needs AVX2, which this processor has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this processor has no AVX2: erasure coding takes the portable path, about ten times slower")]
pub struct NoAvx2;

/// Whether the fast coder is usable. Never fatal: without AVX2 the portable one is used; a
/// daemon logs the error once. Always Ok in builds without `simd` and on other processors.
pub fn check_cpu() -> Result<(), NoAvx2> {
    todo!()
}

/// The multipliers that turn k shares into another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coefficients(Vec<u8>);

impl Coefficients {
    /// Share `target` out of the k shares numbered `sources` (in the order in which their bytes will come).
    pub fn new(sources: &[u16], target: u16) -> Result<Self, CodingError> {
        let _ = (sources, target);
        todo!()
    }
    /// `out` = sum of multiplier times source; all of one length.
    pub fn apply(&self, sources: &[&[u8]], out: &mut [u8]) {
        let _ = (&self.0, sources, out);
        todo!()
    }
}
