//! The seal over a share for its holder.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// XChaCha20 key and nonce for one (pack, share number, holder, epoch of the repair key).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HolderStream {
    key: [u8; 32],
    nonce: [u8; 24],
}

impl HolderStream {
    pub fn new(key: [u8; 32], nonce: [u8; 24]) -> Self {
        Self { key, nonce }
    }
    /// Seal or unseal (the same) bytes that stand at `offset` of the share.
    pub fn apply(&self, offset: u64, bytes: &mut [u8]) {
        let _ = (self.key, self.nonce, offset, bytes);
        todo!()
    }
}
