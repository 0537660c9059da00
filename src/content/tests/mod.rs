//! Whole ways: chunks, packs and shares, hale and damaged.

use super::testing::{Dice, keys, noise, stream, text};
use super::*;
use crate::keys::{DriveId, DriveKeys, Epoch, Hash, LevelKey, NodeId, PersonId, Position, Power, Seal};
use std::collections::BTreeMap;

mod chunks;
mod golden;
mod repair;
mod shares;

const DRIVE: DriveId = DriveId([7; 32]);

fn encoder(k: u8, len: usize, seed: u64) -> PackEncoder {
    PackEncoder::new(&DRIVE, Epoch::FIRST, k, noise(len, seed)).unwrap()
}

/// A length for a pack of k: tiny, ragged, or of whole rows.
fn pack_len(dice: &mut Dice, k: u8) -> usize {
    match dice.below(4) {
        0 => 1 + dice.below(100) as usize,
        1 => 1 + dice.below(UNIT_LEN as u64 * 2) as usize,
        2 => k as usize * UNIT_LEN * (1 + dice.below(2) as usize),
        _ => 1 + dice.below(900_000) as usize,
    }
}
