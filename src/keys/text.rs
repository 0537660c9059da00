//! Secrets as text that a person can copy: lower-case base32 with a checksum.
//!
//! `text = base32(payload || hash(purpose, [word, payload])[..8])`, RFC 4648 alphabet in lower
//! case, no padding. The word before it (the power of a capability) is under the checksum too.

use super::derive::{Purpose, hash};
use super::secret::ct_eq;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// Bytes of the checksum: one letter changed goes unnoticed once in 2^64.
pub const TEXT_CHECKSUM_LEN: usize = 8;

/// Why a text does not hold what it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextError {
    #[error("it is longer than {0} characters")]
    TooLong(usize),
    #[error("character {0} is none of a-z and 2-7")]
    Character(usize),
    #[error("it is too short, or was cut")]
    Cut,
    #[error("its checksum does not fit: a letter was changed, added or lost")]
    Checksum,
}

/// The text of a payload.
pub fn encode_text(purpose: Purpose, word: &str, payload: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(payload.len() + TEXT_CHECKSUM_LEN));
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&checksum(purpose, word, payload));
    let mut text = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
    text.make_ascii_lowercase();
    text
}

/// The payload of a text of at most `max` characters.
pub fn decode_text(
    purpose: Purpose,
    word: &str,
    text: &str,
    max: usize,
) -> Result<Zeroizing<Vec<u8>>, TextError> {
    if text.len() > max {
        return Err(TextError::TooLong(max));
    }
    let strange = |c: char| !matches!(c, 'a'..='z' | '2'..='7');
    if let Some(at) = text.chars().position(strange) {
        return Err(TextError::Character(at + 1));
    }
    let upper = Zeroizing::new(text.to_ascii_uppercase());
    let mut bytes = Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| TextError::Cut)?);
    let len = bytes.len().checked_sub(TEXT_CHECKSUM_LEN).ok_or(TextError::Cut)?;
    let (payload, found) = bytes.split_at(len);
    if !ct_eq(found, &checksum(purpose, word, payload)) {
        return Err(TextError::Checksum);
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn checksum(purpose: Purpose, word: &str, payload: &[u8]) -> [u8; TEXT_CHECKSUM_LEN] {
    let mut out = [0; TEXT_CHECKSUM_LEN];
    out.copy_from_slice(&hash(purpose, &[word.as_bytes(), payload]).0[..TEXT_CHECKSUM_LEN]);
    out
}
