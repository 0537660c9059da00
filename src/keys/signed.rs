//! Signed bytes.

use serde::{Deserialize, Serialize};

/// A signed object: the bytes that were signed, and the Ed25519 signature over
/// `domain || bytes`, the domain string being that of the object's type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signed {
    pub bytes: Vec<u8>,
    pub signature: Vec<u8>,
}
