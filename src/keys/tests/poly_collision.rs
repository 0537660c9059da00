//! A secretbox that opens under two keys: two blocks of ciphertext chosen so that Poly1305
//! gives one tag under both one-time keys (Len, Grubbs, Ristenpart 2021). Numbers modulo
//! p = 2^130 - 5 are kept as (high, low) of 128 bits each; slow and plain.

use super::seal_internals::secretbox;

/// A number below p.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Field {
    high: u128,
    low: u128,
}

const P: Field = Field { high: 3, low: u128::MAX - 4 };
const ZERO: Field = Field { high: 0, low: 0 };
const ONE: Field = Field { high: 0, low: 1 };

impl Field {
    /// 16 bytes, little-endian, with the bit above them when `block`.
    fn of(bytes: &[u8], block: bool) -> Field {
        Field { high: block.into(), low: u128::from_le_bytes(bytes.try_into().unwrap()) }
    }
    fn less(self, other: Field) -> bool {
        (self.high, self.low) < (other.high, other.low)
    }
    fn wrapping_sub(self, other: Field) -> Field {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Field { high: self.high.wrapping_sub(other.high + u128::from(borrow)), low }
    }
    fn add(self, other: Field) -> Field {
        let (low, carry) = self.low.overflowing_add(other.low);
        let sum = Field { high: self.high + other.high + u128::from(carry), low };
        if sum.less(P) { sum } else { sum.wrapping_sub(P) }
    }
    fn sub(self, other: Field) -> Field {
        self.add(if other == ZERO { ZERO } else { P.wrapping_sub(other) })
    }
    fn bit(self, at: u32) -> bool {
        if at < 128 { self.low >> at & 1 == 1 } else { self.high >> (at - 128) & 1 == 1 }
    }
    fn mul(self, other: Field) -> Field {
        (0..130).rev().fold(ZERO, |sum, at| {
            let doubled = sum.add(sum);
            if other.bit(at) { doubled.add(self) } else { doubled }
        })
    }
    /// self^(p-2).
    fn invert(self) -> Field {
        let exponent = P.wrapping_sub(Field { high: 0, low: 2 });
        (0..130).rev().fold(ONE, |power, at| {
            let squared = power.mul(power);
            if exponent.bit(at) { squared.mul(self) } else { squared }
        })
    }
}

/// Poly1305 of two blocks, before s is added: b1 r^2 + b2 r.
fn polynomial(r: Field, blocks: &[Field]) -> Field {
    blocks.iter().fold(ZERO, |sum, &block| sum.add(block).mul(r))
}

/// The tag that the box gives to a ciphertext.
fn tag(key: &[u8; 32], nonce: &[u8; 24], ciphertext: &[u8]) -> u128 {
    let mut stream = vec![0; ciphertext.len()];
    secretbox(key, nonce, &mut stream);
    let mut text: Vec<u8> = stream.iter().zip(ciphertext).map(|(a, b)| a ^ b).collect();
    u128::from_le_bytes(secretbox(key, nonce, &mut text))
}

/// Poly1305's one-time key (r, s), found through the box alone: s is the tag of no text, and
/// the tags of the blocks 0 and 1 differ by r, or by r + 5 when the sum passed p.
fn one_time(key: &[u8; 32], nonce: &[u8; 24]) -> (Field, u128) {
    let s = tag(key, nonce, &[]);
    let zero = tag(key, nonce, &0u128.to_le_bytes());
    let difference = tag(key, nonce, &1u128.to_le_bytes()).wrapping_sub(zero);
    let block = Field::of(&[0; 16], true);
    let fits = |low: &u128| {
        let r = Field { high: 0, low: *low };
        polynomial(r, &[block]).low.wrapping_add(s) == zero
    };
    let low = [difference, difference.wrapping_sub(5)].into_iter().find(fits);
    (Field { high: 0, low: low.expect("r is one of the two") }, s)
}

/// A tag and a ciphertext of two blocks that opens under both keys with this nonce.
pub(super) fn two_key_ciphertext(keys: &[[u8; 32]; 2], nonce: &[u8; 24]) -> ([u8; 16], [u8; 32]) {
    let [(r1, s1), (r2, s2)] = keys.map(|key| one_time(&key, nonce));
    let (inverse1, inverse2) = (r1.invert(), r2.invert());
    let inverse_difference = r1.sub(r2).invert();
    // b1 r + b2 = (tag - s) / r for both keys: two equations, two blocks. A solution counts
    // when both blocks have the bit that Poly1305 sets above 16 bytes; one in 16 does.
    for tag in 0u128.. {
        let goal = |s, inverse: Field| Field { high: 0, low: tag.wrapping_sub(s) }.mul(inverse);
        let (goal1, goal2) = (goal(s1, inverse1), goal(s2, inverse2));
        let first = goal1.sub(goal2).mul(inverse_difference);
        let second = goal1.sub(first.mul(r1));
        if first.high == 1 && second.high == 1 {
            let mut text = [0; 32];
            text[..16].copy_from_slice(&first.low.to_le_bytes());
            text[16..].copy_from_slice(&second.low.to_le_bytes());
            return (tag.to_le_bytes(), text);
        }
    }
    unreachable!("2^128 tags were tried")
}
