//! Compression of one page: lz4 where it gains, nothing where a sample says that it will not.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

/// The page is as it is.
pub const CODEC_RAW: u8 = 0;
/// The page is one lz4 block (no frame, no size before it).
pub const CODEC_LZ4: u8 = 1;

/// Bytes from the middle of a page that are tried first. Photos and sealed data stop here.
const SAMPLE: usize = 4096;
/// Room for a sample that grows when compressed.
const SAMPLE_OUT: usize = get_maximum_output_size(SAMPLE);
/// A page is kept compressed when it loses at least one part in this many.
const GAIN: usize = 20;

/// Whether compressing `page` is worth trying: a sample of it shrinks at all.
pub(super) fn worth_trying(page: &[u8]) -> bool {
    if page.len() < 2 * SAMPLE {
        return true;
    }
    let middle = (page.len() - SAMPLE) / 2;
    let mut out = [0; SAMPLE_OUT];
    compress_into(&page[middle..middle + SAMPLE], &mut out).is_ok_and(|len| len < SAMPLE)
}

/// Append the stored form of `page` to `out`; its codec.
pub(super) fn append(page: &[u8], out: &mut Vec<u8>) -> u8 {
    let start = out.len();
    if worth_trying(page) {
        out.resize(start + get_maximum_output_size(page.len()), 0);
        match compress_into(page, &mut out[start..]) {
            Ok(len) if len + page.len().div_ceil(GAIN) <= page.len() => {
                out.truncate(start + len);
                return CODEC_LZ4;
            }
            _ => out.truncate(start),
        }
    }
    out.extend_from_slice(page);
    CODEC_RAW
}

/// Decompress to exactly `out.len()` bytes.
pub(super) fn expand(stored: &[u8], out: &mut [u8]) -> bool {
    decompress_into(stored, out).is_ok_and(|len| len == out.len())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, text};
    use super::*;

    #[test]
    fn text_is_compressed_noise_is_not() {
        for (page, codec) in
            [(text(65_536), CODEC_LZ4), (noise(65_536, 1), CODEC_RAW), (vec![0; 3], CODEC_RAW)]
        {
            let mut out = b"before".to_vec();
            assert_eq!(append(&page, &mut out), codec);
            assert_eq!(&out[..6], b"before");
            if codec == CODEC_LZ4 {
                let mut back = vec![0; page.len()];
                assert!(expand(&out[6..], &mut back));
                assert_eq!(back, page);
                assert!(!expand(&out[6..], &mut vec![0; page.len() + 1]), "too long a claim");
                assert!(!expand(&out[6..], &mut vec![0; page.len() - 1]), "too short a claim");
            } else {
                assert_eq!(&out[6..], page);
            }
        }
    }

    #[test]
    fn a_gain_below_one_in_twenty_is_not_taken() {
        // 64 KiB of noise with 2 KiB of zeros in it: shrinks, but by 3 %.
        let mut page = noise(65_536, 2);
        page[32_768 - 1024..32_768 + 1024].fill(0);
        assert!(worth_trying(&page));
        let mut out = Vec::new();
        assert_eq!(append(&page, &mut out), CODEC_RAW);
        assert_eq!(out, page);
    }
}
