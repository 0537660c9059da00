//! A holder in memory: what it takes, gives, refuses, and what a power cut leaves.

mod crash;
pub(crate) mod logs;
mod shares;
mod stored;

pub(crate) mod common;
