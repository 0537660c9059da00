//! Frames: a length (u32, little endian) and one message in postcard.

use super::{FRAME_MAX, Request, Response, check};
pub use crate::keys::encode;
use crate::keys::{self, DecodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Length of a frame's prefix.
pub const PREFIX_LEN: usize = 4;

/// What is wrong with bytes that came from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the frame of {len} bytes is longer than the {max} allowed")]
    FrameTooLong { len: usize, max: usize },
    #[error("the frame is empty")]
    FrameEmpty,
    #[error("the message does not decode")]
    Malformed,
    #[error("the message is followed by bytes that do not belong to it")]
    TrailingBytes,
    #[error("the message is not in its one canonical encoding")]
    NotCanonical,
    #[error("{what}: {is} is over the limit of {max}")]
    OverLimit { what: &'static str, is: u64, max: u64 },
}

/// A message of a kind this version knows, or the number of one it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<T> {
    Known(T),
    /// The kind's number. The frame has been skipped by its length; a request is answered
    /// with a refusal ([`super::Reason::Unknown`]).
    Unknown(u32),
}

/// The length of the payload that follows a prefix, refused before anything is allocated.
pub fn frame_len(prefix: [u8; PREFIX_LEN], max: usize) -> Result<usize, WireError> {
    let len = u32::from_le_bytes(prefix) as usize;
    match len {
        0 => Err(WireError::FrameEmpty),
        _ if len > max => Err(WireError::FrameTooLong { len, max }),
        _ => Ok(len),
    }
}

/// A value from its one encoding: nothing may follow it, and re-encoding must give the same bytes.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    keys::decode_canonical(bytes, FRAME_MAX).map_err(|e| match e {
        DecodeError::TooLong { len, max } => WireError::FrameTooLong { len, max },
        DecodeError::Trailing => WireError::TrailingBytes,
        DecodeError::NotCanonical => WireError::NotCanonical,
        DecodeError::Malformed | DecodeError::UnknownVersion(_) => WireError::Malformed,
    })
}

/// A whole frame (prefix and payload) of a request; refuses what the other end would refuse.
pub fn encode_request(request: &Request) -> Result<Vec<u8>, WireError> {
    check::request(request)?;
    frame(request)
}

/// A whole frame (prefix and payload) of a response; refuses what the other end would refuse.
pub fn encode_response(response: &Response) -> Result<Vec<u8>, WireError> {
    check::response(response)?;
    frame(response)
}

/// The request in a frame's payload.
pub fn decode_request(payload: &[u8]) -> Result<Decoded<Request>, WireError> {
    message(payload, Request::KINDS, check::request)
}

/// The response in a frame's payload.
pub fn decode_response(payload: &[u8]) -> Result<Decoded<Response>, WireError> {
    message(payload, Response::KINDS, check::response)
}

fn frame<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let mut out = postcard::to_extend(value, vec![0; PREFIX_LEN]).map_err(|_| WireError::Malformed)?;
    let len = out.len() - PREFIX_LEN;
    if len > FRAME_MAX {
        return Err(WireError::FrameTooLong { len, max: FRAME_MAX });
    }
    out[..PREFIX_LEN].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(out)
}

fn message<T: Serialize + DeserializeOwned>(
    payload: &[u8],
    kinds: u32,
    check: impl Fn(&T) -> Result<(), WireError>,
) -> Result<Decoded<T>, WireError> {
    if payload.is_empty() {
        return Err(WireError::FrameEmpty);
    }
    if payload.len() > FRAME_MAX {
        return Err(WireError::FrameTooLong { len: payload.len(), max: FRAME_MAX });
    }
    let (kind, rest) = postcard::take_from_bytes::<u32>(payload).map_err(|_| WireError::Malformed)?;
    if encode(&kind).len() != payload.len() - rest.len() {
        return Err(WireError::NotCanonical);
    }
    if kind >= kinds {
        return Ok(Decoded::Unknown(kind));
    }
    let value = decode(payload)?;
    check(&value)?;
    Ok(Decoded::Known(value))
}
