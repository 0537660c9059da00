//! QUIC between nodes whose keys are pinned: one connection per pair, one stream per request.
//!
//! An [`Endpoint`] listens and dials. [`Peer`] is a friend to whom requests can be sent,
//! connected or not: it is dialled when first needed and kept connected. Requests that come
//! in go to a [`Service`]. Who may connect at all is the word of a [`Policy`], asked inside
//! the TLS handshake, before any parser sees a byte of the caller's.
#![forbid(unsafe_code)]

pub mod bench;
mod dial;
mod endpoint;
mod error;
mod pace;
mod peer;
mod pool;
mod serve;
mod service;
mod socket;
mod stream;
mod tls;
mod transport;

pub use endpoint::{Config, Endpoint, Event};
pub use error::NetError;
pub use pace::{PACE_LEAST, Pace, TooSlow};
pub use peer::{Peer, Priority};
pub use service::{Admission, BoxFuture, PeerInfo, Policy, Service};
pub use stream::{BodyReader, BodyWriter, Responder};

#[cfg(test)]
mod tests;
