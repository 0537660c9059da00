//! kith: a filesystem that a group of friends holds up together.
//!
//! The house, bottom to top; a room may use the rooms below it, never above
//! (`tests/house.rs` fails when one does):
//!
//! * pure rooms, no I/O, no clock, no randomness of their own: [`keys`], [`wire`],
//!   [`content`], [`ledger`], [`tree`];
//! * [`world`]: the narrow traits Clock, Rng, Net, Disk, Index and their real forms;
//! * [`store`]: this machine's disk; [`net`]: QUIC with pinned identities;
//! * [`holder`]: serving friends; [`grid`]: using friends;
//! * [`drive`]: a live tree over the rooms below; [`mount`]: FUSE over it;
//! * [`daemon`]: composition root and control socket; [`sim`]: the village;
//!   [`cli`]: one file per verb.
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod content;
pub mod keys;
pub mod ledger;
pub mod tree;
pub mod wire;

pub mod cli;
pub mod daemon;
pub mod drive;
pub mod grid;
pub mod holder;
#[cfg(feature = "mount")]
pub mod mount;
pub mod net;
#[cfg(test)]
mod promises;
pub mod sim;
pub mod store;
pub mod world;
