//! Transport parameters: windows bounded, because peers are not trusted; Cubic, because
//! quinn's BBR floods home uplinks.

use super::NetError;
use super::service::Policy;
use super::tls::Identity;
use crate::keys::{DeviceKeys, NodeId, Purpose, derive};
use crate::wire::{IDLE_TIMEOUT, KEEP_ALIVE, RECEIVE_WINDOW, STREAMS_MAX};
use crate::world::{Clock, Rng, World};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// First congestion window. Photo-sized reads are decided by it more than by anything else.
const INITIAL_WINDOW: u64 = 256 << 10;
/// Bytes one stream may have in flight to us: enough for 1 Gbit/s at 100 ms.
const STREAM_WINDOW: u32 = 12 << 20;
/// Bytes we keep for one peer until it has acknowledged them.
const SEND_WINDOW: u64 = 16 << 20;
/// Packets buffered for handshakes not yet looked at: each, and in all.
const INCOMING_BUFFER: u64 = 16 << 10;
const INCOMING_BUFFER_TOTAL: u64 = 1 << 20;
/// Handshakes waiting to be looked at.
const INCOMING_MAX: usize = 256;
/// Bytes of handshake messages out of order.
const CRYPTO_BUFFER: usize = 16 << 10;

/// What a caller may have in flight to us until it is known to be a friend.
const RECEIVE_WINDOW_STRANGER: u32 = 64 << 10;
/// What all friends together may have in flight to us; each gets an equal part between these.
const RECEIVE_BUDGET: u32 = 96 << 20;
const RECEIVE_WINDOW_MIN: u32 = 1 << 20;

/// The receive window of each of `n` connections.
pub(super) fn receive_window(n: usize) -> quinn::VarInt {
    let part = RECEIVE_BUDGET / u32::try_from(n.max(1)).unwrap_or(u32::MAX);
    part.clamp(RECEIVE_WINDOW_MIN, RECEIVE_WINDOW).into()
}

/// For connections of either direction; the window grows when Hello has been said.
pub(super) fn transport() -> Arc<quinn::TransportConfig> {
    let mut cubic = quinn::congestion::CubicConfig::default();
    cubic.initial_window(INITIAL_WINDOW);
    let mut t = quinn::TransportConfig::default();
    t.congestion_controller_factory(Arc::new(cubic))
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(RECEIVE_WINDOW_STRANGER.into())
        .send_window(SEND_WINDOW)
        .crypto_buffer_size(CRYPTO_BUFFER)
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(0u32.into())
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(quinn::VarInt::from_u32(IDLE_TIMEOUT.as_millis() as u32).into()));
    Arc::new(t)
}

/// What signs stateless resets: derived from the identity, so that a node that was restarted
/// can tell its friends that their connections to its former self are gone.
struct ResetKey(Zeroizing<[u8; 32]>);

const RESET_SIGNATURE: usize = 32;

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }
    fn signature_len(&self) -> usize {
        RESET_SIGNATURE
    }
    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = blake3::keyed_hash(&self.0, data);
        if bool::from(expected.as_bytes()[..].ct_eq(signature)) { Ok(()) } else { Err(CryptoError) }
    }
}

pub(super) fn endpoint(world: &World, device: &DeviceKeys) -> quinn::EndpointConfig {
    let reset = ResetKey(derive(Purpose::StatelessReset, device.seed().expose(), &[]));
    let mut config = quinn::EndpointConfig::new(Arc::new(reset));
    let seed = world.net.rng_seed();
    config.rng_seed(seed);
    let rng = world.rng.clone();
    config.cid_generator(move || {
        let mut key = [0; 32];
        rng.fill(&mut key);
        Box::new(Cids { key: derive(Purpose::ConnectionIds, &key, &[]), next: 0 })
    });
    config
}

/// Connection ids from the world's randomness (quinn's own come from the system's, which a
/// seed does not reach).
struct Cids {
    key: Zeroizing<[u8; 32]>,
    next: u64,
}

const CID_LEN: usize = 8;

impl quinn::ConnectionIdGenerator for Cids {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        self.next += 1;
        let hash = blake3::keyed_hash(&self.key, &self.next.to_le_bytes());
        quinn::ConnectionId::new(&hash.as_bytes()[..CID_LEN])
    }
    fn cid_len(&self) -> usize {
        CID_LEN
    }
    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Retry tokens are dated by this machine's clock.
struct Time(Arc<dyn Clock>);

impl quinn::TimeSource for Time {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0.now_ns().max(0) as u64)
    }
}

pub(super) fn server(
    world: &World,
    identity: &Identity,
    policy: Arc<dyn Policy>,
    transport: Arc<quinn::TransportConfig>,
) -> Result<quinn::ServerConfig, NetError> {
    let crypto =
        QuicServerConfig::try_from(identity.server(policy)?).map_err(|e| NetError::Key(e.to_string()))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(transport)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL)
        .time_source(Arc::new(Time(world.clock.clone())));
    Ok(config)
}

pub(super) fn client(
    rng: &Arc<dyn Rng>,
    identity: &Identity,
    pin: NodeId,
    transport: Arc<quinn::TransportConfig>,
) -> Result<quinn::ClientConfig, NetError> {
    let crypto =
        QuicClientConfig::try_from(identity.client(pin)?).map_err(|e| NetError::Key(e.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport);
    let rng = rng.clone();
    config.initial_dst_cid_provider(Arc::new(move || {
        let mut id = [0; 20];
        rng.fill(&mut id);
        quinn::ConnectionId::new(&id)
    }));
    Ok(config)
}
