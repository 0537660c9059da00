//! Nodes and what happens to them.

use super::{SimClock, SimNet, SimRng};
use crate::world::{Places, World};
use std::future::Future;
use std::sync::Arc;

/// N machines on one network, from one seed.
pub struct Village {
    pub seed: u64,
    pub net: Arc<SimNet>,
    /// For the scenario itself: what happens when.
    pub rng: Arc<SimRng>,
}

impl Village {
    /// Must be made inside [`run`].
    pub fn new(_seed: u64, _n: usize) -> Village {
        todo!()
    }
    /// Machine `i`'s world.
    pub fn world(&self, _i: usize) -> World {
        todo!()
    }
    /// Where machine `i` keeps its node's things.
    pub fn places(&self, _i: usize) -> Places {
        todo!()
    }
    /// Machine `i`'s clock.
    pub fn clock(&self, _i: usize) -> Arc<SimClock> {
        todo!()
    }
}

/// Runs a scenario on a current-thread runtime whose clock is virtual.
pub fn run<T>(_scenario: impl Future<Output = T>) -> T {
    todo!()
}
