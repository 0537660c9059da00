//! Buffers for the bytes of a WRITE, used again and again.
//!
//! fuser reads each request into one buffer of its own, so the bytes must be copied once to
//! outlive the handler. Fresh memory for each copy costs more in page faults than the whole
//! FUSE round trip; a buffer that was used before costs only the copy.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// The largest WRITE, and so the largest buffer.
pub(super) const LARGEST: usize = 1 << 20;
/// Below this a copy on the heap is as cheap.
const SMALLEST: usize = 32 << 10;
/// Sizes are SMALLEST, twice that, ... LARGEST.
const CLASSES: usize = (LARGEST / SMALLEST).ilog2() as usize + 1;
/// Free memory kept in each class, in bytes.
const KEPT: usize = 16 << 20;

/// Free buffers by size class.
#[derive(Default)]
pub(super) struct Pool {
    free: [Mutex<Vec<Vec<u8>>>; CLASSES],
}

/// A buffer on loan; goes back when the last [`Bytes`] on it is dropped.
struct Loan {
    buffer: Vec<u8>,
    class: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut free = self.pool.free[self.class].lock();
        if free.len() < KEPT / size_of_class(self.class) {
            free.push(std::mem::take(&mut self.buffer));
        }
    }
}

fn size_of_class(class: usize) -> usize {
    SMALLEST << class
}

/// The smallest class that holds `len` bytes, of those above the heap's and up to LARGEST.
fn class_of(len: usize) -> usize {
    len.div_ceil(SMALLEST).next_power_of_two().ilog2() as usize
}

impl Pool {
    /// A copy of `data` that can be kept and sliced.
    pub(super) fn copy(self: &Arc<Self>, data: &[u8]) -> Bytes {
        if data.len() < SMALLEST || data.len() > LARGEST {
            return Bytes::copy_from_slice(data);
        }
        let class = class_of(data.len());
        let kept = self.free[class].lock().pop();
        let mut buffer = kept.unwrap_or_else(|| Vec::with_capacity(size_of_class(class)));
        buffer.clear();
        buffer.extend_from_slice(data);
        Bytes::from_owner(Loan { buffer, class, pool: self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_fits_its_class_without_growing() {
        for len in [SMALLEST, SMALLEST + 1, 128 << 10, (128 << 10) + 1, LARGEST - 1, LARGEST] {
            let class = class_of(len);
            assert!(class < CLASSES, "{len}");
            assert!(size_of_class(class) >= len, "{len}");
            assert!(class == 0 || size_of_class(class - 1) < len, "{len}");
        }
    }

    #[test]
    fn a_buffer_comes_back_when_the_last_slice_is_gone_and_is_used_again() {
        let pool = Arc::new(Pool::default());
        let first = pool.copy(&vec![1; 100_000]);
        let at = first.as_ptr();
        let part = first.slice(10..20);
        drop(first);
        assert_eq!(pool.free[class_of(100_000)].lock().len(), 0);
        drop(part);
        assert_eq!(pool.free[class_of(100_000)].lock().len(), 1);
        let second = pool.copy(&vec![2; 90_000]);
        assert_eq!(second.as_ptr(), at);
        assert_eq!(&second[..], &vec![2; 90_000][..]);
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_share() {
        let pool = Arc::new(Pool::default());
        let many: Vec<Bytes> = (0..40).map(|_| pool.copy(&vec![0; LARGEST])).collect();
        drop(many);
        assert_eq!(pool.free[CLASSES - 1].lock().len(), KEPT / LARGEST);
    }
}
