//! The seal over a share for its holder: without it k holders together could make every other
//! share on demand, and audits would prove nothing. Integrity is the share id's business.

use crate::keys::{DriveKeys, Epoch, NoKey, NodeId, PackId};
use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// XChaCha20 key and nonce for one (epoch of the repair key, pack, share number, holder).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HolderStream {
    key: [u8; 32],
    nonce: [u8; 24],
}

impl HolderStream {
    /// From [`DriveKeys::holder_stream`]; takes repair power. `epoch` is the seal's, which may
    /// be later than the pack's.
    pub fn derive(
        keys: &DriveKeys,
        epoch: Epoch,
        pack: &PackId,
        number: u16,
        holder: &NodeId,
    ) -> Result<Self, NoKey> {
        let (key, nonce) = keys.holder_stream(epoch, pack, number, holder)?;
        Ok(Self { key: *key, nonce })
    }

    /// Seal or unseal (the same) bytes that stand at `offset` of the share.
    pub fn apply(&self, offset: u64, bytes: &mut [u8]) {
        let mut stream = XChaCha20::new((&self.key).into(), (&self.nonce).into());
        stream.seek(offset);
        stream.apply_keystream(bytes);
    }
}

impl std::fmt::Debug for HolderStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HolderStream(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, stream};
    use crate::keys::PackId;

    #[test]
    fn any_range_is_unsealed_alone() {
        let seal = stream(&PackId([1; 32]), 3, 5);
        let plain = noise(200_000, 4);
        let mut sealed = plain.clone();
        seal.apply(0, &mut sealed);
        assert_ne!(sealed, plain);
        for (start, end) in [(0, 1), (63, 65), (64, 128), (65_576, 131_152), (199_999, 200_000)] {
            let mut part = sealed[start..end].to_vec();
            seal.apply(start as u64, &mut part);
            assert_eq!(part, plain[start..end], "{start}..{end}");
        }
    }

    #[test]
    fn another_pack_number_or_holder_is_another_stream() {
        let of = |pack: u8, number, holder| {
            let mut bytes = vec![0; 64];
            stream(&PackId([pack; 32]), number, holder).apply(0, &mut bytes);
            bytes
        };
        let all = [of(1, 1, 1), of(2, 1, 1), of(1, 2, 1), of(1, 1, 2)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| b != a));
        }
    }
}
