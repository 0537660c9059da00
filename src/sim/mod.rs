//! The village: whole nodes in one thread, in virtual time, from one seed.
//!
//! ```ignore
//! let report = sim::run(seed, |village| async move { ... });
//! ```
#![forbid(unsafe_code)]

mod clock;
mod net;
mod rng;
mod village;

pub use clock::SimClock;
pub use net::{Link, SimNet, Stats, Trace};
pub use rng::SimRng;
pub use village::{Village, run};
