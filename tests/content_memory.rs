//! Encoding a pack takes at most three times its size in memory, the pack included.

use kithfs::content::{HolderStream, PACK_LEN, PackEncoder};
use kithfs::keys::{DriveId, DriveKeys, Epoch, LevelKey, NodeId, Power};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All n shares are made in batches of k, as an uploader does, whatever n is.
#[test]
fn encoding_a_pack_needs_at_most_three_times_its_size() {
    let drive = DriveId([7; 32]);
    let keys = DriveKeys::new(drive, Epoch::FIRST, LevelKey::new(Power::Read, [9; 32]));
    for (k, n) in [(2u16, 5u16), (3, 7), (3, 10), (1, 3)] {
        let before = NOW.load(Relaxed);
        PEAK.store(before, Relaxed);
        let mut pack = vec![0; PACK_LEN];
        blake3::Hasher::new().finalize_xof().fill(&mut pack);
        let encoder = PackEncoder::new(&drive, Epoch::FIRST, k as u8, pack).expect("a full pack");
        let (mut ids, numbers) = (Vec::new(), (0..n).collect::<Vec<_>>());
        for batch in numbers.chunks(k as usize) {
            let streams: Vec<_> = batch
                .iter()
                .map(|&number| {
                    let holder = NodeId([number as u8; 32]);
                    HolderStream::derive(&keys, Epoch::FIRST, &encoder.id(), number, &holder)
                        .expect("read power")
                })
                .collect();
            let wanted: Vec<_> = batch.iter().copied().zip(&streams).collect();
            ids.extend(encoder.shares(&wanted).expect("numbers below 256").iter().map(|share| share.id));
        }
        assert_eq!(ids.len(), n as usize);
        drop(encoder);
        let peak = PEAK.load(Relaxed) - before;
        println!("{k} of {n}: peak {peak} bytes, {:.2} packs", peak as f64 / PACK_LEN as f64);
        assert!(peak > PACK_LEN, "the count counts");
        assert!(peak <= 3 * PACK_LEN, "{k} of {n}: {peak}");
    }
}
