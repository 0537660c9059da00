//! The village in a process of its own, where even the standard library's hash seeds come
//! from the seed: whole scenarios, run twice, leave the same trace.
#![allow(unsafe_code)]

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Stands in for the C library's function: `HashMap`'s seeds come from here. Each thread
/// (each test) has its own sequence, begun anew by [`begin`].
///
/// # Safety
/// As getrandom(2): `buf` must be valid for writes of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buf: *mut u8, len: usize, _flags: u32) -> isize {
    for i in 0..len {
        let next =
            STATE.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        STATE.set(next);
        // SAFETY: the caller vouches for `len` bytes from `buf`, and i < len.
        unsafe { buf.add(i).write((next >> 56) as u8) };
    }
    len as isize
}

/// Runs a scenario in a thread of its own, whose hash seeds begin with the seed.
fn begin<T: Send>(seed: u64, scenario: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            STATE.set(seed);
            scenario()
        });
        thread.join().unwrap_or_else(|panic| {
            eprintln!("replay: seed={seed}");
            std::panic::resume_unwind(panic)
        })
    })
}

#[test]
fn hash_seeds_come_from_the_seed() {
    use std::hash::{BuildHasher, RandomState};
    let hash = |seed| begin(seed, || RandomState::new().hash_one(1));
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[path = "village/close.rs"]
mod close;
#[path = "village/family.rs"]
mod family;
#[path = "village/ledger.rs"]
mod ledger;
#[path = "village/net.rs"]
mod net;
#[path = "village/recovery.rs"]
mod recovery;
#[path = "village/reopen.rs"]
mod reopen;
#[path = "village/tickets.rs"]
mod tickets;
