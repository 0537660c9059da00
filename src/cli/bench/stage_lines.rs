//! The stages of the pipeline alone, and the pipeline against their sum.

use super::{Ground, Row};
use crate::daemon::api::Outcome;

pub fn run(_ground: &Ground, _row: &mut dyn FnMut(Row)) -> Outcome<()> {
    todo!()
}

/// Sealing on all cores: MB/s.
pub fn seal_all_cores() -> f64 {
    todo!()
}
