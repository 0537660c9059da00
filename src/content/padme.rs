//! Padme: lengths that tell little.

/// The padded length for `len`: at most 12 % more, O(log log len) bits of information.
pub fn padme(len: u64) -> u64 {
    let _ = len;
    todo!()
}
