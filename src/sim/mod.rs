//! The village: whole nodes in one thread, in virtual time, from one seed.
//!
//! A scenario runs in [`village!`](crate::village), on tokio's paused time. [`family`] is the
//! scenario that everything is proved in: whole nodes, one drive, faults, an oracle.
//!
//! ```ignore
//! kithfs::village!(async {
//!     let village = Village::new(seed, 3);
//!     let homes = Homes::new(village, |machine| async move { MyNode::start(machine).await });
//!     homes.start_all().await;
//!     homes.crash(0, Crash::Seeded(1));
//!     homes.start(0).await;
//!     homes.village.net.trace()
//! })
//! ```
//!
//! One seed gives one world: the same packets (time, ends, length) and the same state. Keys
//! that TLS makes for itself differ from run to run, so packets' bytes do too; no length and
//! no time depends on them.
#![forbid(unsafe_code)]

mod clock;
pub mod family;
mod link;
mod net;
mod rng;
mod socket;
mod village;

pub use clock::{EPOCH_NS, SimClock};
pub use link::{Link, Stats, Trace};
pub use net::SimNet;
pub use rng::SimRng;
pub use village::{Homes, Machine, Village};

/// Runs a scenario on a current-thread runtime whose clock is virtual.
#[macro_export]
macro_rules! village {
    ($scenario:expr) => {
        ::tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing of the system")
            .block_on($scenario)
    };
}
