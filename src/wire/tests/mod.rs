//! Samples of every message, and what is done to them.

mod frames;
mod join;
mod samples;
mod tickets;
