//! A holder in memory: what it takes, gives, refuses, and what a power cut leaves.

mod bounds;
mod crash;
mod ended;
pub(crate) mod logs;
mod lost_log;
mod recovery;
mod shares;
mod stored;
mod unread;

pub(crate) mod common;
