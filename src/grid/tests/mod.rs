//! A grid in memory: real holders, a network that can be switched off, hung and corrupted.

mod double;
mod faults;
mod leases;
mod logs;
mod loopback;
mod packs;
mod roster;
mod village;
