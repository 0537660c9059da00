//! Tests of the room. `KITH_SEED` replays one case, `KITH_CASES` says how many to run.

mod acl;
mod conflicts;
mod converge;
mod entries;
mod folding;
mod model;
mod names;
mod past;
mod queues;
mod support;
mod waiting;
